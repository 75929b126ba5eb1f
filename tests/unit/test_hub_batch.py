"""`streamer.hub` for scripts: AI Hub's own client, against a stand-in of AI Hub on this machine."""

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qai_hub import Device
from qai_hub import public_api_pb2 as api

from engine.backends.qai_hub.client import Hub
from engine.backends.qai_hub.errors import RefusedError, StoppedError
from engine.backends.qai_hub.options import QaiHubOwn
from engine.errors import BackendError, DeviceLostError, DeviceNotFoundError
from streamer.hub import batch_inference, compile_and_run_inference, fetch_model_ids
from streamer.hub.batch import run_all
from streamer.hub.errors import NoModelsError, StateError
from streamer.hub.find_job import find_job
from streamer.hub.inputs import ArrayInput, InputSpec
from streamer.hub.model_run import ModelRun, Outcome
from streamer.hub.state import JobNote, JobState, job_state
from tests.fakes.hub_account import DEVICE, QUICK, account, uploaded
from tests.fakes.hub_server import SIGNATURE, TOKEN, HubServer, hub_server
from tests.fakes.hub_state import JobScript
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.waiting import wait_until

PICTURE = np.random.default_rng(1).random((1, 32, 32, 3)).astype(np.float32)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    with account(monkeypatch, tmp_path) as running:
        yield running


def answer(values: NDArray[np.float32] = PICTURE) -> NDArray[np.float32]:
    """The logits of the tiny classifier."""
    return np.asarray(values.mean(axis=(1, 2)) @ TinyClassifier().weights)


def run(models: list[str], *, data: Any = PICTURE, **keywords: Any) -> dict[str, Any]:
    return dict(batch_inference(models, DEVICE, data, **{"options": QUICK} | keywords))


# -- one model -------------------------------------------------------------------------------------


def test_a_model_is_compiled_and_run(hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    hub.script("compile", JobScript(looks=3))
    model = uploaded(hub, tmp_path)
    found, result = compile_and_run_inference(model, Device(DEVICE), PICTURE, options=QUICK)
    assert found == model
    assert result is not None
    np.testing.assert_allclose(result["answer"], answer(), rtol=1e-5)
    compiling, inferring = hub.state.jobs.values()
    assert [device.name for device in compiling.own.devices.devices] == [DEVICE]
    assert compiling.own.options == "--target_runtime onnx"
    assert inferring.own.model.model_id == compiling.own.target_model.model_id
    assert f"{model}: compile job" in caplog.text
    assert "OPTIMIZING_MODEL" in caplog.text
    assert f"{model}: inference job" in caplog.text


def test_each_model_is_given_what_it_says_it_takes(hub: HubServer, tmp_path: Path) -> None:
    models = {
        "planar": TinyClassifier(batch=1),
        "interleaved": TinyClassifier(batch=1, layout="NHWC"),
        "half": TinyClassifier(batch=1, dtype="float16"),
        "pixels": TinyClassifier(batch=1, layout="NHWC", dtype="uint8"),
        "open": TinyClassifier(layout="NHWC", height="h", width="w"),
    }
    ids = {name: uploaded(hub, tmp_path, name, model) for name, model in models.items()}
    results = run(list(ids.values()))
    for name in models:
        np.testing.assert_allclose(results[ids[name]]["answer"], answer(), rtol=0.02, err_msg=name)
    shapes = {
        hub.state.source_of(job.own.target_model.model_id): list(job.own.tensor_type_list.types[0].tensor_type.shape)
        for job in hub.state.jobs.values()
        if job.kind == "compile"
    }
    assert shapes[ids["planar"]] == [1, 3, 32, 32]
    assert shapes[ids["open"]] == [1, 32, 32, 3]


def test_models_that_say_nothing_are_asked_through_their_job(hub: HubServer, tmp_path: Path) -> None:
    hub.state.tells_inputs = False
    model = uploaded(hub, tmp_path)
    np.testing.assert_allclose(run([model])[model]["answer"], answer(), rtol=1e-5)


def test_each_model_may_have_its_own_input(hub: HubServer, tmp_path: Path) -> None:
    first, second = uploaded(hub, tmp_path, "a"), uploaded(hub, tmp_path, "b")
    results = run([first, second], data={first: PICTURE, second: PICTURE * 0.5})
    np.testing.assert_allclose(results[first]["answer"], answer(), rtol=1e-5)
    np.testing.assert_allclose(results[second]["answer"], answer(PICTURE * 0.5), rtol=1e-5)
    with pytest.raises(KeyError):
        run([first, second], data={first: PICTURE})


def test_a_model_that_was_compiled_already_is_run_as_it_is(hub: HubServer, tmp_path: Path) -> None:
    model = uploaded(hub, tmp_path)
    run([model])
    (job,) = (job for job in hub.state.jobs.values() if job.kind == "compile")
    target = job.own.target_model.model_id
    np.testing.assert_allclose(run([target])[target]["answer"], answer(), rtol=1e-5)
    assert hub.state.created["compile"] == 1
    tflite = uploaded(hub, tmp_path)
    hub.state.models[tflite].message.model_type = api.ModelType.MODEL_TYPE_TFLITE
    np.testing.assert_allclose(run([tflite])[tflite]["answer"], answer(), rtol=1e-5)
    assert hub.state.created["compile"] == 1


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (TinyClassifier(batch=1, height=16), r"takes image float32\[1, 3, 16, 32\], not float32\[1, 32, 32, 3\]"),
        (TinyClassifier(height="h"), r"image float32\[\?, 3, \?, 32\] has an open size: .*--input-shape"),
    ],
)
def test_an_input_that_does_not_fit_is_one_line(
    hub: HubServer, tmp_path: Path, model: TinyClassifier, says: str
) -> None:
    device = Hub(hub.connect, QUICK).find_device(DEVICE)
    given = ArrayInput(PICTURE[0] if model.height == "h" else PICTURE)
    outcome = ModelRun(Hub(hub.connect, QUICK), device)(uploaded(hub, tmp_path, model=model), given)
    assert outcome.outputs is None
    assert re.search(says, outcome.failure or "")
    assert "\n" not in (outcome.failure or "\n")
    assert not hub.state.created["inference"]


def test_a_shape_replaces_the_models_own(hub: HubServer, tmp_path: Path) -> None:
    device = Hub(hub.connect, QUICK).find_device(DEVICE)
    model = uploaded(hub, tmp_path, model=TinyClassifier(height="h", width="w"))
    run_one = ModelRun(Hub(hub.connect, QUICK), device, JobState(), (1, 3, 16, 16))
    outcome = run_one(model, ArrayInput(PICTURE[:, :16, :16]))
    assert outcome.spec == InputSpec("image", (1, 3, 16, 16), "float32")
    assert outcome.outputs is not None


# -- many ------------------------------------------------------------------------------------------


def test_no_more_models_than_wanted_are_run_at_a_time_and_failures_stop_no_other(
    hub: HubServer, tmp_path: Path
) -> None:
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(20)]
    compile_fails, vanish, infer_fails = set(models[:2]), set(models[8:10]), set(models[14:16])
    hub.script(
        "compile",
        lambda model: JobScript(
            looks=1 + models.index(model) % 4,
            vanishes=model in vanish,
            failure="no" if model in compile_fails else None,
        ),
    )
    hub.script("inference", lambda model: JobScript(looks=1, failure="out of memory" if model in infer_fails else None))
    results = run(models, batch_size=3)
    assert list(results) == models
    failed = {model for model, result in results.items() if result is None}
    assert failed == compile_fails | vanish | infer_fails
    for model in set(models) - failed:
        np.testing.assert_allclose(results[model]["answer"], answer(), rtol=1e-5)
    assert 1 < hub.state.most_in_flight <= 3
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (20, 16)


@contextmanager
def running(hub: HubServer, models: list[str], batch_size: int) -> Iterator[dict[str, Outcome]]:
    """Run models in a thread of its own, and stop the run at the end; what it gave is in the mapping then."""
    stop, device = Event(), Hub(hub.connect, QUICK).find_device(DEVICE)
    run_one, inputs = ModelRun(Hub(hub.connect, QUICK, stop), device), dict.fromkeys(models, ArrayInput(PICTURE))
    found: dict[str, Outcome] = {}
    thread = threading.Thread(target=lambda: found.update(run_all(run_one, inputs, batch_size=batch_size, stop=stop)))
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(10)


def test_as_many_as_wanted_are_in_flight_and_no_more(hub: HubServer, tmp_path: Path) -> None:
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(7)]
    hub.script("compile", JobScript(is_stuck=True))
    with running(hub, models, 3):
        wait_until(lambda: hub.state.in_flight == 3, "three are in flight")
        looks = sum(job.looks for job in hub.state.jobs.values())
        wait_until(lambda: sum(job.looks for job in hub.state.jobs.values()) > looks + 60, "they are looked at")
        assert hub.state.created["compile"] == 3


def test_a_model_that_is_done_makes_room_at_once(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """No model waits for the slowest of its group."""
    caplog.set_level(logging.INFO)
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(7)]
    stuck, others = models[0], models[1:]
    hub.script("compile", lambda model: JobScript(is_stuck=model == stuck))
    with running(hub, models, 2) as found:
        wait_until(lambda: "done (6 of 7)" in caplog.text, "the others are run beside the stuck one")
    assert set(found) == set(others)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("hub-")]
    assert hub.state.most_in_flight == 2


@pytest.mark.parametrize(
    ("kind", "script", "own", "says"),
    [
        ("compile", JobScript(failure="QNN: no such\noperator"), {}, "failed: QNN: no such operator"),
        ("compile", JobScript(vanishes=True), {}, "could not be found"),
        ("compile", JobScript(vanishes=True, looks=4), {}, "could not be found"),
        ("compile", JobScript(is_stuck=True), {"job_timeout": 1.5}, "still .* after 1.5 s"),
        ("inference", JobScript(failure=""), {}, "it does not say why"),
        ("inference", JobScript(vanishes=True), {}, "could not be found"),
        ("inference", JobScript(loses_output=True), {}, "gave no output"),
    ],
)
def test_a_job_that_goes_wrong_stops_no_other(
    hub: HubServer,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    kind: Any,
    script: JobScript,
    own: dict[str, float],
    says: str,
) -> None:
    bad, good = uploaded(hub, tmp_path, "bad"), uploaded(hub, tmp_path, "good")
    hub.script(kind, lambda model: script if model == bad else JobScript(looks=1))
    results = run([bad, good], options=QaiHubOwn.model_validate({"poll_interval": 0.002} | own))
    assert results[bad] is None
    np.testing.assert_allclose(results[good]["answer"], answer(), rtol=1e-5)
    (line,) = [line for line in caplog.messages if f"{bad} failed (" in line]
    assert re.search(says, line)
    assert "\n" not in line


def test_a_model_that_is_not_there_stops_no_other(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good = uploaded(hub, tmp_path)
    results = run(["mnowhere", good])
    assert results["mnowhere"] is None
    assert results[good] is not None
    assert "Model ID 'mnowhere' could not be found" in caplog.text


@pytest.mark.parametrize("request_pattern", ["POST .*/jobs/$", r"GET .*/jobs/\w+/$", r"GET .*/models/\w+/$"])
def test_a_busy_hub_is_asked_again(hub: HubServer, tmp_path: Path, request_pattern: str) -> None:
    model = uploaded(hub, tmp_path)
    hub.refuse(request_pattern, 429, times=10)  # the client itself asks seven times
    assert run([model])[model] is not None
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (1, 1)


@pytest.mark.parametrize("status", [429, 502, 503])
@pytest.mark.parametrize("request_pattern", ["POST .*/jobs/$", "GET .*/devices/$", r"GET .*/jobs/\w+/$"])
def test_a_submission_that_is_not_answered_is_looked_for_before_it_is_made_again(
    hub: HubServer, tmp_path: Path, request_pattern: str, status: int
) -> None:
    device = Hub(hub.connect, QUICK).find_device(DEVICE)
    model = uploaded(hub, tmp_path)
    hub.refuse(request_pattern, status, times=16)
    outcome = ModelRun(Hub(hub.connect, QUICK), device)(model, ArrayInput(PICTURE))
    assert outcome.failure is None
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (1, 1)


def test_a_busy_hub_is_asked_again_for_models_and_devices(hub: HubServer, tmp_path: Path) -> None:
    model = uploaded(hub, tmp_path)
    hub.refuse("GET .*/models/$", 429, times=10)
    assert fetch_model_ids() == [model]
    hub.refuse("GET .*/devices/$", 429, times=10)
    assert run([model])[model] is not None


def test_our_own_errors_stop_no_other() -> None:
    def odd(model: str, _: object) -> Outcome:
        if model == "bad":
            raise ZeroDivisionError("odd")
        return Outcome(model)

    found = run_all(odd, dict.fromkeys(("bad", "good"), ArrayInput(PICTURE)), batch_size=2, stop=Event())
    assert list(found) == ["bad", "good"]
    assert found["bad"].failure == "ZeroDivisionError: odd (an error of streamer's own)"
    assert found["good"].failure is None


@pytest.mark.parametrize("batch_size", [0, -1])
def test_none_at_a_time_would_never_end(hub: HubServer, tmp_path: Path, batch_size: int) -> None:
    models = [uploaded(hub, tmp_path)]
    with pytest.raises(ValueError, match=rf"^batch_size is {batch_size}: give a whole number above 0$"):
        run(models, batch_size=batch_size)
    assert not hub.state.jobs


# -- what concerns all of them ---------------------------------------------------------------------


def test_a_token_that_is_refused_ends_all(hub: HubServer, tmp_path: Path) -> None:
    model = uploaded(hub, tmp_path)
    hub.save_profile(tmp_path / "client.ini", token="another")
    for call in (lambda: run([model]), fetch_model_ids):
        with pytest.raises(BackendError, match=r"does not accept the token: `qai-hub configure") as caught:
            call()
        assert "another" not in str(caught.value)


def test_a_token_that_is_taken_away_meanwhile_ends_all(hub: HubServer, tmp_path: Path) -> None:
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(3)]
    hub.refuse(r"GET .*/jobs/\w+/$", 401, times=100)
    with pytest.raises(BackendError, match="does not accept the token"):
        run(models, batch_size=1)
    assert hub.state.created["compile"] == 1


def test_what_is_not_allowed_says_whom_to_ask(hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = uploaded(hub, tmp_path)
    hub.refuse(r"GET .*/models/\w+/$", 403, text='{"detail": "no permission"}')
    assert run([model])[model] is None
    assert f"does not give this account model {model}: no permission: ask the owner" in caplog.text


def test_a_missing_token_is_told_with_the_line_that_mends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QAIHUB_CLIENT_INI", str(tmp_path / "nowhere.ini"))
    with pytest.raises(BackendError, match="qai-hub configure --api_token TOKEN"):
        fetch_model_ids()


def test_a_hub_that_nobody_answers_for_is_told(hub: HubServer, tmp_path: Path) -> None:
    with hub_server() as gone:
        gone.save_profile(tmp_path / "client.ini")
    with pytest.raises(DeviceLostError, match="Could not connect") as caught:
        run(["m1"])
    assert "\n" not in str(caught.value)


def test_an_unknown_device_is_told_with_the_nearest(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(DeviceNotFoundError, match=r"did you mean 'Samsung Galaxy S24 \(Family\)'"):
        batch_inference(["m1"], "Samsung Galaxy S24", PICTURE, options=QUICK)


# -- which models ----------------------------------------------------------------------------------


def test_models_to_be_compiled_are_fetched_the_newest_first(hub: HubServer, tmp_path: Path) -> None:
    with pytest.raises(NoModelsError, match="qai-hub upload-model"):
        fetch_model_ids()
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(12)]
    run(models[:3])  # adds three compiled ones, which are passed over
    hub.state.models[models[11]].message.model_type = api.ModelType.MODEL_TYPE_TFLITE
    assert fetch_model_ids() == models[10:0:-1]
    assert fetch_model_ids(limit=2) == [models[10], models[9]]


def test_all_pages_are_looked_at(hub: HubServer, tmp_path: Path) -> None:
    old = uploaded(hub, tmp_path)
    content = hub.state.models[old].asset.content
    for number in range(60):
        model = hub.state.put_model(content, f"compiled-{number}")
        hub.state.models[model].message.model_type = api.ModelType.MODEL_TYPE_QNN_DLC
    assert fetch_model_ids() == [old]


# -- going on where it was -------------------------------------------------------------------------


def test_what_is_finished_is_taken_and_nothing_is_submitted_again(hub: HubServer, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    good, bad = uploaded(hub, tmp_path, "good"), uploaded(hub, tmp_path, "bad")
    hub.script("inference", lambda model: JobScript(failure="no" if model == bad else None))
    first = run([good, bad], state=state)
    second = run([good, bad], state=state)
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (2, 2)
    assert first[bad] is second[bad] is None
    np.testing.assert_array_equal(first[good]["answer"], second[good]["answer"])
    # Another picture needs no other compilation.
    third = run([good], data=PICTURE * 0.5, state=state)
    np.testing.assert_allclose(third[good]["answer"], answer(PICTURE * 0.5), rtol=1e-5)
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (2, 3)
    # Other options do.
    run([good], state=state, options=QaiHubOwn(poll_interval=0.002, target_runtime="tflite"))
    assert hub.state.created["compile"] == 3
    content = state.read_text()
    assert TOKEN not in content
    assert SIGNATURE not in content


def test_what_failed_is_submitted_again_where_that_is_asked_for(hub: HubServer, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    model = uploaded(hub, tmp_path)
    hub.script("inference", JobScript(failure="no"))
    run([model], state=state)
    hub.script("inference", JobScript())
    assert run([model], state=state)[model] is None
    with job_state(state) as jobs:
        jobs.forget_failures()
    assert run([model], state=state)[model] is not None
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (1, 2)


def test_a_job_is_written_down_before_it_is_submitted(hub: HubServer, tmp_path: Path) -> None:
    """Whatever happens to the program between the two, its name finds the job."""
    state, model, seen = tmp_path / "state.json", uploaded(hub, tmp_path), []

    def script(_: str) -> JobScript:
        seen.append([(note["name"], note["job"]) for note in json.loads(state.read_text())["jobs"].values()][-1])
        return JobScript()

    hub.script("compile", script)
    hub.script("inference", script)
    run([model], state=state)
    assert seen == [(job.own.name, None) for job in hub.state.jobs.values()]
    assert len({name for name, _ in seen}) == 2


Ended = Callable[[HubServer, str, Path], None]


def given_up(hub: HubServer, model: str, state: Path) -> None:
    """Its jobs run on."""
    for kind in ("compile", "inference"):
        hub.script(kind, JobScript(looks=100_000))
    run([model], state=state, options=QaiHubOwn(poll_interval=0.002, job_timeout=0.2))


def unheard(hub: HubServer, model: str, state: Path) -> None:
    """The job is created, and its id never arrives: as if the program had been killed at that moment."""
    given_up(hub, model, state)
    content = json.loads(state.read_text())
    for note in content["jobs"].values():
        note["job"] = None
    state.write_text(json.dumps(content))


def unsent(hub: HubServer, model: str, state: Path) -> None:
    """It was written down, and never created."""
    hub.refuse("POST .*/jobs/$", 429, times=1000)
    run([model], state=state, options=QaiHubOwn(poll_interval=0.002, job_timeout=0.2))
    assert not hub.state.created["compile"]
    with hub.state.lock:
        hub._refusals.clear()


@pytest.mark.parametrize("ended", [given_up, unheard, unsent])
def test_a_job_that_was_left_is_taken_up(hub: HubServer, tmp_path: Path, ended: Ended) -> None:
    state, model = tmp_path / "state.json", uploaded(hub, tmp_path)
    ended(hub, model, state)
    for job in hub.state.jobs.values():
        job.script = JobScript()
    hub.script("inference", JobScript())
    hub.script("compile", JobScript())
    np.testing.assert_allclose(run([model], state=state)[model]["answer"], answer(), rtol=1e-5)
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (1, 1)


def test_a_job_is_found_among_many_and_not_for_ever(hub: HubServer, tmp_path: Path) -> None:
    asked = Hub(hub.connect, QUICK)
    model = asked.client.get_model(uploaded(hub, tmp_path))
    first = asked.client.submit_compile_job(model, device=Device(DEVICE), name="wanted")
    for number in range(60):
        asked.client.submit_compile_job(model, device=Device(DEVICE), name=f"other {number}")
    assert find_job(asked, "compile", "wanted", time.time()) == first.job_id
    assert find_job(asked, "inference", "wanted", time.time()) is None
    assert find_job(asked, "compile", "unheard of", time.time()) is None
    before = len(hub.seen)
    assert find_job(asked, "compile", "unheard of", time.time() + 24 * 3600) is None
    assert len(hub.seen) == before + 1


def test_jobs_that_run_still_go_before_new_ones(hub: HubServer, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(4)]
    given_up(hub, models[3], state)
    hub.script("compile", JobScript(looks=1))
    hub.script("inference", JobScript())
    (left,) = hub.state.jobs.values()
    left.script = JobScript(looks=left.looks + 30)
    results = run(models, state=state, batch_size=1)
    assert all(results.values())
    assert hub.state.most_in_flight == 1


def test_a_job_that_is_gone_when_it_is_taken_up_is_told(
    hub: HubServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state, model = tmp_path / "state.json", uploaded(hub, tmp_path)
    given_up(hub, model, state)
    hub.state.jobs.clear()
    assert run([model], state=state)[model] is None
    assert "could not be found" in caplog.text
    assert run([model], state=state)[model] is None
    assert "in an earlier run; --retry-failed submits it again" in caplog.text


def test_a_compiled_model_that_is_gone_is_made_again(hub: HubServer, tmp_path: Path) -> None:
    state, model = tmp_path / "state.json", uploaded(hub, tmp_path)
    run([model], state=state)
    (job,) = (job for job in hub.state.jobs.values() if job.kind == "compile")
    del hub.state.models[job.own.target_model.model_id]
    assert run([model], state=state)[model] is not None
    assert hub.state.created["compile"] == 2


NOTE = '"kind": "compile", "device": "d", "name": "n", '
NESTED = '{"version": 1, "jobs": ' + "[" * 100_000
ODD = f'{{"version": 1, "jobs": {{"a": {{{NOTE} "model": ["x"], "since_s": 1}}}}}}'
LATE = f'{{"version": 1, "jobs": {{"a": {{{NOTE} "model": "m", "since_s": "z"}}}}}}'


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"version": 1}', '{"version": 1, "jobs": {"a": {"x": 1}}}', "\xff", NESTED, ODD, LATE]
)
def test_a_file_that_is_none_of_ours_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(content, "latin-1")
    with pytest.raises(StateError, match=r"state\.json does not hold the jobs of a run: delete it"), job_state(path):
        pass
    assert path.read_text("latin-1") == content


def test_a_file_of_another_version_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"version": 2, "jobs": {}}')
    with pytest.raises(StateError, match="another version"), job_state(tmp_path / "state.json"):
        pass


def test_nothing_is_written_through_a_link_and_nobody_else_reads_it(tmp_path: Path) -> None:
    path, precious = tmp_path / "state.json", tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / ".state.json.draft").symlink_to(precious)
    with job_state(path) as jobs:
        jobs.put("k", JobNote("compile", "m", DEVICE, "n", 0.0))
    assert precious.read_text() == "mine"
    assert path.stat().st_mode & 0o777 == 0o600
    (tmp_path / ".state.json.lock").symlink_to(tmp_path / "made")
    with pytest.raises(StateError, match="cannot be written"), job_state(path):
        pass
    assert not (tmp_path / "made").exists()


def test_a_file_that_another_run_has_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    with job_state(path), pytest.raises(StateError, match="in use by another run: wait for it"), job_state(path):
        pass
    with job_state(path):
        pass
    assert not list(tmp_path.iterdir())


def test_what_a_thread_learns_after_its_run_is_not_written_over_the_next_runs_notes(tmp_path: Path) -> None:
    path, note = tmp_path / "state.json", JobNote("compile", "m1", DEVICE, "name", 1.0)
    with job_state(path) as ended:
        ended.put("first", note)
    with job_state(path) as jobs:
        jobs.put("second", note)
        for write in (lambda: ended.put("first", note, is_done=True), lambda: ended.forget("first")):
            with pytest.raises(StoppedError, match=r"nothing more is written into .*state\.json"):
                write()
    assert set(json.loads(path.read_text())["jobs"]) == {"first", "second"}


def test_a_run_that_fails_closes_its_file_too(tmp_path: Path) -> None:
    with pytest.raises(KeyError), job_state(tmp_path / "state.json") as jobs:
        raise KeyError
    with pytest.raises(StoppedError):
        jobs.forget_failures()


def test_after_the_end_nothing_is_asked_and_no_job_is_submitted(hub: HubServer, tmp_path: Path) -> None:
    model, asked = uploaded(hub, tmp_path), Hub(hub.connect, QUICK)
    device = asked.find_device(DEVICE)
    asked.stop.set()
    before = len(hub.seen)
    with pytest.raises(StoppedError):
        ModelRun(asked, device)(model, ArrayInput(PICTURE))
    assert (len(hub.seen), len(hub.state.jobs)) == (before, 0)


def test_a_file_that_cannot_be_written_ends_all(hub: HubServer, tmp_path: Path) -> None:
    with (
        pytest.raises(StateError, match=r"cannot be written: .*--state"),
        job_state(tmp_path / "nowhere" / "state.json"),
    ):
        pass
    model, jobs = uploaded(hub, tmp_path), JobState(tmp_path / "gone" / "state.json")
    given = {model: ArrayInput(PICTURE)}
    with pytest.raises(StateError, match="cannot be written"):
        run_all(ModelRun(Hub(hub.connect, QUICK), Device(DEVICE), jobs), given, batch_size=1, stop=Event())
    assert not hub.state.created["compile"]


def test_refusals_are_told_apart_from_what_may_still_come(hub: HubServer) -> None:
    asked = Hub(hub.connect, QUICK)
    with pytest.raises(RefusedError, match="could not be found"):
        asked.look_up("for a model", lambda: asked.client.get_model("m0"))
