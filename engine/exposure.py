"""Servers of this project that other machines may reach: which they are, and what they ask for."""

from ipaddress import ip_address
from typing import Final

#: What is shorter can be guessed.
MIN_TOKEN_CHARS: Final = 16


def is_loopback(host: str) -> bool:
    """Tell whether a name or address is this machine's own, which no other machine reaches."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_name(host: str) -> str:
    """Return the name or address in a `Host` header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
