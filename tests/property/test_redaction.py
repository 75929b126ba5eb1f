"""Whatever is typed, a user name and a password show up nowhere."""

import logging
import string
import traceback
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from producers.errors import ProducerError
from producers.sources.address import parse_address, redact
from producers.sources.uri import open_source
from producers.sources.video import VideoSource
from producers.sources.web import WebClient

# Marked, so that finding one is no accident.
SECRETS = st.text(string.ascii_letters + string.digits + "@:/?#%&=+ ;\\[]~äß*\t", min_size=1, max_size=12)
USERS = SECRETS.map(lambda text: f"Qu{text}Zu")
PASSWORDS = SECRETS.map(lambda text: f"Qp{text}Zp")
SCHEMES = st.sampled_from(["http", "https", "rtsp", "rtsps", "RTSP", "Http", "ftp", "rtmp", "tcp", "concat", "foo+bar"])
HOSTS = st.sampled_from(["cam.local", "127.0.0.1", "[::1]", "10.0.0.7:8554", "", "cam:port", "[::1"])
TAILS = st.sampled_from(["", "/", "/stream", "/a/b.jpg?channel=1", "?x=1", "/cam#frag", "/x&y=1"])
SECRET_KEYS = st.sampled_from(
    ["token", "password", "PASSWORD", "pwd", "key", "api_key", "auth", "sig", "X-Amz-Signature", "access_token",
     "user", "usr", "loginpas", "secret", "sid", "jwt", "pass%77ord", "%74oken", "tok\ten"]
)  # fmt: skip
WITHOUT_AMPERSAND = SECRETS.filter(lambda text: "&" not in text).map(lambda text: f"Qv{text}Zv")


def marks_in(text: str) -> list[str]:
    return [mark for mark in ("Qu", "Zu", "Qp", "Zp", "Qv", "Zv") if mark in text]


@st.composite
def addresses(draw: st.DrawFn) -> str:
    """Addresses with a user name and password, as they should be written and as people write them."""
    user, password = draw(USERS), draw(PASSWORDS)
    if draw(st.booleans()):
        user, password = quote(user, safe=""), quote(password, safe="")
    separator = draw(st.sampled_from(["://", "://", "://", ":", ":/", "//", ":///"]))
    return f"{draw(SCHEMES)}{separator}{user}:{password}@{draw(HOSTS)}{draw(TAILS)}"


@given(uri=addresses())
@example(uri="rtsp://Qu/Zu:Qp&key=xZp@cam/stream")
@example(uri="rtsp://Qu/Zu:Qp&key=xZp@cam/stream&token=Qp@Zp&channel=1")
def test_no_user_or_password_is_shown(uri: str) -> None:
    assert marks_in(redact(uri)) == []


@given(uri=addresses())
def test_what_is_shown_is_one_printable_line_and_stays_as_it_is(uri: str) -> None:
    shown = redact(uri)
    assert shown.isprintable()
    assert redact(shown) == shown


# What stands before `://` is a scheme.
@given(user=USERS.filter(lambda text: "://" not in text), password=PASSWORDS)
@example(user="Qu?P=Zu", password="Qp0Zp")
def test_without_a_scheme_none_is_shown_either(user: str, password: str) -> None:
    assert marks_in(redact(f"{user}:{password}@cam.local/stream")) == []
    assert marks_in(redact(f"//{user}:{password}@cam.local/stream")) == []


# What could end a host, or is the sign of one, makes the rest look like an address.
WITHOUT_DELIMITERS = SECRETS.filter(lambda text: not set("@/?#\\") & set(text))


@given(user=WITHOUT_DELIMITERS, password=WITHOUT_DELIMITERS)
@example(user=";U=", password="0")
def test_a_host_that_was_forgotten_shows_none(user: str, password: str) -> None:
    assert marks_in(redact(f"rtsp://Qu{user}Zu:Qp{password}Zp")) == []
    assert marks_in(redact(f"rtsp://Qu{user}Zu:Qp{password}Zp/stream")) == []
    assert marks_in(redact(f"rtsp://Qu{quote(user)}Zu%40Qp{quote(password)}Zp%40cam/stream")) == []


@given(
    scheme=st.sampled_from(["http://cam/", "rtsp://cam:554/", "rtsp://u:p@cam/", "img*.jpg", "rtsp//cam/"]),
    before=st.sampled_from(["?", "?channel=1&", "?channel=1;", "stream?a=b&c=d&"]),
    key=SECRET_KEYS,
    value=WITHOUT_AMPERSAND,
    after=st.sampled_from(["", "&channel=2", "&stream=0#x"]),
)
@example(scheme="http://cam/", before="?", key="%74oken", value="Qv~P=Zv", after="")
def test_no_secret_of_a_query_is_shown(scheme: str, before: str, key: str, value: str, after: str) -> None:
    shown = redact(f"{scheme}{before}{key}={value}{after}")
    assert marks_in(shown) == []
    assert shown.endswith(after) or "@" in value  # it may end a password, and what follows may be no host


@given(value=WITHOUT_AMPERSAND.filter(lambda text: "/" not in text))
def test_a_password_within_the_path_is_not_shown(value: str) -> None:
    assert (
        marks_in(redact(f"rtsp://10.0.0.7:554/user={value}_password={value}_channel=1_stream=0.sdp?real_stream")) == []
    )
    assert marks_in(redact(f"rtsp://10.0.0.7:554/user=admin&password={value}&channel=1&stream=0.sdp")) == []


def messages_of(attempt: Callable[[], object]) -> str:
    """All that an attempt says: its exception with all that hangs on it, as `--debug` would print it."""
    try:
        attempt()
    except ProducerError as exc:
        return "".join(traceback.format_exception(exc)) + str(exc) + str(exc.__cause__) + str(exc.__context__)
    return ""


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uri=addresses())
def test_no_error_or_log_shows_them(uri: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        for make in (open_source, VideoSource, parse_address):
            said = messages_of(lambda make=make: make(uri))  # type: ignore[misc]
            # The source line of a traceback is the program's; the lines of hypothesis are not ours.
            assert marks_in(said) == []
        messages_of(lambda: open_source(uri).check())
        assert marks_in(messages_of(lambda: repr(parse_address(uri)))) == []
    assert marks_in(caplog.text) == []


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https"])
def test_no_refused_connection_shows_them(scheme: str, caplog: pytest.LogCaptureFixture) -> None:
    # Port 9 of 127.0.0.1: PyAV quotes the whole address in its message.
    uri = f"{scheme}://QuserZu:Qp%40ssZp@127.0.0.1:9/x?token=QvalueZv"
    with caplog.at_level(logging.DEBUG):
        source = open_source(uri, timeout_s=5)
        said = messages_of(source.open)
        source.close()
    assert "Connection refused" in said
    assert f"{scheme}://127.0.0.1:9/x?token=***" in said
    assert marks_in(said + source.display_name + repr(source) + caplog.text) == []


@given(user=USERS, password=PASSWORDS)
def test_parts_that_are_quoted_come_back(user: str, password: str) -> None:
    address = parse_address(f"rtsp://{quote(user, safe='')}:{quote(password, safe='')}@cam.local:8554/a?b=c")
    assert (address.user, address.password) == (user, password)
    assert (address.scheme, address.host, address.port, address.target) == ("rtsp", "cam.local", 8554, "/a?b=c")
    assert marks_in(repr(address)) == []


@given(user=USERS, password=PASSWORDS)
def test_nothing_that_holds_them_prints_them(user: str, password: str) -> None:
    client = WebClient(f"http://{quote(user, safe='')}:{quote(password, safe='')}@cam/x", 1.0)
    assert marks_in(repr(client) + client.shown) == []


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("rtsp://cam:554/stream", "rtsp://cam:554/stream"),
        ("rtsp://admin:pw@cam:554/stream", "rtsp://cam:554/stream"),
        ("rtsp://admin@[fe80::1]:554/stream", "rtsp://[fe80::1]:554/stream"),
        ("http://cam/x?channel=1&token=abc&width=5", "http://cam/x?channel=1&token=***&width=5"),
        ("http://cam/x?token=ab/cd==&width=5", "http://cam/x?token=***&width=5"),
        ("http://cam/plain", "http://cam/plain"),
        ("pictures/cam@home.jpg", "pictures/cam@home.jpg"),
        ("/data/user=1/photo.jpg", "/data/user=1/photo.jpg"),
        ("file:///data/cam@home.mp4", "file:///data/cam@home.mp4"),
        ("usb:0", "usb:0"),
        ("a\nb.jpg\x1b[31m", "ab.jpg[31m"),
    ],
)
def test_what_is_shown(uri: str, shown: str) -> None:
    assert redact(uri) == shown
