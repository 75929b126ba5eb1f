"""The metrics port of a command, from its start to its end, if it was asked for."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Self

from config.settings import ObservingSettings
from streamer.metrics_server import Answers, MetricsServer
from streamer.telemetry import Prometheus

log = logging.getLogger(__name__)


class Monitoring:
    """Serves metrics, life and readiness while its `with` block lasts.

    Attributes:
        prometheus: Where this process's metrics have to go; None where nobody asks for them.
    """

    def __init__(
        self, settings: ObservingSettings, answers: Answers | None = None, own_socket: Path | None = None
    ) -> None:
        """Remember where to listen; the block does.

        Args:
            settings: The port, and its address.
            answers: What to say; None for what this process measures and `watch` is told.
            own_socket: A Unix socket instead of the port: of a worker, whose supervisor asks.
        """
        self._address: tuple[str, int] | Path | None = own_socket
        if own_socket is None and settings.metrics_port is not None:
            self._address = (settings.metrics_host, settings.metrics_port)
        self.prometheus = Prometheus() if self._address is not None and answers is None else None
        self._why_not_alive: Callable[[], str] = lambda: ""
        self._why_not_ready: Callable[[], str] = lambda: "it starts"
        self._answers = answers
        self._server: MetricsServer | None = None

    def watch(self, why_not_alive: Callable[[], str], why_not_ready: Callable[[], str]) -> None:
        """Ask these from now on; before, the process lives and is not ready."""
        self._why_not_alive, self._why_not_ready = why_not_alive, why_not_ready

    def _alive(self) -> str:
        return self._why_not_alive()

    def _ready(self) -> str:
        return self._why_not_ready()

    def __enter__(self) -> Self:
        """Listen.

        Raises:
            MetricsPortError: The port cannot be used.
        """
        if self._address is not None:
            answers = self._answers
            if self.prometheus is not None:
                answers = Answers(self.prometheus.text, self._alive, self._ready)
            assert answers is not None
            self._server = MetricsServer(answers)
            url = self._server.start(self._address)
            if url:
                log.info("metrics at %s/metrics", url)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop listening."""
        if self._server is not None:
            self._server.close()
