"""A program on a card: the order of the calls, what each of them may answer, and a card that breaks."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.backends.base import BackendOptions
from engine.backends.qaic import runtime
from engine.backends.qaic.backend import QaicBackend, QaicOwn
from engine.backends.qaic.sdk import Sdk
from engine.backends.qaic.vendor import load_vendor
from engine.errors import BackendError, DeviceLostError, DeviceNotFoundError, InferenceError, ModelError
from engine.models.files import QPC_FILE_NAME, ModelFile
from engine.models.program import Program
from engine.options import session_options
from tests.fakes.onnx_models import FATAL_PIXEL, TinyClassifier, save_fragile
from tests.fakes.qaic.machine import Card, Machine, machine_at
from tests.fakes.qaic.sdk import installed, nothing_installed
from tests.fakes.waiting import wait_until

DEADLINE_S = 20.0
ROWS = 2
#: The calls of an opening and of an inference, in their order.
LOADING = ["Context", "Queue", "Qpc", "getIoDescriptor", "Program", "load", "activate", "ExecObj"]
RUNNING = ["setData", "enqueue", "waitForCompletion", "getData"]
GIVE_STATUS = ["getIoDescriptor", "load", "activate"]


class QuickBackend(QaicBackend):
    probe_after_s = 0.05
    load_limit_s: ClassVar[float] = 5.0


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Programs are compiled once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def sdk(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sdk]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    with installed(tmp_path / "qti-aic", [Card(0, 16), Card(2, 14, "PCIe")]) as found:
        yield found


@pytest.fixture
def machine(sdk: Sdk) -> Machine:
    return machine_at(sdk.root)


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return ModelFile(save_fragile(tmp_path / "model.onnx", ROWS), "onnx")


@pytest.fixture
def backend(sdk: Sdk, machine: Machine) -> Iterator[QuickBackend]:
    made = QuickBackend(sdk)
    yield made
    machine.heal()
    made.close()


def options(device: str | None = None, timeout_s: float = 60.0, **keywords: Any) -> BackendOptions:
    said = session_options({"set_size": 1, **keywords})
    return BackendOptions(device=device, keywords=said, data_path_timeout_s=timeout_s)


def images(*levels: int) -> dict[str, NDArray[np.uint8]]:
    return {"image": np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])}


def works(backend: QaicBackend) -> None:
    answer = backend.submit(images(3, 4), ROWS).result(DEADLINE_S).outputs["answer"]
    np.testing.assert_array_equal(answer, np.array([[192.0] * 3, [256.0] * 3], np.float32))


def until(condition: Callable[[], object]) -> None:
    wait_until(lambda: bool(condition()), "what the test waits for")


def test_the_calls_come_in_the_vendors_order_and_the_cores_are_given_back(
    backend: QuickBackend, machine: Machine, model: ModelFile, caplog: pytest.LogCaptureFixture
) -> None:
    backend.open(model, options(aic_num_cores=4))
    assert machine.calls == LOADING
    assert machine.cards[0].nsp_free == 12
    assert backend.health().is_ready
    assert backend.health().detail == (
        "card 0 (PCIe Pro): Ready, 16 of 16 AI cores free; activations: 1, AI cores of each: 4, set size: 1"
    )
    machine.calls.clear()
    works(backend)
    assert machine.calls == RUNNING
    machine.calls.clear()
    backend.close()
    assert machine.calls == ["deactivate"]
    assert machine.cards[0].nsp_free == 16
    assert not caplog.records


def test_activations_and_set_size_make_the_slots(backend: QuickBackend, machine: Machine, model: ModelFile) -> None:
    backend.open(model, BackendOptions())
    assert backend.slots == 10
    backend.close()
    backend.open(model, options(num_activations=3, set_size=2, aic_num_cores=5))
    assert backend.slots == 6
    assert machine.cards[0].held == [5, 5, 5]
    assert machine.calls.count("Qpc") == 2, "activations are made from one Qpc"
    works(backend)


def test_a_program_lands_on_the_card_that_is_meant(backend: QuickBackend, machine: Machine, model: ModelFile) -> None:
    for device, dev_id, qids, mapping in (("2", 0, [2], ""), (None, 2, [2], ""), ("0:2", 0, [0, 2], "0:2")):
        machine.programs.clear()
        machine.properties.clear()
        backend.open(model, options(device, timeout_s=30, dev_id=dev_id))
        assert machine.programs == qids
        assert [given["devMapping"] for given in machine.properties] == [mapping]
        assert [given["dataPathTimeoutMs"] for given in machine.properties] == [27_000]
        works(backend)
        backend.close()


def test_a_build_without_a_property_is_used_without_it(
    backend: QuickBackend, machine: Machine, model: ModelFile, monkeypatch: pytest.MonkeyPatch, sdk: Sdk
) -> None:
    rt = load_vendor(sdk).rt
    monkeypatch.setattr(rt, "QAicProgramProperties", rt.OlderProgramProperties)
    backend.open(model, options())
    works(backend)
    assert "dataPathTimeoutMs" not in machine.properties[0]


@pytest.mark.parametrize(
    ("step", "kind"), [*((step, "exception") for step in LOADING), *((step, "status") for step in GIVE_STATUS)]
)
def test_a_failure_while_loading_is_one_line_and_leaves_nothing_behind(
    backend: QuickBackend, machine: Machine, model: ModelFile, step: str, kind: str
) -> None:
    machine.fail(step, "QS_NOMEM" if kind == "status" else RuntimeError("the vendor\nsays no"))
    error = ModelError if step in ("Qpc", "getIoDescriptor") else DeviceNotFoundError
    with pytest.raises(error, match="QS_NOMEM" if kind == "status" else "failed: the vendor") as caught:
        backend.open(model, options(num_activations=2))
    assert "\n" not in str(caught.value)
    assert machine.cards[0].held == []
    machine.heal()
    backend.open(model, options(num_activations=2))
    works(backend)


@pytest.mark.parametrize("step", RUNNING)
@pytest.mark.parametrize("outcome", ["QS_INVAL", "QS_ERROR", RuntimeError("no\nmore")])
def test_a_failed_call_fails_its_batch_alone(
    backend: QuickBackend, machine: Machine, model: ModelFile, step: str, outcome: str | Exception
) -> None:
    backend.open(model, options())
    machine.fail(step, outcome, 1)
    error = backend.submit(images(1, 2), ROWS).exception(DEADLINE_S)
    assert type(error) is InferenceError
    assert (
        str(error) == f"card 0 failed a batch: {step} {'failed: no' if outcome != str(outcome) else f'gave {outcome}'}"
    )
    assert backend.health().is_ready
    works(backend)


@pytest.mark.parametrize("status", ["QS_NODEV", "QS_TIMEDOUT", "QS_DEV_ERROR", "QS_BADFD", "QS_PROTOCOL"])
def test_a_broken_card_is_given_up_and_used_again_when_it_is_back(
    backend: QuickBackend, machine: Machine, model: ModelFile, status: str
) -> None:
    backend.open(model, options(aic_num_cores=16))
    machine.fail("waitForCompletion", status)
    machine.fail("load", "QS_ERROR")
    error = backend.submit(images(1, 2), ROWS).exception(DEADLINE_S)
    assert isinstance(error, DeviceLostError)
    assert status in str(error)
    until(lambda: not backend.health().is_ready)
    assert status in backend.health().detail
    with pytest.raises(DeviceLostError):
        backend.submit(images(1, 2), ROWS)
    machine.heal()
    until(lambda: backend.health().is_ready)
    works(backend)
    assert machine.cards[0].held == [16], "the lost program has given its cores back"


def test_a_card_that_went_to_error_is_lost_whatever_the_status_says(
    backend: QuickBackend, machine: Machine, model: ModelFile
) -> None:
    backend.open(model, options())
    machine.fail("waitForCompletion", "QS_ERROR", breaks_card=True)
    assert isinstance(backend.submit(images(1, 2), ROWS).exception(DEADLINE_S), DeviceLostError)
    until(lambda: not backend.health().is_ready)
    machine.heal()
    until(lambda: backend.health().is_ready)
    works(backend)


def test_a_card_that_does_not_tell_its_state_after_a_failure_is_lost(
    backend: QuickBackend, machine: Machine, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "_STATE_LIMIT_S", 0.1)
    backend.open(model, options())
    machine.fail("waitForCompletion", "QS_ERROR", 1)
    machine.hold("getDeviceInfo")
    assert isinstance(backend.submit(images(1, 2), ROWS).exception(DEADLINE_S), DeviceLostError)


def test_a_hung_card_is_given_up_and_its_cores_come_back_when_it_answers(
    backend: QuickBackend, machine: Machine, model: ModelFile
) -> None:
    backend.open(model, options(timeout_s=0.3, aic_num_cores=16, set_size=2))
    gate = machine.hold("waitForCompletion")
    futures = [backend.submit(images(1, 2), ROWS) for _ in range(3)]
    for future in futures:
        assert isinstance(future.exception(DEADLINE_S), DeviceLostError)
    assert not backend.health().is_ready
    assert machine.cards[0].held == [16], "what is stuck keeps its cores, so the probe finds no room"
    assert machine.calls.count("deactivate") == 0, "an execution object is still in use"
    gate.set()
    until(lambda: backend.health().is_ready)
    works(backend)
    assert machine.cards[0].held == [16]


def test_the_runtimes_own_time_out_comes_first(backend: QuickBackend, machine: Machine, model: ModelFile) -> None:
    backend.open(model, options(timeout_s=2.0))
    machine.slow = Event()
    error = backend.submit(images(1, 2), ROWS).exception(DEADLINE_S)
    assert isinstance(error, DeviceLostError)
    assert "waitForCompletion gave QS_TIMEDOUT" in str(error)
    machine.heal()
    until(lambda: backend.health().is_ready)
    works(backend)


def test_nothing_that_a_caller_keeps_hinders_the_deactivation(
    backend: QuickBackend, machine: Machine, model: ModelFile, caplog: pytest.LogCaptureFixture
) -> None:
    """A traceback that holds an execution object would: the vendor's runtime then refuses it."""
    backend.open(model, options())
    kept: list[BaseException | None] = []
    gc.disable()
    try:
        for step in RUNNING:
            machine.fail(step, RuntimeError("no"), 1)
            kept.append(backend.submit(images(1, 2), ROWS).exception(DEADLINE_S))
        kept.append(backend.submit(images(FATAL_PIXEL, 2), ROWS).exception(DEADLINE_S))
        with pytest.raises(InferenceError) as caught:
            backend.submit(images(FATAL_PIXEL, 2), ROWS).result(60)
        backend.close()
    finally:
        gc.enable()
    assert len(kept) == 5
    assert caught.value
    assert machine.cards[0].held == []
    assert "QS_INVAL" not in caplog.text


def test_a_card_that_does_not_let_go_is_not_waited_for(
    backend: QuickBackend,
    machine: Machine,
    model: ModelFile,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(runtime, "UNLOAD_LIMIT_S", 0.05)
    backend.open(model, options())
    machine.hold("deactivate")
    backend.close()
    assert "deactivate gave no answer within 0.05 s; its AI cores may stay taken" in caplog.text


def test_a_load_that_comes_late_is_let_go_again(
    backend: QuickBackend, machine: Machine, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(QuickBackend, "load_limit_s", 0.1)
    backend.compile(model, options())
    gate = machine.hold("load")
    with pytest.raises(DeviceNotFoundError, match=r"card 0 gave no answer within 0\.1 s"):
        backend.open(model, options())
    gate.set()
    until(lambda: "deactivate" in machine.calls)
    until(lambda: machine.cards[0].held == [])


def test_too_few_free_cores_are_told_before_the_program_is_loaded(
    backend: QuickBackend, machine: Machine, model: ModelFile
) -> None:
    with pytest.raises(DeviceNotFoundError, match="card 2 has 14 of its 14 AI cores free, and 16 are needed"):
        backend.open(model, options("2", aic_num_cores=8, num_activations=2))
    assert machine.calls == []
    backend.open(model, options("0", aic_num_cores=8, num_activations=2))


def test_a_program_from_elsewhere_needs_no_compiler(
    backend: QuickBackend, machine: Machine, model: ModelFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    content = backend.compile(model, options(aic_num_cores=15)).path.read_bytes()
    path = folder / QPC_FILE_NAME
    path.write_bytes(content)
    qpc = ModelFile(path, "qpc")
    backend.open(qpc, options(mos=2))
    works(backend)
    assert "AI cores of each: unknown" in backend.health().detail
    backend.close()
    assert "is compiled already: mos is without effect" in caplog.text
    # How many cores it takes is not known before it is activated.
    with pytest.raises(DeviceNotFoundError, match=r"Program\.activate gave QS_ERROR \(card 2 .*14 of 14 AI cores free"):
        backend.open(qpc, options("2"))
    other = path.rename(folder / "resnet.bin")
    with pytest.raises(ModelError, match=r"resnet\.bin: .*programqpc\.bin in it"):
        backend.open(ModelFile(other, "qpc"), options())
    path.write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="is no program that this SDK can read: Qpc failed: no QPC"):
        backend.open(qpc, options())
    assert machine.cards[0].held == []


def test_a_ladder_takes_the_smallest_that_fits_and_no_other(
    backend: QuickBackend, machine: Machine, tmp_path: Path
) -> None:
    model = ModelFile(save_fragile(tmp_path / "open.onnx"), "onnx")
    program = backend.open(model, options(onnx_define_symbol=[("batch", 1), ("batch", 4)]))
    assert program.ladder == (1, 4)
    assert program.rows_for(2) == 4
    four = images(1, 2, 3, 4)
    inference = backend.submit(four, 3).result(DEADLINE_S)
    assert inference.padded_rows == 1
    np.testing.assert_array_equal(inference.outputs["answer"][:, 0], [64, 128, 192])
    assert backend.submit(images(9), 1).result(DEADLINE_S).outputs["answer"].shape == (1, 3)
    machine.calls.clear()
    error = backend.submit(images(1, 2), None).exception(DEADLINE_S)
    assert isinstance(error, InferenceError)
    assert "image [4, 8, 8, 3] or image [1, 8, 8, 3]" in str(
        error
    ) or "image [1, 8, 8, 3] or image [4, 8, 8, 3]" in str(error)
    assert machine.calls == [], "the card never sees it"


def test_metadata_of_the_model_comes_with_the_program(backend: QuickBackend, tmp_path: Path) -> None:
    path = TinyClassifier(batch=1, metadata={"streamer.name": "bottles"}).save(tmp_path / "bottles.onnx")
    program: Program = backend.open(ModelFile(path, "onnx"), options())
    assert program.metadata == {"streamer.name": "bottles"}
    assert program.inputs[0].dtype == np.float32


def test_a_name_for_sharing_cores_is_taken_and_said_to_be_without_effect(
    backend: QuickBackend, model: ModelFile, caplog: pytest.LogCaptureFixture
) -> None:
    own = QaicOwn(oversubscription_name="group1")
    for _ in range(2):
        backend.open(model, BackendOptions(keywords=session_options({"set_size": 1}), own=own))
        backend.close()
    assert [record.getMessage()[:41] for record in caplog.records] == ["oversubscription_name group1 is without e"]


def test_a_machine_whose_cards_cannot_be_listed_is_tried_all_the_same(
    backend: QuickBackend, sdk: Sdk, model: ModelFile, caplog: pytest.LogCaptureFixture
) -> None:
    (sdk.root / "tools" / "qaic-util").write_text("#!/bin/sh\necho denied >&2; exit 1\n", encoding="utf-8")
    backend.open(model, options())
    works(backend)
    assert "exit code 1: denied" in caplog.text


def test_without_the_vendors_software_the_message_says_what_to_install(tmp_path: Path, model: ModelFile) -> None:
    backend = QaicBackend(Sdk(tmp_path / "nowhere"))
    message = r"needs the vendor's Python module qaicrt.* install the Apps and Platform SDKs"
    with nothing_installed(), pytest.raises(BackendError, match=message):
        backend.open(model, options())
    backend.close()


def test_many_places_give_each_its_own_answer(backend: QuickBackend, model: ModelFile) -> None:
    backend.open(model, options(num_activations=2, set_size=4))
    futures = [(level, backend.submit(images(level, level + 1), ROWS)) for level in range(100)]
    for level, future in futures:
        answer = future.result(DEADLINE_S).outputs["answer"]
        np.testing.assert_array_equal(answer[:, 0], [64 * level, 64 * (level + 1)])
    assert backend.benchmark(images(1, 2), 40, None).completed == 40
