"""A batch that the device refuses is taken apart until the frame at fault stands alone."""

from collections import deque
from collections.abc import Iterator
from math import log2
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from consumers.batch import Batch
from consumers.bisection import after_failure, after_success
from consumers.device_load import DeviceLoad
from consumers.events import Events
from consumers.freshness import Freshness
from consumers.running_model import RunningModel
from consumers.steps import classification_steps
from engine.backends.base import BackendOptions
from engine.errors import InferenceError
from engine.models.classifier import open_classifier
from engine.pipeline.pipeline import UNBOUNDED, Pipeline
from tests.fakes.polled_frames import polled_frames
from tests.fakes.scripted_backend import DEADLINE_S, Script, ScriptedBackend, save_scripted_model

GOOD, BAD = 40, 255


def is_bad(rows: NDArray[np.generic]) -> bool:
    return bool((np.asarray(rows, np.float64).reshape(len(rows), -1).mean(axis=1) > 250).any())


class Line:
    """The steps of a consumer with a scripted device, one batch at a time."""

    def __init__(self, backend: ScriptedBackend, folder: Path) -> None:
        model = save_scripted_model(folder / "model")
        classifier = open_classifier(str(model), backend, BackendOptions())
        self.backend = backend
        self.trials = len(backend.taken)
        freshness = Freshness("every-frame", None)
        load = DeviceLoad(backend.slots)
        steps = classification_steps(freshness, Events(), load, top=1, decode_threads=1)
        self.model = RunningModel(classifier, 64)
        self.pipeline = Pipeline(steps, max_in_flight=UNBOUNDED)
        self.pipeline.start()

    def blamed(self, levels: list[int]) -> list[int]:
        """Send frames as one batch; return those that were blamed. All others are answered."""
        waiting, answered, guilty = deque([Batch(polled_frames(levels), 64, self.model)]), list[int](), list[int]()
        while waiting:
            batch = waiting.popleft()
            try:
                self.pipeline.submit(batch).result(DEADLINE_S)
            except InferenceError:
                at_fault, batches = after_failure(batch)
                guilty += [at_fault.frame.sequence] if at_fault is not None else []
                waiting.extend(batches)
            else:
                answered += [polled.frame.sequence for polled in batch.good]
                waiting.extend(after_success(batch))
        assert sorted(answered + guilty) == list(range(len(levels)))
        return guilty

    @property
    def calls(self) -> int:
        return len(self.backend.taken) - self.trials


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    backend = ScriptedBackend(Script(fatal=is_bad))
    line = Line(backend, tmp_path)
    yield line
    line.pipeline.close(DEADLINE_S)
    backend.close()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 9, 16, 21])
def test_the_device_is_called_no_more_often_than_the_bound(line: Line, size: int) -> None:
    for place in range(size):
        before = line.calls
        levels = [GOOD] * size
        levels[place] = BAD
        assert line.blamed(levels) == [place]
        assert line.calls - before <= 2 * log2(size) + 2


def test_a_batch_of_five_is_two_and_three_and_what_must_be_bad_is_not_sent_to_hear_so(line: Line) -> None:
    assert line.blamed([GOOD, GOOD, GOOD, GOOD, BAD]) == [4]
    assert [taken.count for taken in line.backend.taken[line.trials :]] == [5, 2, 1, 1, 1]


def test_several_bad_frames_are_all_found(line: Line) -> None:
    assert sorted(line.blamed([BAD, GOOD, GOOD, BAD, GOOD, BAD, BAD, GOOD])) == [0, 3, 5, 6]


def test_a_frame_that_is_left_over_is_heard_before_it_is_blamed(tmp_path: Path) -> None:
    first = Line(ScriptedBackend(), tmp_path)
    first.pipeline.close(DEADLINE_S)
    first.backend.close()
    backend = ScriptedBackend(Script(failures={first.trials: "a moment of weakness"}))
    line = Line(backend, tmp_path)
    assert line.blamed([GOOD] * 8) == []
    line.pipeline.close(DEADLINE_S)
    backend.close()
