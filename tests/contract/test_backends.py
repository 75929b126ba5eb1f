"""What every back end keeps to; the promises are those of `engine.backends.base`."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.backends.base import Backend, BackendOptions, Inference, OwnOptions
from engine.backends.failover import FailoverBackend, Standby
from engine.backends.qai_hub import QaiHubOwn
from engine.backends.registry import make_backend
from engine.errors import DeviceNotFoundError, InferenceError, ModelError, ModelNotFoundError
from engine.models.files import ModelFile
from engine.options import SessionOptions
from tests.fakes.faulty_backend import FaultyBackend, broken_device
from tests.fakes.fragile_models import save_mismatched
from tests.fakes.hub_server import make_hub_backend
from tests.fakes.onnx_models import FATAL_PIXEL, save_fragile
from tests.fakes.optional_backends import make_optional
from tests.fakes.qaic.card import StandInCard
from tests.fakes.quantized_models import make_qnn, save_quantized_sums
from tests.fakes.scripted_backend import Script, ScriptedBackend, save_scripted_model, scripted_program
from tests.fakes.simulated_card import TinyCard

DEADLINE_S = 20.0
SLOTS = 2
FIXED = 4
OPTIONS = BackendOptions(keywords=SessionOptions(num_activations=SLOTS))


@dataclass(frozen=True)
class Case:
    """A kind of back end. Its model gives the sums of the channels; a pixel of `FATAL_PIXEL` fails the batch.

    Attributes:
        device, own: How it is opened.
        sizes: The batch sizes that a model without one is compiled for; empty where any will do.
        can_fail_by_data: Whether what stands in a batch can fail it.
    """

    make: Callable[[int | None], Backend]
    save: Callable[[Path, int | None], Path]
    device: str | None = None
    own: OwnOptions | None = None
    sizes: tuple[int, ...] = ()
    can_fail_by_data: bool = True
    is_simulated: bool = False


def is_fatal(rows: NDArray[np.generic]) -> bool:
    return bool(np.asarray(rows, np.uint8).max() >= FATAL_PIXEL)


def with_standby(primary: Backend) -> Backend:
    return FailoverBackend(primary, Standby(make_backend("onnxruntime"), OPTIONS))


CASES = {
    "onnxruntime": Case(lambda _: make_backend("onnxruntime"), save_fragile),
    "scripted": Case(
        lambda batch: ScriptedBackend(Script(scripted_program(batch), fatal=is_fatal)),
        lambda path, _: save_scripted_model(path),
    ),
    "failover": Case(lambda _: with_standby(make_backend("onnxruntime")), save_fragile),
    "failover, its device lost": Case(lambda _: with_standby(FaultyBackend(broken_device())), save_fragile),
    "openvino": Case(lambda _: make_optional("openvino"), save_mismatched),
    "tinygrad": Case(lambda _: make_optional("tinygrad"), save_mismatched),
    "qaic": Case(StandInCard, save_fragile, sizes=(1, 2, 3)),
    "simulator": Case(TinyCard, save_fragile, is_simulated=True),
    "qnn": Case(make_qnn, save_quantized_sums, sizes=(1, 2, 3), can_fail_by_data=False),
    "qai_hub": Case(
        make_hub_backend,
        save_fragile,
        device="QCS8550 (Proxy)",
        own=QaiHubOwn(poll_interval=0.002),
        sizes=(1, 2, 3),
    ),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]


@pytest.fixture
def backend(case: Case, tmp_path: Path) -> Iterator[Backend]:
    yield from opened(case, tmp_path, None)


@pytest.fixture
def fixed_backend(case: Case, tmp_path: Path) -> Iterator[Backend]:
    yield from opened(case, tmp_path, FIXED)


def opened(case: Case, folder: Path, batch: int | None) -> Iterator[Backend]:
    backend = case.make(batch)
    backend.open(model_file(case, folder, batch), options_of(case, batch))
    yield backend
    backend.close()


def options_of(case: Case, batch: int | None) -> BackendOptions:
    sizes = {"batch": case.sizes} if case.sizes and batch is None else None
    keywords = SessionOptions.model_validate({"num_activations": SLOTS, "onnx_define_symbol": sizes})
    return BackendOptions(device=case.device, keywords=keywords, own=case.own)


def model_file(case: Case, folder: Path, batch: int | None) -> ModelFile:
    return ModelFile(case.save(folder / "model.onnx", batch), "onnx")


def images(*levels: int) -> NDArray[np.uint8]:
    """A picture of one level each, its channels one apart."""
    return np.stack([np.full((8, 8, 3), level, np.uint8) + np.arange(3, dtype=np.uint8) for level in levels])


def sums(*levels: int) -> NDArray[np.float32]:
    return np.array([[64 * (level + channel) for channel in range(3)] for level in levels], np.float32)


def answer(future: Future[Inference]) -> NDArray[np.generic]:
    return future.result(DEADLINE_S).outputs["answer"]


def test_opening_tells_what_the_model_takes_and_gives(case: Case, tmp_path: Path) -> None:
    for batch in (None, FIXED):
        backend = case.make(batch)
        program = backend.open(model_file(case, tmp_path, batch), options_of(case, batch))
        ((image,), (output,)) = program.inputs, program.outputs
        assert (image.name, image.shape, image.dtype) == ("image", (batch, 8, 8, 3), np.dtype(np.uint8))
        assert (output.name, output.shape, output.dtype) == ("answer", (batch, 3), np.dtype(np.float32))
        assert program.max_rows == (batch or max(case.sizes, default=None))
        assert backend.slots == SLOTS
        backend.close()


def test_a_batch_gives_a_row_for_each_of_its_rows_and_says_when(case: Case, backend: Backend) -> None:
    before_s = time.monotonic()
    inference = backend.submit({"image": images(1, 2, 3)}, 3).result(DEADLINE_S)
    np.testing.assert_array_equal(inference.outputs["answer"], sums(1, 2, 3))
    assert before_s <= inference.started_at_s <= inference.finished_at_s <= time.monotonic()
    assert inference.simulated == case.is_simulated


@pytest.mark.parametrize("count", [1, 3, FIXED])
def test_padded_rows_are_cut_off(fixed_backend: Backend, count: int) -> None:
    rows = images(*range(10, 10 + FIXED))
    np.testing.assert_array_equal(
        answer(fixed_backend.submit({"image": rows}, count)), sums(*range(10, 10 + FIXED))[:count]
    )


def test_answers_belong_to_their_inputs_from_many_threads(backend: Backend) -> None:
    threads = 4
    together = Barrier(threads)

    def submit(thread: int) -> list[tuple[int, Future[Inference]]]:
        together.wait(DEADLINE_S)
        levels = range(thread, 80, threads)
        return [(level, backend.submit({"image": images(level, level + 1)}, 2)) for level in levels]

    with ThreadPoolExecutor(threads) as pool:
        for submitted in pool.map(submit, range(threads)):
            for level, future in submitted:
                np.testing.assert_array_equal(answer(future), sums(level, level + 1))


def test_a_failed_batch_fails_alone(case: Case, backend: Backend) -> None:
    if not case.can_fail_by_data:
        pytest.skip("its programs have no operator that looks at data before it computes")
    levels = (1, FATAL_PIXEL, 2, FATAL_PIXEL, 3)
    futures = [backend.submit({"image": images(level)}, 1) for level in levels]
    for level, future in zip(levels, futures, strict=True):
        if level == FATAL_PIXEL:
            error = future.exception(DEADLINE_S)
            assert isinstance(error, InferenceError)
            assert "\n" not in str(error)
        else:
            np.testing.assert_array_equal(answer(future), sums(level))
    assert backend.health().is_ready


@pytest.mark.parametrize(
    ("inputs", "count", "named"),
    [
        ({}, 1, "image"),
        ({"picture": images(1)}, 1, "picture"),
        ({"image": images(1), "more": images(1)}, 1, "more"),
        ({"image": images(1).astype(np.float32)}, 1, "float32"),
        ({"image": images(1)[:, :7]}, 1, "7, 8, 3"),
        ({"image": images(1)[0]}, 1, "8, 8, 3"),
        ({"image": images(1, 2)}, 1, "2, 8, 8, 3"),
        ({"image": images(1)}, 2, "1, 8, 8, 3"),
        ({"image": images(1)[:0]}, 0, "0"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    case: Case, backend: Backend, inputs: dict[str, NDArray[np.generic]], count: int, named: str
) -> None:
    if named == "2, 8, 8, 3" and 2 in case.sizes:
        pytest.skip("a batch of two with one row of data is one of its sizes")
    with pytest.raises(InferenceError, match=named):
        backend.submit(inputs, count)
    np.testing.assert_array_equal(answer(backend.submit({"image": images(5)}, 1)), sums(5))


@pytest.mark.parametrize(("rows", "count"), [(FIXED - 1, FIXED - 1), (FIXED + 1, FIXED), (FIXED, FIXED + 1)])
def test_a_fixed_batch_takes_its_own_size_only(fixed_backend: Backend, rows: int, count: int) -> None:
    with pytest.raises(InferenceError):
        fixed_backend.submit({"image": images(*range(rows))}, count)


def test_closing_finishes_what_was_submitted(backend: Backend) -> None:
    futures = [backend.submit({"image": images(level)}, 1) for level in range(20)]
    backend.close()
    assert all(future.done() for future in futures)
    for level, future in enumerate(futures):
        np.testing.assert_array_equal(answer(future), sums(level))


def test_nothing_is_taken_after_closing_and_closing_again_is_harmless(backend: Backend) -> None:
    backend.close()
    with pytest.raises(InferenceError, match="closed"):
        backend.submit({"image": images(1)}, 1)
    backend.close()


def test_whoever_submits_while_another_thread_closes_has_a_future_or_an_error(case: Case, tmp_path: Path) -> None:
    model = model_file(case, tmp_path, None)
    for _ in range(10):
        backend = case.make(None)
        backend.open(model, options_of(case, None))
        together = Barrier(2)

        def submit(backend: Backend = backend, together: Barrier = together) -> list[Future[Inference]]:
            futures: list[Future[Inference]] = []
            together.wait(DEADLINE_S)
            deadline_s = time.monotonic() + DEADLINE_S
            while time.monotonic() < deadline_s:
                try:
                    futures.append(backend.submit({"image": images(7)}, 1))
                except InferenceError:
                    return futures
            raise AssertionError("it was never closed")

        with ThreadPoolExecutor(1) as pool:
            submitting = pool.submit(submit)
            together.wait(DEADLINE_S)
            backend.close()
            for future in submitting.result(DEADLINE_S):
                assert future.done()
                np.testing.assert_array_equal(answer(future), sums(7))


def test_health_before_during_and_after(case: Case, tmp_path: Path) -> None:
    backend = case.make(None)
    assert not backend.health().is_ready
    with pytest.raises(InferenceError):
        backend.submit({"image": images(1)}, 1)
    backend.close()
    backend.open(model_file(case, tmp_path, None), options_of(case, None))
    assert backend.health().is_ready
    assert backend.health().detail
    backend.close()
    assert not backend.health().is_ready


def test_a_missing_model_is_named(case: Case, tmp_path: Path) -> None:
    backend = case.make(None)
    for path in (tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(ModelNotFoundError, match=str(path)):
            backend.open(ModelFile(path, "onnx"), OPTIONS)
    assert not backend.health().is_ready
    backend.close()


@pytest.mark.parametrize("content", [b"", b"no model at all", bytes(range(256)) * 40])
def test_a_broken_model_is_named_in_one_line(case: Case, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(content)
    backend = case.make(None)
    with pytest.raises(ModelError, match=r"broken\.onnx") as caught:
        backend.open(ModelFile(path, "onnx"), OPTIONS)
    assert "\n" not in str(caught.value)
    assert not backend.health().is_ready
    backend.close()


def test_an_unknown_device_is_named(case: Case, tmp_path: Path) -> None:
    backend = case.make(None)
    with pytest.raises(DeviceNotFoundError, match="'17'"):
        backend.open(model_file(case, tmp_path, None), BackendOptions(device="17"))
    assert not backend.health().is_ready
    backend.close()
