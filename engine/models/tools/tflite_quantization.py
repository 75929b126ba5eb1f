"""int8 for TFLite models."""

from collections.abc import Sequence
from pathlib import Path

from engine.errors import ModelError
from engine.models.tools.runnable import Arrays
from engine.models.tools.tflite_graph import packed, parse_tflite, remove_unused, share_equal_buffers, with_signature
from engine.models.tools.tflite_quantizer import quantized_tflite


def quantize_tflite(source: Path, target: Path, batches: Sequence[Arrays]) -> list[str]:
    """Write a TFLite file whose weights, and whose arithmetic, are int8; it takes and gives what it did.

    Args:
        source: The file.
        target: What is made.
        batches: What the ranges of values are measured on; without any they are found anew at each run.

    Returns:
        What was done, in words.

    Raises:
        ModelError: The model cannot be quantised.
        BackendError: The quantiser is not installed.
    """
    model = parse_tflite(source)
    classes = [tensor.quantization for graph in model.subgraphs for tensor in graph.tensors]
    if any(entry is not None and entry.scale is not None and len(entry.scale) for entry in classes):
        raise ModelError(f"{source} is quantised already")
    remove_unused(model)
    share_equal_buffers(model)
    signatures = model.signatureDefs
    signature = with_signature(model)
    runs = _by_signature(model, batches)
    content = quantized_tflite(packed(model), "static" if batches else "dynamic", signature, runs, str(source))
    target.write_bytes(content)
    made = parse_tflite(target)
    made.signatureDefs = made.signatureDefs if signatures else None
    _keep_names(model, made)
    target.write_bytes(packed(made))
    if batches:
        return ["static: int8 weights per channel and values; inputs and outputs stay as they were"]
    return ["dynamic, for want of calibration data: int8 weights per channel, and the range of values at each run"]


def _by_signature(model: object, batches: Sequence[Arrays]) -> list[Arrays]:
    """Call inputs as the signature does, which need not be as the graph does."""
    graph, entries = model.subgraphs[0], model.signatureDefs[0].inputs  # type: ignore[attr-defined]
    names = {_text(graph.tensors[entry.tensorIndex].name): _text(entry.name) for entry in entries}
    return [{names[name]: values for name, values in batch.items()} for batch in batches]


def _keep_names(model: object, made: object) -> None:
    """Give the tensors at a graph's edges their names back; what has taken one gets another."""
    before, after = model.subgraphs[0], made.subgraphs[0]  # type: ignore[attr-defined]
    for old, new in (*zip(before.inputs, after.inputs, strict=True), *zip(before.outputs, after.outputs, strict=True)):
        name = before.tensors[old].name
        for tensor in after.tensors:
            if tensor.name == name:
                tensor.name = _text(name) + "_int8"
        after.tensors[new].name = name


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
