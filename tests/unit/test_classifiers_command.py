"""`streamer classifier`: wrong use in one line, and whole runs of the smallest classifier."""

import csv
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import onnx
import pytest

from engine.backends.simulator.table import PUBLISHED, read_table
from engine.models.zoo.catalog import ARCHITECTURES
from streamer.classifiers.plan import DEFAULTS, LIMITS, LUT_NAME
from streamer.classifiers.report import CSV_COLUMNS, csv_text
from streamer.cli.classifier import COMMAND
from streamer.cli.command import UsageError, make_parser, parse
from streamer.cli.main import main
from streamer.terminal import is_harmless
from tests.fakes import commands
from tests.fakes.programs import ROOT, environ
from tests.fakes.qaic.sdk import installed, nothing_installed
from tests.fakes.waiting import DEADLINE_S, wait_until

REQUIRE_TOOLS = "STREAMER_TESTS_REQUIRE_TOOLS"
MODEL = "shufflenet_v2_x0_5"
ONNXRUNTIME = ("--backend", "onnxruntime")
SMALL = ("-m", MODEL, "--weights", "random", "-b", "2", "-s", "64", "--time", "0.2")
MOTIF = "B2-C12-A1-OLS1-MOS1-best-throughput"


@pytest.fixture(scope="module")
def _torch() -> None:
    """Skip where torch is missing; fail where all tools are asked for."""
    missing = [name for name in ("torch", "torchvision") if find_spec(name) is None]
    if missing and os.environ.get(REQUIRE_TOOLS):
        pytest.fail(f"{missing[0]} is missing, and {REQUIRE_TOOLS} is set")
    if missing:
        pytest.skip(f"{missing[0]} is missing")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    """Run the command, and return its JSON with what it said on standard error."""
    ended, (out, err) = main(["classifier", *words, "--json"]), capsys.readouterr()
    assert ended == code, err
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found | {"err": err}


def error_of(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    return commands.error_of(capsys, "classifier", *words)


# What is said on the command line.


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--extra", "-sdp-cluster-sizes=7,7 -multicast-weights"), "-sdp-cluster-sizes=7,7 -multicast-weights"),
        (("--extra=-x",), "-x"),
        (("--extra", "-b"), "-b"),
        (("--extra", "--run-only"), "--run-only"),
        (("--extra", ""), ""),
        ((), None),
    ],
)
def test_the_compilers_flags_may_begin_with_a_dash(words: tuple[str, ...], wanted: str | None) -> None:
    _, arguments = parse(make_parser("streamer classifier", COMMAND), ["-m", "resnet50", *words, "-b", "3"])
    assert (arguments.extra, arguments.batch_size, arguments.run_only) == (wanted, 3, False)


def test_every_flag_of_the_vendors_script_is_there() -> None:
    words = "-m vit_b_16 -o balanced --opset 17 -b 2 -s 64 -c 4 -i 3 --ols 2 --mos 1,7 --set-size 4 --time 9 -d 7 -r"
    _, arguments = parse(make_parser("streamer classifier", COMMAND), words.split())
    assert (arguments.model_name, arguments.objective, arguments.opset) == ("vit_b_16", "balanced", 17)
    assert (arguments.batch_size, arguments.image_size, arguments.cores, arguments.instances) == (2, 64, 4, 3)
    assert (arguments.ols, arguments.mos, arguments.set_size) == (2, "1,7", 4)
    assert (arguments.time, arguments.device, arguments.run_only) == (9.0, 7, True)
    long = "--model-name alexnet --objective best-latency --batch-size 1 --image-size 224 --cores 1 --instances 1 "
    _, arguments = parse(make_parser("streamer classifier", COMMAND), f"{long} --time 2m --device 1 --run-only".split())
    assert (arguments.model_name, arguments.time, arguments.run_only) == ("alexnet", 120.0, True)


@pytest.mark.parametrize(("name", "most"), LIMITS.items())
def test_the_flags_have_the_plans_limits_and_say_its_defaults(name: str, most: int) -> None:
    parser, flag = make_parser("streamer classifier", COMMAND), f"--{name.replace('_', '-')}"
    assert getattr(parse(parser, [flag, str(most)])[1], name) == most
    for wrong in ("0", str(most + 1)):
        with pytest.raises(UsageError, match="invalid choice"):
            parse(parser, [flag, wrong])
    (action,) = (action for action in parser._actions if flag in action.option_strings)
    assert f"(default: {DEFAULTS[name]})" in str(action.help)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ((), "give --model-name NAME or --all"),
        (("-m", "alexnet", "--all"), "not both"),
        (("-m", "resnet51"), "did you mean resnet50"),
        (("-m", "alexnet", "-c", "15"), "invalid choice"),
        (("-m", "alexnet", "--set-size", "11"), "invalid choice"),
        (("-m", "alexnet", "-d", "8"), "invalid choice"),
        (("-m", "alexnet", "-o", "fastest"), "invalid choice"),
        (("-m", "alexnet", "-b", "0"), "no whole number above 0"),
        (("-m", "alexnet", "--time", "0"), "above 0"),
        (("-m", "alexnet", "--time", "soon"), "no duration"),
        (("-m", "alexnet", "--backend", "onyxruntime"), "did you mean onnxruntime"),
        (("-m", "alexnet", "--tune", "--run-only"), "leave --all and --run-only out"),
        (("-m", "alexnet", "--picture", "x.png"), "call it x.svg"),
        (("-m", "alexnet", "--csv", "nowhere/x.csv"), "no directory nowhere"),
        (("-m", "alexnet", "--tune", *ONNXRUNTIME), "--tune on onnxruntime: name a table with --lut FILE"),
        (("-m", "resnet50", "--tune", "--backend", "simulator"), "--tune on simulator: name a table with --lut FILE"),
        (("-m", "resnet50", "-i", "3", *ONNXRUNTIME), "the card has 14"),
        (("-m", "resnet50", "--mos", "x", *ONNXRUNTIME), "mos is 'x'"),
        (("-m", "resnet50", "--lut", "nowhere.csv", *ONNXRUNTIME), "nowhere.csv"),
        (("-m", "resnet50", "-b", "3", "--backend", "simulator"), "nothing to simulate"),
        (("-m", "resnet-50", "--backend", "simulator"), "lists no throughput"),
        (("-m", "resnet50", "--run-only", *ONNXRUNTIME), "nothing was compiled"),
        (("-m", "resnet50", "--extra"), "expected one argument"),
        (("-m", "resnet50", "--extra", "x", *ONNXRUNTIME), "'x' is no flag"),
        (("-m", "resnet50", "--opset", "99", "--weights", "random", *ONNXRUNTIME), "opset 99: torch exports"),
        (("-m", "squeezenet1_1", "-b", "7", "--backend", "simulator"), "there are batches of 28 on 14 cores"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str
) -> None:
    assert named in error_of(capsys, *words)
    assert list(Path().iterdir()) == []


def test_a_table_without_the_columns_is_none(capsys: pytest.CaptureFixture[str]) -> None:
    Path("bad.csv").write_text("foo,bar\n", encoding="utf-8")
    said = error_of(capsys, "-m", "resnet50", "--lut", "bad.csv", "--weights", "random", *ONNXRUNTIME)
    assert said.startswith("streamer: the table bad.csv has no MODEL_NAME, BATCH_SIZE, ")
    said = error_of(capsys, "-m", "resnet50", "--lut", "nosuch.csv", *ONNXRUNTIME)
    assert said == "streamer: the table nosuch.csv cannot be read: No such file or directory\n"


def test_a_missing_compiler_is_told_before_anything_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    with nothing_installed():
        said = error_of(capsys, "-m", "alexnet", "--weights", "random", "--backend", "qaic")
    assert "no compiler for Cloud AI 100" in said
    assert list(Path().iterdir()) == []


def strange_table(capsys: pytest.CaptureFixture[str], **cells: str) -> str:
    """Run all models by a table of the current directory that has something in it, and return what was said."""
    rows = list(csv.DictReader(io.StringIO(PUBLISHED.read_text("utf-8-sig"))))
    row = next(row for row in rows if row["MODEL_NAME"] == "resnet50")
    row = {name: value for name, value in row.items() if name} | cells
    with Path(LUT_NAME).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    assert main(["classifier", "--all", "--backend", "simulator", "-b", "3", "--weights", "random"]) == 1
    out, err = capsys.readouterr()
    assert "resnet50: " in err
    assert is_harmless("".join((out + err).splitlines()))
    return str(err)


def test_what_a_table_says_never_reaches_the_terminal_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    said = strange_table(capsys, OBJECTIVE="\x1b]0;X\x07\x1b[2J")
    assert f"the table is {Path(LUT_NAME).resolve()}, of the current directory (--lut names another)\n" in said
    strange_table(capsys, MOS="\x1b[2J")
    strange_table(capsys, EXTRA="-x\x1b[2J")


def test_a_cell_is_no_formula() -> None:
    said = {"model": "resnet50", "extra": "=HYPERLINK(A1)", "error": "=1+1\x1b[2J", "batch_size": 2}
    text = csv_text([said])
    (row,) = csv.DictReader(io.StringIO(text))
    assert (row["extra"], row["error"]) == ("'=HYPERLINK(A1)", "'=1+1\\x1b[2J")
    assert (row["model"], row["batch_size"], row["mos"]) == ("resnet50", "2", "")


# Whole runs.


@pytest.fixture(scope="module")
def ran(_torch: None, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """One run, for several tests to look at: where it was, and what it said."""
    base, said = tmp_path_factory.mktemp("ran"), io.StringIO()
    files = ("--csv", str(base / "run.csv"), "--picture", str(base / "run.svg"))
    with redirect_stdout(said):
        assert main(["classifier", *SMALL, *ONNXRUNTIME, "--work-dir", str(base), *files, "--json"]) == 0
    return base, json.loads(said.getvalue().splitlines()[-1])


@pytest.fixture
def repeated(ran: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """A copy of its directory, where the tests are, and what it said."""
    base, found = ran
    return Path(shutil.copytree(base / MODEL, tmp_path / MODEL)), found


def test_a_run_says_how_fast_it_was_and_how_right(ran: tuple[Path, dict[str, Any]]) -> None:
    base, found = ran
    assert (found["model"], found["objective"], found["backend"]) == (MODEL, "best-throughput", "onnxruntime")
    assert (found["batch_size"], found["image_size"], found["cores"], found["opset"]) == (2, 64, 12, 13)
    assert (found["weights"], found["simulated"]) == ("random", False)
    assert found["extra"] == "-multicast-weights -aic-enable-depth-first"
    assert found["inferences_per_second"] == pytest.approx(2 * found["batches"] / found["took_s"])
    assert 0 < found["latency_p50_ms"] <= found["latency_ms"] <= found["latency_p99_ms"]
    assert found["max_abs_difference"] < 1e-3
    assert found["agrees"]
    header, row = (base / "run.csv").read_text().splitlines()
    assert header.split(",") == list(CSV_COLUMNS)
    assert row.startswith(f"{MODEL},best-throughput,onnxruntime,False,random,")
    assert MODEL in {text.text for text in ET.fromstring((base / "run.svg").read_text()).iter()}


def test_a_run_leaves_the_vendors_directory(ran: tuple[Path, dict[str, Any]]) -> None:
    base, found = ran
    root = base / MODEL
    assert found["work_directory"] == str(root)
    pictures = np.fromfile(root / "inputFiles" / "input_img_2x3x64x64.raw", np.float32).reshape(2, 3, 64, 64)
    assert 0.9 < pictures.std() < 1.1
    compiled = root / f"compiled-bin-fp16-{MOTIF}-onnxruntime"
    assert [path.name for path in compiled.iterdir()] == ["model.optimised.onnx"]
    assert onnx.load(root / "model" / "model.onnx").opset_import[0].version == 13
    (output,) = (root / "outputFiles" / f"fp16-{MOTIF}-onnxruntime").iterdir()
    assert output.name == "output-activation-0-inf-0.bin"
    answers = np.fromfile(output, np.float32).reshape(found["output_shape"])
    np.testing.assert_allclose(answers[0, :5], found["output_first_values"])
    assert (root / "list_2x3x64x64.txt").read_text() == "inputFiles/input_img_2x3x64x64.raw\n"
    assert not list(root.rglob("aic-profil*")) + list(root.rglob("programqpc.bin"))


def test_a_run_is_repeated_by_hand_in_its_directory(
    repeated: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, found = repeated
    monkeypatch.chdir(root)
    commands = (root / f"commands-{MOTIF}-onnxruntime.txt").read_text().splitlines()
    lines = [shlex.split(line) for line in commands if line and not line.startswith("#")]
    assert [line[:2] for line in lines] == [["streamer", "classifier"]] * 2
    wanted = ("batch_size", "image_size", "cores", "instances", "set_size", "extra", "opset", "batches_in_flight")
    for line in lines:
        again = run(capsys, *line[2:])
        assert [again[name] for name in wanted] == [found[name] for name in wanted]
        assert again["work_directory"] == str(root)


def test_what_is_run_again_is_what_is_wanted_or_nothing(
    repeated: tuple[Path, dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    root, _ = repeated
    words = ("-m", MODEL, "-s", "64", "--time", "0.1", *ONNXRUNTIME, "--run-only")
    assert run(capsys, *words, "-b", "2")["weights"] == "random"
    assert "there is no compiled-B4-" in error_of(capsys, *words, "-b", "4")
    assert "image size 64, and not 224" in error_of(capsys, *words, "-b", "2", "-s", "224")
    assert "weights random, and not pretrained" in error_of(capsys, *words, "-b", "2", "--weights", "pretrained")
    assert "opset 13, and not 17" in error_of(capsys, *words, "-b", "2", "--opset", "17")
    with (root / "model" / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert "has changed since" in error_of(capsys, *words, "-b", "2")


@pytest.mark.usefixtures("_torch")
def test_an_opset_that_the_model_needs_later_is_not_called_given(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-m", MODEL, "-b", "1", "-s", "64", "--time", "0.1", *ONNXRUNTIME)
    for more in (("--weights", "random"), ("--run-only",)):
        found = run(capsys, *words, "--opset", "3", *more)
        assert (found["opset"], found["origins"]["opset"], found["origins"]["batch_size"]) == (9, "raised", "flag")
    assert main(["classifier", *words, "--run-only"]) == 0
    assert "raised for the model: opset" in capsys.readouterr().out


@pytest.mark.usefixtures("_torch")
def test_a_simulated_card_answers_once_and_then_takes_its_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("-m", MODEL, "--weights", "random", "-s", "64", "--backend", "simulator", "--time", "1")
    found = run(capsys, *words)
    assert (found["simulated"], found["batch_size"], found["batches_in_flight"]) == (True, 32, 5)
    assert found["max_abs_difference"] < 1e-3
    # Far above what this machine computes.
    assert found["inferences_per_second"] == pytest.approx(21532.259, rel=0.05)
    assert found["latency_ms"] == pytest.approx(32 * 5 / 21532.259 * 1e3, rel=0.01)
    assert "figures for --image-size 224" in found["err"]
    compiled = tmp_path / MODEL / "compiled-bin-fp16-B32-C12-A1-OLS1-MOS1-best-throughput-simulator"
    assert [path.name for path in compiled.iterdir()] == ["nothing-compiled.txt"]
    monkeypatch.chdir(tmp_path / MODEL)
    (commands,) = Path().glob("commands-*-simulator.txt")
    *_, last = commands.read_text().splitlines()
    assert run(capsys, *shlex.split(last)[2:])["batches_in_flight"] == 5


@pytest.mark.usefixtures("_torch")
def test_a_search_writes_the_row_that_the_next_run_follows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("-m", MODEL, "--weights", "random", "-s", "64", *ONNXRUNTIME, "--time", "0.1")
    found = run(capsys, *words, "-b", "4", "-c", "1", "--tune", "--lut", "own.csv", "--picture", "trials.svg")
    (best,) = (trial for trial in found["trials"] if trial["is_best"])
    assert {trial["batch_size"] for trial in found["trials"]} == {4}
    assert len(found["trials"]) > 1 or os.cpu_count() == 1
    assert (found["instances"], found["set_size"]) == (best["instances"], best["set_size"])
    row = read_table(tmp_path / "own.csv").find(MODEL, "best-throughput")
    assert row is not None
    assert (row.batch_size, row.cores, row.image_size_px, row.precision) == (4, 1, 64, "fp32")
    assert (row.instances, row.set_size) == (best["instances"], best["set_size"])
    assert row.images_per_s == pytest.approx(found["inferences_per_second"], rel=1e-4)
    assert len(read_table(tmp_path / "own.csv").rows) == 109
    again = run(capsys, *words, "--run-only", "--lut", "own.csv")
    assert (again["batch_size"], again["listed_inferences_per_second"]) == (4, row.images_per_s)
    assert {again["origins"][name] for name in ("batch_size", "instances", "set_size")} == {"table"}
    assert "best" in {text.text for text in ET.fromstring((tmp_path / "trials.svg").read_text()).iter()}


RUNNER = """#!/bin/sh
while [ $# -gt 0 ]; do [ "$1" = --aic-profiling-out-dir ] && out=$2; shift; done
echo profile > "$out/aic-profiling-program-1-latency.txt"
echo ' ---- Stats ----'
echo 'InferenceCnt 10 TotalDuration 1000us BatchSize 2 Inf/Sec 20000.0'
"""


@pytest.mark.usefixtures("_torch")
def test_a_card_has_a_program_and_a_profile(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*SMALL, "--backend", "qaic", "--extra", "-multicast-weights -aic-pmu-recipe=AxiRd")
    compiled, outputs = (
        tmp_path / MODEL / f"compiled-bin-fp16-{MOTIF}",
        tmp_path / MODEL / "outputFiles" / f"fp16-{MOTIF}",
    )
    with installed(tmp_path / "qti-aic") as sdk:
        monkeypatch.setenv("QAIC_SDK_ROOT", str(sdk.root))
        found = run(capsys, *words)
        assert (compiled / "programqpc.bin").is_file()
        assert any("no profile of the card" in note for note in found["notes"])
        assert [path.name for path in outputs.iterdir()] == ["output-activation-0-inf-0.bin"]
        assert found["max_abs_difference"] < 1e-2
        runner = sdk.root / "exec" / "qaic-runner"
        runner.write_text(RUNNER)
        runner.chmod(0o755)
        again = run(capsys, *words, "--run-only")
        assert "qaic-runner: InferenceCnt 10 TotalDuration 1000us BatchSize 2 Inf/Sec 20000.0" in again["notes"]
        assert (outputs / "aic-profiling-program-1-latency.txt").read_text() == "profile\n"
        # By hand, with the compiler's and the runner's lines.
        shutil.rmtree(compiled)
        text = (tmp_path / MODEL / f"commands-{MOTIF}.txt").read_text().replace("/opt/qti-aic", str(sdk.root))
        lines = [line.removeprefix("sudo ") for line in text.splitlines() if line and not line.startswith("#")]
        for line in lines[:3]:
            subprocess.run(line, shell=True, check=True, cwd=tmp_path / MODEL, timeout=60)
        assert "-aic-pmu-recipe=AxiRd" in lines[0]
        assert (compiled / "programqpc.bin").is_file()


def test_of_all_models_those_that_fail_stop_no_other(capsys: pytest.CaptureFixture[str]) -> None:
    found = run(capsys, "--all", "--run-only", *ONNXRUNTIME, "--csv", "all.csv", code=1)
    assert (found["done"], found["failed"], len(found["results"])) == (0, 53, 53)
    assert all("nothing was compiled" in row["error"] for row in found["results"])
    assert len(Path("all.csv").read_text().splitlines()) == 54
    said = [line for line in found["err"].splitlines() if "/53 " in line]
    assert len(said) == 53
    assert said[0].startswith("1/53 alexnet: nothing was compiled in ")
    assert main(["classifier", "--all", "--run-only", *ONNXRUNTIME]) == 1
    table = capsys.readouterr().out
    assert "0 models run, 53 failed" in table
    assert "vit-base-patch16-224" in table


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, -signal.SIGTERM, marks=pytest.mark.long)],
)
def test_a_signal_leaves_the_rows_of_all_that_are_done(
    repeated: tuple[Path, dict[str, Any]], number: signal.Signals, code: int
) -> None:
    folder, before = repeated[0].parent, list(ARCHITECTURES).index(MODEL)
    words = ["--all", *ONNXRUNTIME, "--run-only", "--time", "1h", "-b", "2", "-s", "64", "--csv", "all.csv"]
    said = folder / "said"
    with said.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(  # for the one that is compiled it would take its hour
            [sys.executable, "-m", "streamer.cli.main", "classifier", *words],
            cwd=folder,
            env=environ(),
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
        try:
            rows = folder / "all.csv"
            wait_until(lambda: rows.exists() and rows.read_text("utf-8").count("\n") > before)
            process.send_signal(number)
            assert process.wait(DEADLINE_S) == code
        finally:
            process.kill()
            process.wait()
    assert len(rows.read_text("utf-8").splitlines()) == 1 + before
    lines = said.read_text("utf-8").splitlines()
    assert sum("/53 " in line for line in lines) == before
    assert (f"interrupted after {before} of 53 models: these are all there are" in lines) == (number == signal.SIGINT)


@pytest.mark.usefixtures("_torch")
def test_without_a_network_the_way_without_one_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert "--weights random" in error_of(capsys, "-m", MODEL, "--time", "1", *ONNXRUNTIME)


PAGE = (ROOT / "docs" / "classifiers.md").read_text(encoding="utf-8")
PAGE_LINES = [shlex.split(line, comments=True) for line in PAGE.splitlines() if line.startswith("streamer classifier ")]


@pytest.mark.usefixtures("_torch")
def test_the_pages_commands_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(PAGE_LINES) > 4
    for _, _, *words in PAGE_LINES:
        if "--all" in words:
            parse(make_parser("streamer classifier", COMMAND), words)
            continue
        backend = () if "--backend" in words else ONNXRUNTIME
        fewer_trials = ("-b", "1") if "--tune" in words else ()
        small = ("-m", MODEL, "--weights", "random", "-s", "64", "--time", "0.1", *fewer_trials)
        assert run(capsys, *words, *small, *backend)["agrees"], words
    assert Path("speed.svg").is_file()


def test_without_a_card_the_card_is_not_pretended(capsys: pytest.CaptureFixture[str]) -> None:
    with nothing_installed():
        assert main(["classifier", "-m", "alexnet", "--run-only", "--backend", "qaic"]) == 2
    assert "nothing was compiled" in capsys.readouterr().err
