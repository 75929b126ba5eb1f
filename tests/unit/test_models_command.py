"""`streamer models`, as it is typed, and what a model's name means."""

import json
from pathlib import Path
from typing import Any

import pytest

from config.settings import Settings
from engine.errors import ModelError, ModelNotFoundError
from engine.models.files import file_digest
from streamer.cli.main import main
from streamer.compose import classifier_of
from streamer.web.model_work import tasks
from tests.fakes.onnx_models import TinyClassifier
from tests.fakes.tflite_models import save_tiny_tflite


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two models in it, and a state directory of the test's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    for number in (1, 2):
        TinyClassifier(height=8, width=8, gain=number).save(tmp_path / f"run-{number}.onnx")
    return tmp_path


def said(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    """Type a command; return what it prints as JSON."""
    assert main(["models", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_the_life_of_a_model(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (file_digest(here / f"run-{number}.onnx") for number in (1, 2))
    assert said(capsys, "list") == {"directory": str(here / "state/streamer/models"), "models": []}
    assert said(capsys, "add", "run-1.onnx", "--name", "bottles")["current"] == first
    assert said(capsys, "add", "run-2.onnx", "--name", "bottles", "--origin", "line 2")["current"] == first
    assert said(capsys, "use", "bottles", second[:6])["current"] == second
    assert said(capsys, "add", "run-1.onnx", "--name", "bottles", "--use")["current"] == first
    assert main(["models", "add", "run-2.onnx", "--name", "bottles"]) == 0
    assert f"version {second[:12]} was there already, and is not the current one" in capsys.readouterr().out
    assert said(capsys, "delete", "bottles", second) == {"deleted": "bottles", "digest": second}
    assert said(capsys, "rename", "bottles", "caps")["name"] == "caps"
    actions = [entry["action"] for entry in said(capsys, "history", "caps")["history"]]
    assert actions == ["renamed", "deleted", "current", "current", "added", "added"]
    assert [model["name"] for model in said(capsys, "list")["models"]] == ["caps"]
    assert said(capsys, "delete", "caps")["digest"] is None
    assert said(capsys, "list")["models"] == []


def test_people_see_tables_and_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digest = file_digest(here / "run-1.onnx")
    assert main(["models", "list"]) == 0
    assert "has no models: `streamer models add FILE`" in capsys.readouterr().err
    assert main(["models", "add", "run-1.onnx"]) == 0
    assert capsys.readouterr().out == f"model run-1: version {digest[:12]} is the current one\n"
    assert main(["models", "add", "run-2.onnx", "--name", "run-1"]) == 0
    assert "is not the current one: `streamer models use run-1 " in capsys.readouterr().out
    for words in (["list"], ["history", "run-1"]):
        assert main(["models", *words]) == 0
        assert digest[:12] in capsys.readouterr().out
    assert main(["models", "delete", "run-1"]) == 0
    assert capsys.readouterr().out == "model run-1: all 2 versions deleted\n"


def test_people_are_told_what_they_may_not_expect(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "run-1.onnx").rename(here / "workpiece.onnx")
    for was_there in (False, True):
        assert main(["models", "add", "workpiece.onnx"]) == 0
        said = capsys.readouterr()
        assert said.err == "it is called workpiece-copy, for workpiece is the built-in model's name\n"
        assert ("was there already, and is the current one" in said.out) is was_there
    save_tiny_tflite(here / "flat.tflite")
    assert main(["models", "add", "flat.tflite"]) == 0
    assert capsys.readouterr().err == "no consumer runs a TFLite model: `streamer convert` makes an .onnx of it\n"
    assert main(["models", "delete", "flat"]) == 0
    assert capsys.readouterr().out == "model flat: 1 version deleted\n"


def test_a_page_is_told_which_version_it_added_whatever_is_current(here: Path) -> None:
    directory = here / "store"
    for number, origin in ((1, "upload"), (2, "upload"), (1, "again")):
        added = tasks.add(
            lambda _: None,
            store=str(directory),
            path=str(here / f"run-{number}.onnx"),
            name=None,
            origin=origin,
            original_name="Bottles.onnx",
        )
        assert added == {"name": "bottles", "digest": file_digest(here / f"run-{number}.onnx")}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["use", "nosuch", "abcdef"], "has no model 'nosuch': it has none"),
        (["add", "absent.onnx"], "absent.onnx cannot be read: No such file"),
        (["add", "run-1.onnx", "--name", "../x"], "is no name for a model"),
        (["history", "../../etc"], "has no model '../../etc'"),
        (["delete", "."], "has no model '.'"),
    ],
)
def test_wrong_use_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def opened(settings: Settings, digest: str | None = None) -> tuple[str, str]:
    """Open a consumer's model; return its name and where it lies."""
    classifier = classifier_of(settings, digest)
    classifier.backend.close()
    return classifier.spec.name, str(classifier.spec.path)


def test_a_name_is_built_in_or_a_path_or_one_of_the_store_in_this_order(here: Path) -> None:
    main(["models", "add", "run-1.onnx", "--name", "bottles"])
    digest = file_digest(here / "run-1.onnx")
    kept = str(here / f"state/streamer/models/bottles/versions/{digest}.onnx")
    assert opened(Settings(model="bottles")) == ("bottles", kept)
    (here / "workpiece").write_bytes((here / "run-2.onnx").read_bytes())
    assert opened(Settings(model="workpiece"))[1].endswith("builtin/workpiece.onnx")
    (here / "bottles").write_bytes((here / "run-2.onnx").read_bytes())
    assert opened(Settings(model="bottles")) == ("bottles", "bottles")
    assert opened(Settings(model="bottles"), digest) == ("bottles", kept), "a consumer that follows it stays with it"
    elsewhere = Settings(model="caps", model_store=here / "elsewhere")
    with pytest.raises(ModelNotFoundError, match=r"no model caps: there is no such file, and .*/elsewhere .* none"):
        classifier_of(elsewhere)
    with pytest.raises(ModelNotFoundError, match="has no model 'run': it has bottles; built in: workpiece"):
        classifier_of(Settings(model="run"))
    with pytest.raises(ModelError, match=r"no model absent/model\.onnx"):
        classifier_of(Settings(model="absent/model.onnx"))


def test_the_stores_model_is_called_by_its_name_there_whatever_its_file_says(here: Path) -> None:
    TinyClassifier(height=8, width=8, metadata={"streamer.name": "old"}).save(here / "named.onnx")
    main(["models", "add", "named.onnx", "--name", "bottles"])
    assert opened(Settings(model="bottles"))[0] == "bottles"
    assert opened(Settings(model="named.onnx"))[0] == "old"
