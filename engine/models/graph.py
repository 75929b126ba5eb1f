"""What an ONNX graph ends in: ONNX Runtime does not tell."""

from pathlib import Path

#: Operators that change a value's type or shape and not its meaning.
_TRANSPARENT = {
    "Cast", "CastLike", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze",
    "Transpose", "Unsqueeze",
}  # fmt: skip


def last_operator(model: Path, output: str) -> str | None:
    """Return the operator that makes an output's values, such as `Sigmoid`; None where the file does not show it.

    Operators that only change shape or type are looked through. Weights outside the file are not read.
    """
    import onnx  # a fifth of a second, and few models need it

    try:
        graph = onnx.load(model, load_external_data=False).graph
    except Exception:  # noqa: BLE001 - onnx and protobuf raise anything on what is no ONNX file
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
