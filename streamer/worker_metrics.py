"""One metrics port for several worker processes: each serves a Unix socket of its own, and is asked in its turn."""

import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from consumers.loop_time import HANGS_AFTER_S
from messaging.telemetry import Metric
from streamer.metrics_server import Answers
from streamer.prometheus import merge, prometheus_name

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric as Family

    from streamer.supervisor import Supervisor

#: What is measured of the workers together, in the order of `_Own`.
OWN: Final = (
    Metric("streamer.workers", "gauge", "{worker}", "workers that were asked for"),
    Metric("streamer.workers.running", "gauge", "{worker}", "workers that answer"),
    Metric("streamer.worker.restarts", "counter", "{restart}", "times that a worker was started again"),
)

_TIMEOUT_S: Final = 2.0
_MAX_AT_A_TIME: Final = 32
#: What a worker says is shorter.
_MAX_BYTES: Final = 16 * 1024 * 1024


def socket_of(directory: Path, number: int) -> Path:
    """Return where a worker answers."""
    return directory / f"{number}.sock"


class _Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(_TIMEOUT_S)
        self.sock.connect(str(self._path))


class _Own:
    """The supervisor's own figures, for prometheus_client to print."""

    def __init__(self, workers: int, running: int, restarts: int) -> None:
        self._figures = workers, running, restarts

    def collect(self) -> Iterator["Family"]:
        from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily

        for metric, value in zip(OWN, self._figures, strict=True):
            family = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            name = prometheus_name(metric.name, metric.kind, metric.unit)
            yield family(name, metric.description.capitalize(), value=value)


class _Answer(NamedTuple):
    """What a worker said.

    Attributes:
        status: 0 where it said nothing.
        is_silent: Whether somebody was there, and said nothing in time.
    """

    status: int
    text: bytes
    is_silent: bool = False

    @property
    def line(self) -> str:
        return self.text.decode(errors="replace").strip()


class WorkerAnswers:
    """Asks every worker, and says what they say as one."""

    def __init__(self, directory: Path, supervisor: "Supervisor", workers: int) -> None:
        """Remember whom to ask.

        Args:
            directory: Where their sockets are.
            supervisor: Who counts their restarts.
            workers: How many there are.
        """
        self._directory = directory
        self._supervisor = supervisor
        self._workers = workers
        self._silent_since_s: dict[int, float] = {}

    def answers(self) -> Answers:
        """Return what the one port says."""
        return Answers(self._metrics, self._why_not_alive, self._why_not_ready)

    def _metrics(self, accept: str) -> tuple[bytes, str]:
        from prometheus_client.exposition import choose_encoder

        encoder, content_type = choose_encoder(accept)
        texts = [answer.text for answer in self._ask_all("/metrics", accept) if answer.status == http.client.OK]
        own = encoder(_Own(self._workers, len(texts), self._supervisor.restarts))
        return merge([*texts, own]), content_type

    def _why_not_alive(self) -> str:
        """Return what the first worker says that should be started anew; one that is being started lives."""
        now_s = time.monotonic()
        for number, answer in enumerate(self._ask_all("/healthz"), 1):
            if not answer.is_silent:
                self._silent_since_s.pop(number, None)
                if answer.status not in (0, http.client.OK):
                    return f"worker {number}: {answer.line}"
            elif (silent_s := now_s - self._silent_since_s.setdefault(number, now_s)) > HANGS_AFTER_S:
                return f"worker {number}: it has not answered for {silent_s:.0f} s"
        return ""

    def _why_not_ready(self) -> str:
        """Return what the first worker says that is not ready; "" where all are."""
        for number, answer in enumerate(self._ask_all("/readyz"), 1):
            if answer.status != http.client.OK:
                return f"worker {number}: {answer.line or 'it does not answer'}"
        return ""

    def _ask_all(self, path: str, accept: str = "") -> list[_Answer]:
        """Ask all workers at a time: one that is silent costs no more than its own time-out."""
        numbers = range(1, self._workers + 1)
        with ThreadPoolExecutor(min(self._workers, _MAX_AT_A_TIME)) as pool:
            return list(pool.map(lambda number: self._ask(number, path, accept), numbers))

    def _ask(self, number: int, path: str, accept: str) -> _Answer:
        connection = _Connection(socket_of(self._directory, number))
        try:
            connection.request("GET", path, headers={"Accept": accept} if accept else {})
            response = connection.getresponse()
            return _Answer(response.status, response.read(_MAX_BYTES))
        except TimeoutError:
            return _Answer(0, b"", is_silent=True)
        except (OSError, http.client.HTTPException):
            return _Answer(0, b"")
        finally:
            connection.close()
