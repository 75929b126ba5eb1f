"""A shadow model never holds anybody up: what it does not get to is given up, and counted."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import NoReturn

import numpy as np
import pytest

from consumers.agreement import merge_agreements
from consumers.batch import Batch
from consumers.running_model import RunningModel
from consumers.shadow import Shadow
from engine.backends.base import BackendOptions
from engine.errors import ModelError
from engine.models.classifier import Classifier, open_classifier
from tests.fakes.polled_frames import polled_frames
from tests.fakes.scripted_backend import DEADLINE_S, Script, ScriptedBackend, save_scripted_model
from tests.fakes.waiting import wait_until

TRIALS = 1  # batches that opening a classifier takes


class Bench:
    """A model whose batches are offered, and a shadow of the same kind with a script of its own."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._model = save_scripted_model(folder / "model")
        self._stack = stack
        self.first = RunningModel(self.opened(ScriptedBackend()), 4)

    def opened(self, backend: ScriptedBackend) -> Classifier:
        self._stack.callback(backend.close)
        return open_classifier(str(self._model), backend, BackendOptions())

    def shadow(self, script: Script) -> Shadow:
        self.backend = ScriptedBackend(script)
        shadow = Shadow(lambda: self.opened(self.backend), 4)
        shadow.open()
        return shadow

    def batch(self, best: int = 0) -> Batch:
        """A classified batch of three frames, all of the class given."""
        frames = polled_frames([40, 50, 60])
        top, scores = np.full((3, 1), best, np.intp), np.ones((3, 1), np.float32)
        return Batch(frames, 4, self.first, good=frames, top=top, scores=scores)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_frames_without_a_published_label_are_not_compared(bench: Bench) -> None:
    shadow = bench.shadow(Script())
    batch = bench.batch()
    assert batch.scores is not None
    batch.scores[1] = np.nan
    shadow.offer(batch)
    shadow.close(DEADLINE_S)
    assert sum(shadow.agreement.counts().values()) == 2


def test_a_shadow_that_is_behind_gives_batches_up_and_takes_no_time_of_anybodys(bench: Bench) -> None:
    gate = Event()
    shadow = bench.shadow(Script(gates={TRIALS: gate}))
    shadow.offer(bench.batch())
    bench.backend.wait_until_begun(TRIALS)
    for _ in range(10):
        shadow.offer(bench.batch())  # two of them wait
    assert shadow.agreement.counts() == {"agreed": 0, "disagreed": 0, "dropped": 24, "failed": 0}
    gate.set()
    shadow.close(DEADLINE_S)
    assert shadow.agreement.summary() == {
        "model": "model",
        "model_digest": bench.first.spec.digest,
        "agreed": 9,
        "disagreed": 0,
        "dropped": 24,
        "failed": 0,
        "agreement": 1.0,
    }


def test_a_shadow_that_hangs_is_left_behind_at_the_end(bench: Bench) -> None:
    gate = Event()
    shadow = bench.shadow(Script(gates={TRIALS: gate}))
    shadow.offer(bench.batch())
    bench.backend.wait_until_begun(TRIALS)
    shadow.offer(bench.batch())
    shadow.offer(bench.batch())
    shadow.close(0.05)
    assert shadow.agreement.counts()["dropped"] == 6
    gate.set()
    wait_until(lambda: not bench.backend.health().is_ready, "that it closes its model by itself")


def test_a_shadow_that_fails_is_said_once_and_counted(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    shadow = bench.shadow(Script(failures={TRIALS: "out of order", TRIALS + 1: "again"}))
    for _ in range(2):
        shadow.offer(bench.batch())
    wait_until(lambda: shadow.agreement.counts()["failed"] == 6)
    shadow.offer(bench.batch(best=2))
    shadow.close(DEADLINE_S)
    assert shadow.agreement.counts() == {"agreed": 0, "disagreed": 3, "dropped": 0, "failed": 6}
    assert len([line for line in caplog.messages if "shadow model model failed 3 frames" in line]) == 1


def test_a_shadow_whose_classes_are_others_is_said_once(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    shadow = bench.shadow(Script())
    batch = bench.batch()
    spec = replace(bench.first.spec, labels=("moth", *bench.first.spec.labels[1:]))
    batch = replace(batch, model=RunningModel(replace(bench.opened(ScriptedBackend()), spec=spec), 4))
    for _ in range(2):
        shadow.offer(batch)
    shadow.close(DEADLINE_S)
    assert shadow.agreement.counts()["disagreed"] == 6
    assert len([line for line in caplog.messages if "has no class moth, which is published" in line]) == 1


def refuse() -> NoReturn:
    raise ModelError("no such model")


def of_nothing(bench: Bench) -> Callable[[], Classifier]:
    def opening() -> Classifier:
        opened = bench.opened(ScriptedBackend())
        return Classifier(opened.spec, type(opened.program)(opened.program.inputs, ()), opened.backend)

    return opening


def test_a_shadow_that_cannot_be_opened_or_gives_nothing_is_refused(bench: Bench) -> None:
    for opening, why in ((refuse, "no such model"), (of_nothing(bench), "there are no labels to compare")):
        shadow = Shadow(opening, 4)
        with pytest.raises(ModelError, match=why):
            shadow.open()
        shadow.close(DEADLINE_S)
    Shadow(refuse, 4).close(DEADLINE_S)


def test_what_several_workers_shadows_did_is_added() -> None:
    one = {"model": "m", "model_digest": "d", "agreed": 3, "disagreed": 1, "dropped": 5, "failed": 0, "agreement": 0.75}
    other = one | {"agreed": 0, "disagreed": 0, "agreement": None}
    assert merge_agreements([one, other]) == one | {"dropped": 10}
    assert merge_agreements([]) is None
