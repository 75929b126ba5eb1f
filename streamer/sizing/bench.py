"""Trials on this machine: a real broker, a worker on a simulated card, and cameras that are played."""

import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from messaging.broker import BrokerOptions, EmbeddedBroker, ProgressCallback
from messaging.kafka import Kafka
from messaging.outcome import Timed, read_outcome
from messaging.reader import TopicReader
from messaging.topics import TopicNames, TopicPlan, create_topics
from streamer.demo.processes import CommandProcess
from streamer.demo.watch import StatusWatch
from streamer.sizing.commands import simulated_command
from streamer.sizing.errors import TrialError
from streamer.sizing.lane import Lane
from streamer.sizing.load import LoadOrder, LoadReport
from streamer.sizing.trial import Answer, Trial
from streamer.sizing.wish import Wish

_READY_TIMEOUT_S: Final = 60.0
#: A worker that is this far behind at the end of a trial has failed it; the next one waits for it all the same.
_CATCH_UP_TIMEOUT_S: Final = 20.0
_TICK_S: Final = 0.25
_START_S: Final = 30.0
_READ_TIMEOUT_S: Final = 30.0
#: A trial is short: Java's quick compiler alone is soon as fast as it becomes.
_JAVA_FLAGS: Final = ("-XX:TieredStopAtLevel=1",)
_TOPICS: Final = TopicNames()


class WorkerProcess(CommandProcess):
    """A worker whose CPU time can be asked for."""

    def cpu_s(self) -> float:
        """Return the CPU time of all its threads since its start.

        Raises:
            TrialError: The system does not say.
        """
        assert self._process is not None
        try:
            # Source: proc(5): utime and stime are the 12th and 13th word after the name in brackets, in ticks.
            words = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError) as exc:
            raise TrialError(
                "this system does not tell the CPU time of a process: give --no-measure, or figures of your own"
            ) from exc


class Bench:
    """A broker with the topics, and one worker at a time; for a `with` block, which leaves no process behind."""

    def __init__(self, pictures: Sequence[bytes], on_broker_progress: ProgressCallback) -> None:
        """Remember what the cameras see."""
        self._pictures = pictures
        self._on_broker_progress = on_broker_progress
        self._stack = ExitStack()
        self._worker: WorkerProcess | None = None
        self._paths: list[str] = []

    def __enter__(self) -> Self:
        """Start the broker.

        Raises:
            BrokerError: It cannot be started here.
        """
        with ExitStack() as stack:
            folder = Path(tempfile.mkdtemp(prefix="streamer-plan-"))
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            for number, picture in enumerate(self._pictures):
                path = folder / f"{number}.jpg"
                path.write_bytes(picture)
                self._paths.append(str(path))
            broker = stack.enter_context(
                EmbeddedBroker(BrokerOptions(java_flags=_JAVA_FLAGS), on_progress=self._on_broker_progress)
            )
            self._cluster = Kafka(broker.bootstrap_servers)
            self._environ = _environ(broker.bootstrap_servers, folder)
            create_topics(self._cluster, TopicPlan())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._stack.close()

    def start_worker(self, lane: Lane, wish: Wish | None = None) -> None:
        """Run a worker in place of the one before, and wait until it has its partitions.

        Raises:
            DemoError: It ended, or is not ready in time.
        """
        self.stop_worker()
        group = f"plan-{uuid.uuid4().hex[:8]}"
        words = [*simulated_command(lane, wish), "--group", group, "--from", "latest", "--json"]
        worker = self._stack.enter_context(WorkerProcess("streamer consume", words))
        with closing(StatusWatch(self._cluster, _TOPICS.status, (), group)) as watch:
            watch.open()
            worker.start(self._environ)
            deadline_s = time.monotonic() + _READY_TIMEOUT_S
            while not any(status.partitions for status in watch.workers.values()):
                if not worker.is_running() or time.monotonic() > deadline_s:
                    raise TrialError(f"`{worker.name}` was not ready within {_READY_TIMEOUT_S:.0f} s")
                watch.update(_TICK_S)
        self._worker = worker

    def stop_worker(self) -> None:
        """End the worker, where there is one."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.terminate()

    def saturate(self, cameras: int, seconds: float, age_s: float) -> Trial:
        """Send frames as fast as results come back that are so old.

        Raises:
            DemoError: A process failed.
        """
        return self._trial(cameras, None, seconds, age_s)

    def run(self, cameras: int, fps: float, seconds: float) -> Trial:
        """Send the frames of so many cameras; raises as `saturate` does."""
        return self._trial(cameras, fps, seconds)

    def _trial(self, cameras: int, fps: float | None, seconds: float, age_s: float = 0.0) -> Trial:
        assert self._worker is not None, "a trial needs a worker"
        session = uuid.uuid4().hex[:8]
        with TopicReader(self._cluster, _TOPICS.results, from_beginning=False) as reader:
            before = sum(reader.end_offsets().values())
            cpu_s = self._worker.cpu_s()
            order = LoadOrder(
                bootstrap_servers=self._cluster.bootstrap_servers,
                pictures=self._paths,
                cameras=cameras,
                fps=fps,
                age_s=age_s,
                seconds=seconds,
                session=session,
            )
            report = self._play(order)
            has_caught_up = self._wait(lambda: sum(reader.end_offsets().values()) - before >= report.sent)
            cpu_s = self._worker.cpu_s() - cpu_s
            answers = [] if fps is None else _answers(reader)
        return Trial(cameras, fps, report, tuple(answers), has_caught_up, cpu_s)

    def _play(self, order: LoadOrder) -> LoadReport:
        words = ["plan", "--play", msgspec.json.encode(order).decode()]
        with CommandProcess("streamer plan", words) as load:
            load.start(self._environ)
            deadline_s = time.monotonic() + order.seconds + _START_S
            while load.is_running():
                if time.monotonic() > deadline_s:
                    raise TrialError("the cameras of the trial did not come to their end")
                self._check()
                time.sleep(_TICK_S)
            return msgspec.convert(load.last_json(), LoadReport)

    def _wait(self, is_done: Callable[[], bool]) -> bool:
        deadline_s = time.monotonic() + _CATCH_UP_TIMEOUT_S
        while not is_done():
            if time.monotonic() > deadline_s:
                return False
            self._check()
            time.sleep(_TICK_S)
        return True

    def _check(self) -> None:
        if self._worker is not None and not self._worker.is_running():
            raise TrialError("the worker of the trial ended by itself")


def _answers(reader: TopicReader) -> list[Answer]:
    """Return what the results say; frames that were skipped have no latency."""
    outcomes = (read_outcome(record.value) for record in reader.read_to_end(_READ_TIMEOUT_S))
    return [Answer.of(outcome) for outcome in outcomes if isinstance(outcome, Timed)]


def _environ(bootstrap_servers: str, folder: Path) -> dict[str, str]:
    """Return the environment of the processes: ours, with no setting and no worker of the user's in the way."""
    kept: dict[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith("STREAMER_")}
    return kept | {
        "STREAMER_BOOTSTRAP_SERVERS": bootstrap_servers,
        "STREAMER_CONFIG": os.devnull,
        "STREAMER_STATE_DIRECTORY": str(folder / "state"),
    }
