"""Compiling: once for the same model and options, and never over what is somebody else's."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from engine.backends.base import BackendOptions
from engine.backends.qaic.backend import QaicBackend, QaicOwn
from engine.backends.qaic.record import read_record
from engine.backends.qaic.sdk import Sdk
from engine.errors import BackendError, CompileError, ModelError, OptionsError
from engine.models.files import QPC_FILE_NAME, ModelFile
from engine.options import session_options
from tests.fakes.onnx_models import TinyClassifier, save_fragile
from tests.fakes.programs import ROOT, environ
from tests.fakes.qaic.compiler import COMPLAINT_FILE, HANG_FILE, RUNS_FILE
from tests.fakes.qaic.container import MAGIC
from tests.fakes.qaic.sdk import install_sdk
from tests.fakes.qaic.utility import VARIANT_FILE
from tests.fakes.waiting import wait_until

DEADLINE_S = 20.0


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sdk:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return install_sdk(tmp_path / "qti-aic", runtime=False)


@pytest.fixture
def model(tmp_path: Path) -> ModelFile:
    return ModelFile(save_fragile(tmp_path / "model.onnx"), "onnx")


def compiled(sdk: Sdk, model: ModelFile, **keywords: Any) -> Path:
    file = QaicBackend(sdk).compile(model, BackendOptions(keywords=session_options(keywords)))
    assert file.kind == "qpc"
    assert file.path.name == QPC_FILE_NAME
    assert file.path.read_bytes().startswith(MAGIC)
    return file.path.parent


def runs(sdk: Sdk) -> list[list[str]]:
    path = sdk.root / RUNS_FILE
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def test_further_flags_stand_on_the_command_line_and_make_another_program(sdk: Sdk, model: ModelFile) -> None:
    def compiled_with(extra_flags: str | None) -> Path:
        options = BackendOptions(keywords=session_options({}), own=QaicOwn(extra_flags=extra_flags))
        return QaicBackend(sdk).compile(model, options).path

    paths = {compiled_with(flags) for flags in (None, "", " -multicast-weights  -aic-pmu-recipe=AxiRd ")}
    assert len(paths) == 2
    assert {"-multicast-weights", "-aic-pmu-recipe=AxiRd"} <= set(runs(sdk)[-1])
    with pytest.raises(OptionsError, match="extra_flags cannot be split"):
        compiled_with("-x='")


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def test_a_model_is_compiled_once_for_the_same_options(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    first = compiled(sdk, model, onnx_define_symbol={"batch": 2}, aic_num_cores=4)
    assert compiled(sdk, model, onnx_define_symbol={"batch": 2}, aic_num_cores=4) == first
    same = ModelFile(save_fragile(tmp_path / "of another name.onnx"), "onnx")
    assert compiled(sdk, same, onnx_define_symbol={"batch": 2}, aic_num_cores=4) == first
    assert len(runs(sdk)) == 1
    assert compiled(sdk, model, onnx_define_symbol={"batch": 4}, aic_num_cores=4) != first
    assert len(runs(sdk)) == 2
    assert first.parent == tmp_path / "cache" / "streamer" / "qpc"
    assert leftovers(first.parent) == []


def test_the_command_is_as_documented(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    compiled(sdk, model, onnx_define_symbol={"batch": 2}, aic_num_cores=4, convert_to_fp16=True, num_activations=3)
    ((name, *arguments),) = runs(sdk)
    assert name == "qaic-compile"
    assert arguments[:-1] == [
        f"-m={model.path}",
        "-aic-hw",
        "-aic-hw-version=ai100",
        "-aic-num-cores=4",
        "-convert-to-fp16",
        "-onnx-define-symbol=batch,2",
    ]
    assert arguments[-1].startswith(f"-aic-binary-dir={tmp_path}")


def test_the_old_compiler_is_told_to_compile_only(
    tmp_path: Path, model: ModelFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    sdk = install_sdk(tmp_path / "old", compilers=["qaic-exec"], runtime=False)
    compiled(sdk, model)
    ((name, *arguments),) = runs(sdk)
    assert name == "qaic-exec"
    assert arguments[1:4] == ["-aic-hw", "-aic-hw-version=2.0", "-compile-only"]


def test_the_newer_card_is_compiled_for_where_it_is_there(sdk: Sdk, model: ModelFile) -> None:
    (sdk.root / VARIANT_FILE).write_text("AIC200", encoding="utf-8")
    compiled(sdk, model)
    assert "-aic-hw-version=ai200" in runs(sdk)[0]


def test_another_sdk_compiles_again(sdk: Sdk, model: ModelFile) -> None:
    compiled(sdk, model)
    (sdk.root / "versions" / "apps.xml").write_text("<versions>newer</versions>", encoding="utf-8")
    compiled(sdk, model)
    assert len(runs(sdk)) == 2


def test_a_ladder_is_one_program(sdk: Sdk, model: ModelFile) -> None:
    directory = compiled(sdk, model, onnx_define_symbol=[("batch", 1), ("batch", 4)])
    ((_, *arguments),) = runs(sdk)
    assert not [argument for argument in arguments if "onnx-define-symbol" in argument]
    config = json.loads((directory / "specializations.json").read_text(encoding="utf-8"))
    assert config == {"specializations": [{"batch": "1"}, {"batch": "4"}]}
    compiled(sdk, model, onnx_define_symbol=[("batch", 1), ("batch", 2), ("batch", 4)])
    assert len(runs(sdk)) == 2


def test_output_dir_is_made_used_again_and_replaced(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    output = tmp_path / "out" / "qpc"
    assert compiled(sdk, model, output_dir=output, aic_num_cores=1) == output
    record = read_record(output)
    assert record is not None
    assert record.cores == 1
    assert set(record.files) == {QPC_FILE_NAME, "compile.log"}
    compiled(sdk, model, output_dir=output, aic_num_cores=1)
    assert len(runs(sdk)) == 1
    compiled(sdk, model, output_dir=output, aic_num_cores=2)
    assert len(runs(sdk)) == 2
    replaced = read_record(output)
    assert replaced is not None
    assert replaced.cores == 2
    assert sorted(path.name for path in output.parent.iterdir()) == ["qpc"]


def test_an_empty_directory_is_filled(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert compiled(sdk, model, output_dir=tmp_path / "empty") == tmp_path / "empty"


@pytest.mark.parametrize("damage", [b"", b"another program"])
def test_a_damaged_program_is_not_believed(sdk: Sdk, model: ModelFile, tmp_path: Path, damage: bytes) -> None:
    output = compiled(sdk, model, output_dir=tmp_path / "qpc")
    whole = (output / QPC_FILE_NAME).read_bytes()
    (output / QPC_FILE_NAME).write_bytes(damage)
    compiled(sdk, model, output_dir=tmp_path / "qpc")
    assert len(runs(sdk)) == 2
    assert (output / QPC_FILE_NAME).read_bytes() == whole


def test_what_has_changed_beside_a_program_is_somebody_elses(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    output = compiled(sdk, model, output_dir=tmp_path / "qpc")
    (output / "compile.log").write_text("my notes")
    with pytest.raises(CompileError, match=r"came later, such as compile\.log"):
        compiled(sdk, model, output_dir=tmp_path / "qpc", aic_num_cores=2)
    assert (output / "compile.log").read_text() == "my notes"


def test_what_is_somebody_elses_is_left_alone(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / QPC_FILE_NAME).write_bytes(b"precious")
    with pytest.raises(CompileError, match=r"theirs has files that are not ours, such as programqpc\.bin"):
        compiled(sdk, model, output_dir=theirs)
    assert (theirs / QPC_FILE_NAME).read_bytes() == b"precious"

    ours = compiled(sdk, model, output_dir=tmp_path / "ours")
    (ours / "notes.txt").write_text("mine", encoding="utf-8")
    assert compiled(sdk, model, output_dir=ours) == ours, "it is still the same program"
    with pytest.raises(CompileError, match=r"files that came later, such as notes\.txt"):
        compiled(sdk, model, output_dir=ours, aic_num_cores=2)
    assert (ours / "notes.txt").exists()

    (tmp_path / "link").symlink_to(theirs)
    (tmp_path / "file").write_text("", encoding="utf-8")
    for name in ("link", "file"):
        with pytest.raises(CompileError, match="is no directory"):
            compiled(sdk, model, output_dir=tmp_path / name)
    assert len(runs(sdk)) == 1, "nothing is compiled for nothing"


def test_a_failure_is_one_line_with_the_whole_log_kept(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    with pytest.raises(CompileError) as caught:
        compiled(sdk, model, io_crc=True, output_dir=tmp_path / "qpc")
    message = str(caught.value)
    assert "\n" not in message
    assert f"{model.path}: QAIC_ERROR: Error message: Unknown command line argument '-io-crc'" in message
    (kept,) = tmp_path.glob("qpc-*.log")
    assert str(kept) in message
    assert "Compilation aborted." in kept.read_text(encoding="utf-8")
    assert not (tmp_path / "qpc").exists()
    assert leftovers(tmp_path) == []


def test_a_flag_that_nobody_has_seen_is_warned_of(sdk: Sdk, model: ModelFile, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(CompileError):
        compiled(sdk, model, io_crc=True)
    assert "no public source shows -io-crc" in caplog.text


@pytest.mark.parametrize(
    ("said", "told"),
    [("a\nb\n\n", "b"), ("", "exit code 3"), ("fine\nerror: the reason\nbye\n", "error: the reason"), ("\xff\n", "ÿ")],
)
def test_the_last_meaningful_line_is_told(sdk: Sdk, model: ModelFile, said: str, told: str) -> None:
    (sdk.root / COMPLAINT_FILE).write_text(said, encoding="utf-8")
    with pytest.raises(CompileError, match=rf"model\.onnx: {told} \(all that it said is in"):
        compiled(sdk, model)


def test_a_compiler_that_makes_nothing_has_failed(sdk: Sdk, model: ModelFile) -> None:
    (sdk.root / "exec" / "qaic-compile").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    with pytest.raises(CompileError, match="there is no program"):
        compiled(sdk, model)


def test_a_missing_compiler_says_where_it_is_looked_for_and_how_to_get_it(tmp_path: Path, model: ModelFile) -> None:
    with pytest.raises(
        BackendError, match=r"nowhere/exec and PATH have no qaic-compile or qaic-exec .*Apps SDK.*x86-64"
    ):
        compiled(Sdk(tmp_path / "nowhere"), model)


def test_the_compiler_is_found_on_path(
    sdk: Sdk, model: ModelFile, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{sdk.root / 'exec'}{os.pathsep}{os.environ['PATH']}")
    compiled(Sdk(tmp_path / "nowhere"), model)
    assert len(runs(sdk)) == 1


def test_a_profile_is_written_first_and_then_the_model_is_compiled(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    compiled(sdk, model, dump_profile=profile)
    first, second = runs(sdk)
    assert f"-dump-profile={profile}" in first
    assert not [argument for argument in second if argument.startswith(("-dump", "-load"))]
    assert profile.exists()
    compiled(sdk, model, dump_profile=profile)
    assert len(runs(sdk)) == 2
    profile.unlink()
    compiled(sdk, model, dump_profile=profile)
    assert profile.exists(), "what is missing is written again"


def test_a_file_that_a_keyword_names_counts_by_its_content(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    file = tmp_path / "precision.yaml"
    file.write_text("FP16NodeInstanceNames: [a]", encoding="utf-8")
    compiled(sdk, model, node_precision_info_file=file)
    file.write_text("FP16NodeInstanceNames: [b]", encoding="utf-8")
    compiled(sdk, model, node_precision_info_file=file)
    assert len(runs(sdk)) == 2
    with pytest.raises(OptionsError, match=r"load_profile: .*missing.yaml cannot be read"):
        compiled(sdk, model, load_profile=tmp_path / "missing.yaml")


def test_weights_outside_the_file_count_as_well(sdk: Sdk, tmp_path: Path) -> None:
    path = TinyClassifier(batch=1).save(tmp_path / "model.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    model = ModelFile(path, "onnx")
    first = compiled(sdk, model)
    weights = tmp_path / "weights.bin"
    weights.write_bytes(bytes(weights.stat().st_size))
    assert compiled(sdk, model) != first


def test_the_metadata_of_the_model_is_kept_beside_the_program(sdk: Sdk, tmp_path: Path) -> None:
    path = TinyClassifier(batch=1, metadata={"streamer.name": "bottles"}).save(tmp_path / "model.onnx")
    record = read_record(compiled(sdk, ModelFile(path, "onnx")))
    assert record is not None
    assert record.metadata == {"streamer.name": "bottles"}


def test_a_symbol_that_has_no_size_is_named_before_the_compiler_runs(sdk: Sdk, tmp_path: Path) -> None:
    path = TinyClassifier(height="height", width="width").save(tmp_path / "model.onnx")
    with pytest.raises(OptionsError, match="height, width open"):
        compiled(sdk, ModelFile(path, "onnx"))
    assert runs(sdk) == []


def test_one_row_is_compiled_for_where_nobody_says_how_many(
    sdk: Sdk, model: ModelFile, caplog: pytest.LogCaptureFixture
) -> None:
    compiled(sdk, model)
    assert "-onnx-define-symbol=batch,1" in runs(sdk)[0]
    assert "one row at a time" in caplog.text


def test_what_is_no_model_is_named(sdk: Sdk, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"model\.onnx is no complete ONNX file"):
        compiled(sdk, ModelFile(path, "onnx"))
    with pytest.raises(OptionsError, match="output_node_names"):
        compiled(sdk, ModelFile(path, "tensorflow"))
    # A TensorFlow model goes to the compiler with its outputs; the stand-in of it can read none.
    with pytest.raises(CompileError):
        compiled(sdk, ModelFile(path, "tensorflow"), output_node_names=["softmax"])
    assert "-output-node-name=softmax" in runs(sdk)[-1]


def test_a_program_is_taken_as_it_is(sdk: Sdk, tmp_path: Path) -> None:
    (tmp_path / QPC_FILE_NAME).write_bytes(MAGIC)
    file = ModelFile(tmp_path / QPC_FILE_NAME, "qpc")
    assert QaicBackend(sdk).compile(file, BackendOptions()) is file


def test_a_place_that_cannot_be_written_to_is_named(sdk: Sdk, model: ModelFile, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(CompileError, match=r"cannot be compiled into .*file/qpc: .*output_dir"):
        compiled(sdk, model, output_dir=tmp_path / "file" / "qpc")


@pytest.fixture
def interrupted(sdk: Sdk, model: ModelFile) -> Iterator["subprocess.Popen[str]"]:
    """Another process that compiles, and whose compiler hangs."""
    (sdk.root / HANG_FILE).touch()
    code = (
        # Where the tests run in the background, Ctrl-C is ignored by all that they start.
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import sys; from pathlib import Path\n"
        "from engine.backends.base import BackendOptions\n"
        "from engine.backends.qaic.backend import QaicBackend\n"
        "from engine.backends.qaic.sdk import Sdk\n"
        "from engine.models.files import ModelFile\n"
        "QaicBackend(Sdk(Path(sys.argv[1]))).compile(ModelFile(Path(sys.argv[2]), 'onnx'), BackendOptions())\n"
    )
    cache = {"XDG_CACHE_HOME": os.environ["XDG_CACHE_HOME"]}
    command = [sys.executable, "-c", code, str(sdk.root), str(model.path)]
    with subprocess.Popen(command, cwd=ROOT, env=environ(**cache), stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_an_interrupt_ends_the_compiler_and_leaves_nothing(
    sdk: Sdk, interrupted: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    wait_until(lambda: bool(runs(sdk)), "the compiler to run", DEADLINE_S)
    compilers = children(interrupted.pid)
    assert compilers
    interrupted.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in interrupted.communicate(timeout=DEADLINE_S)[1]
    assert not any(Path(f"/proc/{number}").exists() for number in compilers)
    assert leftovers(tmp_path / "cache" / "streamer" / "qpc") == []


def children(process: int) -> list[str]:
    tasks = Path(f"/proc/{process}/task").glob("*/children")
    return [number for task in tasks for number in task.read_text(encoding="ascii").split()]
