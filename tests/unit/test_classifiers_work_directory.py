"""A working directory is for one run at a time, and what is somebody else's in it stays."""

from contextlib import suppress
from pathlib import Path

import pytest

from engine.backends.simulator.table import read_table
from engine.models.zoo.catalog import find_architecture
from streamer.classifiers.errors import ClassifierError, PlanError
from streamer.classifiers.plan import Wishes, plan_of
from streamer.classifiers.work_directory import OURS_NAME, WorkDirectory

PLAN = plan_of(Wishes(), find_architecture("resnet50"), read_table())


@pytest.fixture
def directory(tmp_path: Path) -> WorkDirectory:
    return WorkDirectory(tmp_path, PLAN, "onnxruntime")


def test_what_a_run_made_the_next_one_replaces(directory: WorkDirectory) -> None:
    for text in ("one", "two"):
        with directory.opened():
            directory.write(directory.commands, text)
            with directory.replacing(directory.model) as path:
                path.write_text(text)
    assert directory.commands.read_text() == directory.model.read_text() == "two"
    left = sorted(directory.relative(path) for path in directory.root.rglob("*") if path.is_file())
    assert left == [OURS_NAME, directory.relative(directory.commands), "model/model.onnx"]


def test_what_no_run_made_stays_and_is_named(directory: WorkDirectory) -> None:
    directory.model.parent.mkdir(parents=True)
    directory.model.write_text("mine")
    directory.compiled.mkdir()
    with directory.opened():
        with pytest.raises(PlanError, match=r"model\.onnx is in the way"), directory.replacing(directory.model):
            pass
        with pytest.raises(PlanError, match="is in the way"):
            directory.claim(directory.compiled)
    assert directory.model.read_text() == "mine"


def test_nothing_is_written_through_a_link(directory: WorkDirectory, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "model.json").write_text("mine")
    directory.root.mkdir()
    (directory.root / "model").symlink_to(elsewhere)
    (directory.root / OURS_NAME).write_text('["model/model.json"]')
    with directory.opened():
        for path in (directory.export_record, directory.reference):
            with pytest.raises(PlanError, match=rf"{directory.root / 'model'} is a link"):
                directory.write(path, "other")
        directory.claim(directory.compiled)
        directory.compiled.symlink_to(elsewhere)
        with pytest.raises(PlanError, match="is a link"):
            directory.claim(directory.compiled)
    assert [path.name for path in elsewhere.iterdir()] == ["model.json"]
    assert (elsewhere / "model.json").read_text() == "mine"


@pytest.mark.parametrize("content", ["1", '[["x"]]', '{"a": 1}', "[" * 100_000, "\xff"])
def test_a_list_of_ours_that_is_none_is_one_line(directory: WorkDirectory, content: str) -> None:
    directory.root.mkdir()
    (directory.root / OURS_NAME).write_text(content, "latin-1")
    with (
        directory.opened(),
        pytest.raises(PlanError, match=rf"^\S+{OURS_NAME} cannot be read: [^\n]+: give another --work-dir$"),
    ):
        directory.claim(directory.commands)


def test_a_run_that_breaks_off_leaves_nothing_in_the_way(directory: WorkDirectory) -> None:
    with directory.opened():
        with suppress(ZeroDivisionError), directory.replacing(directory.model) as path:
            path.write_text("half")
            raise ZeroDivisionError
        assert list(directory.model.parent.iterdir()) == []
        directory.write(directory.model, "whole")
    assert directory.model.read_text() == "whole"


def test_two_runs_at_a_time_are_refused(directory: WorkDirectory) -> None:
    other = WorkDirectory(directory.root.parent, PLAN, "simulator")
    with directory.opened():
        with pytest.raises(PlanError, match="another run works in"), other.opened():
            pass
        directory.write(directory.commands, "still")
    with other.opened():
        pass


def test_what_cannot_be_written_is_one_line(directory: WorkDirectory, tmp_path: Path) -> None:
    directory.root.write_text("a file")
    with pytest.raises(PlanError, match=r"resnet50 cannot be used: Not a directory|File exists"), directory.opened():
        pass
    directory.root.unlink()
    with pytest.raises(ClassifierError, match="No such file"), directory.opened():
        (tmp_path / "nowhere" / "x").write_text("")
