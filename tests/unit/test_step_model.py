"""The step that runs a model: its batches, its items, its first runs, its end."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from engine.errors import BackendError, DeviceNotFoundError, InferenceError, ModelNotFoundError, PipelineError
from engine.models.program import Program, TensorSpec
from engine.pipeline.batch_sizes import batch_sizes
from engine.pipeline.feeds import ArrayFeed, stacked
from engine.pipeline.model_step import GPURuntimeComponent, ModelStep
from engine.pipeline.pipeline import Pipeline
from engine.pipeline.step import Step
from engine.pipeline.warm_up import Warmup
from tests.fakes.onnx_models import (
    FATAL_PIXEL,
    TinyClassifier,
    save_fragile,
    save_one_at_a_time,
    save_two_inputs,
    save_with_features,
)
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, scripted_program

DEADLINE_S = 20.0
FLOAT = np.dtype(np.float32)


def pixels(value: int) -> NDArray[np.uint8]:
    return np.full((8, 8, 3), value, np.uint8)


def scripted(tmp_path: Path, batch: int | None = None, **script: Any) -> tuple[ModelStep, ScriptedBackend]:
    backend = ScriptedBackend(Script(scripted_program(batch), **script))
    step = ModelStep("classify", batch_timeout_s=1000)
    step.use_model(
        save_scripted_model(tmp_path / "model"),
        max_batch_size=0 if batch else 4,
        warmup=Warmup.NONE,
        backend=backend,
    )
    return step, backend


def test_the_vendors_example_runs(tmp_path: Path) -> None:
    model = TinyClassifier(batch=-1)
    path = model.save(tmp_path / "model.onnx")
    images = [np.random.default_rng(number).random((3, 32, 32)).astype(np.float32) for number in range(10)]
    classification = GPURuntimeComponent(name="classification")
    classification.use_model(path, max_batch_size=4, warmup=Warmup.RANDOM_DATA, backend="onnxruntime")
    preprocessing = Step("preprocessing", lambda image: image)
    preprocessing.set_parallel_steps(2)
    with Pipeline([preprocessing, classification, Step("postprocessing", np.argmax)]) as pipeline:
        labels = [outcome.unwrap() for outcome in pipeline.run(images)]
        statistics = pipeline.statistics()["classification"]
    assert labels == list(model.probabilities(np.stack(images)).argmax(axis=1))
    assert statistics.items == 10
    assert statistics.executions < 10


@pytest.mark.parametrize("batch", [-1, "N", None])
def test_an_open_first_axis_takes_any_batch_size_however_it_is_written(tmp_path: Path, batch: int | str | None) -> None:
    path = TinyClassifier(batch=batch).save(tmp_path / "model.onnx")
    if batch == -1:
        assert onnx.load(path).graph.input[0].type.tensor_type.shape.dim[0].dim_value == -1
    step = ModelStep()
    step.use_model(path, max_batch_size=4, backend="onnxruntime")
    with Pipeline([step]) as pipeline:
        assert [outcome.unwrap().shape for outcome in pipeline.run(np.zeros((9, 3, 32, 32), np.float32))] == [(4,)] * 9
        assert pipeline.statistics()["model"].executions >= 3
    assert step.max_batch_size == step.batch_limit == 4
    assert not step.has_fixed_batch


def program(*axes: int | None, ladder: tuple[int, ...] = ()) -> Program:
    names = ("image", "other", "third")
    inputs = tuple(
        TensorSpec(name, (axis, 3), FLOAT, (None if axis else "batch", None))
        for name, axis in zip(names, axes, strict=False)
    )
    return Program(inputs, (), ladder=ladder)


@pytest.mark.parametrize(
    ("of_program", "said", "expected"),
    [
        (program(None), None, (1, None, False)),
        (program(None), 1, (1, None, False)),
        (program(None), 64, (64, None, False)),
        (program(1), None, (1, 1, True)),
        (program(8), 0, (8, 8, True)),
        (program(None, ladder=(1, 4, 16)), None, (1, 16, False)),
        (program(None, ladder=(1, 4, 16)), 9, (9, 16, False)),
        (program(None, None), 4, (4, None, False)),
    ],
)
def test_the_batch_is_what_the_model_takes(
    of_program: Program, said: int | None, expected: tuple[int, int | None, bool]
) -> None:
    found = batch_sizes(Path("m.onnx"), of_program, said)
    assert (found.max_size, found.limit, found.is_fixed) == expected


@pytest.mark.parametrize(
    ("of_program", "said", "message"),
    [
        (program(1), 4, r"m.onnx is made for batches of 1 \(the first axis of its input image\).*max_batch_size=0"),
        (program(8), 8, r"made for batches of 8 .* pass max_batch_size=0"),
        (program(None), 0, r"takes batches of any size .* input image is 'batch'\): pass max_batch_size=1 or more"),
        (program(None, ladder=(1, 4)), 0, "takes batches of 1, 4 "),
        (program(None, ladder=(1, 4)), 5, "compiled for batches of 1, 4: pass a max_batch_size up to 4, not 5"),
        (program(None), -1, "max_batch_size is -1: give a whole number"),
        (program(None), True, "max_batch_size is True"),
        (program(None), 2.0, "max_batch_size is 2.0"),
        (program(None, 4), 1, r"first axis of input image is 'batch' and that of other is 4: "),
        (program(), 1, "m.onnx has no inputs"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused_with_the_axis_and_what_to_give(
    of_program: Program, said: Any, message: str
) -> None:
    with pytest.raises(PipelineError, match=message):
        batch_sizes(Path("m.onnx"), of_program, said)


def test_a_model_of_one_size_is_given_that_size_padded(tmp_path: Path) -> None:
    step, backend = scripted(tmp_path, batch=4)
    with Pipeline([step]) as pipeline:
        sums = [outcome.unwrap() for outcome in pipeline.run([pixels(1), pixels(2), pixels(3), pixels(4), pixels(5)])]
    assert [list(row) for row in sums] == [[64.0 * value] * 3 for value in (1, 2, 3, 4, 5)]
    assert [(batch.rows.shape[0], batch.count) for batch in backend.taken] == [(4, 4), (4, 1)]
    assert not backend.taken[1].rows[1:].any()


def test_a_model_of_one_size_can_not_be_set_to_another(tmp_path: Path) -> None:
    fixed, _ = scripted(tmp_path, batch=4)
    with pytest.raises(PipelineError, match="step classify: the model takes batches of 4 and no others"):
        fixed.set_max_batch_size(2)
    fixed.set_max_batch_size(4)
    fixed.close()
    open_, _ = scripted(tmp_path)
    open_.set_max_batch_size(9)
    assert open_.batch_limit == 9
    open_.close()


def test_an_item_that_does_not_fit_fails_alone(tmp_path: Path) -> None:
    step, _ = scripted(tmp_path)
    items = [pixels(1), pixels(2).astype(np.float32), "picture", pixels(4)[None]]
    with Pipeline([step]) as pipeline:
        outcomes = list(pipeline.run(items))
    assert list(outcomes[0].value) == [64.0] * 3
    messages = [str(outcome.error) for outcome in outcomes[1:]]
    assert "an item of input image is uint8[8, 8, 3], not float32[8, 8, 3]" in messages[0]
    assert "input image takes an array, not str" in messages[1]
    assert "not uint8[1, 8, 8, 3] (an item has no axis for the batch)" in messages[2]


def test_lists_of_numbers_become_arrays(tmp_path: Path) -> None:
    step, _ = scripted(tmp_path)
    with Pipeline([step]) as pipeline:
        (outcome,) = pipeline.run([pixels(1).tolist()])
    assert list(outcome.unwrap()) == [64.0] * 3


def test_a_batch_that_the_device_fails_fails_all_its_items(tmp_path: Path) -> None:
    path = save_fragile(tmp_path / "fragile.onnx")
    step = ModelStep(batch_timeout_s=1000)
    step.use_model(path, 2, warmup=Warmup.NONE, backend="onnxruntime")
    with Pipeline([step]) as pipeline:
        outcomes = list(pipeline.run([pixels(1), pixels(FATAL_PIXEL), pixels(2), pixels(3)]))
    assert [isinstance(outcome.error, InferenceError) for outcome in outcomes] == [True, True, False, False]


def test_several_inputs_are_a_dict(tmp_path: Path) -> None:
    step = ModelStep()
    step.use_model(save_two_inputs(tmp_path / "two.onnx"), 4, backend="onnxruntime")
    ones = np.ones((3, 32, 32), np.float32)
    with Pipeline([step]) as pipeline:
        good, bare, odd = pipeline.run([{"image": ones, "other": 2 * ones}, ones, {"image": ones, "more": ones}])
    assert list(good.unwrap()) == [3.0, 3.0, 3.0]
    assert "the model takes image, other: give a dict of name → array" in str(bare.error)
    assert "the model takes image, other, not image, more" in str(odd.error)


def test_several_outputs_are_a_dict(tmp_path: Path) -> None:
    step = ModelStep()
    step.use_model(save_with_features(tmp_path / "two.onnx"), 2, warmup=Warmup.NONE, backend="onnxruntime")
    with Pipeline([step]) as pipeline:
        (outcome,) = pipeline.run([np.ones((3, 8, 8), np.float32)])
    value: Mapping[str, NDArray[np.generic]] = outcome.unwrap()
    assert {name: row.shape for name, row in value.items()} == {"features": (192,), "classes": (3,)}


def test_an_output_without_rows_is_everybodys() -> None:
    feed = ArrayFeed("s", program(None))
    assert feed.values({"mean": np.array(3.0)}, 2) == [3.0, 3.0]


def test_rows_are_stacked_and_padded() -> None:
    row = np.arange(3)
    assert stacked([row], 1).base is row.base or stacked([row], 1).base is row
    assert stacked([row, row], 2).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert stacked([row], 3).tolist() == [[0, 1, 2], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("batch", "said", "sizes"),
    [(None, 6, [1, 2, 4, 6]), (None, 1, [1]), (None, 4, [1, 2, 4]), (3, 0, [3])],
)
def test_the_warm_up_runs_random_data_in_every_power_of_two(
    tmp_path: Path, batch: int | None, said: int, sizes: list[int]
) -> None:
    backend = ScriptedBackend(Script(scripted_program(batch)))
    step = ModelStep()
    step.use_model(save_scripted_model(tmp_path / "m"), said, backend=backend)
    assert backend.taken == []
    with Pipeline([step]) as pipeline:
        assert sorted({taken.count for taken in backend.taken if taken.count}) == sizes
        assert all(taken.rows.any() for taken in backend.taken)
        statistics = pipeline.statistics()["model"]
    assert statistics.executions == 0
    assert [time.size for time in statistics.batch_times] == sizes
    assert all(time.mean_s > 0 for time in statistics.batch_times)


def test_the_warm_up_tells_advice_what_batches_gain(tmp_path: Path) -> None:
    backend = ScriptedBackend()
    step = ModelStep()
    step.use_model(save_scripted_model(tmp_path / "m"), 4, backend=backend)
    with Pipeline([step]) as pipeline:
        next(pipeline.run([pixels(1)]))
        assert not any("no gain" in note for note in pipeline.advise(1.0).notes)


def test_a_model_that_fails_random_data_says_at_which_size(tmp_path: Path) -> None:
    step = ModelStep("odd")
    step.use_model(save_one_at_a_time(tmp_path / "odd.onnx"), 4, backend="onnxruntime")
    before = threading.active_count()
    with pytest.raises(PipelineError, match="step odd: the model fails a batch of 2 with random data"):
        Pipeline([step]).start()
    assert threading.active_count() < before


def test_an_axis_without_a_size_has_no_random_data(tmp_path: Path) -> None:
    path = TinyClassifier(height="height", width=None).save(tmp_path / "m.onnx")
    step = ModelStep("m")
    with pytest.raises(PipelineError, match=r"axis 2 of input image is open \(height\).*Warmup.NONE"):
        step.use_model(path, backend="onnxruntime")
    step.use_model(path, backend="onnxruntime", warmup=Warmup.NONE)
    with Pipeline([step]) as pipeline:
        (outcome,) = pipeline.run([np.zeros((3, 7, 9), np.float32)])
        assert outcome.unwrap().shape == (4,)


def test_what_cannot_be_opened_is_an_error_where_it_is_said(tmp_path: Path) -> None:
    step = ModelStep()
    with pytest.raises(ModelNotFoundError):
        step.use_model(tmp_path / "none.onnx", backend="onnxruntime")
    with pytest.raises(BackendError):
        step.use_model("workpiece", backend="onnxrutime")
    with pytest.raises(DeviceNotFoundError):
        step.use_model("workpiece", backend="onnxruntime", device="moon")
    with pytest.raises(PipelineError, match="step model has no model: call its use_model first"):
        Pipeline([step]).start()


def test_a_refused_batch_size_leaves_no_back_end_open(tmp_path: Path) -> None:
    before = threading.active_count()
    step = ModelStep()
    with pytest.raises(PipelineError, match="max_batch_size=0"):
        step.use_model(TinyClassifier(batch=1).save(tmp_path / "m.onnx"), 4, backend="onnxruntime")
    deadline_s = time.monotonic() + DEADLINE_S
    while threading.active_count() > before:  # the watchdog needs a moment
        assert time.monotonic() < deadline_s
        Event().wait(0.001)


def test_the_pipeline_closes_the_back_end_and_the_next_one_opens_it_again(tmp_path: Path) -> None:
    step, backend = scripted(tmp_path)
    assert backend.health().is_ready
    with Pipeline([step]) as pipeline:
        list(pipeline.run([pixels(1)]))
    assert not backend.health().is_ready
    with Pipeline([step]) as pipeline:
        assert [outcome.unwrap()[0] for outcome in pipeline.run([pixels(2)])] == [128.0]
    assert not backend.health().is_ready


def test_another_model_takes_the_place_of_the_first(tmp_path: Path) -> None:
    step, first = scripted(tmp_path)
    second = ScriptedBackend()
    step.use_model(save_scripted_model(tmp_path / "m"), 2, Warmup.NONE, backend=second)
    assert not first.health().is_ready
    with Pipeline([step]):
        with pytest.raises(PipelineError, match="step classify runs in a pipeline"):
            step.use_model(save_scripted_model(tmp_path / "m"), 2, Warmup.NONE, backend=ScriptedBackend())
        assert second.health().is_ready


def test_a_batch_fills_while_the_device_is_busy(tmp_path: Path) -> None:
    gate = Event()
    step, backend = scripted(tmp_path, gates={0: gate})
    step.set_max_batch_size(1)
    with Pipeline([step]) as pipeline:
        first = pipeline.submit(pixels(0))
        backend.wait_until_begun(0)
        step.set_max_batch_size(3)
        others = [pipeline.submit(pixels(number)) for number in range(1, 4)]
        gate.set()
        assert [future.result(DEADLINE_S)[0] for future in [first, *others]] == [0.0, 64.0, 128.0, 192.0]
    assert [taken.count for taken in backend.taken] == [1, 3]


def test_a_step_has_as_many_threads_as_the_device_has_places(tmp_path: Path) -> None:
    class Wide(ScriptedBackend):
        @property
        def slots(self) -> int:
            return 3

    step, wide = ModelStep(), Wide()
    step.use_model(save_scripted_model(tmp_path / "m"), 2, backend=wide)
    assert (step.parallel_steps, step.parallel_limit) == (3, 3)
    with Pipeline([step]):
        # Each of the places once, then two by the clock; for a batch of 1 and one of 2.
        assert [taken.count for taken in wide.taken] == [1] * 5 + [2] * 5
    told = ModelStep(parallel_steps=1)
    told.use_model(save_scripted_model(tmp_path / "m"), 2, backend=Wide())
    assert (told.parallel_steps, told.parallel_limit) == (1, 3)
    told.close()
    with pytest.raises(PipelineError, match="takes a thread"):
        ModelStep(parallel_steps=0)
