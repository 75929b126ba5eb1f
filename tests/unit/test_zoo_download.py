"""Fetching weights: whole and right, or one line and nothing left behind."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from engine.errors import ModelError
from engine.models.zoo.download import check_reachable, fetch

WEIGHTS = bytes(range(256)) * 40
DIGEST = hashlib.sha256(WEIGHTS).hexdigest()
NAME = f"net-{DIGEST[:8]}.pth"
#: Nothing listens there.
NOWHERE = "http://127.0.0.1:9"
HINT = "; without network: --weights random$"


class _Handler(BaseHTTPRequestHandler):
    """Answers by path: /whole, /short (breaks off), /stalled and /trickle (until the server stops), /missing."""

    server: "WeightsServer"

    def do_HEAD(self) -> None:
        self.send_response(404)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.startswith("/missing"):
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(WEIGHTS)))
        self.end_headers()
        self.wfile.write(WEIGHTS[:100])
        if self.path.startswith("/stalled"):
            self.server.is_over.wait(30)
        if self.path.startswith("/trickle"):
            with suppress(OSError):  # he who asked has gone
                while not self.server.is_over.wait(0.02):
                    self.wfile.write(b"x")
        if self.path.startswith("/whole"):
            self.wfile.write(WEIGHTS[100:])

    def log_message(self, *_: object) -> None:
        pass


class WeightsServer(ThreadingHTTPServer):
    """A server of weights on this machine."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.is_over = Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[WeightsServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with WeightsServer() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield server
        server.is_over.set()
        server.shutdown()
        thread.join()


def test_weights_are_fetched_once(server: WeightsServer, tmp_path: Path) -> None:
    path = tmp_path / "hub" / NAME
    fetch(f"{server.url}/whole/{NAME}", path, "net")
    fetch(f"{server.url}/whole/{NAME}", path, "net")
    assert path.read_bytes() == WEIGHTS
    assert server.asked == [f"/whole/{NAME}"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("place", "name", "reason"),
    [
        ("short", NAME, "no connection, or it broke off"),
        ("missing", NAME, "the answer is HTTP 404"),
        ("whole", "net-0badf00d.pth", f"what came is another file, SHA-256 {DIGEST}"),
        ("whole", "net.pth", f"what came is another file, SHA-256 {DIGEST}"),
    ],
)
def test_what_did_not_come_whole_and_right_is_not_kept(
    server: WeightsServer, tmp_path: Path, place: str, name: str, reason: str
) -> None:
    url = f"{server.url}/{place}/{name}"
    with pytest.raises(ModelError, match=f"^the weights of net cannot be fetched from {url}: {reason}{HINT}"):
        fetch(url, tmp_path / name, "net")
    assert not list(tmp_path.iterdir())


def test_a_server_that_stops_in_the_middle_is_not_waited_for(server: WeightsServer, tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ModelError, match=HINT):
        fetch(f"{server.url}/stalled/{NAME}", tmp_path / NAME, "net", timeouts_s=(5, 0.2))
    assert time.monotonic() - begun < 10
    assert not list(tmp_path.iterdir())


def test_what_is_too_large_or_comes_too_slowly_is_not_waited_for(server: WeightsServer, tmp_path: Path) -> None:
    url = f"{server.url}/whole/{NAME}"
    with pytest.raises(ModelError, match=f"it is larger than 1,000 bytes{HINT}"):
        fetch(url, tmp_path / NAME, "net", max_bytes=1000)
    begun = time.monotonic()
    with pytest.raises(ModelError, match=f"bytes in 0.2 s is too slow{HINT}"):
        fetch(f"{server.url}/trickle/{NAME}", tmp_path / NAME, "net", max_time_s=0.2)
    assert time.monotonic() - begun < 10
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_there_and_another_than_its_name_says_is_not_taken(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_bytes(b"somebody's")
    with pytest.raises(ModelError, match=rf"^the weights of net in {path} are another file .*: delete it$"):
        fetch(f"{NOWHERE}/{NAME}", path, "net")
    assert path.read_bytes() == b"somebody's"


def test_where_nothing_listens_it_fails_at_once(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(ModelError, match=f"^the weights of net .* no connection, or it broke off{HINT}"):
        fetch(f"{NOWHERE}/{NAME}", tmp_path / NAME, "net")
    with pytest.raises(ModelError, match=f"^the weights of net .* {NOWHERE}: no connection, or it broke off{HINT}"):
        check_reachable(NOWHERE, "net")
    assert time.monotonic() - begun < 5


def test_any_answer_at_all_shows_that_a_server_is_there(server: WeightsServer) -> None:
    check_reachable(server.url, "net")


def test_a_place_that_cannot_be_written_is_named(server: WeightsServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    path = tmp_path / "file" / NAME
    with pytest.raises(ModelError, match=f"{path} cannot be written"):
        fetch(f"{server.url}/whole/{NAME}", path, "net")
