"""A simulated card: whose figures, whose answers, and what it says of itself."""

import time
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.backends.base import BackendOptions, Inference
from engine.backends.onnxruntime import OnnxRuntimeNetwork
from engine.backends.registry import make_backend
from engine.backends.simulator.backend import SimulatorBackend, SimulatorOwn
from engine.backends.simulator.card import Card, Turn
from engine.backends.simulator.figures import read_figures
from engine.backends.simulator.simulation import with_batch_of
from engine.errors import DeviceLostError, DeviceNotFoundError, InferenceError, OptionsError
from engine.models.files import ModelFile
from engine.models.program import Program, TensorSpec
from engine.options import SessionOptions
from tests.fakes.onnx_models import FATAL_PIXEL, save_fragile
from tests.fakes.simulated_card import TINY_TABLE

DEADLINE_S = 20.0
NONE = SimulatorOwn(row="tiny", compute="none")


def options(own: SimulatorOwn, **keywords: int) -> BackendOptions:
    return BackendOptions(own=own, keywords=SessionOptions.model_validate(keywords))


def rows(*levels: int) -> dict[str, NDArray[np.uint8]]:
    return {"image": np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])}


def run(backend: SimulatorBackend, inputs: dict[str, NDArray[np.uint8]], count: int | None) -> Inference:
    return backend.submit(inputs, count).result(DEADLINE_S)


@pytest.fixture
def fragile(tmp_path: Path) -> ModelFile:
    return ModelFile(save_fragile(tmp_path / "open.onnx"), "onnx")


def test_without_a_row_it_says_how_to_find_one() -> None:
    backend = make_backend("simulator")
    with pytest.raises(OptionsError, match=r'row="resnet50/best-throughput".*benchmark --rows'):
        backend.open(None, BackendOptions())
    assert not backend.health().is_ready


def test_another_table_takes_the_place_of_the_published_figures() -> None:
    backend = make_backend("simulator")
    backend.open(None, options(SimulatorOwn(row="tiny", compute="none", table=str(TINY_TABLE))))
    assert backend.slots == 2
    backend.close()
    with pytest.raises(OptionsError, match=r"nowhere\.csv"):
        backend.open(None, options(SimulatorOwn(row="tiny", table="nowhere.csv")))


def test_an_unknown_row_is_an_error_of_the_options() -> None:
    with pytest.raises(OptionsError, match="did you mean resnet50"):
        make_backend("simulator").open(None, options(SimulatorOwn(row="resnet51")))


def test_without_a_model_it_takes_decoded_frames_and_answers_nothing() -> None:
    backend = SimulatorBackend()
    program = backend.open(None, options(SimulatorOwn(row="mnasnet0_75")))
    (image,) = program.inputs
    assert (image.name, image.shape, image.dtype) == ("image", (2, 224, 224, 3), np.dtype(np.uint8))
    assert (program.outputs, program.metadata["streamer.name"]) == ((), "mnasnet0_75/best-throughput")
    assert (backend.slots, program.rows_for(1)) == (14 * 5, 2)
    inference = run(backend, {"image": np.zeros((2, 224, 224, 3), np.uint8)}, 1)
    assert (inference.outputs, inference.simulated, inference.padded_rows) == ({}, True, 1)
    backend.close()


def test_a_model_of_any_batch_has_the_rows_own(fragile: ModelFile) -> None:
    backend = SimulatorBackend(TINY_TABLE)
    program = backend.open(fragile, options(SimulatorOwn(row="tiny")))
    assert (program.inputs[0].shape, program.outputs[0].shape, program.rows_for(1)) == ((4, 8, 8, 3), (4, 3), 4)
    inference = run(backend, rows(1, 2, 0, 0), 2)
    np.testing.assert_array_equal(inference.outputs["answer"], [[64.0] * 3, [128.0] * 3])
    assert (inference.simulated, inference.padded_rows) == (True, 2)
    backend.close()


def test_an_output_whose_open_axis_is_not_the_batch_keeps_it() -> None:
    floats = np.dtype(np.float32)
    program = Program(
        (TensorSpec("image", (None, 3), floats, ("batch", None)), TensorSpec("scale", (), floats)),
        (
            TensorSpec("boxes", (None, 6), floats, ("found", None)),
            TensorSpec("scores", (None, 6), floats, ("batch", None)),
            TensorSpec("unnamed", (None,), floats, (None,)),
            TensorSpec("fixed", (9,), floats, (None,)),
        ),
    )
    fitted = with_batch_of(program, read_figures(TINY_TABLE).find("tiny"))
    assert [spec.shape for spec in fitted.inputs] == [(4, 3), ()]
    assert [spec.shape for spec in fitted.outputs] == [(None, 6), (4, 6), (4,), (9,)]


def test_with_a_model_and_nothing_computed_it_takes_the_models_inputs_and_answers_nothing(fragile: ModelFile) -> None:
    backend = SimulatorBackend(TINY_TABLE)
    program = backend.open(fragile, options(NONE))
    assert (program.inputs[0].shape, program.outputs) == ((4, 8, 8, 3), ())
    # What would fail where it is computed.
    inference = run(backend, rows(FATAL_PIXEL, 0, 0, 0), 1)
    assert (inference.outputs, inference.simulated, inference.padded_rows) == ({}, True, 3)
    with pytest.raises(InferenceError, match="3, 8, 8, 3"):
        backend.submit(rows(1, 2, 3), 3)
    backend.close()


def test_a_model_with_another_batch_is_refused(tmp_path: Path, fragile: ModelFile) -> None:
    backend = SimulatorBackend(TINY_TABLE)
    one = ModelFile(save_fragile(tmp_path / "one.onnx", 1), "onnx")
    with pytest.raises(OptionsError, match="published for batches of 4, the model has 1"):
        backend.open(one, options(SimulatorOwn(row="tiny")))
    for sizes, said in (({"batch": 2}, "the model has 2"), ({"batch": [2, 4]}, "the model has 2, 4")):
        keywords = SessionOptions.model_validate({"onnx_define_symbol": sizes})
        with pytest.raises(OptionsError, match=said):
            backend.open(fragile, BackendOptions(keywords=keywords, own=SimulatorOwn(row="tiny")))
    keywords = SessionOptions.model_validate({"onnx_define_symbol": {"batch": 4}})
    assert backend.open(fragile, BackendOptions(keywords=keywords, own=SimulatorOwn(row="tiny"))).max_rows == 4
    backend.close()


def test_a_batch_takes_the_cards_time_however_few_rows_hold_data() -> None:
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(None, options(SimulatorOwn(row="slow")))
    futures = [backend.submit(rows(0, 0, 0, 0), 1 + number % 4) for number in range(8)]
    done = [future.result(DEADLINE_S) for future in futures]
    backend.close()
    # Two activations, 50 ms a batch, six places.
    for number, inference in enumerate(done):
        if number >= 2:
            assert inference.finished_at_s == pytest.approx(done[number - 2].finished_at_s + 0.05)
        if number >= 6:
            assert inference.started_at_s == done[number - 6].finished_at_s


def test_answers_come_no_earlier_than_the_card_would_give_them(fragile: ModelFile) -> None:
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(fragile, options(SimulatorOwn(row="slow"), num_activations=1))
    first, second = (backend.submit(rows(1, 2, 3, 4), 4) for _ in range(2))
    finished_s = [future.result(DEADLINE_S).finished_at_s for future in (first, second)]
    began_s = first.result().started_at_s
    # To the rounding of the clock's numbers.
    assert finished_s[0] >= began_s + 0.05 - 1e-6
    assert finished_s[1] >= began_s + 0.1 - 1e-6
    backend.close()


def test_answers_come_no_earlier_than_this_machine_has_them(
    fragile: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card that is done before it has begun."""
    monkeypatch.setattr(Card, "begin", lambda _, now_s: Turn(now_s - 9.0, now_s - 9.0, now_s - 8.0))
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(fragile, options(SimulatorOwn(row="tiny")))
    before_s = time.monotonic()
    inference = run(backend, rows(5, 6, 7, 8), 4)
    np.testing.assert_array_equal(inference.outputs["answer"][:, 0], [320, 384, 448, 512])
    assert before_s <= inference.started_at_s <= inference.finished_at_s
    backend.close()


def test_a_machine_that_hangs_loses_the_card(fragile: ModelFile, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Event()

    def hang(*_: object) -> dict[str, NDArray[np.generic]]:
        assert gate.wait(DEADLINE_S)
        return {}

    monkeypatch.setattr(OnnxRuntimeNetwork, "infer", hang)
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(fragile, BackendOptions(data_path_timeout_s=0.5, own=SimulatorOwn(row="tiny")))
    assert isinstance(backend.submit(rows(1, 2, 3, 4), 4).exception(DEADLINE_S), DeviceLostError)
    assert not backend.health().is_ready
    assert "data_path_timeout" in backend.health().detail
    with pytest.raises(DeviceLostError):
        backend.submit(rows(1, 2, 3, 4), 4)
    gate.set()
    backend.close()


def test_closing_finishes_what_a_card_without_a_model_has() -> None:
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(None, options(SimulatorOwn(row="slow")))
    futures = [backend.submit(rows(0, 0, 0, 0), 4) for _ in range(5)]
    backend.close()
    assert all(future.done() and future.exception() is None for future in futures)
    with pytest.raises(InferenceError, match="closed"):
        backend.submit(rows(0, 0, 0, 0), 4)
    backend.close()


def test_a_benchmark_keeps_the_card_busy() -> None:
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(None, options(NONE))
    run = backend.benchmark(rows(0, 0, 0, 0), 40, None)
    assert run.completed == 40
    # Never faster than the card: 40 batches of 0.2 ms on two activations.
    assert run.took_s >= 40 * 2e-4 / 2
    run = backend.benchmark(rows(0, 0, 0, 0), None, 0.05)
    assert run.completed > 0
    assert run.took_s >= 0.05
    backend.close()


def test_a_benchmark_has_the_latency_of_littles_law() -> None:
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(None, options(SimulatorOwn(row="slow")))
    run = backend.benchmark(rows(0, 0, 0, 0), 30, None)
    # Three batches in flight for each of two activations that take 50 ms; the first ones find the card empty.
    assert run.latencies_s.percentile(0.5) == pytest.approx(0.150, rel=2e-3)
    assert run.latencies_s.min == pytest.approx(0.050, rel=2e-3)
    backend.close()


def test_a_benchmark_hands_over_little_more_than_the_card_has_places_for() -> None:
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(None, options(SimulatorOwn(row="slow")))
    # Six places, and 100 ms of work; then the first one is waited for, and the time is over.
    run = backend.benchmark(rows(0, 0, 0, 0), None, 0.01)
    assert run.completed <= 6 + 4 + 1
    backend.close()


def test_fewer_activations_have_their_share_and_more_are_refused() -> None:
    backend = SimulatorBackend()
    half = options(SimulatorOwn(row="resnet50"), num_activations=1)
    assert backend.concurrency(options(SimulatorOwn(row="resnet50"))) == (2, 6)
    assert backend.concurrency(half) == (1, 6)
    backend.open(None, half)
    simulation = backend.simulation
    assert simulation is not None
    assert simulation.images_per_s == pytest.approx(7721.331 / 2)
    assert simulation.latency_ms == pytest.approx(21.758, abs=1e-3)
    assert "1 of 2 activations" in simulation.note
    assert backend.slots == 6
    backend.close()
    with pytest.raises(OptionsError, match="num_activations is 3: the 2 of row resnet50/best-throughput"):
        backend.open(None, options(SimulatorOwn(row="resnet50"), num_activations=3))


@pytest.mark.parametrize(
    ("row", "keywords", "note", "latency_ms"),
    [
        ("resnet50", {}, "listed latency 21.73 ms, by Little's law 21.76 ms", 21.758),
        ("resnet50", {"set_size": 2}, "throughput only: the figures are for set_size 6, not 2", None),
        (
            "vgg13_bn",
            {},
            "throughput only: listed latency 48.67 ms does not follow from Little's law (119.41 ms)",
            None,
        ),
    ],
)
def test_it_says_what_its_times_rest_upon(
    row: str, keywords: dict[str, int], note: str, latency_ms: float | None
) -> None:
    backend = SimulatorBackend()
    assert backend.simulation is None
    backend.open(None, options(SimulatorOwn(row=row), **keywords))
    simulation = backend.simulation
    assert simulation is not None
    assert (simulation.row, simulation.note) == (f"{row}/best-throughput", note)
    assert simulation.latency_ms == (latency_ms if latency_ms is None else pytest.approx(latency_ms, abs=1e-3))
    detail = backend.health().detail
    assert "simulated card 0" in detail
    assert f"{simulation.row}: {simulation.images_per_s:.0f} images/s; {note}" in detail
    backend.close()
    assert not backend.health().is_ready
    assert backend.simulation == simulation


def test_a_row_without_a_latency_says_so() -> None:
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(None, options(SimulatorOwn(row="slow")))
    assert "throughput only: no latency is listed" in backend.health().detail
    backend.close()


@pytest.mark.parametrize("device", ["16", "cpu", "-1", "٣", "00", ""])
def test_a_card_that_it_does_not_have_is_named(device: str) -> None:
    with pytest.raises(DeviceNotFoundError, match=f"'{device}'.*0 to 15"):
        SimulatorBackend(TINY_TABLE).open(None, BackendOptions(device=device, own=NONE))


def test_the_card_is_chosen_by_dev_id_or_device() -> None:
    backend = SimulatorBackend(TINY_TABLE)
    for chosen in (options(NONE, dev_id=3), BackendOptions(device="3", own=NONE)):
        backend.open(None, chosen)
        assert "simulated card 3" in backend.health().detail
        backend.close()
    with pytest.raises(DeviceNotFoundError, match="'16'"):
        backend.open(None, options(NONE, dev_id=16))


def test_an_open_one_is_not_opened_again() -> None:
    backend = SimulatorBackend(TINY_TABLE)
    backend.open(None, options(NONE))
    with pytest.raises(InferenceError, match="open already"):
        backend.open(None, options(NONE))
    backend.close()
    backend.open(None, options(NONE))
    backend.close()


def test_what_becomes_of_the_vendors_keywords() -> None:
    used = {"dev_id", "num_activations", "set_size", "onnx_define_symbol"}
    assert {name for name in SessionOptions.model_fields if SimulatorBackend.treatment(name) == "used"} >= used
    assert not SimulatorBackend.refuses
    assert SimulatorBackend.treatment("aic_num_cores") == "ignored"
