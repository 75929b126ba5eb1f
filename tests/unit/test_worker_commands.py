"""`streamer worker` and `streamer engine`, as they are typed."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer, get_ident
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from engine.models.program import Program
from streamer.cli import engine as engine_command
from streamer.cli.main import main
from tests.fakes.onnx_models import save_fragile
from tests.fakes.programs import ROOT, environ


@contextmanager
def worker(*flags: str, **variables: str) -> Iterator[tuple["subprocess.Popen[str]", dict[str, Any]]]:
    command = [sys.executable, "-m", "streamer", "worker", "--port", "0", "--json", *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environ(**variables)
    ) as process:
        assert process.stdout is not None
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_worker_serves_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    model = save_fragile(tmp_path / "sums.onnx")
    with worker("--model", str(model), "--metrics-port", "0") as (process, said):
        assert said["model"] == "sums"
        tensor: dict[str, Any] = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 3], "data": [1] * 192}
        url = f"{said['address']}/v2/models/sums/infer"
        answer = requests.post(url, json={"inputs": [tensor]}, timeout=20).json()
        assert answer["outputs"][0]["data"] == [64.0, 64.0, 64.0]
        process.send_signal(number)
        _, error = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "1 requests, 0 failed, 1 batches" in error
    assert "metrics at http://127.0.0.1:" in error


def test_a_worker_takes_its_token_from_the_environment(tmp_path: Path) -> None:
    with worker("--model", "workpiece", STREAMER_WORKER_TOKEN="known") as (_, said):
        url = f"{said['address']}/v2/models/workpiece"
        assert requests.get(url, timeout=20).status_code == 401
        answer = requests.get(url, headers={"Authorization": "Bearer known"}, timeout=20)
        assert answer.json()["name"] == "workpiece"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["worker"], "give a model: --model"),
        (["worker", "--model", "nowhere.onnx"], "nowhere.onnx"),
        (["worker", "--model", "workpiece", "--port", "99999"], "--port"),
        (["worker", "--model", "workpiece", "--host", "192.0.2.1", "--port", "0"], "cannot be listened at"),
        (["engine", "--model", "workpiece", "--mode", "fast"], "--mode"),
        (["engine", "--model", "workpiece", "--duration", "0"], "--duration"),
        (
            ["engine", "--model", "workpiece", "--mode", "distributed", "--worker-urls", "here"],
            "streamer engine: --worker-urls here: give http://HOST:PORT",
        ),
        (["engine", "--model", "workpiece", "--mode", "distributed"], "give --worker-urls"),
        (["engine"], "--model"),
    ],
)
def test_wrong_use_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the tests' own stay
    assert main(words) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if "WARNING" not in line]
    assert len(lines) == 1
    assert message in lines[0]


@pytest.mark.parametrize("mode", ["basic", "batch", "async", "stream"])
def test_each_mode_computes_its_inputs(mode: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", "workpiece", "--backend", "onnxruntime", "--num-inputs", "6", "--duration", "0.3"]
    assert main(["engine", "--mode", mode, *flags, "--json"]) == 0
    stats = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stats["mode"] == mode
    assert stats["total_outputs"] == stats["total_inputs"] >= (1 if mode == "stream" else 6)
    assert stats["failed_inputs"] == 0
    assert main(["engine", "--mode", mode, *flags]) == 0
    shown = capsys.readouterr().out
    assert "total_outputs" in shown
    assert re.search(r"avg_inference_time\W+[\d.]+ ms", shown)
    assert f"engine, mode {mode}: workpiece" in shown


def test_a_stream_that_is_interrupted_shows_what_it_did(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        time.sleep(0.2)
        raise KeyboardInterrupt

    monkeypatch.setattr("streamer.cli.engine.time", SimpleNamespace(sleep=interrupted))
    flags = ["--mode", "stream", "--duration", "10m", "--device", "CPU", "--json"]
    assert main(["engine", "--model", "workpiece", *flags]) == 0
    stats = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stats["total_outputs"] == stats["total_inputs"] > 0


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Ctrl-C is what it is in a terminal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
@pytest.mark.parametrize("mode", ["basic", "batch", "async"])
def test_ctrl_c_shows_what_was_done(
    mode: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_inputs = engine_command._inputs

    def interrupt_soon(program: Program) -> dict[str, Any]:
        Timer(0.2, signal.pthread_kill, [get_ident(), signal.SIGINT]).start()
        return make_inputs(program)

    monkeypatch.setattr(engine_command, "_inputs", interrupt_soon)
    flags = ["--mode", mode, "--num-inputs", "100000000", "--device", "CPU", "--json"]
    assert main(["engine", "--model", "workpiece", *flags]) == 0
    stats = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stats["total_outputs"] == stats["total_inputs"] > 0


@pytest.mark.parametrize("token", ["abc", "fifteen-letters"])
def test_off_loopback_a_token_that_can_be_guessed_is_refused(
    token: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the tests' own stay
    monkeypatch.setenv("STREAMER_WORKER_TOKEN", token)
    for words in (["worker"], ["engine", "--mode", "worker"]):
        assert main([*words, "--model", "workpiece", "--device", "CPU", "--host", "0.0.0.0", "--port", "0"]) == 2
        assert "the token has fewer than 16 characters" in capsys.readouterr().err


def test_a_worker_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--mode", "distributed", "--worker-urls", "http://127.0.0.1:9"]
    assert main(["engine", "--model", "workpiece", "--device", "CPU", *flags]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"worker http://127\.0\.0\.1:9\W+0 rows; does not answer: connection refused", shown)


def test_the_engines_worker_is_the_worker() -> None:
    command = [sys.executable, "-m", "streamer", "engine", "--model", "workpiece", "--mode", "worker", "--port", "0"]
    with subprocess.Popen(
        [*command, "--json", "--backend", "openvino", "--batch-size", "2"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environ(),
    ) as process:
        assert process.stdout is not None
        try:
            address = json.loads(process.stdout.readline())["address"]
            assert requests.get(f"{address}/v2/models/workpiece", timeout=20).json()["platform"] == "streamer_openvino"
        finally:
            process.kill()


def test_the_distributed_mode_uses_its_workers(capsys: pytest.CaptureFixture[str]) -> None:
    with worker("--model", "workpiece") as (_, said):
        flags = ["--mode", "distributed", "--worker-urls", said["address"], "--num-inputs", "60", "--json"]
        assert main(["engine", "--model", "workpiece", "--device", "CPU", *flags]) == 0
    stats = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert stats["local_inputs"] + stats["remote_inputs"] == 60
    assert stats["workers"][said["address"]]["rows"] == stats["remote_inputs"] > 0
