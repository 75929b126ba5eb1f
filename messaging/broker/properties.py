"""The server properties of an embedded broker: which they are and how they are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from messaging.broker.errors import BrokerSettingError
from messaging.broker.options import BrokerOptions

#: Nothing but this machine can reach the broker.
HOST = "127.0.0.1"

#: What only the broker's own code may set: it has to agree with the ports, the lock and the formatted storage.
OWN_PROPERTIES = frozenset({"process.roles", "node.id", "controller.quorum.voters", "log.dirs"})

#: Short times for tests of sessions, rebalances and transactions, and few partitions for a quick start.
TEST_PROPERTIES: Mapping[str, str] = {
    "group.min.session.timeout.ms": "1000",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    # A killed node is let in again only once its old session is over: 9 s by default.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
}


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """Where one node listens.

    Attributes:
        node: The node's number, from 1.
        port: For clients and the other nodes' brokers.
        controller_port: For the controllers' quorum.
    """

    node: int
    port: int
    controller_port: int

    @property
    def bootstrap_server(self) -> str:
        """The address for clients, as `host:port`."""
        return f"{HOST}:{self.port}"


def server_properties(
    address: NodeAddress, cluster: Sequence[NodeAddress], storage: Path, options: BrokerOptions
) -> dict[str, str]:
    """Give one node's server properties.

    Args:
        address: The node.
        cluster: All nodes, this one among them.
        storage: The directory of the node's logs.
        options: What was asked for; its own properties win.

    Raises:
        BrokerSettingError: A property is one that the broker itself has to set.
    """
    refused = sorted(OWN_PROPERTIES & options.properties.keys())
    if refused:
        raise BrokerSettingError(f"{', '.join(refused)}: set by the embedded broker itself; leave it out")
    copies = str(len(cluster))
    needed_copies = "2" if len(cluster) > 1 else "1"
    return {
        "process.roles": "broker,controller",
        "node.id": str(address.node),
        "controller.quorum.voters": ",".join(f"{n.node}@{HOST}:{n.controller_port}" for n in cluster),
        "listeners": f"PLAINTEXT://{HOST}:{address.port},CONTROLLER://{HOST}:{address.controller_port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{address.port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str(storage),
        "auto.create.topics.enable": "false",
        "default.replication.factor": copies,
        "min.insync.replicas": needed_copies,
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": needed_copies,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": needed_copies,
        # A lone consumer gets its partitions at once, not after 3 s.
        "group.initial.rebalance.delay.ms": "0",
        # The default of 128 MiB is allocated at the start: 345 MB resident with it, 210 MB without.
        "log.cleaner.dedupe.buffer.size": str(8 << 20),
        **(TEST_PROPERTIES if options.is_for_tests else {}),
        **options.properties,
    }


def render_properties(properties: Mapping[str, str]) -> str:
    r"""Write properties as Java reads them: Latin-1, with `\`, line ends and other letters escaped.

    >>> render_properties({"a.b": "C:\\x y"})
    'a.b=C:\\\\x y\n'
    """
    return "".join(f"{_escape(key, ' :=#!')}={_escape(value)}\n" for key, value in properties.items())


def _escape(text: str, also: str = "") -> str:
    """Escape one key or value; a leading blank would be lost, so it is escaped too."""
    escapes = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", **{letter: f"\\{letter}" for letter in also}}
    words = [escapes.get(letter) or _escape_letter(letter) for letter in text]
    return "".join(f"\\{words[0]}" if place == 0 and word == " " else word for place, word in enumerate(words))


def _escape_letter(letter: str) -> str:
    r"""Give a letter as it is where it is ASCII, else as the `\uXXXX` of its UTF-16 units."""
    if letter.isascii():
        return letter
    units = letter.encode("utf-16-be").hex()
    return "".join(f"\\u{units[place : place + 4]}" for place in range(0, len(units), 4))
