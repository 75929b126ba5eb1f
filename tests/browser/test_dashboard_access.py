"""Who may come in to the dashboard, asked as other programs and other pages would."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.browser.conftest import start_dashboard
from tests.fakes.waiting import wait_until

TOKEN = "correct-horse-battery"
#: Nothing listens there: the dashboard shows that, and answers nevertheless.
NOWHERE = ("--bootstrap-servers", "127.0.0.1:1")
EVIL = "http://evil.example"


class Client:
    """Asks one address, with any headers."""

    def __init__(self, address: str) -> None:
        parts = urlsplit(address)
        self.authority = parts.netloc
        self._where = parts.hostname or "", parts.port

    def ask(self, path: str = "/", method: str = "GET", body: str | None = None, **headers: str) -> "Answer":
        connection = http.client.HTTPConnection(*self._where, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            is_open = response.status == 101
            return Answer(response.status, dict(response.getheaders()), b"" if is_open else response.read())
        finally:
            connection.close()

    def open_websocket(self, **headers: str) -> int:
        """Ask for a WebSocket as socket.io does, and return the status of the answer."""
        asked = {
            "Connection": "Upgrade",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        }
        return self.ask("/_nicegui_ws/socket.io/?EIO=4&transport=websocket", **asked | headers).status


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers.items()}
        self.body = body


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with ExitStack() as stack:
        yield Client(start_dashboard(stack, *NOWHERE))


def test_our_own_pages_may_come_in(client: Client) -> None:
    page = client.ask()
    assert page.status == 200
    assert "'nonce-" in page.headers["content-security-policy"]
    home = f"http://{client.authority}"
    assert client.ask("/api/wall", "POST", json.dumps({"numbers": {}}), Origin=home).status == 200
    assert client.open_websocket(Origin=home) == 101


def test_another_name_is_refused(client: Client) -> None:
    assert client.ask(Host="evil.example").status == 421
    assert (
        client.ask("/api/wall", "POST", "{}", Host=f"evil.example:{client.authority.partition(':')[2]}").status == 421
    )
    assert client.open_websocket(Host="evil.example", Origin=EVIL) == 403


def test_other_pages_are_refused(client: Client) -> None:
    assert client.ask(Origin=EVIL).status == 403
    assert client.ask("/api/wall", "POST", json.dumps({"numbers": {}}), Origin=EVIL).status == 403
    assert client.open_websocket(Origin=EVIL) == 403
    assert client.open_websocket() == 403
    polling = "/_nicegui_ws/socket.io/?EIO=4&transport=polling"
    assert client.ask(polling, Origin=EVIL).status == 403


@pytest.mark.parametrize("body", ["", "[]", "{", '{"numbers": {"a": "x"}}', json.dumps({"numbers": {"x" * 9: 1.5}})])
def test_what_no_page_of_ours_asks_is_refused(client: Client, body: str) -> None:
    assert client.ask("/api/wall", "POST", body).status == 400


def test_too_much_is_refused(client: Client) -> None:
    assert client.ask("/api/wall", "POST", " " * 600_000).status == 413
    assert client.ask("/api/wall", "POST", " " * 1_100_000).status == 413


def test_without_kafka_it_lives_and_says_what_is_wrong(client: Client) -> None:
    assert client.ask("/healthz").body == b"ok\n"
    wait_until(lambda: b"127.0.0.1:1" in client.ask("/readyz").body, "it says where it looked")
    assert client.ask("/readyz").status == 503


def test_a_token_opens_it_and_stays_out_of_the_address(tmp_path: Path) -> None:
    token_file = tmp_path / "token"
    token_file.touch(0o600)
    token_file.write_text(f"{TOKEN}\n")
    with ExitStack() as stack:
        client = Client(start_dashboard(stack, *NOWHERE, "--token-file", str(token_file)))
        assert client.ask().status == 401
        assert client.ask("/?token=wrong").status == 401
        assert client.open_websocket(Origin=f"http://{client.authority}") == 403
        welcome = client.ask(f"/ledger?token={TOKEN}")
        assert (welcome.status, welcome.headers["location"]) == (303, "/ledger")
        cookie = welcome.headers["set-cookie"].partition(";")[0]
        assert TOKEN not in cookie
        assert client.ask("/ledger", Cookie=cookie).status == 200
        assert client.open_websocket(Origin=f"http://{client.authority}", Cookie=cookie) == 101
        assert client.ask("/healthz").status == 200


def test_who_says_nothing_shuts_nobody_out(client: Client) -> None:
    host, _, port = client.authority.partition(":")
    with ExitStack() as stack:
        silent = [stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(300)]
        assert is_served(client, "127.0.0.9"), "another address is served at once"
        wait_until(lambda: is_served(client, host), "the same address is served again")
        assert len(silent) == 300


def is_served(client: Client, from_address: str) -> bool:
    """Tell whether a request of one of this machine's addresses is answered."""
    host, _, port = client.authority.partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=30, source_address=(from_address, 0))
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (http.client.HTTPException, ConnectionError):
        return False
    finally:
        connection.close()
