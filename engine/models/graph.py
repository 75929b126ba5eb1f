"""What an ONNX graph takes, gives and ends in, read from the file itself: not every runtime tells."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ModelError, OptionsError
from engine.models.npz import load_npz
from engine.models.onnx_file import read_onnx
from engine.models.program import Program, TensorSpec
from engine.options import SessionOptions, nearest

#: Operators that change a value's type or shape and not its meaning.
_TRANSPARENT = {
    "Cast", "CastLike", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze",
    "Transpose", "Unsqueeze",
}  # fmt: skip
#: The types of inputs and outputs that back ends are fed with.
_TYPES = {
    "float32", "float16", "float64", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "bool",
}  # fmt: skip


def program_of(model: Any, path: Path) -> Program:
    """Describe what a `ModelProto` takes and gives; weights among the inputs of an old export are none.

    Raises:
        ModelError: It has types that are not supported; it names the file.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    weights.update(tensor.values.name for tensor in model.graph.sparse_initializer)
    inputs = tuple(_spec(value, path) for value in model.graph.input if value.name not in weights)
    outputs = tuple(_spec(value, path) for value in model.graph.output)
    return Program(inputs, outputs, {entry.key: entry.value for entry in model.metadata_props})


def check_symbols(program: Program, keywords: SessionOptions, path: Path) -> None:
    """Refuse sizes for symbols that a model has not, and several sizes for one that is not its batch.

    Raises:
        OptionsError: It names the symbol.
    """
    known = dict.fromkeys(symbol for spec in program.inputs for symbol in spec.symbols if symbol)
    for symbol in keywords.symbols:
        if symbol not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            hint = nearest(symbol, known) or f": {has}"
            raise OptionsError(f"onnx_define_symbol names {symbol}, which is no symbol of {path}{hint}")
    ladder = keywords.ladder
    if ladder is not None and program.inputs[0].symbols[:1] != (ladder[0],):
        raise OptionsError(
            f"onnx_define_symbol gives several sizes to {ladder[0]}, "
            f"which is not the first axis of {program.inputs[0].name} in {path}"
        )


def with_closed_symbols(program: Program, keywords: SessionOptions, path: Path, open_batch: int = 1) -> SessionOptions:
    """Return keywords with a size for every symbol of a program's inputs, for devices that take no open ones.

    Args:
        program: The model's.
        keywords: Whose `onnx_define_symbol` is looked at.
        path: The model, for messages.
        open_batch: The size of the batch's symbol, where nobody says one.

    Raises:
        OptionsError: Another symbol has no size, is none of the model's, or has several.
    """
    check_symbols(program, keywords, path)
    symbols = [symbol for spec in program.inputs for symbol in spec.symbols if symbol is not None]
    batch = program.inputs[0].symbols[0] if program.inputs and program.inputs[0].symbols else None
    left_open = sorted(set(symbols) - set(keywords.symbols) - {batch})
    if left_open:
        example = ", ".join(f"{name!r}: N" for name in left_open)
        raise OptionsError(
            f"{path} leaves the size of {', '.join(left_open)} open, and this device needs it: "
            f"give onnx_define_symbol={{{example}}}"
        )
    if batch is None or batch in keywords.symbols:
        return keywords
    pairs = (*(keywords.onnx_define_symbol or ()), (batch, open_batch))
    return keywords.model_copy(update={"onnx_define_symbol": pairs})


def with_symbols(program: Program, keywords: SessionOptions, path: Path) -> Program:
    """Give the symbols of a program the sizes that `onnx_define_symbol` says; a ladder's keeps its axis open.

    Raises:
        OptionsError: The model has no such symbol, or a ladder is not of its batch.
    """
    check_symbols(program, keywords, path)
    ladder = keywords.ladder
    sizes = {symbol: size for symbol, size in keywords.symbols.items() if ladder is None or symbol != ladder[0]}
    return replace(
        program,
        inputs=tuple(_sized(spec, sizes) for spec in program.inputs),
        outputs=tuple(_sized(spec, sizes) for spec in program.outputs),
        ladder=ladder[1] if ladder is not None else (),
    )


def _spec(value: Any, path: Path) -> TensorSpec:
    from onnx import helper

    kind = value.type.WhichOneof("value") or "no type"
    tensor = value.type.tensor_type
    try:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
        name = dtype.name if kind == "tensor_type" else kind.removesuffix("_type")
    except (KeyError, TypeError):
        name = "no known type"
    if name not in _TYPES:
        raise ModelError(f"{path}: {value.name} has the type {name}, which is not supported")
    axes = tensor.shape.dim
    shape = tuple(axis.dim_value if axis.dim_value > 0 else None for axis in axes)
    return TensorSpec(value.name, shape, dtype, tuple(axis.dim_param or None for axis in axes))


def _sized(spec: TensorSpec, sizes: Mapping[str, int]) -> TensorSpec:
    shape = tuple(
        sizes.get(symbol or "", size) if size is None else size
        for size, symbol in zip(spec.shape, spec.symbols, strict=True)
    )
    symbols = tuple(None if symbol in sizes else symbol for symbol in spec.symbols)
    return replace(spec, shape=shape, symbols=symbols)


def last_operator(model: Path, output: str) -> str | None:
    """Return the operator that makes an output's values, such as `Sigmoid`; None where the file does not show it.

    Operators that only change shape or type are looked through. Weights outside the file are not read.
    """
    try:
        graph = (load_npz(model) if model.suffix.lower() == ".npz" else read_onnx(model)).graph
    except ModelError:  # a QPC, say
        return None
    producers = {name: node for node in graph.node for name in node.output}
    operator = None
    # Each step uses up a node, so that a circle ends as well.
    while (node := producers.pop(output, None)) is not None:
        operator = node.op_type
        if operator not in _TRANSPARENT or not node.input:
            break
        output = node.input[0]
    return operator
