"""What a file, a `model.toml` and the user say of a model, and what they must not say."""

import json
from pathlib import Path

import pytest

from engine.errors import ModelError
from engine.models.description import ModelDescription, check, from_metadata, from_toml, read_labels

EVERYTHING = """
name = "bottles"
labels = ["full", "empty"]
activation = "none"
[preprocessing]
short_side = 256
crop = [200, 224]
mean = [0.5, 0.5, 0]
std = [1, 0.25, 0.5]
layout = "NHWC"
dtype = "float32"
"""
SAID = ModelDescription(
    name="bottles",
    labels=("full", "empty"),
    short_side_px=256,
    crop_px=(200, 224),
    mean=(0.5, 0.5, 0.0),
    std=(1.0, 0.25, 0.5),
    layout="NHWC",
    dtype="float32",
    activation="none",
)


def test_a_toml_file_beside_the_model_says_everything(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(EVERYTHING)
    assert from_toml(tmp_path / "any.onnx") == SAID


def test_the_toml_file_of_the_models_own_name_comes_first(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text('name = "shared"')
    (tmp_path / "bottles.toml").write_text('name = "own"')
    assert from_toml(tmp_path / "bottles.onnx").name == "own"
    assert from_toml(tmp_path / "other.onnx").name == "shared"


def test_without_a_toml_file_nothing_is_said(tmp_path: Path) -> None:
    assert from_toml(tmp_path / "bottles.onnx") == ModelDescription()


def test_the_metadata_say_the_same_in_json(tmp_path: Path) -> None:
    metadata = {
        "streamer.name": "bottles",
        "streamer.labels": '["full", "empty"]',
        "streamer.activation": "none",
        "streamer.preprocessing": json.dumps(
            {
                "short_side": 256,
                "crop": [200, 224],
                "mean": [0.5, 0.5, 0],
                "std": [1, 0.25, 0.5],
                "layout": "NHWC",
                "dtype": "float32",
            }
        ),
        "somebody.else": "{",
    }
    assert from_metadata(metadata, tmp_path / "m.onnx") == SAID
    assert from_metadata({}, tmp_path / "m.onnx") == ModelDescription()


def test_the_later_one_wins_where_it_says_something() -> None:
    over = ModelDescription(name="new", mean=(0, 0, 0), std=(1, 1, 1)).over(SAID)
    assert (over.name, over.mean, over.std) == ("new", (0, 0, 0), (1, 1, 1))
    assert (over.labels, over.crop_px, over.activation) == (SAID.labels, SAID.crop_px, SAID.activation)
    assert ModelDescription().over(SAID) == SAID


def test_labels_come_from_a_file_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("\ufefftench, Tinca tinca\r\n\r\n  Größe  \n".encode())
    assert read_labels(tmp_path / "labels.txt") == ("tench, Tinca tinca", "Größe")
    (tmp_path / "model.toml").write_text('labels_file = "labels.txt"')
    assert from_toml(tmp_path / "m.onnx").labels == ("tench, Tinca tinca", "Größe")


@pytest.mark.parametrize("content", [None, b"", b" \n\n", b"\xff\xfe\x00"])
def test_labels_that_cannot_be_read_are_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "labels.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"labels\.txt"):
        read_labels(path)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name = 3", "name"),
        ('labels = "full, empty"', "labels"),
        ("labels = 5", "labels"),
        ("labels = []", "labels"),
        ("labels = [1, 2]", "labels"),
        ("labels_file = 1", "labels_file"),
        ('labels_file = "missing.txt"', "missing"),
        ('activation = "sigmoid"', "sigmoid"),
        ("activation = [1]", "activation"),
        ('label = ["a"]', "label: there are"),
        ("preprocessing = 1", "preprocessing"),
        ("[preprocessing]\nshort_edge = 1", "short_edge"),
        ("[preprocessing]\nshort_side = 0", "short_side"),
        ("[preprocessing]\nshort_side = true", "short_side"),
        ("[preprocessing]\nshort_side = 25.6", "short_side"),
        ("[preprocessing]\ncrop = 224", "crop"),
        ("[preprocessing]\ncrop = [224, 224, 3]", "crop"),
        ("[preprocessing]\ncrop = [true, true]", "crop"),
        ("[preprocessing]\ncrop = [-1, 1]", "crop"),
        ("[preprocessing]\nmean = 0.5\nstd = 0.5", "mean"),
        ("[preprocessing]\nmean = [0.5]\nstd = [0.5]", "mean has 1"),
        ("[preprocessing]\nmean = [true, true, true]\nstd = [1, 1, 1]", "mean"),
        ("[preprocessing]\nmean = [nan, 0, 0]\nstd = [1, 1, 1]", "mean"),
        ("[preprocessing]\nmean = [0, 0, 0]\nstd = [inf, 1, 1]", "std"),
        ("[preprocessing]\nmean = [0, 0, 0]\nstd = [1, nan, 1]", "std"),
        ("[preprocessing]\nmean = [0, 0, 0]\nstd = [1, 0, 1]", "std"),
        ("[preprocessing]\nmean = [0, 0, 0]", "go together"),
        ('[preprocessing]\nlayout = "nchw"', "layout"),
        ('[preprocessing]\ndtype = "int8"', "dtype"),
        ("name = ", "cannot be read"),
        ("name = '\x00'", "cannot be read"),
        ("name = " + "[" * 5000, "cannot be read"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_file_and_its_key(tmp_path: Path, text: str, named: str) -> None:
    (tmp_path / "model.toml").write_text(text)
    with pytest.raises(ModelError, match=named) as caught:
        from_toml(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)
    if "missing" not in text:
        assert "model.toml" in str(caught.value)


def test_an_unreadable_toml_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(ModelError, match=r"model\.toml cannot be read"):
        from_toml(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("streamer.labels", "full, empty"),
        ("streamer.labels", '"full"'),
        ("streamer.labels", '{"0": "full"}'),
        ("streamer.labels", "[" * 100_000),
        ("streamer.preprocessing", "[]"),
        ("streamer.preprocessing", '{"mean": NaN}'),
        ("streamer.activation", "logits"),
    ],
)
def test_metadata_that_cannot_be_meant_are_refused(tmp_path: Path, key: str, text: str) -> None:
    with pytest.raises(ModelError, match=r"m\.onnx"):
        from_metadata({key: text}, tmp_path / "m.onnx")


def test_what_the_user_says_is_checked_too() -> None:
    with pytest.raises(ModelError, match="the settings: mean and std go together"):
        check(ModelDescription(mean=(0, 0, 0)), "the settings")


def test_labels_outside_the_models_folder_are_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "private.txt").write_text("secret\nother")
    for path in ("../private.txt", str(tmp_path / "private.txt")):
        (folder / "m.toml").write_text(f"labels_file = {path!r}")
        with pytest.raises(ModelError, match="not in the model's own folder"):
            from_toml(folder / "m.onnx")


def test_a_label_that_could_not_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no text that can be written"):
        from_metadata({"streamer.labels": '["\\ud800", "b"]'}, tmp_path / "m.onnx")
