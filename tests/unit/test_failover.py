"""Work that a lost device hands back is done by its standby, once, and its results say so."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.backends.base import Around, BackendOptions, Inference
from engine.backends.failover import FailoverBackend, Standby
from engine.backends.registry import make_backend
from engine.errors import DeviceLostError, InferenceError, ModelError, NotOpenError
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors, TensorSpec
from engine.options import SessionOptions
from tests.fakes.faulty_backend import FaultyBackend
from tests.fakes.onnx_models import save_fragile
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, scripted_program
from tests.fakes.scripted_network import DEADLINE_S, NO_MODEL, Device, DeviceBackend, hang
from tests.fakes.waiting import wait_until

HUNG, BROKEN, BAD = 7.0, 8.0, 9.0
LOGGER = "engine.backends.failover"


class Pair:
    """Two scripted devices, one the standby of the other."""

    def __init__(self, timeout_s: float = DEADLINE_S) -> None:
        self.first, self.second = Device(), Device()
        self.primary, self.standby = DeviceBackend(self.first), DeviceBackend(self.second)
        self.backend = FailoverBackend(self.primary, Standby(self.standby, options(timeout_s, "spare")))
        self.backend.open(NO_MODEL, options(timeout_s))
        self._may_return = Event()

    def stay_lost(self) -> None:
        """Let no probe bring the first device back until `come_back`."""
        self.first.on_load = lambda number: hang(self._may_return) if number else None

    def come_back(self) -> None:
        self._may_return.set()
        wait_until(lambda: self.primary.health().is_ready, "the first device to be back")

    def submit(self, first: float) -> Future[Inference]:
        return self.backend.submit(rows(first), 1)

    def close(self) -> None:
        self._may_return.set()
        self.backend.close()


def options(timeout_s: float = DEADLINE_S, device: str | None = None, slots: int = 1) -> BackendOptions:
    return BackendOptions(device, SessionOptions(num_activations=slots), data_path_timeout_s=timeout_s)


def rows(*firsts: float) -> dict[str, NDArray[np.float32]]:
    return {"x": np.array([[first, 0] for first in firsts], np.float32)}


def when(value: float, then: Callable[[], object]) -> Callable[[float], None]:
    """For `Device.on_infer`: something for the batches that begin with a value."""
    return lambda first: (then() if first == value else None, None)[1]


def fail(error: Exception) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it


def answer_of(future: Future[Inference]) -> tuple[float, bool]:
    """The answer, and whether the standby gave it."""
    inference = future.result(DEADLINE_S)
    return float(inference.outputs["y"][0, 0]), inference.is_degraded


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.close()


def test_while_the_device_works_the_standby_is_idle(pair: Pair) -> None:
    inference = pair.submit(1.0).result(DEADLINE_S)
    assert (inference.is_degraded, inference.backend, inference.device) == (False, "", "")
    assert (pair.first.began, pair.second.began) == (1, 0)
    assert pair.backend.name == "scripted-device"
    assert pair.backend.health().detail == "a scripted device; standby: a scripted device"


def test_what_a_hung_device_had_is_done_by_the_standby_and_what_comes_goes_there_at_once() -> None:
    pair, let_go = Pair(timeout_s=0.4), Event()
    pair.stay_lost()
    pair.first.on_infer = when(HUNG, lambda: hang(let_go))
    futures = [pair.submit(first) for first in (1.0, HUNG, 2.0, 3.0)]
    assert [answer_of(future) for future in futures] == [(2.0, False), (14.0, True), (4.0, True), (6.0, True)]
    inference = futures[1].result()
    assert (inference.backend, inference.device) == ("scripted-device", "spare")
    assert inference.has_held_inputs
    began = pair.first.began
    late = pair.submit(4.0)
    assert answer_of(late) == (8.0, True)
    assert not late.result().has_held_inputs, "the device never had it"
    assert pair.first.began == began
    health = pair.backend.health()
    assert health.is_ready
    assert health.detail.startswith("scripted-device is lost (the device gave no answer within 0.4 s")
    assert health.detail.endswith("; standby: a scripted device")
    let_go.set()
    pair.close()


def test_a_device_that_is_back_gets_the_next_batch_and_the_log_says_each_change_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pair = Pair()
    pair.stay_lost()
    pair.first.on_infer = when(BROKEN, fail(DeviceLostError("QS_DEV_ERROR")))
    with caplog.at_level(logging.WARNING, LOGGER):
        for _ in range(3):
            assert answer_of(pair.submit(BROKEN)) == (16.0, True)
        pair.come_back()
        for _ in range(3):
            assert answer_of(pair.submit(1.0)) == (2.0, False)
        said = [record.getMessage() for record in caplog.records if record.name == LOGGER]
    assert said == [
        "back end scripted-device is lost, its work goes to the standby scripted-device (spare): QS_DEV_ERROR",
        "back end scripted-device is back and has its work again, not the standby scripted-device (spare)",
    ]
    pair.close()


def test_a_future_is_done_when_the_standby_is() -> None:
    pair, gate = Pair(), Event()
    pair.first.on_infer = when(BROKEN, fail(DeviceLostError("gone")))
    pair.second.on_infer = lambda _: hang(gate)
    future = pair.submit(BROKEN)
    pair.second.wait_for(lambda seen: seen.began == 1)
    assert not future.done()
    gate.set()
    assert answer_of(future) == (16.0, True)
    pair.close()


def test_where_both_are_lost_the_batch_comes_back_and_the_line_names_both() -> None:
    pair, never = Pair(), Event()
    pair.stay_lost()
    pair.second.on_load = lambda number: hang(never) if number else None
    pair.first.on_infer = pair.second.on_infer = when(BROKEN, fail(DeviceLostError("gone")))
    with pytest.raises(DeviceLostError, match="gone; its standby scripted-device is lost too: gone"):
        pair.submit(BROKEN).result(DEADLINE_S)
    wait_until(lambda: not pair.backend.health().is_ready, "both to be given up")
    assert pair.backend.health().detail.count("is lost (gone)") == 2
    with pytest.raises(DeviceLostError, match="is lost too"):
        pair.submit(1.0)
    never.set()
    wait_until(lambda: pair.backend.health().is_ready, "the standby to be back")
    assert answer_of(pair.submit(1.0)) == (2.0, True)
    pair.close()


def test_a_lost_standby_is_named_and_costs_nothing(pair: Pair) -> None:
    never = Event()
    pair.second.on_load = lambda number: hang(never) if number else None
    pair.second.on_infer = fail_once = when(BROKEN, fail(DeviceLostError("gone")))
    pair.first.on_infer = fail_once
    pair.submit(BROKEN).exception(DEADLINE_S)
    wait_until(lambda: pair.primary.health().is_ready, "the first device to be back")
    assert answer_of(pair.submit(1.0)) == (2.0, False)
    assert pair.backend.health().is_ready
    assert pair.backend.health().detail == "a scripted device; standby: scripted-device is lost (gone)"
    never.set()


def test_a_bad_frame_is_not_tried_on_the_standby(pair: Pair) -> None:
    pair.first.on_infer = when(BAD, fail(ValueError("bad row")))
    with pytest.raises(InferenceError, match="bad row") as caught:
        pair.submit(BAD).result(DEADLINE_S)
    assert not isinstance(caught.value, DeviceLostError)
    with pytest.raises(InferenceError, match="5 rows do not fit"):
        pair.backend.submit(rows(1, 2, 3, 4, 5), 5)
    assert (pair.first.began, pair.second.began) == (1, 0)


def test_a_frame_that_is_bad_on_the_standby_is_no_loss(pair: Pair) -> None:
    pair.stay_lost()
    pair.first.on_infer = when(BAD, fail(DeviceLostError("gone")))
    pair.second.on_infer = when(BAD, fail(ValueError("bad row")))
    with pytest.raises(InferenceError, match="bad row") as caught:
        pair.submit(BAD).result(DEADLINE_S)
    assert not isinstance(caught.value, DeviceLostError)
    with pytest.raises(InferenceError, match="x takes") as refused:
        pair.backend.submit(rows(1, 2), 1)
    assert not isinstance(refused.value, DeviceLostError)


def test_a_model_that_is_loaded_anew_meanwhile_costs_no_batch() -> None:
    class Reloading(DeviceBackend):
        def submit(self, inputs: Tensors, count: int | None = None, around: Around | None = None) -> Future[Inference]:
            del inputs, count, around
            raise NotOpenError("the model was loaded anew meanwhile: submit the batch again")

    backend = FailoverBackend(Reloading(Device()), Standby(DeviceBackend(Device()), options()))
    backend.open(NO_MODEL, options())
    assert answer_of(backend.submit(rows(1.0), 1)) == (2.0, True)
    backend.close()


def test_a_device_whose_health_alone_says_that_it_broke_is_lost_too(tmp_path: Path) -> None:
    model = ModelFile(save_scripted_model(tmp_path / "model"), "onnx")
    primary = ScriptedBackend()
    backend = FailoverBackend(primary, Standby(ScriptedBackend(), options()))
    backend.open(model, options())
    primary.break_down("the card fell off")
    image = np.ones((1, 8, 8, 3), np.uint8)
    inference = backend.submit({"image": image}, 1).result(DEADLINE_S)
    assert inference.is_degraded
    assert not inference.has_held_inputs, "the device has answered"
    backend.close()


def test_closing_finishes_what_a_hung_device_had() -> None:
    pair, let_go = Pair(timeout_s=0.4), Event()
    pair.first.on_infer = lambda _: hang(let_go)
    futures = [pair.submit(first) for first in (1.0, 2.0)]
    pair.first.wait_for(lambda seen: seen.began == 1)
    pair.backend.close()
    assert all(future.done() for future in futures)
    assert [answer_of(future) for future in futures] == [(2.0, True), (4.0, True)]
    with pytest.raises(NotOpenError, match="closed"):
        pair.submit(1.0)
    assert not pair.backend.health().is_ready
    let_go.set()


@pytest.mark.parametrize("batch", [None, 4], ids=str)
@pytest.mark.parametrize(
    ("spare_batch", "count"), [(None, 1), (None, 4), (2, 1), (2, 2), (4, 1), (4, 4), (8, 1), (8, 4)], ids=str
)
def test_rows_are_cut_or_padded_to_what_the_standby_takes(
    tmp_path: Path, batch: int | None, spare_batch: int | None, count: int
) -> None:
    device = Device()
    device.on_infer = lambda _: fail(DeviceLostError("gone"))()
    spare = ModelFile(save_fragile(tmp_path / "spare.onnx", spare_batch), "onnx")
    model = ModelFile(save_fragile(tmp_path / "model.onnx", batch), "onnx")
    backend = FailoverBackend(FaultyBackend(device), Standby(make_backend("onnxruntime"), options(), spare))
    program = backend.open(model, options())
    images = np.full((program.rows_for(count), 8, 8, 3), 99, np.uint8)
    images[:count] = np.arange(count, dtype=np.uint8)[:, None, None, None]
    inference = backend.submit({"image": images}, count).result(DEADLINE_S)
    np.testing.assert_array_equal(inference.outputs["answer"], [[64 * row] * 3 for row in range(count)])
    assert inference.padded_rows == (spare_batch or count) - count
    assert (inference.backend, inference.device) == ("onnxruntime", "cpu")
    backend.close()


def spare_program(
    *, name: str = "answer", classes: int = 3, dtype: type = np.uint8, batch: int | None = None, side: int = 8
) -> Program:
    return Program(
        (TensorSpec("image", (batch, side, side, 3), np.dtype(dtype)),),
        (TensorSpec(name, (batch, classes), np.dtype(np.float32)),),
    )


@pytest.mark.parametrize(
    ("spare", "said"),
    [
        (spare_program(name="logits"), "the outputs of the model are answer, and those of its standby's logits"),
        (spare_program(classes=5), r"output answer .* float32\[any, 3\], .* standby's float32\[any, 5\]"),
        (spare_program(dtype=np.float32), r"input image .* uint8\[any, 8, 8, 3\], .* float32\[any, 8, 8, 3\]"),
        (spare_program(side=9), r"input image .* uint8\[any, 9, 9, 3\]"),
        (spare_program(batch=2), "takes batches of 2 at the most, and they have up to 4 rows"),
    ],
    ids=["name", "classes", "type", "shape", "batch"],
)
def test_a_standby_that_is_no_match_is_refused_in_one_line(tmp_path: Path, spare: Program, said: str) -> None:
    model = ModelFile(save_scripted_model(tmp_path / "model"), "onnx")
    primary, standby = ScriptedBackend(Script(scripted_program())), ScriptedBackend(Script(spare))
    backend = FailoverBackend(primary, Standby(standby, BackendOptions()))
    with pytest.raises(ModelError, match=said) as caught:
        backend.open(model, BackendOptions(open_batch=4))
    assert "\n" not in str(caught.value)
    assert not primary.health().is_ready
    assert not standby.health().is_ready
