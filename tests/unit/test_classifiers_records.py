"""What a run left behind is believed as far as it can be true, and no further."""

import json
from pathlib import Path

import pytest

from engine.backends.simulator.table import read_table
from engine.models.files import file_digest
from engine.models.zoo.catalog import find_architecture
from streamer.classifiers.errors import NothingCompiledError
from streamer.classifiers.plan import Wishes, plan_of
from streamer.classifiers.records import Compiled, Exported, read_compiled, read_exported
from streamer.classifiers.work_directory import WorkDirectory

PLAN = plan_of(Wishes(), find_architecture("resnet50"), read_table())


@pytest.fixture
def directory(tmp_path: Path) -> WorkDirectory:
    directory = WorkDirectory(tmp_path, PLAN, "onnxruntime")
    with directory.opened():
        for path in (directory.model, directory.input, directory.reference):
            directory.write(path, "x")
    return directory


def exported(directory: WorkDirectory) -> Exported:
    return Exported("resnet50", "random", 224, 13, 13, None, ("a note",), file_digest(directory.model))


def test_what_was_written_is_read(directory: WorkDirectory) -> None:
    directory.export_record.write_text(exported(directory).text())
    assert read_exported(directory, PLAN, None) == exported(directory)
    compiled = Compiled("onnxruntime", "model/model.onnx", file_digest(directory.model))
    directory.compile_record.write_text(compiled.text())
    assert read_compiled(directory, exported(directory), "onnxruntime") == compiled


@pytest.mark.parametrize("is_absolute", [False, True])
def test_a_program_that_is_elsewhere_is_not_run(directory: WorkDirectory, is_absolute: bool) -> None:
    other = directory.root.parent / "other.onnx"
    other.write_text("x")
    program = str(other) if is_absolute else "../other.onnx"
    compiled = Compiled("onnxruntime", program, file_digest(directory.model))
    directory.compile_record.write_text(compiled.text())
    with pytest.raises(NothingCompiledError, match=r"names a program elsewhere, '.*other\.onnx': run it without"):
        read_compiled(directory, exported(directory), "onnxruntime")


@pytest.mark.parametrize(
    "content", ["1", "{}", "[" * 100_000, "\xff", json.dumps({"backend": "onnxruntime", "program": 1, "digest": "x"})]
)
def test_a_record_that_is_none_is_one_line(directory: WorkDirectory, content: str) -> None:
    for path in (directory.compile_record, directory.export_record):
        path.write_text(content, "latin-1")
    for read in (
        lambda: read_compiled(directory, exported(directory), "onnxruntime"),
        lambda: read_exported(directory, PLAN, None),
    ):
        with pytest.raises(NothingCompiledError, match=r"^[^\n]+: run it without --run-only$"):
            read()
