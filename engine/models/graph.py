"""What an ONNX graph ends in, read from the file's own bytes: ONNX Runtime does not tell."""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: Operators that change a value's type or shape and not its meaning.
_TRANSPARENT = {
    "Cast", "CastLike", "DequantizeLinear", "Dropout", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Squeeze",
    "Transpose", "Unsqueeze",
}  # fmt: skip
#: Field numbers. Source: onnx.proto3 (ModelProto, GraphProto, NodeProto).
_MODEL_GRAPH, _GRAPH_NODE, _NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 7, 1, 1, 2, 4
#: Wire types. Source: Protocol Buffers, "Encoding".
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _Node(NamedTuple):
    operator: str
    first_input: str


def last_operator(model: Path, output: str) -> str | None:
    """Return the operator that makes an output's values, such as `Sigmoid`; None where the file does not show it.

    Operators that only change shape or type are looked through.
    """
    try:
        with model.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            producers = _producers(content)
    except (OSError, ValueError):
        return None
    operator = None
    # Each step uses up a node, so that a circle ends as well.
    while (node := producers.pop(output, None)) is not None:
        operator, output = node.operator, node.first_input
        if operator not in _TRANSPARENT:
            break
    return operator


def _producers(content: mmap.mmap) -> dict[str, _Node]:
    """Return for each value of the graph the node that makes it."""
    producers: dict[str, _Node] = {}
    for _, graph in _fields(content, slice(0, len(content)), {_MODEL_GRAPH}):
        for _, node in _fields(content, graph, {_GRAPH_NODE}):
            texts: dict[int, list[str]] = {_NODE_INPUT: [], _NODE_OUTPUT: [], _NODE_OPERATOR: []}
            for number, text in _fields(content, node, set(texts)):
                texts[number].append(content[text].decode())
            first_input = (*texts[_NODE_INPUT], "")[0]
            for name in texts[_NODE_OUTPUT]:
                producers[name] = _Node("".join(texts[_NODE_OPERATOR]), first_input)
    return producers


def _fields(content: mmap.mmap, message: slice, wanted: set[int]) -> Iterator[tuple[int, slice]]:
    """Yield number and place of a message's wanted fields that have a length; weights are stepped over unread.

    Raises:
        ValueError: It is no such message.
    """
    position: int = message.start
    while position < message.stop:
        key, position = _varint(content, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            _, position = _varint(content, position)
            continue
        if wire_type == _BYTES:
            size, position = _varint(content, position)
        elif wire_type in (_FIXED64, _FIXED32):
            size = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError("not a protocol buffer")
        if position + size > message.stop:
            raise ValueError("the message is cut off")
        if wire_type == _BYTES and number in wanted:
            yield number, slice(position, position + size)
        position += size


def _varint(content: mmap.mmap, position: int) -> tuple[int, int]:
    """Return a number and the position after it."""
    value = shift = 0
    while position < len(content) and shift < 64:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number has no end")
