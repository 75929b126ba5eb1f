"""The back end `qai_hub`: AI Hub's own client, against a stand-in of AI Hub on this machine."""

import json
import logging
import re
import socket
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from engine.backends.base import BackendOptions
from engine.backends.qai_hub import QaiHubBackend, QaiHubOwn
from engine.backends.qai_hub import client as hub_client
from engine.backends.qai_hub.client import Hub
from engine.backends.registry import backend_class
from engine.errors import (
    BackendError,
    CompileError,
    DeviceLostError,
    DeviceNotFoundError,
    EngineError,
    InferenceError,
    ModelError,
)
from engine.models.files import ModelFile
from engine.models.program import Program
from engine.options import SessionOptions
from tests.fakes.hub_server import PART_BYTES, SIGNATURE, TOKEN, HubServer, hub_server
from tests.fakes.hub_state import JobScript
from tests.fakes.onnx_models import TinyClassifier, save_fragile, save_unsupported_operator
from tests.fakes.waiting import wait_until

DEVICE = "Samsung Galaxy S24 (Family)"
DEADLINE_S = 30.0
POLL_S = 0.005
#: Open a model: `open_model(path, own=…, keywords=…)`.
Opener = Callable[..., tuple[QaiHubBackend, Program]]


@pytest.fixture(autouse=True)
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever looks for another machine fails its test; and nothing waits as long as it would in earnest."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    plain = socket.getaddrinfo

    def guarded(host: str, *rest: object, **keywords: object) -> object:
        assert host == "127.0.0.1", f"something asks for {host}"
        return plain(host, *rest, **keywords)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
    monkeypatch.setattr("qai_hub.util.session.BACKOFF_FACTOR", 0.0)
    monkeypatch.setattr(hub_client, "_FIRST_WAIT_S", 0.01)


@pytest.fixture
def hub() -> Iterator[HubServer]:
    with hub_server() as running:
        yield running
    assert not running.unknown


@pytest.fixture
def open_model(hub: HubServer) -> Iterator[Opener]:
    opened: list[QaiHubBackend] = []

    def open_it(path: Path, backend: QaiHubBackend | None = None, **given: object) -> tuple[QaiHubBackend, Program]:
        backend = backend or QaiHubBackend(hub.connect)
        opened.append(backend)
        return backend, backend.open(ModelFile(path, "onnx"), options(**given))

    yield open_it
    for backend in opened:
        backend.close()


def options(device: object = DEVICE, own: object = None, **keywords: object) -> BackendOptions:
    own = {"poll_interval": POLL_S} | (own if isinstance(own, dict) else {})
    return BackendOptions(
        device=None if device is None else str(device),
        keywords=SessionOptions.model_validate(keywords),
        own=QaiHubOwn.model_validate(own),
    )


def images(*levels: int) -> NDArray[np.uint8]:
    return np.stack([np.full((8, 8, 3), level, np.uint8) for level in levels])


def fragile(tmp_path: Path) -> Path:
    return save_fragile(tmp_path / "model.onnx")


def test_a_batch_is_compiled_sent_and_answered(
    hub: HubServer, tmp_path: Path, open_model: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    hub.script("compile", JobScript(looks=5))
    hub.script("inference", JobScript(looks=4))
    backend, program = open_model(fragile(tmp_path), onnx_define_symbol={"batch": 2}, num_activations=2)
    assert program.inputs[0].shape == (2, 8, 8, 3)
    assert backend.slots == 2
    assert DEVICE in backend.health().detail
    inference = backend.submit({"image": images(1, 2)}, 2).result(DEADLINE_S)
    np.testing.assert_array_equal(inference.outputs["answer"], [[64] * 3, [128] * 3])
    assert inference.outputs["answer"].dtype == np.float32
    assert not inference.simulated

    job_ids = {job_id: job.kind for job_id, job in hub.state.jobs.items()}
    for job_id, kind in job_ids.items():
        lines = [line for line in caplog.messages if f"{kind} job {job_id}: " in line]
        states = [line.split(f"{job_id}: ")[1].split()[0] for line in lines]
        running = "OPTIMIZING_MODEL" if kind == "compile" else "RUNNING_INFERENCE"
        assert states == ["CREATED", running, "SUCCESS"]


def test_a_job_is_for_the_device_the_sizes_and_the_runtime_asked_for(
    hub: HubServer, tmp_path: Path, open_model: Opener
) -> None:
    own = {"target_runtime": "qnn_dlc", "compile_options": "--truncate_64bit_io", "job_options": "--compute_unit npu"}
    backend, _ = open_model(fragile(tmp_path), device="QCS8550 (Proxy)", own=own)
    backend.submit({"image": images(1)}, 1).result(DEADLINE_S)
    compiling, inferring = (job.own for job in hub.state.jobs.values())
    assert compiling.options == "--target_runtime qnn_dlc --truncate_64bit_io"
    assert [device.name for device in compiling.devices.devices] == ["QCS8550 (Proxy)"]
    assert [(entry.name, list(entry.tensor_type.shape)) for entry in compiling.tensor_type_list.types] == [
        ("image", [1, 8, 8, 3])
    ]
    assert (inferring.options, inferring.device.name) == ("--compute_unit npu", "QCS8550 (Proxy)")
    assert inferring.model.model_id == compiling.target_model.model_id


def test_a_ladder_is_a_compiled_model_for_each_size(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    backend, program = open_model(fragile(tmp_path), onnx_define_symbol={"batch": [1, 4]})
    assert program.batch_sizes == (1, 4)
    inference = backend.submit({"image": images(1, 2, 3, 0)}, 3).result(DEADLINE_S)
    np.testing.assert_array_equal(inference.outputs["answer"], [[64] * 3, [128] * 3, [192] * 3])
    assert inference.padded_rows == 1
    assert hub.state.created["compile"] == 2


def test_what_was_compiled_is_used_until_something_changes(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    path = fragile(tmp_path)
    backend = QaiHubBackend(hub.connect)
    assert backend.compile(ModelFile(path, "onnx"), options()) == ModelFile(path, "onnx")
    for device, compiled in ((DEVICE, 1), (DEVICE, 1), ("QCS8550 (Proxy)", 2), (DEVICE, 2)):
        open_model(path, backend, device=device)
        backend.close()
        assert hub.state.created["compile"] == compiled
    TinyClassifier().save(path)
    open_model(path, backend)
    assert hub.state.created["compile"] == 3


def test_a_note_tells_another_process_what_was_compiled(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    path, folder = fragile(tmp_path), tmp_path / "notes"
    open_model(path, output_dir=str(folder))
    (note,) = folder.iterdir()
    content = json.loads(note.read_text())
    assert content["model"] in hub.state.models
    assert content["job"] in hub.state.jobs
    backend, _ = open_model(path, output_dir=str(folder))
    assert hub.state.created["compile"] == 1
    np.testing.assert_array_equal(
        backend.submit({"image": images(1)}, 1).result(DEADLINE_S).outputs["answer"], [[64] * 3]
    )
    # It is gone from the hub, and then the note is broken.
    del hub.state.models[content["model"]]
    open_model(path, output_dir=str(folder))
    assert hub.state.created["compile"] == 2
    note.write_text("{")
    open_model(path, output_dir=str(folder))
    assert hub.state.created["compile"] == 3


def test_a_folder_that_cannot_be_written_is_named(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    path = fragile(tmp_path)
    with pytest.raises(CompileError, match=r"model\.onnx/.*another output_dir"):
        open_model(path, output_dir=str(path))


def test_weights_in_a_file_of_their_own_are_sent_too(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    plain = onnx.load(TinyClassifier().save(tmp_path / "plain.onnx"))
    path = tmp_path / "split.onnx"
    onnx.save(plain, path, save_as_external_data=True, location="weights.bin", size_threshold=80)
    assert (tmp_path / "weights.bin").stat().st_size
    backend, _ = open_model(path)
    picture = np.random.default_rng(1).random((1, 3, 32, 32)).astype(np.float32)
    given = backend.submit({"image": picture}, 1).result(DEADLINE_S).outputs["answer"]
    expected = np.argmax(TinyClassifier().probabilities(picture))
    assert np.argmax(np.asarray(given, np.float32)) == expected


def test_a_model_of_several_parts_arrives_whole(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    path = TinyClassifier(classes=2000).save(tmp_path / "wide.onnx")
    assert path.stat().st_size > 2 * PART_BYTES
    backend, program = open_model(path)
    assert program.outputs[0].shape == (1, 2000)
    picture = np.ones((1, 3, 32, 32), np.float32)
    given = backend.submit({"image": picture}, 1).result(DEADLINE_S).outputs["answer"]
    assert given.shape == (1, 2000)


@pytest.mark.parametrize("kind", ["compile", "inference"])
@pytest.mark.parametrize(
    ("script", "own", "named"),
    [
        (JobScript(failure="QNN: no such\noperator 'Unheard'"), {}, "failed: QNN: no such operator 'Unheard'"),
        (JobScript(failure=""), {}, "failed: it does not say why"),
        (JobScript(failure="cannot read https://s3/x?Sig=s3cret"), {}, r"failed: cannot read https://s3/x\?… \("),
        (JobScript(vanishes=True), {}, "could not be found"),
        (JobScript(is_stuck=True), {"job_timeout": 0.1}, "still .* after 0.1 s .*longer job_timeout"),
    ],
)
def test_a_job_that_goes_wrong_is_one_line(
    hub: HubServer, tmp_path: Path, open_model: Opener, kind: str, script: JobScript, own: object, named: str
) -> None:
    path = fragile(tmp_path)
    if kind == "compile":
        hub.script("compile", script)
        with pytest.raises(CompileError, match=named) as caught:
            open_model(path, own=own)
        error: EngineError = caught.value
    else:
        backend, _ = open_model(path, own=own)
        hub.script("inference", script)
        found = backend.submit({"image": images(1)}, 1).exception(DEADLINE_S)
        assert type(found) is InferenceError
        error = found
        hub.script("inference", JobScript())
        backend.submit({"image": images(1)}, 1).result(DEADLINE_S)
        assert backend.health().is_ready
    assert re.search(named, str(error))
    assert "\n" not in str(error)
    (job_id,) = [job_id for job_id, job in hub.state.jobs.items() if job.script == script]
    assert job_id in str(error)


def test_a_job_without_output_says_so(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    backend, _ = open_model(fragile(tmp_path))
    hub.script("inference", JobScript(loses_output=True))
    error = backend.submit({"image": images(1)}, 1).exception(DEADLINE_S)
    assert isinstance(error, InferenceError)
    assert "gave [], and not ['answer']" in str(error)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("request_pattern", ["POST .*/jobs/$", r"GET .*/jobs/\w+/$", "POST .*/datasets/$"])
def test_a_busy_hub_is_asked_again(
    hub: HubServer, tmp_path: Path, open_model: Opener, request_pattern: str, status: int
) -> None:
    backend, _ = open_model(fragile(tmp_path))
    # The client itself asks seven times. Whether a job was created is left open by a 503, so that is not asked again.
    hub.refuse(request_pattern, status, times=5 if (request_pattern, status) == ("POST .*/jobs/$", 503) else 10)
    np.testing.assert_array_equal(
        backend.submit({"image": images(3)}, 1).result(DEADLINE_S).outputs["answer"], [[192] * 3]
    )
    assert hub.state.created["inference"] == 1


def test_a_hub_that_stays_busy_is_given_up_in_time(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    backend, _ = open_model(fragile(tmp_path), own={"job_timeout": 0.2})
    hub.refuse("POST .*/jobs/$", 429, times=10_000)
    began_s = time.monotonic()
    error = backend.submit({"image": images(3)}, 1).exception(DEADLINE_S)
    assert type(error) is InferenceError
    assert "too busy for an inference job: not now" in str(error)
    assert time.monotonic() - began_s < 10


def test_a_hub_that_is_down_loses_the_device_until_it_is_back(
    hub: HubServer,
    tmp_path: Path,
    open_model: Opener,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(QaiHubBackend, "probe_after_s", 0.01)
    backend, _ = open_model(fragile(tmp_path))
    hub.refuse("POST .*/jobs/$", 503, times=7)
    error = backend.submit({"image": images(3)}, 1).exception(DEADLINE_S)
    assert isinstance(error, DeviceLostError)
    assert "unavailable" in str(error)
    wait_until(lambda: "the device is back" in caplog.text, "the device is back")
    backend.submit({"image": images(3)}, 1).result(DEADLINE_S)
    assert hub.state.created["compile"] == 1


def test_a_hub_that_nobody_answers_for_is_told_in_one_line(tmp_path: Path) -> None:
    with hub_server() as gone:
        backend = QaiHubBackend(gone.connect)
    with pytest.raises(DeviceLostError, match=r"cannot be asked for its devices: .*Could not connect") as caught:
        backend.open(ModelFile(fragile(tmp_path), "onnx"), options())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("device", "own", "named"),
    [
        (None, {}, "needs a device.*qai-hub list-devices"),
        ("Samsung Galaxy S24", {}, r"did you mean 'Samsung Galaxy S24 \(Family\)'"),
        ("17", {}, "no device '17': `qai-hub list-devices`"),
        (DEVICE, {"device_os": "9"}, "none with device_os 9"),
        (DEVICE, {"device_attributes": ("vendor:qualcomm",)}, "device_attributes vendor:qualcomm"),
        (DEVICE, {"device_os": "[9,"}, r"Incorrectly formed OS interval \[9,"),
    ],
)
def test_a_device_that_is_not_there_is_named_with_what_there_is(
    hub: HubServer, tmp_path: Path, open_model: Opener, device: str | None, own: object, named: str
) -> None:
    with pytest.raises(DeviceNotFoundError, match=named):
        open_model(fragile(tmp_path), device=device, own=own)
    assert not hub.state.created


def test_the_configuration_is_the_one_that_the_client_finds(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QAIHUB_CLIENT_INI", str(hub.save_profile(tmp_path / "client.ini")))
    backend = backend_class("qai_hub")()
    backend.open(ModelFile(fragile(tmp_path), "onnx"), options())
    backend.close()
    assert hub.state.created["compile"] == 1


@pytest.mark.parametrize("content", [None, "", "[api]\napi_url = x\n", "no ini", "[api]\napi_token = t0ken\n"])
def test_a_missing_token_is_told_with_the_line_that_mends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None
) -> None:
    path = tmp_path / "client.ini"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("QAIHUB_CLIENT_INI", str(path))
    with pytest.raises(BackendError, match="qai-hub configure --api_token TOKEN") as caught:
        QaiHubBackend().open(ModelFile(fragile(tmp_path), "onnx"), options())
    assert "\n" not in str(caught.value)
    assert "t0ken" not in str(caught.value)


def test_a_token_that_is_refused_is_told(hub: HubServer, tmp_path: Path) -> None:
    backend = QaiHubBackend(lambda profile: hub.connect(profile, token="another"))
    with pytest.raises(BackendError, match="does not accept the token") as caught:
        backend.open(ModelFile(fragile(tmp_path), "onnx"), options())
    assert "another" not in str(caught.value)


def test_a_missing_client_is_named_with_the_line_that_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "qai_hub", None)
    with pytest.raises(BackendError, match="pip install qai_hub"):
        QaiHubBackend().open(ModelFile(fragile(tmp_path), "onnx"), options())


def test_no_token_and_no_signature_is_logged_or_printed(
    hub: HubServer,
    tmp_path: Path,
    open_model: Opener,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.INFO)
    backend, _ = open_model(fragile(tmp_path))
    backend.submit({"image": images(1)}, 1).result(DEADLINE_S)
    hub.refuse("POST /assets/", 403, text="<Code>SlowDown</Code><Message>slow</Message>")
    error = backend.submit({"image": images(1)}, 1).exception(DEADLINE_S)
    assert isinstance(error, InferenceError)
    printed = capfd.readouterr()
    for text in (caplog.text, str(error), printed.out, printed.err):
        assert TOKEN not in text
        assert SIGNATURE not in text
    assert not printed.out.strip()


def test_what_the_client_says_is_one_line_without_box_and_signature() -> None:
    text = "Internal API failure.\n┌────┐\n| Max retries with url: /a/b?X-Sig=s3cret (caused by x) |\n└────┘"
    assert hub_client.plain(RuntimeError(text)) == "Internal API failure. Max retries with url: /a/b?… (caused by x)"
    assert hub_client.plain(RuntimeError("see https://host/a?b=s3cret now")) == "see https://host/a?… now"
    assert hub_client.plain(KeyError()) == "KeyError"


@pytest.mark.parametrize(
    "text",
    [
        "HTTPS://H/x?a=s3cret",
        "see 'https://h/x?a=s3cret'",
        "//s3/x?Signature=s3cret",
        "url: b/k?X-Amz-Signature=s3cret",
        "url: b/k?a=s3cret",
        "URL: b/k?a=s3cret",
        "https://h/x%3Fa y?Signature=s3cret",
        "https://h/x?a=1|2&x-amz-signature=s3cret",
    ],
)
def test_no_form_of_an_address_keeps_its_signature(text: str) -> None:
    assert "s3cret" not in hub_client.plain(RuntimeError(text))


def test_what_is_printed_with_an_error_holds_no_signature(hub: HubServer) -> None:
    asked = Hub(hub.connect, QaiHubOwn())
    for kind in (ConnectionError, ValueError):

        def fail(kind: type[Exception] = kind) -> None:
            raise kind("Max retries exceeded with url: /b/k?X-Amz-Signature=s3cret")

        with pytest.raises(EngineError) as caught:
            asked.ask("an upload", fail, 0.0, again="busy")
        assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_types_that_the_hub_does_not_take_are_refused(hub: HubServer, tmp_path: Path, open_model: Opener) -> None:
    path = TinyClassifier(dtype="float64").save(tmp_path / "double.onnx")
    with pytest.raises(CompileError, match="float64"):
        open_model(path)


def test_a_model_that_onnx_runtime_does_not_know_is_refused_before_anything_is_sent(
    hub: HubServer, tmp_path: Path, open_model: Opener
) -> None:
    with pytest.raises(ModelError, match="Unheard"):
        open_model(save_unsupported_operator(tmp_path / "model.onnx"))
    assert not hub.seen


def test_a_network_may_be_silent_for_as_long_as_its_jobs(hub: HubServer, tmp_path: Path) -> None:
    network = QaiHubBackend(hub.connect).load(ModelFile(fragile(tmp_path), "onnx"), options(own={"job_timeout": 7200}))
    assert getattr(network, "timeout_s", 0) > 7200


def test_the_client_is_not_imported_before_it_is_needed() -> None:
    program = "import sys, engine.backends.qai_hub; print('qai_hub' in sys.modules, 'h5py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False False\n"


def test_keywords_that_would_change_the_numbers_are_refused() -> None:
    assert QaiHubBackend.treatment("convert_to_quantize") == "refused"
    assert QaiHubBackend.treatment("onnx_define_symbol") == "used"
    assert QaiHubBackend.treatment("aic_num_cores") == "ignored"
