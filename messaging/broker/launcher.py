"""The Java command lines of Kafka, and formatting its storage."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from messaging.broker.errors import BrokerFailedError
from messaging.broker.node import Node, quote_log
from messaging.broker.options import BrokerOptions
from messaging.broker.properties import render_properties

_FORMAT_TIMEOUT_S = 60.0

#: For a process that ends after a second: no time for the compiler's second stage to pay.
_QUICK_START = "-XX:TieredStopAtLevel=1"


@dataclass(frozen=True, slots=True)
class KafkaLauncher:
    """A Java and Kafka's jars.

    Attributes:
        java: The Java executable.
        jars: Kafka's class path.
    """

    java: Path
    jars: tuple[Path, ...]

    def node_command(self, options: BrokerOptions, properties_path: Path) -> list[str]:
        """Give the command line of one node."""
        flags = [
            f"-Xmx{options.heap_mb}m",
            "-XX:+UseSerialGC",
            "-XX:+ExitOnOutOfMemoryError",  # a broker without memory must not linger half alive
            *((_QUICK_START,) if options.is_for_tests else ()),
            *options.java_flags,
        ]
        return self._command(flags, "kafka.Kafka", str(properties_path))

    def format_storage(self, node: Node, cluster_id: str) -> None:
        """Format a node's storage, once: where it is formatted nothing is done.

        Raises:
            BrokerFailedError: Kafka refused to.
        """
        arguments = ["format", "--ignore-formatted", "-t", cluster_id, "-c", str(node.properties_path)]
        command = self._command(["-Xmx128m", "-XX:+UseSerialGC", _QUICK_START], "kafka.tools.StorageTool", *arguments)
        try:
            subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=True)
        except subprocess.CalledProcessError as exc:
            said = quote_log(exc.stdout + exc.stderr)
            raise BrokerFailedError(f"the storage of {node.properties_path} was not formatted ({said})") from exc
        except subprocess.TimeoutExpired as exc:
            raise BrokerFailedError(f"formatting took more than {_FORMAT_TIMEOUT_S:.0f} s; try again") from exc

    def _command(self, flags: Sequence[str], main_class: str, *arguments: str) -> list[str]:
        """Put a command line together; flags of the caller come last and win."""
        common = ["-XX:-UsePerfData", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        class_path = os.pathsep.join(map(str, self.jars))
        return [str(self.java), *common, *flags, "-cp", class_path, main_class, *arguments]


def write_properties(path: Path, properties: Mapping[str, str]) -> None:
    """Write a properties file that only this user can read: it may hold passwords."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as written:
        written.write(render_properties(properties))
