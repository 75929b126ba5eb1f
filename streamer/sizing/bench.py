"""Trials on this machine: a real broker, a worker on a simulated card, and cameras that are played."""

import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Self

import msgspec

from messaging.broker import BrokerOptions, EmbeddedBroker, ProgressCallback
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.topics import TopicNames, TopicPlan, create_topics
from streamer.processes import CommandProcess, ProcessError, environ_for
from streamer.sizing.commands import simulated_command
from streamer.sizing.errors import TrialError
from streamer.sizing.lane import Lane
from streamer.sizing.load import LoadOrder, LoadReport
from streamer.sizing.trial import LoadTrial, answers_of
from streamer.sizing.wish import Wish
from streamer.sizing.worker_process import WorkerProcess
from streamer.watch.group import Backlog, StatusWatch

_READY_TIMEOUT_S: Final = 60.0
#: A worker that is this far behind at the end of a trial has failed it.
_CATCH_UP_TIMEOUT_S: Final = 20.0
#: So long the next trial waits until the worker has done those frames, too: they would be measured with its own.
_BACKLOG_TIMEOUT_S: Final = 60.0
_TICK_S: Final = 0.25
_START_S: Final = 30.0
_READ_TIMEOUT_S: Final = 30.0
#: A trial is short: Java's quick compiler alone is soon as fast as it becomes.
_JAVA_FLAGS: Final = ("-XX:TieredStopAtLevel=1",)
_TOPICS: Final = TopicNames()


@contextmanager
def _telling() -> Iterator[None]:
    """Give errors of processes our name."""
    try:
        yield
    except ProcessError as exc:
        raise TrialError(str(exc)) from exc


class Bench:
    """A broker with the topics, and one worker at a time; for a `with` block, which leaves no process behind."""

    def __init__(
        self,
        pictures: Sequence[bytes],
        on_broker_progress: ProgressCallback,
        *,
        catch_up_timeout_s: float = _CATCH_UP_TIMEOUT_S,
        backlog_timeout_s: float = _BACKLOG_TIMEOUT_S,
    ) -> None:
        """Remember what the cameras see.

        Args:
            pictures: Encoded.
            on_broker_progress: Told how far the start of the broker is.
            catch_up_timeout_s: For the last results of a trial; a worker that takes longer has failed it.
            backlog_timeout_s: How much longer the next trial of the same worker waits for them.
        """
        self._pictures = pictures
        self._catch_up_timeout_s = catch_up_timeout_s
        self._backlog_timeout_s = backlog_timeout_s
        self._on_broker_progress = on_broker_progress
        self._stack = ExitStack()
        self._worker: WorkerProcess | None = None
        self._group = ""
        self._is_behind = False
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
            state = {"STREAMER_STATE_DIRECTORY": str(folder / "state")}  # no worker of the user's in the way
            self._environ = environ_for(broker.bootstrap_servers) | state
            create_topics(self._cluster, TopicPlan())
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        """End everything."""
        self._stack.close()

    @_telling()
    def start_worker(self, lane: Lane, wish: Wish | None = None) -> None:
        """Run a worker in place of the one before, and wait until it has its partitions.

        Raises:
            TrialError: It ended, or is not ready in time.
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
        self._worker, self._group, self._is_behind = worker, group, False

    @_telling()
    def stop_worker(self) -> None:
        """End the worker, where there is one.

        Raises:
            TrialError: It did not end by itself, or ended with an error.
        """
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.terminate()

    def saturate(self, cameras: int, warm_s: float, seconds: float, age_s: float) -> LoadTrial:
        """Send frames as fast as results come back that are so old.

        Args:
            cameras: Of which the frames are.
            warm_s: Before results count: processes and the broker get warm, and the rate finds its height.
            seconds: For how long they count.
            age_s: Of the results. It has to be more than what a result takes where nothing waits.

        Raises:
            TrialError: A process failed, or the worker is still at work on the frames of the trial before.
        """
        return self._trial(cameras, None, seconds, warm_s, age_s)

    def run(self, cameras: int, fps: float, seconds: float) -> LoadTrial:
        """Send the frames of so many cameras; raises as `saturate` does."""
        return self._trial(cameras, fps, seconds)

    @_telling()
    def _trial(
        self, cameras: int, fps: float | None, seconds: float, warm_s: float = 0.0, age_s: float = 0.0
    ) -> LoadTrial:
        assert self._worker is not None, "a trial needs a worker"
        self._wait_for_backlog()
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
                warm_s=warm_s,
                seconds=warm_s + seconds,
                session=session,
            )
            report = self._play(order)
            has_caught_up = self._wait(
                lambda: sum(reader.end_offsets().values()) - before >= report.sent, self._catch_up_timeout_s
            )
            self._is_behind = not has_caught_up
            cpu_s = self._worker.cpu_s() - cpu_s
            answers = [] if fps is None else answers_of(reader.read_to_end(_READ_TIMEOUT_S), session)
        return LoadTrial(cameras, fps, report, tuple(answers), has_caught_up, cpu_s)

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

    def _wait_for_backlog(self) -> None:
        """Wait until the worker has done all frames of the trial before."""
        if not self._is_behind:
            return
        backlog = Backlog(self._cluster, _TOPICS.frames, self._group)
        if not self._wait(backlog.is_done, self._backlog_timeout_s):
            waited_s = self._catch_up_timeout_s + self._backlog_timeout_s
            raise TrialError(
                f"the worker is still behind {waited_s:.0f} s after a trial, and the next one would measure that: this "
                "machine is too slow, or too busy, to try anything"
            )
        self._is_behind = False

    def _wait(self, is_done: Callable[[], bool], timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while not is_done():
            if time.monotonic() > deadline_s:
                return False
            self._check()
            time.sleep(_TICK_S)
        return True

    def _check(self) -> None:
        if self._worker is not None and not self._worker.is_running():
            raise TrialError("the worker of the trial ended by itself")
