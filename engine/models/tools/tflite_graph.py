"""TFLite's flatbuffer as objects: reading, writing, and leaving out what a graph does not reach."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.backends.software import extra, require
from engine.errors import ModelError
from engine.models.files import TFLITE_MAGIC
from engine.models.tools.tflite_runtime import read_tflite

#: Signatures made here, where a model has none, are called so; as TensorFlow's converter calls its own.
_SIGNATURE = "serving_default"
#: An operator or a tensor: an entry in its list, and a table with an offset and at least one field.
_MIN_PART_BYTES = 12


def schema() -> Any:
    """Return the classes of TFLite's file format.

    Raises:
        BackendError: They are not installed.
    """
    return require("ai_edge_litert.schema_py_generated", "for TFLite", extra("tflite"), kind="the tool")


def parse_tflite(path: Path) -> Any:
    """Return a TFLite file as the schema's `ModelT`.

    Raises:
        ModelError: It is no whole TFLite file.
    """
    content = read_tflite(path)
    try:
        root = schema().Model.GetRootAs(content, 0)
        if not _is_told_once(root, len(content)):
            raise ValueError("it says the same things many times")
        model = schema().ModelT.InitFromObj(root)
        graphs = model.subgraphs[0].operators
    except Exception as exc:  # the generated code raises anything on what somebody made up
        raise ModelError(f"{path} is no complete TFLite file: it is cut short or damaged") from exc
    if graphs is None:
        raise ModelError(f"{path} is no complete TFLite file: it has no operators")
    if any(buffer.offset and buffer.offset > 1 for buffer in model.buffers):
        raise ModelError(
            f"{path} keeps its weights behind the flatbuffer, as files over 2 GB do: that is not supported"
        )
    return model


def _is_told_once(root: Any, size_bytes: int) -> bool:
    """Tell whether all parts of a model can stand beside each other in so many bytes.

    The format is offsets: thousands of them may lead to one place, and objects are made of each.
    """
    graphs = [root.Subgraphs(number) for number in range(min(root.SubgraphsLength(), size_bytes))]
    parts = sum(graph.OperatorsLength() + graph.TensorsLength() for graph in graphs)
    data_bytes = sum(root.Buffers(number).DataLength() for number in range(root.BuffersLength()))
    return bool(parts * _MIN_PART_BYTES + data_bytes <= size_bytes)


def packed(model: Any) -> bytes:
    """Return a `ModelT` as a file's content."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=TFLITE_MAGIC)
    return bytes(builder.Output())


def with_signature(model: Any) -> str:
    """Return the name of a model's signature; one is made where it has none."""
    if model.signatureDefs:
        name = model.signatureDefs[0].signatureKey
        return str(name.decode() if isinstance(name, bytes) else name)
    classes, graph = schema(), model.subgraphs[0]
    signature = classes.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = _SIGNATURE, 0
    for numbers, side in ((graph.inputs, "inputs"), (graph.outputs, "outputs")):
        entries = []
        for number in numbers:
            entry = classes.TensorMapT()
            entry.name, entry.tensorIndex = graph.tensors[number].name, int(number)
            entries.append(entry)
        setattr(signature, side, entries)
    model.signatureDefs = [signature]
    return _SIGNATURE


def remove_unused(model: Any) -> tuple[int, int]:
    """Leave out operators that no output needs, and what only they use.

    Only the first of several subgraphs is looked at where there is one; a model with several stays whole, since they
    call one another.

    Returns:
        How many operators and how many tensors were left out.
    """
    if len(model.subgraphs) > 1:
        return 0, 0
    graph = model.subgraphs[0]
    needed = {int(number) for number in graph.outputs}
    kept = []
    for operator in reversed(graph.operators):
        results = {int(number) for number in operator.outputs}
        if needed & results or _has_state(model, graph, operator):
            kept.append(operator)
            needed |= results | {int(number) for number in operator.inputs if number >= 0}
            needed |= {int(number) for number in _given(operator.intermediates)}
    kept.reverse()
    gone = len(graph.operators) - len(kept)
    graph.operators = kept
    needed |= {int(number) for number in graph.inputs}
    for signature in model.signatureDefs or ():
        needed |= {entry.tensorIndex for entry in [*_given(signature.inputs), *_given(signature.outputs)]}
    tensors_gone = len(graph.tensors) - len(needed)
    if tensors_gone:
        _renumber_tensors(model, sorted(needed))
    return gone, tensors_gone


def _has_state(model: Any, graph: Any, operator: Any) -> bool:
    """Tell whether an operator does more than give values: its results need not be used."""
    del model
    return not len(_given(operator.outputs)) or any(
        number >= 0 and graph.tensors[number].isVariable for number in operator.inputs
    )


def _given(numbers: Any) -> Any:
    return () if numbers is None else numbers


def _renumber_tensors(model: Any, kept: Collection[int]) -> None:
    graph = model.subgraphs[0]
    place = {old: new for new, old in enumerate(kept)} | {-1: -1}
    graph.tensors = [graph.tensors[number] for number in kept]
    graph.inputs = [place[int(number)] for number in graph.inputs]
    graph.outputs = [place[int(number)] for number in graph.outputs]
    for operator in graph.operators:
        operator.inputs = [place[int(number)] for number in operator.inputs]
        operator.outputs = [place[int(number)] for number in operator.outputs]
        if operator.intermediates is not None:
            operator.intermediates = [place[int(number)] for number in operator.intermediates]
    for signature in model.signatureDefs or ():
        for entry in [*_given(signature.inputs), *_given(signature.outputs)]:
            entry.tensorIndex = place[entry.tensorIndex]


def share_equal_buffers(model: Any) -> int:
    """Let tensors of equal weights use one buffer, drop those that nobody uses, and return how many are gone.

    The first buffer stays: it is TFLite's empty one.
    """
    used = {0} | {entry.buffer for entry in model.metadata or ()}
    variables = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors if tensor.isVariable}
    first: dict[bytes, int] = {}
    same = {}
    for number, buffer in enumerate(model.buffers):
        content = b"" if buffer.data is None else np.asarray(buffer.data, np.uint8).tobytes()
        if number == 0 or not content or number in variables:
            same[number] = number
        else:
            same[number] = first.setdefault(content, number)
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = same[tensor.buffer]
            used.add(tensor.buffer)
    kept = sorted(used)
    place = {old: new for new, old in enumerate(kept)}
    gone = len(model.buffers) - len(kept)
    model.buffers = [model.buffers[number] for number in kept]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            tensor.buffer = place[tensor.buffer]
    for entry in model.metadata or ():
        entry.buffer = place[entry.buffer]
    return gone


def remove_unused_codes(model: Any) -> None:
    """Leave out the entries of the table of operators that no operator uses any more."""
    used = sorted({operator.opcodeIndex for graph in model.subgraphs for operator in graph.operators})
    place = {old: new for new, old in enumerate(used)}
    model.operatorCodes = [model.operatorCodes[number] for number in used]
    for graph in model.subgraphs:
        for operator in graph.operators:
            operator.opcodeIndex = place[operator.opcodeIndex]


def values_of(model: Any, tensor: Any) -> NDArray[np.generic] | None:
    """Return a tensor's weights; None for one that is computed, or of a type that numpy has not."""
    buffer = model.buffers[tensor.buffer]
    if buffer.data is None or not len(buffer.data):
        return None
    dtype = dtypes().get(tensor.type)
    if dtype is None:
        return None
    shape = tuple(int(size) for size in _given(tensor.shape))
    values: NDArray[np.generic] = np.ascontiguousarray(buffer.data, np.uint8).view(dtype)
    return values.reshape(shape) if values.size == int(np.prod(shape)) else None


def dtypes() -> dict[int, np.dtype[np.generic]]:
    """Return numpy's types of TFLite's."""
    kinds = schema().TensorType
    names = ("float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool")
    return {getattr(kinds, name.upper()): np.dtype(name) for name in names if hasattr(kinds, name.upper())}


def operator_name(model: Any, operator: Any) -> str:
    """Return an operator's name, as TFLite spells it."""
    code = model.operatorCodes[operator.opcodeIndex]
    number = max(code.builtinCode, code.deprecatedBuiltinCode)
    if code.customCode:
        return str(code.customCode.decode() if isinstance(code.customCode, bytes) else code.customCode)
    known = vars(schema().BuiltinOperator)
    return next((name for name, value in known.items() if value == number), f"operator {number}")
