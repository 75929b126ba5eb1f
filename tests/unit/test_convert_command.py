"""`streamer convert`: the report for people and for programs, and what is refused."""

import json
from pathlib import Path

import pytest

from engine.models.npz import save_npz
from streamer.cli.main import main
from tests.fakes import commands
from tests.fakes.onnx_models import TinyClassifier


@pytest.fixture
def npz(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small `.npz` model; to ONNX it is converted without torch, TFLite or tinygrad."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("engine.models.tools.runnable.find_spec", lambda _: None)
    save_npz(TinyClassifier().save(tmp_path / "source.onnx"), tmp_path / "model.npz")
    return tmp_path / "model.npz"


def error_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    return commands.error_of(capsys, "convert", *words)


@pytest.mark.usefixtures("npz")
def test_the_report_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "model.npz", "made.onnx"]) == 0
    shown = capsys.readouterr().out
    for word in (
        "model.npz → made.onnx",
        "size",
        "time of a run",
        "largest difference",
        " none │",
        "100.0% of 8 inputs",
    ):
        assert word in shown
    assert Path("made.onnx").is_file()


@pytest.mark.usefixtures("npz")
def test_the_report_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", "model.npz", "made.onnx", "--format", "onnx", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (report["source"], report["destination"], report["format"]) == ("model.npz", "made.onnx", "onnx")
    assert report["comparison"]["max_abs_difference"] == 0
    assert report["comparison"]["size_after_bytes"] == Path("made.onnx").stat().st_size


@pytest.mark.usefixtures("npz")
def test_a_wrong_use_is_a_line_and_the_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert "ends in .npz" in error_of(capsys, "source.onnx", "made.onnx", "--format", "tinygrad")
    assert "a model for tinygrad already" in error_of(capsys, "model.npz", "made.npz")
    assert "'1,x' is no shape" in error_of(capsys, "model.npz", "made.onnx", "--input-shape", "1,x")
    assert "'1,,3' is no shape" in error_of(capsys, "model.npz", "made.onnx", "--input-shape", "1,,3")
    assert "leave architecture and input shape out" in error_of(
        capsys, "model.npz", "made.onnx", "--input-shape", "1,3,8,8"
    )
    assert "no model file none.npz" in error_of(capsys, "none.npz", "made.onnx")
    assert not Path("made.onnx").exists()
