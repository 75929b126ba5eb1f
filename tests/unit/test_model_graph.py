"""Sizes for the symbols of a model."""

from pathlib import Path

import numpy as np
import pytest

from engine.errors import OptionsError
from engine.models.graph import with_closed_symbols, with_symbols
from engine.models.program import Program, TensorSpec
from engine.options import SessionOptions, session_options

PATH = Path("model.onnx")


def program(*symbols: str | None) -> Program:
    shape = tuple(None if symbol else 3 for symbol in symbols)
    return Program((TensorSpec("x", shape, np.dtype(np.float32), symbols),), ())


def test_a_batch_without_a_size_has_the_one_that_is_wanted_and_other_symbols_have_to_be_said() -> None:
    said = session_options({"onnx_define_symbol": {"height": 32}})
    closed = with_closed_symbols(program("batch", "height"), said, PATH, 4)
    assert closed.symbols == {"height": 32, "batch": 4}
    assert "onnx_define_symbol" in closed.model_fields_set
    given = session_options({"onnx_define_symbol": {"batch": 2, "height": 32}})
    assert with_closed_symbols(program("batch", "height"), given, PATH, 4) is given
    assert with_closed_symbols(program(None, "height"), said, PATH) is said
    with pytest.raises(OptionsError, match=r"model\.onnx leaves the size of height, width open"):
        with_closed_symbols(program("batch", "height", "width"), SessionOptions(), PATH)


@pytest.mark.parametrize("give", [with_symbols, with_closed_symbols])
def test_a_symbol_that_is_misspelt_or_not_the_batchs_is_refused(give: object) -> None:
    assert callable(give)
    with pytest.raises(OptionsError, match="did you mean batch"):
        give(program("batch", None), session_options({"onnx_define_symbol": {"bacth": 8}}), PATH)
    with pytest.raises(OptionsError, match="not the first axis"):
        give(program("batch", "height"), session_options({"onnx_define_symbol": {"height": [1, 2]}}), PATH)


def test_rows_are_told_by_the_batchs_symbol_or_its_size() -> None:
    def output(size: int | None, symbol: str | None) -> TensorSpec:
        return TensorSpec("y", (size, 2), np.dtype(np.float32), (symbol, None))

    is_open = program("batch", None)
    assert is_open.has_rows(output(None, "batch"))
    assert is_open.has_rows(output(None, None))
    assert not is_open.has_rows(output(None, "boxes"))
    assert not is_open.has_rows(output(4, None))
    fixed = program(None, None)
    assert fixed.has_rows(output(3, None))
    assert not fixed.has_rows(output(4, None))
