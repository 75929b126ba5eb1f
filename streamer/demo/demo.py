"""The run of the demo: broker, consumer, cameras, and the account at the end."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from threading import Event
from typing import Any

from messaging.broker import BrokerOptions, EmbeddedBroker, ProgressCallback
from messaging.kafka import Kafka
from messaging.topics import TopicPlan, create_topics
from streamer.audit import GroupReport, audit
from streamer.audit.report import Tally
from streamer.demo.errors import DemoError
from streamer.processes import CommandProcess, ProcessError, environ_for
from streamer.watch.group import Backlog, StatusWatch

_READY_TIMEOUT_S = 60.0
_REST_TIMEOUT_S = 30.0
_TICK_S = 0.5
_DEVICE = "0"
_GROUP = f"streamer-device-{_DEVICE}"
_DASHBOARD_PORT = 8050


@dataclass(frozen=True, slots=True)
class DemoPlan:
    """What the demo runs.

    Attributes:
        frames: Of each camera; None for as many as come until it is stopped.
        has_dashboard: Whether the dashboard runs beside it.
    """

    cameras: int
    fps: float
    frames: int | None
    has_dashboard: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the demo is.

    Attributes:
        bootstrap_servers: Where the demo's Kafka is.
        address: Of the dashboard; "" where there is none.
        captured: Frames captured, all cameras of the demo together.
        classified: Frames that the demo's group has an outcome of.
        expected: Frames that there will be; 0 where nobody knows.
    """

    step: str
    bootstrap_servers: str
    address: str = ""
    captured: int = 0
    classified: int = 0
    expected: int = 0


class Demo:
    """Runs the plan once; every process is ended whatever happens.

    Its Kafka is open to others on this machine: whatever they send there, the demo counts its own cameras alone.
    """

    def __init__(
        self, plan: DemoPlan, on_progress: Callable[[Progress], None], on_broker_progress: ProgressCallback
    ) -> None:
        """Remember the plan; `run` runs it."""
        self._plan = plan
        self._tell = on_progress
        self._on_broker_progress = on_broker_progress
        self._names = [f"line-{number}" for number in range(1, plan.cameras + 1)]
        self._bootstrap_servers = ""
        self._address = ""

    def run(self, until: Event) -> dict[str, Any]:
        """Run everything, and return the figures.

        Args:
            until: Stops the demo early; the figures are of what was captured by then.

        Raises:
            DemoError: A process failed or was not ready in time.
            BrokerError: Kafka cannot be started here.
        """
        try:
            return self._run(until)
        except ProcessError as exc:
            raise DemoError(str(exc)) from exc

    def _run(self, until: Event) -> dict[str, Any]:
        plan = TopicPlan()
        with ExitStack() as stack:
            broker = stack.enter_context(
                EmbeddedBroker(BrokerOptions(port=0, java_flags=_JAVA_FLAGS), on_progress=self._on_broker_progress)
            )
            self._bootstrap_servers = broker.bootstrap_servers
            cluster = Kafka(broker.bootstrap_servers)
            create_topics(cluster, plan)
            watch = stack.enter_context(closing(StatusWatch(cluster, plan.names.status, self._names, _GROUP)))
            watch.open()
            environ = environ_for(broker.bootstrap_servers)
            others: list[CommandProcess] = []
            consumer = stack.enter_context(
                CommandProcess(f"streamer consume --device {_DEVICE}", ["consume", "--device", _DEVICE, "--json"])
            )
            consumer.start(environ)
            if self._plan.has_dashboard:
                dashboard = stack.enter_context(
                    CommandProcess("streamer dashboard", ["dashboard", "--port", str(_dashboard_port()), "--json"])
                )
                dashboard.start(environ)
                self._address = dashboard.first_json(_READY_TIMEOUT_S)["address"]
                others.append(dashboard)
            self._wait_until_ready(watch, consumer)
            cameras = [stack.enter_context(self._camera(name)) for name in self._names]
            for camera in cameras:
                camera.start(environ)
            backlog = Backlog(cluster, plan.names.frames, _GROUP)
            self._follow(watch, backlog, [consumer, *others], cameras, until)
            self._say("finishing")
            for process in others:
                process.terminate()
            consumer.terminate()
            (group,) = audit(cluster, plan.names, [_GROUP]).groups
            return _figures(consumer.last_json(), group, self._names)

    def _say(self, step: str, captured: int = 0, classified: int = 0, expected: int = 0) -> None:
        self._tell(Progress(step, self._bootstrap_servers, self._address, captured, classified, expected))

    def _camera(self, name: str) -> CommandProcess:
        source = ["--camera", name, "--source", "synthetic:workpiece"]
        pace = ["--fps", str(self._plan.fps)]
        if self._plan.frames is not None:
            pace += ["--frames", str(self._plan.frames)]
        return CommandProcess(f"streamer produce --camera {name}", ["produce", *source, *pace])

    def _wait_until_ready(self, watch: StatusWatch, consumer: CommandProcess) -> None:
        """Wait until the consumer holds its partitions, so that no frame waits for its start."""
        self._say("waiting for the consumer")
        deadline_s = time.monotonic() + _READY_TIMEOUT_S
        while not any(worker.state == "running" and worker.partitions for worker in watch.workers.values()):
            if not consumer.is_running() or time.monotonic() > deadline_s:
                raise DemoError(f"`{consumer.name}` was not ready within {_READY_TIMEOUT_S:.0f} s")
            watch.update(_TICK_S)

    def _follow(
        self,
        watch: StatusWatch,
        backlog: Backlog,
        others: list[CommandProcess],
        cameras: list[CommandProcess],
        until: Event,
    ) -> None:
        """Show the progress until the cameras are done and the consumer has accounted for their frames."""
        expected = self._plan.cameras * (self._plan.frames or 0)
        rest_until_s: float | None = None
        while True:
            watch.update(_TICK_S)
            for process in others:
                process.is_running()
            self._say("running", watch.captured, watch.done, expected)
            # A camera that is still being started would be killed, and not end.
            if until.is_set() and len(watch.cameras) == len(cameras):
                for camera in cameras:
                    camera.terminate()
            running = [camera for camera in cameras if camera.is_running()]
            if not running:
                rest_until_s = rest_until_s or time.monotonic() + _REST_TIMEOUT_S
                has_ended = all(camera.is_final for camera in watch.cameras.values())
                if (has_ended and backlog.is_done()) or time.monotonic() > rest_until_s:
                    return


#: A demo is short: Java's quick compiler alone answers sooner than both in turn.
_JAVA_FLAGS = ("-XX:TieredStopAtLevel=1",)


def _dashboard_port() -> int:
    """Return the dashboard's usual port, or 0, which takes any, where that is not free."""
    try:
        with socket.create_server(("127.0.0.1", _DASHBOARD_PORT)):
            return _DASHBOARD_PORT
    except OSError:
        return 0


def _figures(consumer: dict[str, Any], group: GroupReport, names: list[str]) -> dict[str, Any]:
    """Return the figures; the ledger is that of these cameras, the rates are of all that the consumer did."""
    own = [camera for camera in group.cameras if camera.camera in names]
    total = Tally()
    for camera in own:
        total.add(camera)
    return {
        **_ledger(total),
        "accuracy": group.accuracy,
        "fps": consumer["fps"],
        "latency_ms": consumer["latency_ms"],
        "batch": consumer["batch"],
        "cameras": [{"camera": camera.camera, **_ledger(camera)} for camera in own],
    }


def _ledger(tally: Tally) -> dict[str, int]:
    return {
        "published": tally.published,
        "classified": tally.classified,
        "skipped": tally.skipped,
        "dead_lettered": tally.dead_lettered,
        "lost": tally.missing,
        "duplicates": tally.duplicates,
    }
