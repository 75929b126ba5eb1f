"""`streamer benchmark` and `streamer pipeline run`: the figures, for people and for programs."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from engine.pipeline.statistics import Durations, StepStatistics
from streamer.pipeline_picture import bars, svg
from tests.fakes.commands import error_of, json_of, output_of
from tests.fakes.onnx_models import TinyClassifier

PIPELINE = """
[[step]]
name = "decode"
use = "decode"
parallel_steps = 2
[[step]]
name = "classify"
model = "workpiece"
backend = "onnxruntime"
max_batch_size = 4
[[step]]
name = "label"
use = "labels"
"""


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_benchmark_gives_the_four_values(capsys: pytest.CaptureFixture[str]) -> None:
    found = json_of(capsys, "benchmark", "workpiece", "--backend", "onnxruntime", "--num-inferences", "7")
    assert (found["inf_completed"], found["batch_size"], found["inf_unit"]) == (7, 1, "batch")
    assert found["inf_rate"] == pytest.approx(7 / found["inf_time"])
    assert (found["backend"], found["simulated"]) == ("onnxruntime", False)
    assert 0 < found["latency_p50_ms"] <= found["latency_ms"] <= found["latency_p99_ms"] <= 1e3 * found["inf_time"]
    table = output_of(capsys, "benchmark", "workpiece", "--backend", "onnxruntime")
    for word in ("inf_completed", "inf_rate", "inf_time", "batch_size", "40 batches", "latency p95"):
        assert word in table


def test_a_benchmark_takes_the_options_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "options.yaml").write_text("backend: onnxruntime\nonnx_define_symbol: {batch: 3}\n")
    TinyClassifier().save(tmp_path / "model.onnx")
    found = json_of(capsys, "benchmark", "model.onnx", "--time", "0.05", "--options-path", "options.yaml")
    assert found["batch_size"] == 3
    assert found["inf_completed"] > 0


def test_a_simulated_card_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("benchmark", "--backend", "simulator", "--row", "resnet50/best-throughput", "--num-inferences", "20")
    found = json_of(capsys, *words)
    assert found["simulated"]
    assert found["batch_size"] == 14
    assert "simulated" in output_of(capsys, *words)
    assert "resnet50/best-throughput" in output_of(capsys, "benchmark", "--rows")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("workpiece", "--num-inferences", "3", "--time", "1"), "not both"),
        (("workpiece", "--backend", "onyxruntime"), "did you mean onnxruntime"),
        (("workpiece", "--backend", "onnxruntime", "--row", "resnet50"), "no option row"),
        (("--backend", "onnxruntime"), "needs a model"),
        (("--backend", "simulator"), "--rows"),
        (("missing.onnx", "--backend", "onnxruntime"), "no model missing.onnx"),
        (("workpiece", "--backend", "onnxruntime", "--device", "17"), "no device '17'"),
    ],
)
def test_a_benchmark_that_cannot_be_meant(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str
) -> None:
    assert named in error_of(capsys, "benchmark", *words)


def test_a_pipeline_runs_frames_and_says_where_the_time_goes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pipeline.toml").write_text(PIPELINE)
    words = ("pipeline", "run", "pipeline.toml", "--source", "synthetic:workpiece", "--frames", "60")
    found = json_of(capsys, *words, "--advise", "100", "--picture", "steps.svg")
    assert (found["frames"], found["failed"]) == (60, 0)
    assert [(step["name"], step["items"]) for step in found["steps"]] == [
        ("decode", 60),
        ("classify", 60),
        ("label", 60),
    ]
    assert found["bottleneck"] in {"decode", "classify", "label"}
    assert found["advice"]["target_fps"] == 100
    drawing = ET.fromstring((tmp_path / "steps.svg").read_text())
    assert {"decode", "classify", "label"} <= {text.text for text in drawing.iter() if text.text}
    table = output_of(capsys, *words, "--advise")
    for word in ("decode", "bottleneck: ", "█", "busy", "25 items/s"):
        assert word in table


def test_a_step_of_ones_own_and_frames_that_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "odd_step.py").write_text(
        "count = 0\n"
        "def odd(data):\n"
        "    global count\n"
        "    count += 1\n"
        "    if count % 2: raise ValueError('odd one')\n"
        "    return len(data)\n"
    )
    (tmp_path / "pipeline.toml").write_text('[[step]]\nname = "odd"\npython = "odd_step:odd"\n')
    words = ("pipeline", "run", "pipeline.toml", "--source", "synthetic:workpiece", "--frames", "10", "--json")
    found = json.loads(output_of(capsys, *words, code=1))
    assert (found["frames"], found["failed"]) == (10, 5)
    assert found["errors"] == {"ValueError: odd one": 5}


@pytest.mark.parametrize(
    ("text", "words", "named"),
    [
        (PIPELINE, (), "--source URI is missing"),
        (PIPELINE, ("--source", "missing.mp4"), "missing.mp4"),
        (None, ("--source", "synthetic:workpiece"), "pipeline.toml"),
        ("[[step]]\nnam = 'a'\n", ("--source", "synthetic:workpiece"), "name"),
        ("[[step]]\nname = 'a'\nuse = 'decod'\n", ("--source", "synthetic:workpiece"), "decode"),
        ("[[step]]\nname = 'a'\npython = 'nowhere:f'\n", ("--source", "synthetic:workpiece"), "nowhere"),
    ],
)
def test_a_pipeline_that_cannot_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, words: tuple[str, ...], named: str
) -> None:
    if text is not None:
        (tmp_path / "pipeline.toml").write_text(text)
    assert named in error_of(capsys, "pipeline", "run", "pipeline.toml", *words)


def test_the_picture_has_a_bar_for_each_step_and_no_markup_of_names() -> None:
    def step(name: str, mean_s: float) -> StepStatistics:
        return StepStatistics(
            name, executions=1, items=1, execution=Durations(0, mean_s, mean_s, mean_s, mean_s, mean_s)
        )

    lines = bars([step("slow", 0.04), step("quick", 0.01), step("idle", 0.0)])
    assert [line.count("█") for line in lines] == [40, 10, 0]
    drawing = ET.fromstring(svg([step("<b>&", 0.01)], "<b>&"))
    assert "<b>&" in {text.text for text in drawing.iter()}
    assert bars([]) == []
