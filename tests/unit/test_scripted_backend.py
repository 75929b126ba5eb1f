"""The fake of a back end does what its script says; what it shares with real ones is in the contract tests."""

from pathlib import Path
from threading import Event

import numpy as np
import pytest

from engine.backends.base import BackendOptions
from engine.errors import InferenceError
from engine.models.files import ModelFile
from engine.options import SessionOptions
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, scripted_program

DEADLINE_S = 20.0
IMAGE = np.ones((1, 8, 8, 3), np.uint8)


def opened(script: Script, folder: Path, slots: int = 2) -> ScriptedBackend:
    backend = ScriptedBackend(script)
    options = BackendOptions(keywords=SessionOptions(num_activations=slots))
    backend.open(ModelFile(save_scripted_model(folder / "model"), "onnx"), options)
    return backend


def test_submitting_does_not_wait_for_the_device(tmp_path: Path) -> None:
    gate = Event()
    backend = opened(Script(gates={0: gate}), tmp_path, slots=1)
    first, second = (backend.submit({"image": IMAGE}, 1) for _ in range(2))
    backend.wait_until_begun(0)
    assert not first.done()
    assert not second.done()
    gate.set()
    assert first.result(DEADLINE_S).finished_at_s <= second.result(DEADLINE_S).started_at_s
    backend.close()


def test_a_later_batch_may_finish_first(tmp_path: Path) -> None:
    gate = Event()
    backend = opened(Script(gates={0: gate}), tmp_path)
    first, second = (backend.submit({"image": IMAGE}, 1) for _ in range(2))
    second.result(DEADLINE_S)
    assert not first.done()
    gate.set()
    first.result(DEADLINE_S)
    backend.close()


def test_the_batches_that_were_named_fail(tmp_path: Path) -> None:
    backend = opened(Script(failures={1: "out of memory"}), tmp_path)
    futures = [backend.submit({"image": IMAGE}, 1) for _ in range(3)]
    errors = [future.exception(DEADLINE_S) for future in futures]
    assert [str(error) for error in errors if error] == ["out of memory"]
    assert isinstance(errors[1], InferenceError)
    backend.close()


def test_a_device_that_broke_down_says_so_and_fails(tmp_path: Path) -> None:
    backend = opened(Script(), tmp_path)
    backend.break_down("the card fell off the bus")
    health = backend.health()
    assert (health.is_ready, health.detail) == (False, "the card fell off the bus")
    with pytest.raises(InferenceError, match="fell off"):
        backend.submit({"image": IMAGE}, 1).result(DEADLINE_S)
    backend.close()


def test_it_keeps_what_it_was_given(tmp_path: Path) -> None:
    backend = opened(Script(scripted_program(2)), tmp_path)
    rows = np.arange(2 * 192, dtype=np.uint8).reshape(2, 8, 8, 3)
    backend.submit({"image": rows}, 1).result(DEADLINE_S)
    (taken,) = backend.taken
    assert taken.count == 1
    np.testing.assert_array_equal(taken.rows, rows)
    backend.close()


def test_answers_may_depend_on_the_batch(tmp_path: Path) -> None:
    script = Script(answer=lambda rows, number: np.full((len(rows), 3), number, np.float32))
    backend = opened(script, tmp_path)
    for number in range(3):
        outputs = backend.submit({"image": IMAGE}, 1).result(DEADLINE_S).outputs
        np.testing.assert_array_equal(outputs["answer"], [[number] * 3])
    backend.close()
