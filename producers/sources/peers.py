"""Which hosts a camera's address may lead to: a redirect, or a name that changes, must not open the inner network."""

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

#: From the outside inwards. A camera in the house has no business with what only this machine can reach.
_ZONES = ("public", "private", "link-local", "loopback")
_NAT64 = IPv6Network("64:ff9b::/96")


def zone_of(host: str) -> int:
    """Tell how far inside an IP address is: 0 public, 1 private, 2 link-local, 3 this machine itself.

    An IPv6 address that stands for an IPv4 address (mapped, 6to4, NAT64) is as far inside as that one.
    """
    address = ip_address(host.partition("%")[0])
    if not isinstance(address, IPv6Address):
        return _zone(address)
    if address.ipv4_mapped:
        return _zone(address.ipv4_mapped)
    inner = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.sixtofour
    return max(_zone(address), _zone(inner) if inner else 0)


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
