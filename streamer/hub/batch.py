"""Many models at AI Hub, a few at a time."""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Thread

from engine.backends.qai_hub.errors import StoppedError
from engine.errors import BackendError, first_line
from streamer.hub.errors import BatchError
from streamer.hub.inputs import Input
from streamer.hub.model_run import Outcome

log = logging.getLogger(__name__)

_LOOK_S = 0.1
#: How long a call that is under way when the run ends is waited for; its job's name is written down in any case.
_GRACE_S = 2.0


def run_all(
    run: Callable[[str, Input], Outcome],
    inputs: Mapping[str, Input],
    *,
    batch_size: int,
    stop: Event,
    first: Iterable[str] = (),
) -> dict[str, Outcome]:
    """Run models, `batch_size` at a time; one that is done makes room for the next at once.

    Args:
        run: Runs one, with at most one job at a time; any thread may call it.
        inputs: What each model is given, by the model's id.
        batch_size: How many are run at a time.
        stop: Ends the run; `run` minds it.
        first: Models that go before the others: those whose jobs may be running.

    Returns:
        What became of each, in the order of `inputs`; of some where the run was ended.

    Raises:
        ValueError: `batch_size` is below 1.
        BackendError: AI Hub does not accept the token.
        BatchError: The jobs cannot be remembered.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: give a whole number above 0")
    before = set(first)
    order = sorted(inputs, key=lambda model: model not in before)
    workers = _Workers(run, [(model, inputs[model]) for model in order], stop)
    outcomes: dict[str, Outcome] = {}
    workers.start(batch_size)
    try:
        while len(outcomes) < len(inputs) and not stop.is_set():
            if (outcome := workers.next_outcome(_LOOK_S)) is not None:
                outcomes[outcome.model] = outcome
                _tell(outcome, len(outcomes), len(inputs))
    finally:
        if len(outcomes) < len(inputs):
            stop.set()
        workers.join()
    while (outcome := workers.next_outcome(0)) is not None:  # what was done while it was stopped
        outcomes[outcome.model] = outcome
    return {model: outcomes[model] for model in inputs if model in outcomes}


class _Workers:
    """Threads, each of which takes one model after the other; they do not keep the program from ending."""

    def __init__(self, run: Callable[[str, Input], Outcome], models: Sequence[tuple[str, Input]], stop: Event) -> None:
        self._run, self._stop = run, stop
        self._todo: SimpleQueue[tuple[str, Input]] = SimpleQueue()
        for one in models:
            self._todo.put(one)
        self._done: SimpleQueue[Outcome | Exception] = SimpleQueue()
        self._threads: list[Thread] = []

    def start(self, count: int) -> None:
        """Start so many."""
        self._threads = [Thread(target=self._work, name=f"hub-{number}", daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def next_outcome(self, timeout_s: float) -> Outcome | None:
        """Wait for an outcome, and return None where none comes.

        Raises:
            BackendError: As for `run_all`.
            BatchError: The same.
        """
        try:
            found = self._done.get(timeout=timeout_s)
        except Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return found

    def join(self) -> None:
        """Wait for them, a little where a call of theirs is under way."""
        until_s = time.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))

    def _work(self) -> None:
        while not self._stop.is_set():
            try:
                model, data = self._todo.get_nowait()
            except Empty:
                return
            try:
                found = _attempt(self._run, model, data)
            except StoppedError:
                return
            self._done.put(found)
            if isinstance(found, Exception):
                return  # what is wrong is wrong for all of them


def _attempt(run: Callable[[str, Input], Outcome], model: str, data: Input) -> Outcome | Exception:
    try:
        return run(model, data)
    except StoppedError:
        raise
    except (BackendError, BatchError) as exc:
        return exc
    except Exception as exc:  # one failure never stops the rest, be it our own
        log.debug("%s: an error of streamer's own", model, exc_info=True)
        return Outcome(model, failure=f"{type(exc).__name__}: {first_line(exc)} (an error of streamer's own)")


def _tell(outcome: Outcome, done: int, total: int) -> None:
    if outcome.failure:
        log.warning("%s failed (%d of %d): %s", outcome.model, done, total, outcome.failure)
    else:
        how = "in an earlier run" if outcome.is_earlier else f"after {outcome.seconds:.0f} s"
        log.info("%s done (%d of %d) %s", outcome.model, done, total, how)
