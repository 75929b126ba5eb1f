"""One metrics port for several worker processes: each serves a Unix socket of its own, and is asked in its turn."""

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

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

    def answers(self) -> Answers:
        """Return what the one port says."""
        return Answers(self._metrics, lambda: self._first("/healthz"), lambda: self._first("/readyz"))

    def _metrics(self, accept: str) -> tuple[bytes, str]:
        from prometheus_client.exposition import choose_encoder

        encoder, content_type = choose_encoder(accept)
        texts = [text for number in range(1, self._workers + 1) if (text := self._ask(number, "/metrics", accept)[1])]
        own = encoder(_Own(self._workers, len(texts), self._supervisor.restarts))
        return merge([*texts, own]), content_type

    def _first(self, path: str) -> str:
        """Return what the first worker says that is not well; "" where all are."""
        for number in range(1, self._workers + 1):
            status, text = self._ask(number, path, "")
            if status == 0 and path == "/healthz":
                continue  # it is being started (again), and its supervisor lives
            if status != http.client.OK:
                what = text.decode(errors="replace").strip() if status else "it does not answer yet"
                return f"worker {number}: {what}"
        return ""

    def _ask(self, number: int, path: str, accept: str) -> tuple[int, bytes]:
        """Return the status and the text; 0 where it does not answer."""
        connection = _Connection(socket_of(self._directory, number))
        try:
            connection.request("GET", path, headers={"Accept": accept} if accept else {})
            response = connection.getresponse()
            return response.status, response.read(_MAX_BYTES)
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()
