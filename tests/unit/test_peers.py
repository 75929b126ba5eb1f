"""Where a camera's address may lead: outwards, never further in."""

import socket

import pytest

from producers.sources.peers import PeerGuard, zone_of


class Connected(socket.socket):
    """A socket with another end that no test can reach."""

    def __init__(self, host: str) -> None:
        super().__init__()
        self._host = host

    def getpeername(self) -> tuple[str, int]:
        return (self._host, 80)


def check(guard: PeerGuard, host: str, *, is_redirected: bool) -> None:
    guard.is_redirected = is_redirected
    with Connected(host) as connected:
        guard.check(connected)


@pytest.mark.parametrize(
    ("host", "zone"),
    [
        ("8.8.8.8", 0),
        ("2606:4700::1111", 0),
        ("10.0.0.7", 1),
        ("172.16.0.1", 1),
        ("192.168.1.1", 1),
        ("100.64.0.1", 1),
        ("fd00::1", 1),
        ("fec0::1", 1),
        ("169.254.169.254", 2),
        ("fe80::1%eth0", 2),
        ("127.0.0.1", 3),
        ("127.8.8.8", 3),
        ("0.0.0.0", 3),
        ("::1", 3),
        ("::", 3),
        ("::ffff:127.0.0.1", 3),
        ("::ffff:8.8.8.8", 0),
        ("2002:7f00:1::", 3),
        ("2002:a00:7::", 1),
        ("64:ff9b::7f00:1", 3),
        ("64:ff9b::a9fe:a9fe", 2),
        ("64:ff9b::808:808", 0),
        ("64:ff9b:1::7f00:1", 3),
        ("64:ff9b:1:abcd::a00:7", 1),
        ("64:ff9b:1::808:808", 0),
        ("::ffff:0:127.0.0.1", 3),
        ("::ffff:0:a9fe:a9fe", 2),
        ("::ffff:0:8.8.8.8", 0),
        ("::127.0.0.1", 3),
        ("::10.0.0.7", 1),
        ("::8.8.8.8", 0),
        ("2002:808:808::", 0),
    ],
)
def test_how_far_inside_an_address_is(host: str, zone: int) -> None:
    assert zone_of(host) == zone


@pytest.mark.parametrize(
    ("own", "target", "is_allowed"),
    [
        ("8.8.8.8", "1.1.1.1", True),
        ("8.8.8.8", "10.0.0.7", False),
        ("8.8.8.8", "169.254.169.254", False),
        ("8.8.8.8", "127.0.0.1", False),
        ("10.0.0.7", "10.0.0.8", True),
        ("10.0.0.7", "8.8.8.8", True),
        ("10.0.0.7", "169.254.169.254", False),
        ("10.0.0.7", "127.0.0.1", False),
        ("169.254.3.3", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.0.0.1", "10.0.0.7", True),
    ],
)
def test_redirects_lead_outwards(own: str, target: str, is_allowed: bool) -> None:
    guard = PeerGuard()
    check(guard, own, is_redirected=False)
    if is_allowed:
        check(guard, target, is_redirected=True)
        check(guard, own, is_redirected=False)
    else:
        with pytest.raises(OSError, match="a redirect leads from a"):
            check(guard, target, is_redirected=True)


def test_a_redirect_outwards_opens_and_closes_nothing() -> None:
    guard = PeerGuard()
    check(guard, "10.0.0.7", is_redirected=False)
    check(guard, "8.8.8.8", is_redirected=True)
    check(guard, "10.0.0.8", is_redirected=True)


def test_a_name_never_leads_further_in_than_it_has() -> None:
    guard = PeerGuard()
    check(guard, "192.168.1.1", is_redirected=False)
    check(guard, "8.8.8.8", is_redirected=False)
    for host in ("192.168.1.1", "127.0.0.1"):
        with pytest.raises(OSError, match="its name now leads from a public address"):
            check(guard, host, is_redirected=False)
