"""Making TFLite models smaller."""

from pathlib import Path

from engine.models.tools.tflite_graph import (
    packed,
    parse_tflite,
    remove_unused,
    remove_unused_codes,
    share_equal_buffers,
)
from engine.models.tools.tflite_quantizer import Recipe, quantized_tflite
from engine.models.tools.tflite_runtime import read_tflite

_RECIPES: dict[int, Recipe] = {2: "float16", 3: "int8"}


def optimize_tflite(source: Path, target: Path, level: int) -> list[str]:
    """Write a TFLite file, optimised; level 0 only checks.

    Returns:
        What was done, in words.

    Raises:
        ModelError: The model cannot be used.
        BackendError: The quantiser is not installed.
    """
    model = parse_tflite(source)
    if level == 0:
        target.write_bytes(read_tflite(source))
        return ["checked and copied"]
    operators, tensors = remove_unused(model)
    buffers = share_equal_buffers(model)
    remove_unused_codes(model)
    notes = [f"{operators} operators and {tensors} tensors that no output needs, and {buffers} buffers left out"]
    content = packed(model)
    if level in _RECIPES:
        content = quantized_tflite(content, _RECIPES[level], name=str(source))
        notes.append(f"weights as {_RECIPES[level]}, computed in float32")
    target.write_bytes(content)
    return notes
