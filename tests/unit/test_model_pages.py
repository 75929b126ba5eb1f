"""What the pages about models say and read, without a browser."""

from pathlib import Path

import pytest

from engine.models.store.records import ModelVersion, StoredModel
from streamer.web.converter.page import read_shape
from streamer.web.manager.look import _MAX_PICTURE_BYTES, picture_shelf
from streamer.web.manager.model_page import for_consumer
from streamer.web.manager.models_page import row_of
from streamer.web.model_work.reports import comparison_facts


@pytest.mark.parametrize(("text", "shape"), [("", None), (" ", None), ("1,3,8,8", [1, 3, 8, 8]), (" 1 , 16 ", [1, 16])])
def test_a_shape_is_read(text: str, shape: list[int] | None) -> None:
    assert read_shape(text) == shape


@pytest.mark.parametrize("text", ["1,,3", "0,3", "-1,3", "1x3", "1e3", "9999999999999999999", "1," * 8 + "1", "²"])
def test_what_is_no_shape_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="1,3,224,224"):
        read_shape(text)


def test_a_comparison_is_said_with_what_is_not_known() -> None:
    facts = comparison_facts(
        {
            "samples": 8,
            "max_abs_difference": None,
            "max_relative_difference": 0.00123,
            "top_class_agreement": None,
            "size_before_bytes": 2048,
            "size_after_bytes": 1024,
            "latency_before_ms": 1.25,
            "latency_after_ms": 0.5,
        }
    )
    assert list(facts.values()) == [
        *("infinite", "0.00123", "no classes"),
        *("2.0 KiB → 1.0 KiB", "1.2 ms → 0.5 ms", "8 random inputs"),
    ]


def test_a_row_tells_of_the_current_version(tmp_path: Path) -> None:
    newer, older = (
        ModelVersion(letter * 64, ".onnx", size, "2026-11-22T04:36:51Z", "upload", "a.onnx", tmp_path)
        for letter, size in (("b", 10), ("a", 20))
    )
    row = row_of(StoredModel("caps", (newer, older), older, ()))
    assert (row["current"], row["size"], row["versions"], row["added"]) == ("a" * 12, "20 B", 2, "2026-11-22 04:36")
    assert row["name_link"] == "/model?name=caps"


def test_no_consumer_is_named_for_what_none_runs(tmp_path: Path) -> None:
    onnx, tflite = (
        ModelVersion("a" * 64, suffix, 10, "2026-11-22T04:36:51Z", "upload", "a", tmp_path)
        for suffix in (".onnx", ".tflite")
    )
    assert for_consumer(StoredModel("caps", (onnx,), onnx, ())) == "streamer consume --model caps"
    assert "`streamer convert`, makes an .onnx of it" in for_consumer(StoredModel("caps", (tflite,), tflite, ()))


def test_a_few_of_the_largest_pictures_are_kept_at_a_time() -> None:
    shelf = picture_shelf()
    names = [shelf.put(bytes(_MAX_PICTURE_BYTES), "image/png") for _ in range(4)]
    assert all(shelf.get(name) is not None for name in names)
