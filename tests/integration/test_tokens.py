"""Tokens for OAUTHBEARER: read again, asked for in time, and never shown."""

import base64
import json
import logging
import math
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from messaging.errors import MessagingError, NoTokenNowError, SecuritySettingError, TokenError
from messaging.tokens import ClientCredentials, TokenFile, expiry_s
from tests.fakes.certificates import make_certificate
from tests.fakes.token_provider import TokenProvider, token_provider, trickling_server
from tests.fakes.waiting import DEADLINE_S, wait_until

SECRET = "hunter2/+ä"
NOW_S = 1_700_000_000.0


class Clock:
    """A time that a test sets."""

    now_s = NOW_S

    def __call__(self) -> float:
        return self.now_s


def jwt(**claims: object) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
    return ".".join([*parts, "sig"])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def provider() -> Iterator[TokenProvider]:
    with token_provider() as running:
        running.answer = {"access_token": "first", "expires_in": 100}
        yield running


def credentials(provider: TokenProvider, clock: Clock, scope: str = "") -> ClientCredentials:
    return ClientCredentials(provider.url, "camera:1", SECRET, scope, now_s=clock)


@pytest.mark.parametrize(
    ("token", "ends_s"),
    [
        (jwt(exp=NOW_S), NOW_S),
        (jwt(exp=str(int(NOW_S))), NOW_S),
        (jwt(sub="a"), None),
        (jwt(exp=None), None),
        (jwt(exp=[]), None),
        (jwt(exp=10**400), None),
        (jwt(exp=-1e300), None),
        (jwt(exp=1e300), None),
        ("opaque", None),
        ("a.%%%.b", None),
        (f"a.{base64.urlsafe_b64encode(b'[1]').decode()}.b", None),
        ("a." + base64.urlsafe_b64encode(b"[" * 100_000).decode() + ".b", None),
    ],
    ids=lambda value: str(value)[:12],
)
def test_when_a_token_ends(token: str, ends_s: float | None) -> None:
    assert expiry_s(token) == ends_s


# -- from a file -----------------------------------------------------------------------------------


def test_a_renewed_file_is_read_again(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "token"
    first, second = jwt(exp=NOW_S + 10), jwt(exp=NOW_S + 1000)
    path.write_text(first + "\n")
    tokens = TokenFile(path, clock)
    assert tokens.token() == first
    clock.now_s += 9
    path.write_text(second)
    assert tokens.token() == second
    assert tokens.extensions() == {}


def test_a_token_in_a_file_that_has_ended_is_said_to_have(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "token"
    path.write_text(jwt(exp=NOW_S))
    with pytest.raises(TokenError, match=r"ended at 2023-11-14T22:13:20Z: renew the file") as caught:
        TokenFile(path, clock).token()
    assert jwt(exp=NOW_S) not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"to ken", b"tok\x01auth=admin", b"t\nx", b"\xff\xfe", b"x" * 70_000])
def test_what_is_no_token_is_refused_and_not_shown(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(MessagingError) as caught:
        TokenFile(path).token()
    assert str(path) in str(caught.value)
    assert "auth=admin" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SecuritySettingError, match=r"token: cannot be read: No such file or directory$"):
        TokenFile(tmp_path / "token").token()


# -- from a provider -------------------------------------------------------------------------------


def test_the_provider_is_asked_as_the_standard_says(provider: TokenProvider, clock: Clock) -> None:
    assert credentials(provider, clock, "kafka read").token() == "first"
    ((path, headers, body),) = provider.asked
    assert path == "/oauth2/token?tenant=a"
    assert parse_qs(body) == {"grant_type": ["client_credentials"], "scope": ["kafka read"]}
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    kind, login = headers["Authorization"].split()
    # RFC 6749, section 2.3.1: both are form-encoded before they are joined.
    assert (kind, base64.b64decode(login)) == ("Basic", b"camera%3A1:hunter2%2F%2B%C3%A4")


def test_a_token_is_kept_until_it_is_nearly_over(provider: TokenProvider, clock: Clock) -> None:
    tokens = credentials(provider, clock)
    assert tokens.token() == tokens.token() == "first"
    clock.now_s += 79
    provider.answer = {"access_token": "second", "expires_in": 100}
    assert tokens.token() == "first"
    assert len(provider.asked) == 1
    clock.now_s += 2  # 81 % of its life: Kafka asks again at 85 % to 95 %
    assert tokens.token() == "second"


@pytest.mark.parametrize(
    ("answer", "fresh_s"),
    [
        ({"access_token": jwt(exp=NOW_S + 1000)}, 800),
        ({"access_token": jwt(exp=NOW_S + 1000), "expires_in": "soon"}, 800),
        ({"access_token": "opaque"}, 48),
        (b'{"access_token": "opaque", "expires_in": NaN}', 48),
        ({"access_token": jwt(exp=math.inf), "expires_in": None}, 48),
    ],
)
def test_a_life_that_the_provider_does_not_say(
    provider: TokenProvider, clock: Clock, answer: object, fresh_s: float
) -> None:
    provider.answer = answer
    tokens = credentials(provider, clock)
    for after_s, times in ((0, 1), (fresh_s - 1, 1), (fresh_s + 1, 2)):
        clock.now_s = NOW_S + after_s
        tokens.token()
        assert len(provider.asked) == times


def test_while_the_provider_is_away_the_last_token_is_used_to_its_end(
    provider: TokenProvider, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    tokens = credentials(provider, clock)
    tokens.token()
    provider.status = 503
    clock.now_s += 90
    with caplog.at_level(logging.WARNING):
        assert tokens.token() == "first"
    assert "the last token is used on, for 10 s" in caplog.text
    for after_s, times in ((4, 2), (2, 3)):  # again after half of what is left
        clock.now_s += after_s
        assert tokens.token() == "first"
        assert len(provider.asked) == times
    clock.now_s -= 6
    clock.now_s += 10
    with pytest.raises(TokenError, match="answers 503"):
        tokens.token()
    provider.status = 200
    assert tokens.token() == "first"


@pytest.mark.parametrize(
    ("status", "answer", "says"),
    [
        (401, {"error": "invalid_client", "error_description": SECRET}, r"answers 401 \(invalid_client\): check"),
        (400, {"error": f"a b {SECRET}"}, r"answers 400: check"),
        (500, SECRET.encode(), r"answers 500: check"),
        (200, {"token": SECRET}, r"gives no access_token: check"),
        (200, [SECRET], r"gives no access_token: check"),
        (200, SECRET.encode(), r"gives no access_token: check"),
        (200, {"access_token": f"a\x01{SECRET}"}, r"holds no bearer token"),
        (200, {"access_token": "a", "expires_in": 10**400}, r"gives an expires_in that no token has"),
        (200, {"access_token": "a", "expires_in": -(10**400)}, r"gives an expires_in that no token has"),
        (200, {"access_token": "a", "expires_in": math.inf}, r"gives an expires_in that no token has"),
        (200, b'{"access_token": "' + b"x" * 300_000 + b'"}', r"gives no access_token: check"),
    ],
    ids=str,
)
def test_an_answer_without_a_token_is_one_line_without_secrets(
    provider: TokenProvider, clock: Clock, status: int, answer: object, says: str
) -> None:
    provider.status, provider.answer = status, answer
    with pytest.raises(TokenError, match=says) as caught:
        credentials(provider, clock).token()
    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_while_the_last_token_is_good_a_provider_that_hangs_is_asked_every_half_minute(
    provider: TokenProvider, clock: Clock
) -> None:
    provider.answer = {"access_token": "first", "expires_in": 1000}
    tokens = ClientCredentials(provider.url, "id", SECRET, timeout_s=0.2, now_s=clock)
    tokens.token()
    provider.goes_on.clear()
    for after_s, times in ((801, 2), (29, 2), (2, 3)):
        clock.now_s += after_s
        assert tokens.token() == "first"
        wait_until(lambda times=times: len(provider.asked) == times, "it was asked")  # type: ignore[misc]


def test_a_token_that_ends_while_the_provider_hangs_is_not_used_on(provider: TokenProvider) -> None:
    times_s = iter([NOW_S, NOW_S + 99, NOW_S + 101])
    tokens = ClientCredentials(provider.url, "id", SECRET, timeout_s=0.2, now_s=lambda: next(times_s))
    tokens.token()
    provider.goes_on.clear()
    with pytest.raises(NoTokenNowError):
        tokens.token()


@pytest.mark.parametrize(
    ("status", "is_retriable"), [(302, False), (400, False), (401, False), (500, True), (503, True)]
)
def test_what_may_be_over_soon_is_tried_again(
    provider: TokenProvider, clock: Clock, status: int, is_retriable: bool
) -> None:
    provider.status = status
    with pytest.raises(TokenError) as caught:
        credentials(provider, clock).token()
    assert (caught.value.retriable, caught.value.exit_code) == (is_retriable, 1)


@pytest.mark.parametrize(
    ("scheme", "head"),
    [
        pytest.param("http", b"HTTP/1.1 200 OK\r\nX-Pad: ", id="headers"),
        pytest.param("http", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", id="body"),
        pytest.param("https", b"\x16\x03\x03\x40\x00", id="handshake"),
    ],
)
def test_an_answer_that_trickles_is_given_up_and_its_connection_closed(scheme: str, head: bytes) -> None:
    with trickling_server(head) as trickle:
        began_s = time.monotonic()
        with pytest.raises(NoTokenNowError, match="gave no answer within"):
            ClientCredentials(f"{scheme}://127.0.0.1:{trickle.port}/token", "id", SECRET, timeout_s=0.3).token()
        assert time.monotonic() - began_s < 5
        assert trickle.is_hung_up.wait(DEADLINE_S)


def test_so_is_one_that_trickles_by_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path, "IP:127.0.0.1")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with trickling_server(b"HTTP/1.1 200 OK\r\nX-Pad: ", context) as trickle:
        with pytest.raises(NoTokenNowError, match="gave no answer within"):
            ClientCredentials(f"https://127.0.0.1:{trickle.port}/token", "id", SECRET, timeout_s=1.0).token()
        assert trickle.is_hung_up.wait(DEADLINE_S)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_redirects_are_not_followed(provider: TokenProvider, clock: Clock, status: int) -> None:
    provider.status, provider.headers = status, {"Location": provider.url}
    with pytest.raises(TokenError, match=f"answers {status}"):
        credentials(provider, clock).token()
    assert len(provider.asked) == 1


def test_a_provider_that_does_not_answer_is_given_up(provider: TokenProvider, clock: Clock) -> None:
    provider.goes_on.clear()
    began_s = time.monotonic()
    with pytest.raises(NoTokenNowError, match=r"gave no answer within"):
        ClientCredentials(provider.url, "id", SECRET, timeout_s=0.2, now_s=clock).token()
    assert time.monotonic() - began_s < 5


def test_a_provider_that_is_not_there_is_one_line(clock: Clock) -> None:
    tokens = ClientCredentials("http://127.0.0.1:9/token", "id", SECRET, now_s=clock)
    with pytest.raises(NoTokenNowError, match=r"the token URL at 127\.0\.0\.1:9 cannot be asked: .*refused"):
        tokens.token()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://login.example.com/token", "has to be https"),
        ("http://10.0.0.1/token", "has to be https"),
        ("ftp://127.0.0.1/token", "no https://host/path"),
        ("https:///token", "no https://host/path"),
        (f"https://user:{SECRET}@login.example.com/token", "no https://host/path"),
        ("https://[::1/token", "no https://host/path"),
        ("https://host:port/token", "no https://host/path"),
        ("token", "no https://host/path"),
    ],
)
def test_a_url_that_is_not_safe_is_refused(url: str, says: str) -> None:
    with pytest.raises(SecuritySettingError, match=says) as caught:
        ClientCredentials(url, "id", "secret")
    assert SECRET not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("url", ["https://login.example.com", "http://localhost:1/x", "http://[::1]:1/x"])
def test_urls_that_are_safe(url: str) -> None:
    assert SECRET not in repr(ClientCredentials(url, "id", SECRET))


@pytest.mark.parametrize(("client_id", "secret"), [("", "secret"), ("id", "")])
def test_a_client_needs_an_id_and_a_secret(client_id: str, secret: str) -> None:
    with pytest.raises(SecuritySettingError, match="STREAMER_SASL_OAUTH_CLIENT_SECRET"):
        ClientCredentials("https://login.example.com", client_id, secret)
