"""The ports of an embedded broker: free ones, or the ones asked for once they are seen to be free."""

import random
import socket
from collections.abc import Sequence

from messaging.broker.errors import BrokerBusyError
from messaging.broker.options import BrokerOptions
from messaging.broker.properties import HOST, NodeAddress

#: Free ports are looked for below the range that Linux takes outgoing connections' ports from (32768 and up):
#: a client that keeps trying the port of a stopped node could otherwise be given that very port and take it.
_FREE_PORTS = range(20_000, 32_000)
_HIGHEST_PORT = 65_535


def choose_addresses(options: BrokerOptions) -> tuple[NodeAddress, ...]:
    """Give every node its ports, all of them free at this moment.

    Raises:
        BrokerBusyError: A port that was asked for is in use.
    """
    numbers = range(options.nodes)
    asked = [options.port + number for number in numbers] if options.port else []
    asked += [options.controller_port + number for number in numbers] if options.controller_port else []
    for port in asked:
        if asked.count(port) > 1:
            raise BrokerBusyError(f"port {port} is asked for twice: for clients and for controllers")
        require_free(port)
    free = iter(free_ports(2 * options.nodes, without=asked))
    return tuple(
        NodeAddress(
            node=number + 1,
            port=options.port + number if options.port else next(free),
            controller_port=options.controller_port + number if options.controller_port else next(free),
        )
        for number in numbers
    )


def require_free(port: int) -> None:
    """Refuse a port that something else listens on.

    Raises:
        BrokerBusyError: It is in use, or may not be used; the message names one that is free.
    """
    if (why := _why_not(port)) is None:
        return
    others = (other for other in range(port + 1, min(port + 100, _HIGHEST_PORT)) if _why_not(other) is None)
    other = next(others, None) or free_ports(1, without=[port])[0]
    raise BrokerBusyError(f"port {port} on {HOST} cannot be used ({why}); free it, or choose another: --port {other}")


def free_ports(count: int, *, without: Sequence[int] = ()) -> list[int]:
    """Pick that many different ports of this machine that are free at this moment."""
    found: list[int] = []
    for port in random.sample(_FREE_PORTS, len(_FREE_PORTS)):
        if len(found) == count:
            break
        if port not in without and _why_not(port) is None:
            found.append(port)
    return found


def _why_not(port: int) -> str | None:
    """Try to listen on a port as Java does; None where that works."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen(1)
        except OSError as exc:
            return (exc.strerror or str(exc)).lower()
    return None
