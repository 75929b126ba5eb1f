"""Who may come in to the pages in the browser."""

from typing import Any

import pytest

from streamer.web.door import Door, Verdict, Visit, check_address
from streamer.web.errors import WebSettingError

TOKEN = "correct-horse-battery"
HOME = "127.0.0.1:8050"


def visit(path: str = "/", host: str | None = HOME, **others: Any) -> Visit:
    return Visit(path, host, **others)


# -- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8050", "localhost:8050", "LOCALHOST", "[::1]:8050", "127.8.8.8", "localhost."]
)
def test_this_machines_own_names_are_taken(host: str) -> None:
    assert Door("127.0.0.1").judge(visit(host=host)) is Verdict.ADMITTED


@pytest.mark.parametrize(
    "host",
    [None, "", "evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8050", "10.0.0.7", "2130706433"],
)
def test_another_name_is_refused(host: str | None) -> None:
    # A page of evil.example whose name leads here could read every answer.
    assert Door("127.0.0.1").judge(visit(host=host)) is Verdict.WRONG_HOST


def test_names_may_be_added() -> None:
    door = Door("0.0.0.0", ["Line.Example", "10.0.0.7"], TOKEN)
    assert door.judge(visit(host="line.example:8050")) is Verdict.NO_TOKEN
    assert door.judge(visit(host="10.0.0.7:8050")) is Verdict.NO_TOKEN
    assert door.judge(visit(host="0.0.0.0:8050")) is Verdict.WRONG_HOST
    assert Door("10.0.0.8", (), TOKEN).judge(visit(host="10.0.0.8:8050")) is Verdict.NO_TOKEN


# -- other pages ----------------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8050", "https://127.0.0.1:8050"])
def test_our_own_pages_may_ask(origin: str) -> None:
    assert Door("127.0.0.1").judge(visit(origin=origin)) is Verdict.ADMITTED
    assert Door("127.0.0.1").judge(visit(origin=origin, is_websocket=True)) is Verdict.ADMITTED


@pytest.mark.parametrize("origin", ["http://evil.example", "http://127.0.0.1:9000", "null", "", "127.0.0.1:8050"])
@pytest.mark.parametrize("is_websocket", [False, True])
def test_other_pages_may_not(origin: str, is_websocket: bool) -> None:
    assert Door("127.0.0.1").judge(visit(origin=origin, is_websocket=is_websocket)) is Verdict.WRONG_ORIGIN


def test_a_websocket_says_where_it_comes_from() -> None:
    assert Door("127.0.0.1").judge(visit(is_websocket=True)) is Verdict.WRONG_ORIGIN


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_page_may_lead_here_and_embed_nothing(site: str) -> None:
    door = Door("127.0.0.1")
    assert door.judge(visit(fetch_site=site)) is Verdict.WRONG_ORIGIN
    assert door.judge(visit(fetch_site=site, is_navigation=True)) is Verdict.ADMITTED
    assert door.judge(visit(fetch_site="none")) is Verdict.ADMITTED


# -- the token ------------------------------------------------------------------------------------


def test_the_token_becomes_a_cookie() -> None:
    door = Door("127.0.0.1", (), TOKEN)
    assert door.judge(visit()) is Verdict.NO_TOKEN
    assert door.judge(visit(token=TOKEN)) is Verdict.TOKEN_GIVEN
    assert door.judge(visit(cookie=door.cookie)) is Verdict.ADMITTED
    assert TOKEN not in door.cookie


@pytest.mark.parametrize("wrong", ["", "x", TOKEN[:-1], TOKEN + "x", "ü\udc80"])
def test_a_wrong_token_or_cookie_is_refused(wrong: str) -> None:
    door = Door("127.0.0.1", (), TOKEN)
    assert door.judge(visit(token=wrong)) is Verdict.WRONG_TOKEN
    assert door.judge(visit(cookie=wrong)) is Verdict.WRONG_TOKEN
    assert door.judge(visit(cookie=TOKEN)) is Verdict.WRONG_TOKEN


def test_a_websocket_needs_the_cookie() -> None:
    door = Door("127.0.0.1", (), TOKEN)
    home: dict[str, Any] = {"origin": f"http://{HOME}", "is_websocket": True}
    assert door.judge(visit(**home)) is Verdict.NO_TOKEN
    assert door.judge(visit(token=TOKEN, **home)) is Verdict.NO_TOKEN
    assert door.judge(visit(cookie=door.cookie, **home)) is Verdict.ADMITTED


def test_another_servers_cookie_is_worth_nothing() -> None:
    assert Door("127.0.0.1", (), TOKEN).cookie != Door("127.0.0.1", (), TOKEN + "!").cookie


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_to_anybody_and_no_more(path: str) -> None:
    door = Door("0.0.0.0", (), TOKEN)
    assert door.judge(visit(path, host="10.1.2.3:8050")) is Verdict.STRANGER
    assert door.judge(visit(path)) is Verdict.STRANGER
    assert door.judge(visit(path, cookie=door.cookie)) is Verdict.ADMITTED
    assert door.judge(visit(path, token=TOKEN)) is Verdict.ADMITTED
    assert Door("127.0.0.1").judge(visit(path)) is Verdict.ADMITTED
    assert Door("127.0.0.1").judge(visit(path, host="evil.example")) is Verdict.STRANGER
    assert Door("127.0.0.1").judge(visit(path, origin="http://evil.example")) is Verdict.STRANGER
    assert door.judge(visit(f"{path}/x", host="10.1.2.3:8050")) is Verdict.WRONG_HOST
    assert door.judge(visit(path, is_websocket=True)) is Verdict.WRONG_ORIGIN


# -- where to listen ------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
def test_at_home_no_token_is_needed(host: str) -> None:
    check_address(host, None, "--token-file")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "line.example"])
def test_elsewhere_one_is(host: str) -> None:
    with pytest.raises(WebSettingError, match="give a token with --token-file"):
        check_address(host, None, "--token-file")
    check_address(host, TOKEN, "--token-file")


def test_a_token_is_not_to_be_guessed() -> None:
    with pytest.raises(WebSettingError, match="fewer than 16 characters") as caught:
        check_address("127.0.0.1", "hunter2", "--token-file")
    assert "hunter2" not in str(caught.value)
