"""What may stand behind the `#` of a camera's address."""

import logging
import ssl
from pathlib import Path

import pytest

from producers.errors import SourceSettingError
from producers.sources.address import parse_address
from producers.sources.tls import Trust, trust_of
from producers.sources.uri import open_source


def trust(uri: str) -> Trust:
    return trust_of(parse_address(uri), "shown")


def test_the_system_is_believed() -> None:
    expected = Trust(ssl.get_default_verify_paths().cafile or "")
    for uri in ("rtsps://cam/x", "https://cam/x", "https://cam/x#section", "rtsp://cam/x"):
        assert trust(uri).is_checked
        assert trust(uri) == expected or not expected.authorities


def test_a_file_of_ones_own_is(tmp_path: Path) -> None:
    path = tmp_path / "camera & co.pem"
    path.touch()
    quoted = str(path).replace(" ", "%20").replace("&", "%26")
    assert trust(f"rtsps://user:pw@cam/x?a=b#tls-ca={quoted}") == Trust(str(path))


def test_nobody_need_be_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert not trust("rtsps://cam/x#tls-verify=off").is_checked
    assert "shown: its certificate is not checked" in caplog.text


@pytest.mark.parametrize(
    ("uri", "match"),
    [
        ("rtsps://cam/x#tls-verify=no", "behind # may stand"),
        ("rtsps://cam/x#tls-verify=off&tls-ca=/x", "behind # may stand"),
        ("rtsps://cam/x#tls-nonsense", "behind # may stand"),
        ("rtsps://cam/x#TLS-verify=off", "behind # may stand"),
        ("rtsps://cam/x#tls-ca=/no/such/file", "names no file"),
        ("rtsps://cam/x#tls-ca=", "names no file"),
        ("rtsp://cam/x#tls-verify=off", "rtsp has no certificates"),
        ("http://cam/x#tls-verify=off", "http has no certificates"),
    ],
)
def test_what_cannot_be_meant_is_refused(uri: str, match: str) -> None:
    with pytest.raises(SourceSettingError, match=match):
        trust(uri)
    with pytest.raises(SourceSettingError, match=match):
        open_source(uri)
