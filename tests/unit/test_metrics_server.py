"""The metrics port: what it answers, and what it does with those who ask too much."""

import contextlib
import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from streamer.metrics_server import Answers, MetricsPortError, MetricsServer

NOTHING = Answers(lambda _: (b"", ""), lambda: "", lambda: "")


class Said:
    """What the server is told to say."""

    def __init__(self) -> None:
        self.alive = ""
        self.ready = ""
        self.accepted: list[str] = []

    def metrics(self, accept: str) -> tuple[bytes, str]:
        self.accepted.append(accept)
        return b"a 1\n", "text/plain; version=0.0.4"


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def address(said: Said) -> Iterator[tuple[str, int]]:
    server = MetricsServer(Answers(said.metrics, lambda: said.alive, lambda: said.ready))
    url = urlsplit(server.start(("127.0.0.1", 0)))
    yield url.hostname or "", url.port or 0
    server.close()
    server.close()


def ask(address: tuple[str, int], path: str, method: str = "GET") -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request(method, path, headers={"Accept": "text/plain"})
        response = connection.getresponse()
        return response.status, response.read(), response.headers
    finally:
        connection.close()


def test_metrics_come_as_they_are_accepted(address: tuple[str, int], said: Said) -> None:
    status, body, headers = ask(address, "/metrics?x=1")
    assert (status, body) == (200, b"a 1\n")
    assert headers["Content-Type"] == "text/plain; version=0.0.4"
    assert headers["Cache-Control"] == "no-store"
    assert said.accepted == ["text/plain"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_says_why_not(address: tuple[str, int], said: Said, path: str) -> None:
    assert ask(address, path)[:2] == (200, b"ok\n")
    said.alive = said.ready = "the device is lost"
    assert ask(address, path)[:2] == (503, b"the device is lost\n")


def test_another_path_says_what_there_is(address: tuple[str, int]) -> None:
    status, body, _ = ask(address, "/../etc/passwd")
    assert (status, body) == (404, b"there are /metrics, /healthz and /readyz\n")
    assert ask(address, "/metrics", "HEAD")[:2] == (200, b"")
    assert ask(address, "/metrics", "POST")[0] == 501


def test_a_port_in_use_is_one_line(address: tuple[str, int]) -> None:
    says = rf"^--metrics-port: 127.0.0.1 port {address[1]} is taken by another program; give another port$"
    with pytest.raises(MetricsPortError, match=says):
        MetricsServer(NOTHING).start(address)


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_here_is_one_line(host: str) -> None:
    with pytest.raises(MetricsPortError, match=rf"^--metrics-host: {host} is no address of this machine: "):
        MetricsServer(NOTHING).start((host, 0))


def test_a_socket_with_too_long_a_path_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MetricsPortError, match="set TMPDIR to a shorter path"):
        MetricsServer(NOTHING).start(tmp_path / ("x" * 120))


def test_whoever_holds_connections_shuts_nobody_out(address: tuple[str, int]) -> None:
    slow = [socket.create_connection(address, timeout=5) for _ in range(40)]
    try:
        for each in slow:
            with contextlib.suppress(OSError):  # the oldest are closed by now
                each.sendall(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        assert ask(address, "/healthz")[:2] == (200, b"ok\n")
    finally:
        for each in slow:
            each.close()


def test_a_bug_in_an_answer_is_said_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: str) -> tuple[bytes, str]:
        raise ValueError("a bug")

    server = MetricsServer(Answers(broken, lambda: "", lambda: ""))
    url = urlsplit(server.start(("127.0.0.1", 0)))
    try:
        status, body, _ = ask((url.hostname or "", url.port or 0), "/metrics")
    finally:
        server.close()
    assert (status, body) == (500, b"an error of streamer's own: see its log\n")
    assert "/metrics cannot be answered" in caplog.text


@pytest.mark.parametrize(("host", "status"), [("localhost:1", 200), ("[::1]", 200), ("evil.example", 421)])
def test_a_port_of_this_machine_alone_has_no_other_name(address: tuple[str, int], host: str, status: int) -> None:
    connection = http.client.HTTPConnection(*address, timeout=5)
    try:
        connection.request("GET", "/metrics", headers={"Host": host})
        assert connection.getresponse().status == status
    finally:
        connection.close()


def test_a_unix_socket_answers_too(tmp_path: Path) -> None:
    server = MetricsServer(Answers(lambda _: (b"a 1\n", "text/plain"), lambda: "", lambda: ""))
    server.start(tmp_path / "1.sock")
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            client.connect(str(tmp_path / "1.sock"))
            client.sendall(b"GET /metrics HTTP/1.0\r\n\r\n")
            assert b"a 1\n" in client.makefile("rb").read()
    finally:
        server.close()
