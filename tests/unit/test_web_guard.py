"""The layer before all pages: what it lets through, and the headers that it adds."""

import asyncio
from typing import Any

import pytest

from streamer.web.door import Door
from streamer.web.guard import Guard

TOKEN = "correct-horse-battery"
PAGE = b"<html><script>1</script><script type='module'>2</script></html>"


class Pages:
    """What is behind the guard: notes who came, and answers with a page."""

    def __init__(
        self, headers: tuple[tuple[bytes, bytes], ...] = ((b"x-nicegui-content", b"page"),), status: int = 200
    ) -> None:
        self.came: list[str] = []
        self._headers = headers
        self._status = status

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        self.came.append(scope["path"])
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            return
        headers = [*self._headers, (b"content-length", str(len(PAGE)).encode())]
        await send({"type": "http.response.start", "status": self._status, "headers": headers})
        await send({"type": "http.response.body", "body": PAGE[:9], "more_body": True})
        await send({"type": "http.response.body", "body": PAGE[9:]})


class Answer:
    """What came back."""

    def __init__(self, messages: list[Any]) -> None:
        self.messages = messages
        self.status = messages[0].get("status")
        self.headers = {name.decode(): value.decode() for name, value in messages[0].get("headers", ())}
        self.body = b"".join(message.get("body", b"") for message in messages[1:])


def ask(
    pages: Pages, path: str = "/", *, kind: str = "http", token: str | None = None, **headers: str | list[str]
) -> Answer:
    named = {"host": "127.0.0.1:8050"} | headers
    raw = [
        (name.replace("_", "-").encode(), value.encode())
        for name, values in named.items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    bare, _, query = path.partition("?")
    scope = {
        "type": kind,
        "method": "GET",
        "path": bare,
        "raw_path": bare.encode(),
        "query_string": query.encode(),
        "headers": raw,
    }
    sent: list[Any] = []

    async def receive() -> Any:
        raise AssertionError("nothing more is sent")

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(pages, Door("127.0.0.1", (), token), "streamer-8050")(scope, receive, send))
    return Answer(sent)


def test_scripts_of_a_page_get_the_nonce_of_its_policy() -> None:
    answer = ask(Pages())
    policy = answer.headers["content-security-policy"]
    nonce = policy.partition("'nonce-")[2].partition("'")[0]
    assert len(nonce) >= 16
    assert answer.body.count(f'<script nonce="{nonce}"'.encode()) == 2
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert ask(Pages()).headers["content-security-policy"] != policy


def test_what_is_no_page_passes_as_it_is_and_runs_nothing() -> None:
    answer = ask(Pages(headers=()))
    assert answer.body == PAGE
    assert "script-src 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["/", "/?token=wrong-wrong-wrong-wrong"])
def test_every_answer_has_the_headers(path: str) -> None:
    for answer in (ask(Pages()), ask(Pages(), path, token=TOKEN)):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_the_token_leaves_the_address() -> None:
    pages = Pages()
    answer = ask(pages, f"/frame?id=line-1%2Fs%2F7&token={TOKEN}", token=TOKEN)
    assert answer.status == 303
    assert answer.headers["location"] == "/frame?id=line-1%2Fs%2F7"
    assert answer.headers["cache-control"] == "no-store"
    name, _, rest = answer.headers["set-cookie"].partition("=")
    assert name == "streamer-8050"
    assert rest.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert TOKEN not in str(answer.messages)
    assert pages.came == []
    assert ask(pages, token=TOKEN, cookie=f"other=1; {name}={rest.partition(';')[0]}").status == 200
    assert pages.came == ["/"]


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("//evil.example/", "/evil.example/"),
        ("/\\evil.example/", "/%5Cevil.example/"),
        ("/\t/evil.example/", "/%09/evil.example/"),
        ("\\\\evil.example/", "/%5C%5Cevil.example/"),
        ("/a%2Fb/c:8050@x;y=1", "/a%2Fb/c:8050@x;y=1"),
    ],
)
def test_the_way_back_stays_on_this_server(path: str, location: str) -> None:
    assert ask(Pages(), f"{path}?token={TOKEN}", token=TOKEN).headers["location"] == location


@pytest.mark.parametrize(
    "others", ["{json: [1,2]}; ", 'a="b; ', "name with blanks=1; ", "=; ;;", "ü=ü; ", "x=1;"], ids=ascii
)
def test_cookies_of_other_programs_do_no_harm(others: str) -> None:
    proof = Door("127.0.0.1", (), TOKEN).cookie
    assert ask(Pages(), token=TOKEN, cookie=f"{others}streamer-8050={proof}").status == 200
    assert ask(Pages(), token=TOKEN, cookie=f"streamer-8050={proof}; {others}").status == 200
    assert ask(Pages(), token=TOKEN, cookie=f"{others}streamer-80501={proof}").status == 401


def test_another_page_leads_here_in_a_window_of_its_own_alone() -> None:
    foreign = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert ask(Pages(), **foreign, sec_fetch_dest="document").status == 200
    for dest in ("iframe", "object", "embed", "empty"):
        assert ask(Pages(), **foreign, sec_fetch_dest=dest).status == 403
    assert ask(Pages(), **foreign).status == 403


def test_a_stranger_learns_whether_it_is_ready_and_nothing_else() -> None:
    answer = ask(Pages(headers=()), "/readyz", token=TOKEN)
    assert (answer.status, answer.body, answer.headers["content-length"]) == (200, b"ok\n", "3")
    answer = ask(Pages(headers=(), status=503), "/readyz", host="evil.example")
    assert (answer.status, answer.body, answer.headers["content-length"]) == (503, b"not ready\n", "10")
    assert ask(Pages(headers=(), status=503), "/readyz").body == PAGE


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": ["evil.example", "127.0.0.1:8050"]}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"content_length": "1048577"}, 413),
    ],
)
def test_a_refusal_says_why_and_asks_nobody(headers: dict[str, Any], status: int) -> None:
    pages = Pages()
    answer = ask(pages, **headers)
    assert answer.status == status
    assert answer.body.endswith(b".\n")
    assert pages.came == []


def test_routes_for_files_bound_what_they_take_themselves() -> None:
    pages, door = Pages(headers=()), Door("127.0.0.1")
    large = [(b"host", b"127.0.0.1:7860"), (b"content-length", b"1048577")]
    for path, came in (("/api/upload/model", ["/api/upload/model"]), ("/api/upload/model/", []), ("/", [])):
        pages.came.clear()
        scope = {"type": "http", "method": "POST", "path": path, "headers": large}
        asyncio.run(Guard(pages, door, "streamer-7860", ["/api/upload/model"])(scope, _nothing, _nothing))
        assert pages.came == came


async def _nothing(*_: Any) -> Any:
    """Neither give nor take."""


def test_without_the_token_nothing_is_shown() -> None:
    pages = Pages()
    assert ask(pages, token=TOKEN).status == 401
    assert ask(pages, "/static/shell.js", token=TOKEN).status == 401
    assert ask(pages, token=TOKEN, cookie="streamer-8050=x").status == 401
    assert pages.came == []


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {}, {"host": "evil.example"}])
def test_a_websocket_of_another_page_is_closed_before_it_is_open(headers: dict[str, Any]) -> None:
    pages = Pages()
    answer = ask(pages, "/_nicegui_ws/socket.io/", kind="websocket", **headers)
    assert [message["type"] for message in answer.messages] == ["websocket.close"]
    assert pages.came == []


def test_our_own_websocket_is_let_through() -> None:
    answer = ask(Pages(), "/_nicegui_ws/socket.io/", kind="websocket", origin="http://127.0.0.1:8050")
    assert [message["type"] for message in answer.messages] == ["websocket.accept"]
