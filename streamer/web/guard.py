"""Before every page: asks the door, and puts the headers on that keep a page to itself (ASGI)."""

import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

from streamer.web.door import Door, Verdict, Visit

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_TOKEN = "token"  # noqa: S105 - the parameter's name
#: What a page of NiceGUI bears.
_PAGE_MARK = b"x-nicegui-content"
#: A page's messages are small; its pictures go the other way.
_MAX_BODY_BYTES = 1024 * 1024
_POLICY_VIOLATION = 1008
_OK = 200
#: What may stand in a path as it is; `%` since the path is quoted already.
_IN_PATHS = "/%:@!$&'()*+,;="

_REFUSALS = {
    Verdict.WRONG_HOST: (
        421,
        "This server is not called that: start it with --allowed-host NAME for each of its names",
    ),
    Verdict.WRONG_ORIGIN: (403, "Another web page asked for this; pages of this server alone may"),
    Verdict.NO_TOKEN: (401, "This server asks for its token: open its address with ?token=… at the end"),
    Verdict.WRONG_TOKEN: (401, "That is not the token of this server: open its address with ?token=… at the end"),
}

_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
)


def _policy(nonce: str) -> bytes:
    """Return the content security policy.

    Vue makes functions of its templates in the browser, and Quasar writes styles into elements: those two need the
    words `unsafe-eval` and `unsafe-inline`. Scripts within a page run only with the nonce of its answer.
    """
    scripts = f"'self' 'nonce-{nonce}' 'unsafe-eval'" if nonce else "'none'"
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
        "font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ).encode()


class Guard:
    """The outermost layer of the server."""

    def __init__(self, app: App, door: Door, cookie_name: str, file_paths: Collection[str] = ()) -> None:
        """Stand before `app`.

        Args:
            app: What answers those who may come in.
            door: Decides who may.
            cookie_name: What holds the proof that somebody knows the token; cookies know no ports.
            file_paths: Where files are sent to; these routes bound what they take themselves.
        """
        self.app = app  # by this name others find what is behind
        self._door = door
        self._cookie_name = cookie_name
        self._file_paths = frozenset(file_paths)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        visit = self._visit(scope)
        verdict = self._door.judge(visit)
        if visit.is_websocket:
            if verdict is Verdict.ADMITTED:
                await self.app(scope, receive, send)
            else:
                await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
        answer = _Answer(send)
        if verdict is Verdict.TOKEN_GIVEN:
            await answer.redirect(_without_token(scope), f"{self._cookie_name}={self._door.cookie}")
        elif verdict is Verdict.STRANGER:
            await self.app(scope, receive, _Terse(answer))
        elif verdict is not Verdict.ADMITTED:
            await answer.text(*_REFUSALS[verdict])
        elif _body_bytes(scope) > _MAX_BODY_BYTES and scope["path"] not in self._file_paths:
            await answer.text(413, f"More than {_MAX_BODY_BYTES} bytes are nothing that a page of ours sends")
        else:
            await self.app(scope, receive, answer)

    def _visit(self, scope: Scope) -> Visit:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        hosts = sum(name == b"host" for name, _ in scope["headers"])
        return Visit(
            path=scope["path"],
            host=headers.get("host") if hosts == 1 else None,  # of two, another layer may believe the other
            origin=headers.get("origin"),
            fetch_site=headers.get("sec-fetch-site"),
            token=next((value for name, value in _query(scope) if name == _TOKEN), None),
            cookie=_cookie(headers.get("cookie", ""), self._cookie_name),
            is_navigation=headers.get("sec-fetch-mode") == "navigate"
            and headers.get("sec-fetch-dest") == "document"  # neither a frame in another page, nor an object
            and scope.get("method") in ("GET", "HEAD"),
            is_websocket=scope["type"] == "websocket",
        )


class _Answer:
    """Passes an answer on with our headers; a page's scripts get the nonce that the policy names."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._body = bytearray()

    async def __call__(self, message: Message) -> None:
        """Take what the application sends."""
        if message["type"] == "http.response.start":
            if any(name.lower() == _PAGE_MARK for name, _ in message["headers"]):
                self._start = message  # its length is known when its scripts have their nonce
            else:
                await self._send({**message, "headers": [*message["headers"], *_with_policy("")]})
        elif self._start is not None:
            self._body += message.get("body", b"")
            if not message.get("more_body"):
                await self._finish()
        else:
            await self._send(message)

    async def _finish(self) -> None:
        """Send the page. Text from outside has no `<script` in it: NiceGUI escapes each `<` of its elements."""
        start, self._start = self._start or {}, None
        nonce = secrets.token_urlsafe(16)
        body = bytes(self._body).replace(b"<script", f'<script nonce="{nonce}"'.encode())
        headers = [each for each in start["headers"] if each[0].lower() != b"content-length"]
        length = (b"content-length", str(len(body)).encode())
        await self._send({**start, "headers": [*headers, length, *_with_policy(nonce)]})
        await self._send({"type": "http.response.body", "body": body})

    async def text(self, status: int, text: str) -> None:
        """Answer with a line."""
        await self._whole(status, [(b"content-type", b"text/plain; charset=utf-8")], f"{text}.\n".encode())

    async def redirect(self, address: str, cookie: str) -> None:
        """Send the browser there, with a cookie for this server's own pages."""
        headers = [
            (b"location", address.encode()),
            (b"set-cookie", f"{cookie}; Path=/; HttpOnly; SameSite=Strict".encode()),
        ]
        await self._whole(303, headers, b"")

    async def _whole(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        headers = [*headers, (b"content-length", str(len(body)).encode()), (b"cache-control", b"no-store")]
        await self({"type": "http.response.start", "status": status, "headers": headers})
        await self({"type": "http.response.body", "body": body})


class _Terse:
    """Passes an answer's status on, and in place of its text, which may name machines, a word."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._body = b"ok\n" if message["status"] == _OK else b"not ready\n"
            length = (b"content-length", str(len(self._body)).encode())
            message = {**message, "headers": [(b"content-type", b"text/plain; charset=utf-8"), length]}
        elif message["type"] == "http.response.body":
            message = {**message, "body": b"" if message.get("more_body") else self._body}
        await self._send(message)


def _with_policy(nonce: str) -> list[tuple[bytes, bytes]]:
    return [*_HEADERS, (b"content-security-policy", _policy(nonce))]


def _query(scope: Scope) -> list[tuple[str, str]]:
    text = scope.get("query_string", b"").decode("latin-1")
    try:
        return parse_qsl(text, keep_blank_values=True, max_num_fields=100)
    except ValueError:
        return []


def _without_token(scope: Scope) -> str:
    """Return the address within this server.

    One that begins with two slashes would be another server's; browsers take a backslash for a slash, and leave out
    what cannot be seen.
    """
    rest = urlencode([(name, value) for name, value in _query(scope) if name != _TOKEN])
    path = "/" + quote(scope.get("raw_path", scope["path"].encode()), safe=_IN_PATHS).lstrip("/")
    return f"{path}?{rest}" if rest else path


def _cookie(header: str, name: str) -> str | None:
    """Return a cookie's value; other programs at this host may have cookies that follow no rule."""
    pairs = (pair.strip().partition("=") for pair in header.split(";"))
    return next((value for key, _, value in pairs if key == name), None)


def _body_bytes(scope: Scope) -> int:
    """Return how much the request says that it sends."""
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"0")
    return int(length) if length.isdigit() and len(length) < 19 else 0
