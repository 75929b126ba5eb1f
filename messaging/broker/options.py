"""How an embedded broker is asked for, and what it tells while it starts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from messaging.broker.errors import BrokerSettingError

#: Below this heap Kafka 4.3 ends with an OutOfMemoryError, in MiB.
SMALLEST_HEAP_MB = 128


class StartStep(StrEnum):
    """What the broker is doing while it starts, in order; a step that is not needed is left out."""

    RESOLVE = "resolving"
    DOWNLOAD = "downloading"
    FORMAT = "formatting"
    START = "starting"


@dataclass(frozen=True, slots=True)
class StartProgress:
    """A step of the start, as it happens.

    Attributes:
        step: What is being done.
        done: How many things are finished: jars for `DOWNLOAD`, nodes for `START`.
        total: Of how many; 0 where it is not known yet.
    """

    step: StartStep
    done: int = 0
    total: int = 0


#: Called by the thread that starts the broker; it must return soon.
ProgressCallback = Callable[[StartProgress], None]


def ignore_progress(_: StartProgress, /) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerOptions:
    """What an embedded broker should be like.

    Attributes:
        port: Where the first node listens for clients, on 127.0.0.1; further nodes take the ports after it.
            0 means free ports.
        controller_port: The same for the controllers.
        data_directory: Where topics are kept from one run to the next; None means a temporary directory that
            is deleted when the broker stops.
        heap_mb: The most heap that each node's Java may use, in MiB.
        nodes: 1, or 3 (every topic is then kept three times, and writing needs two of the copies).
        properties: More of Kafka's server properties, or other values for them.
        java_flags: More flags for Java, such as `-Dorg.slf4j.simpleLogger.defaultLogLevel=info`.
        is_for_tests: Whether session and clean-up times are cut and Java compiles for a quick start.

    Raises:
        BrokerSettingError: A figure is out of its range.
    """

    port: int = 0
    controller_port: int = 0
    data_directory: Path | None = None
    heap_mb: int = 512
    nodes: int = 1
    properties: Mapping[str, str] = field(default_factory=dict)
    java_flags: tuple[str, ...] = ()
    is_for_tests: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot work before anything is started."""
        if self.nodes not in {1, 3}:
            raise BrokerSettingError(f"a broker of {self.nodes} nodes is not offered; use 1 or 3")
        for name, port in (("port", self.port), ("controller port", self.controller_port)):
            if not 0 <= port <= 65536 - self.nodes:
                raise BrokerSettingError(f"{name} {port} is out of range; use 1 to {65536 - self.nodes}, or 0")
        if self.heap_mb < SMALLEST_HEAP_MB:
            raise BrokerSettingError(f"a heap of {self.heap_mb} MiB is too small; use {SMALLEST_HEAP_MB} or more")
