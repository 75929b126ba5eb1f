"""Which hosts a camera's address may lead to: a redirect, or a name that changes, must not open the inner network."""

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

#: From the outside inwards. A camera in the house has no business with what only this machine can reach.
_ZONES = ("public", "private", "link-local", "loopback")
#: Their last 32 bits are an IPv4 address: NAT64 (RFC 6052), that of one's own network (RFC 8215), SIIT (RFC 2765),
#: IPv4-compatible (RFC 4291).
_STANDING_FOR_IPV4 = tuple(map(IPv6Network, ("64:ff9b::/96", "64:ff9b:1::/48", "::ffff:0:0:0/96", "::/96")))


def zone_of(host: str) -> int:
    """Tell how far inside an IP address is: 0 public, 1 private, 2 link-local, 3 this machine itself.

    An IPv6 address that stands for an IPv4 address (mapped, compatible, 6to4, NAT64, SIIT) is as far inside as that
    one.
    """
    address = ip_address(host.partition("%")[0])
    inner = _inner(address) if isinstance(address, IPv6Address) else None
    return _zone(inner or address)


def _inner(address: IPv6Address) -> IPv4Address | None:
    if address.is_loopback or address.is_unspecified:
        return None
    if any(address in network for network in _STANDING_FOR_IPV4):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _zone(address: IPv4Address | IPv6Address) -> int:
    if address.is_loopback or address.is_unspecified:
        return 3
    if address.is_link_local:
        return 2
    is_local = isinstance(address, IPv6Address) and address.is_site_local
    return 0 if address.is_global and not is_local else 1


class PeerGuard:
    """Refuses connections further inward than the camera's own address has ever been.

    It asks the connected socket, before anything is sent, so that no name server can say one address to us and
    another to the system. Used by one thread.
    """

    def __init__(self) -> None:
        self._outermost: int | None = None
        self.is_redirected = False

    def check(self, connected: socket.socket) -> None:
        """Look at the other end.

        Raises:
            OSError: It is further inside than the camera's address may lead.
        """
        host: str = connected.getpeername()[0]
        zone = zone_of(host)
        if self._outermost is not None and zone > self._outermost:
            how = "a redirect leads" if self.is_redirected else "its name now leads"
            raise OSError(
                errno.EACCES, f"{how} from a {_ZONES[self._outermost]} address to a {_ZONES[zone]} one, {host}: refused"
            )
        if not self.is_redirected:
            self._outermost = zone
