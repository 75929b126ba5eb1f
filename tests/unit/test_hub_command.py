"""`streamer hub` as a user types it, with AI Hub's own client against a stand-in of AI Hub on this machine."""

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from streamer.cli.main import main
from streamer.hub import main as script_main
from streamer.hub.model_run import Outcome
from streamer.hub.report import as_json, table_rows
from tests.fakes.hub_account import DEVICE, account, client_environ, uploaded
from tests.fakes.hub_server import SIGNATURE, TOKEN, HubServer, hub_server
from tests.fakes.hub_state import JobScript
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.programs import environ
from tests.fakes.waiting import wait_until
from tests.fakes.web_camera import web_camera

DEADLINE_S = 60
QUICK = ["--poll-interval", "2ms"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.full((40, 40, 3), 51, np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((40, 40, 3), 255, np.uint8)).save(tmp_path / "white.png")
    with account(monkeypatch, tmp_path) as running:
        yield running


def batch(*arguments: str) -> int:
    return main(["hub", "batch", "--device", DEVICE, "--image", "grey.png", *QUICK, *arguments])


def last_json(text: str) -> Any:
    return json.loads(text.splitlines()[-1])


def logits(level: float) -> list[float]:
    return [float(value) for value in level * TinyClassifier().weights.sum(axis=0)]


# -- what it shows ---------------------------------------------------------------------------------


def test_models_are_fetched_compiled_and_run(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(3)]
    hub.script("compile", JobScript(looks=2))
    assert batch("--limit", "2") == 0
    out, err = capsys.readouterr()
    assert f"2 of 2 models answered on {DEVICE}" in out
    for model in models[1:]:
        (row,) = (line for line in out.splitlines() if model in line)
        assert "answer float32[1, 4]" in row
        assert ", ".join(f"{value:.4g}" for value in logits(0.2)) in row
        assert f"{model}: compile job" in err
        assert f"{model}: inference job" in err
        assert f"{model} done" in err
    assert models[0] not in out
    assert "fetched 2 models" in err
    assert "OPTIMIZING_MODEL" in err


def test_json_and_csv_have_every_model(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = uploaded(hub, tmp_path, "=good"), uploaded(hub, tmp_path, "bad")
    hub.script("compile", lambda model: JobScript(failure="no such operator" if model == bad else None))
    assert batch("--json", "--csv", "all.csv") == 1
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    found = last_json(out)
    assert {name: found[name] for name in ("device", "fetched", "done", "failed")} == {
        "device": DEVICE,
        "fetched": 2,
        "done": 1,
        "failed": 1,
    }
    first, second = found["models"]
    assert (first["model"], first["status"], first["outputs"]) == (bad, "failed", [])
    assert "no such operator" in first["failure"]
    assert first["compile_job"] in hub.state.jobs
    assert (second["model"], second["status"], second["failure"]) == (good, "done", None)
    assert second["input"] == {"name": "image", "dtype": "float32", "shape": [1, 3, 32, 32]}
    assert second["inference_job"] in hub.state.jobs
    assert second["target"] in hub.state.models
    (output,) = second["outputs"]
    assert (output["name"], output["dtype"], output["shape"]) == ("answer", "float32", [1, 4])
    np.testing.assert_allclose(output["first_values"], logits(0.2), rtol=1e-5)

    with Path("all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["model"], row["name"], row["status"]) for row in rows] == [
        (bad, "bad", "failed"),
        (good, "'=good", "done"),
    ]
    assert "no such operator" in rows[0]["failure"]
    assert (rows[1]["output_shape"], rows[1]["input"]) == ("1×4", "image float32 1×3×32×32")
    np.testing.assert_allclose(json.loads(rows[1]["first_values"]), logits(0.2), rtol=1e-5)
    assert f"{bad} failed" in err


def test_values_that_are_no_numbers_are_null() -> None:
    values = np.array([np.nan, np.inf, 1.5, 2, 3, 4], np.float16)
    found = as_json(Outcome("m1", outputs={"answer": values, "is": np.array([True])}))["outputs"]
    assert [output["first_values"] for output in found] == [[None, None, 1.5, 2, 3], [True]]
    json.dumps(found, allow_nan=False)


def test_values_that_are_no_numbers_at_all_are_shown_harmlessly() -> None:
    outputs = {"text": np.array(["a\x1b[2J", "b"]), "complex": np.array([1 + 2j]), "many": np.array([10**400, None])}
    outcome = Outcome("m1", outputs=outputs)
    found = as_json(outcome)["outputs"]
    assert [output["first_values"] for output in found] == [["a\\x1b[2J", "b"], ["(1+2j)"], [10**400, "None"]]
    json.dumps(found, allow_nan=False)
    assert "a\\x1b[2J, b" in str(next(iter(table_rows([outcome])))[-1])


def test_one_failure_leaves_the_full_table(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(4)]
    scripts = dict(zip(models, (JobScript(looks=5), JobScript(failure="no"), JobScript(vanishes=True)), strict=False))
    hub.script("compile", lambda model: scripts.get(model, JobScript()))
    assert batch() == 1
    out, _ = capsys.readouterr()
    assert "2 of 4 models answered" in out
    rows = [line for line in out.splitlines() if any(model in line for model in models)]
    assert len(rows) == 4
    assert [("done" in row, "failed" in row) for row in rows] == [
        (True, False),
        (False, True),
        (False, True),
        (True, False),
    ]
    assert "2 failed; streamer-hub.json remembers them, and --retry-failed submits them again" in out

    hub.script("compile", JobScript())
    assert batch() == 1
    assert hub.state.created["compile"] == 4
    out, err = capsys.readouterr()
    assert out.count("(in an earlier run; --retry-failed submits it again)") == 2
    assert "2 answered in an earlier run; without streamer-hub.json they are run anew" in out
    assert "done (4 of 4) in an earlier run" in err
    assert batch("--retry-failed") == 0
    assert hub.state.created["compile"] == 6


def test_a_hundred_models_are_never_more_than_five_jobs_and_survive_thirty_failures(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = TinyClassifier(batch=1).save(tmp_path / "tiny.onnx").read_bytes()
    models = [hub.state.put_model(content, f"tiny {number}") for number in range(100)]
    compile_fails, vanish, infer_fails = set(models[:10]), set(models[40:50]), set(models[70:80])
    slow = {*models[::7]}

    def compiling(model: str) -> JobScript:
        if model in compile_fails:
            return JobScript(failure="no such operator", looks=2)
        return JobScript(looks=6 if model in slow else 1, vanishes=model in vanish)

    hub.script("compile", compiling)
    hub.script("inference", lambda model: JobScript(looks=1, failure="out of memory" if model in infer_fails else None))
    assert batch("--limit", "100", "--batch-size", "5", "--json", "--csv", "all.csv") == 1
    found = last_json(capsys.readouterr().out)
    assert (found["fetched"], found["done"], found["failed"]) == (100, 70, 30)
    assert [row["model"] for row in found["models"]] == models[::-1]
    assert {row["model"] for row in found["models"] if row["failure"]} == compile_fails | vanish | infer_fails
    for row in found["models"]:
        if not row["failure"]:
            np.testing.assert_allclose(row["outputs"][0]["first_values"], logits(0.2), rtol=1e-5)
    with Path("all.csv").open(newline="") as file:
        assert [row["model"] for row in csv.DictReader(file)] == models[::-1]
    assert 1 < hub.state.most_in_flight <= 5
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (100, 80)


def test_models_have_pictures_of_their_own(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = uploaded(hub, tmp_path, "a"), uploaded(hub, tmp_path, "b")
    chosen = ["--model-id", first, "--model-id", second, "--json"]
    assert batch(*chosen, "--image", f"{second}=white.png") == 0
    found = {
        model["model"]: model["outputs"][0]["first_values"] for model in last_json(capsys.readouterr().out)["models"]
    }
    np.testing.assert_allclose(found[first], logits(0.2), rtol=1e-5)
    np.testing.assert_allclose(found[second], logits(1.0), rtol=1e-5)


def test_a_picture_comes_from_an_address_and_is_asked_for_once(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        uploaded(hub, tmp_path, f"m{number}")
    with web_camera(Path("white.png").read_bytes()) as camera:
        assert main(["hub", "batch", "--device", DEVICE, *QUICK, "--image", f"{camera.url}/image.jpg", "--json"]) == 0
        assert len(camera.seen) == 1
    for model in last_json(capsys.readouterr().out)["models"]:
        np.testing.assert_allclose(model["outputs"][0]["first_values"], logits(1.0), rtol=1e-5)


def test_the_shape_may_be_given(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    uploaded(hub, tmp_path, model=TinyClassifier(height="h", width="w"))
    assert batch("--json", "--state", "a.json") == 1
    assert "--input-shape" in last_json(capsys.readouterr().out)["models"][0]["failure"]
    assert batch("--json", "--state", "a.json", "--input-shape", "1,3,16,24") == 0
    assert last_json(capsys.readouterr().out)["models"][0]["input"]["shape"] == [1, 3, 16, 24]


def test_models_and_devices_are_listed(hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = uploaded(hub, tmp_path, "tiny")
    assert main(["hub", "models"]) == 0
    out, _ = capsys.readouterr()
    assert model in out
    assert "ONNX" in out
    assert main(["hub", "models", "--json"]) == 0
    assert last_json(capsys.readouterr().out)["models"][0]["model"] == model
    assert main(["hub", "devices"]) == 0
    assert DEVICE in capsys.readouterr().out
    assert main(["hub", "devices", "--json"]) == 0
    assert last_json(capsys.readouterr().out)["devices"][0]["name"] == DEVICE


def test_the_script_is_the_command(
    hub: HubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    uploaded(hub, tmp_path)
    monkeypatch.setattr(sys, "argv", ["hub.py", "--device", DEVICE, "--image", "grey.png", *QUICK])
    assert script_main() == 0
    assert "1 of 1 models answered" in capsys.readouterr().out


def test_no_secret_is_shown_or_logged(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    uploaded(hub, tmp_path)
    hub.refuse("POST /assets/", 403, text="<Code>SlowDown</Code><Message>slow</Message>")
    assert batch("--debug") == 1
    assert batch("--debug", "--retry-failed") == 0
    out, err = capsys.readouterr()
    for text in (out, err, caplog.text, Path("streamer-hub.json").read_text()):
        assert TOKEN not in text
        assert SIGNATURE not in text


# -- what is wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        ([], 2, "--image URL or FILE is missing"),
        (["--image", "a=grey.png"], 2, "--image URL or FILE is missing"),
        (["--image", "grey.png", "--image", "white.png"], 2, "two --image for the models that have none of their own"),
        (["--image", "grey.png", "--image", "m1=white.png", "--model-id", "m2"], 2, "--image names model m1"),
        (["--image", "nowhere.png"], 2, "no such picture"),
        (["--image", "client.ini"], 1, "give another picture"),
        (["--image", "http://127.0.0.1:9/cat.jpg?token=hunter2"], 1, "Connection refused"),
        (["--image", "grey.png"], 2, "needs a device"),
        (["--image", "grey.png", "--device", "Samsung Galaxy S24"], 2, "did you mean 'Samsung Galaxy S24 (Family)'"),
        (["--image", "grey.png", "--device", DEVICE], 1, "upload one with `qai-hub upload-model"),
        (["--image", "grey.png", "--device", DEVICE, "--state", "."], 2, "--state"),
        (
            ["--image", "grey.png", "--device", DEVICE, "--csv", "nowhere/a.csv"],
            2,
            "there is no directory nowhere for a.csv",
        ),
        (["--image", "grey.png", "--input-shape", "1,a"], 2, "give sizes with commas between, such as 1,224,224,3"),
        (["--image", "grey.png", "--batch-size", "0"], 2, "--batch-size"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_wrong_is_one_line(
    hub: HubServer, capsys: pytest.CaptureFixture[str], argv: list[str], code: int, says: str
) -> None:
    assert main(["hub", "batch", *argv]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
    assert "hunter2" not in err
    assert not hub.state.jobs


@pytest.mark.parametrize("words", [["batch", "--device", DEVICE, "--image", "grey.png"], ["models"], ["devices"]])
@pytest.mark.parametrize(
    ("ails", "code", "says"),
    [
        ("no token", 2, "qai-hub configure --api_token TOKEN"),
        ("bad token", 2, "does not accept the token: `qai-hub configure --api_token TOKEN`"),
        ("no network", 1, "Could not connect to Qualcomm AI Hub"),
        ("no permission", 1, "does not give this account"),
    ],
)
def test_an_account_that_does_not_work_is_one_line(
    hub: HubServer, capsys: pytest.CaptureFixture[str], words: list[str], ails: str, code: int, says: str
) -> None:
    profile = Path("client.ini")
    if ails == "no token":
        profile.unlink()
    elif ails == "bad token":
        hub.save_profile(profile, token="t0ken-of-another")
    elif ails == "no permission":
        hub.refuse("GET .*", 403, times=1000, text='{"detail": "not yours"}')
    else:
        with hub_server() as gone:
            gone.save_profile(profile)
    # Without its devices there is none of that name.
    assert main(["hub", *words]) == (2 if ails == "no permission" and words[0] == "batch" else code)
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.count("\n") == 1
    assert "t0ken" not in err


# -- interrupted -----------------------------------------------------------------------------------


def started(hub: HubServer, tmp_path: Path) -> "subprocess.Popen[str]":
    argv = ["-m", "streamer", "hub", "batch", "--device", DEVICE, "--image", "grey.png", "--json", *QUICK]
    return subprocess.Popen(
        [sys.executable, *argv, "--batch-size", "3"],
        env=environ(**client_environ(hub, tmp_path)),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_broken_off_goes_on(hub: HubServer, tmp_path: Path, number: signal.Signals) -> None:
    models = [uploaded(hub, tmp_path, f"m{number}") for number in range(9)]
    hub.script("inference", lambda model: JobScript(looks=1, failure="no" if model == models[8] else None))
    # Three go through, then three are compiled for as long as this test wants.
    hub.script("compile", lambda model: JobScript(looks=1, is_stuck=model in models[3:6]))
    first = started(hub, tmp_path)
    wait_until(lambda: hub.state.created["compile"] == 6, "three are done, three run")
    first.send_signal(number)
    _, err = first.communicate(timeout=DEADLINE_S)
    if number == signal.SIGINT:
        assert first.returncode == 130
        assert "interrupted: 3 of 9 models are done; the same command goes on from streamer-hub.json" in err
        assert "Traceback" not in err
    for job in hub.state.jobs.values():
        job.script = JobScript(looks=job.looks + 3)
    hub.script("compile", JobScript(looks=1))
    before = list(hub.state.jobs)

    again = started(hub, tmp_path)
    out, err = again.communicate(timeout=DEADLINE_S)
    assert again.returncode == 1, err
    found = last_json(out)
    assert (found["done"], found["failed"]) == (8, 1)
    assert {model["model"] for model in found["models"]} == set(models)
    assert (hub.state.created["compile"], hub.state.created["inference"]) == (9, 9)
    assert list(hub.state.jobs)[: len(before)] == before
    assert hub.state.most_in_flight <= 3
    compiled = [job.own.model.model_id for job in hub.state.jobs.values() if job.kind == "compile"]
    assert sorted(compiled) == sorted(models)
