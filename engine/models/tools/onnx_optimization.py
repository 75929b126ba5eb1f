"""Making ONNX models smaller and faster, with ONNX Runtime's own graph transformations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from engine.errors import ModelError, first_line
from engine.models.onnx_file import check_onnx_file, nodes_of, read_onnx, save_onnx

#: Names of the domain whose operators every runtime has.
_PORTABLE = {"", "ai.onnx"}
_FATAL_ONLY = 4
#: Transformations of ONNX Runtime's basic level that put one operator in the place of several; level 1 leaves them out.
_FUSIONS = (
    "ConvAddFusion", "ConvBNFusion", "ConvMulFusion", "GeluFusionL1", "GemmSumFusion", "GemmTransposeFusion",
    "LayerNormFusionL1", "MatMulAddFusion", "MatmulBNFusion", "PadFusion",
)  # fmt: skip


def optimize_onnx(source: Path, target: Path, level: int) -> list[str]:
    """Write an ONNX file, optimised, as one file; level 0 only checks.

    Returns:
        What was done, in words.

    Raises:
        ModelError: The model cannot be used, or is too large for one file.
    """
    check_onnx_file(source)
    model = read_onnx(source, with_external_data=True)
    if level == 0:
        _check(source)
        save_onnx(model, target)
        return ["checked and copied"]
    before = model_operators(model)
    made, notes = _transformed(model, source, target, level)
    remove_unused(made)
    shared = share_equal_weights(made)
    _keep_header(model, made)
    save_onnx(made, target)
    had, has = len(model.graph.node), len(made.graph.node)
    operators = "1 operator" if had == 1 else f"{had} operators"
    notes.append(f"{operators} as before" if has == had else f"{operators} became {has}")
    if shared:
        notes.append(f"{shared} copies of equal weights left out")
    if own := sorted(model_operators(made) - before - _portable(made)):
        notes.append(f"for ONNX Runtime on this kind of processor alone: it holds {', '.join(own)}")
    return notes


def _transformed(model: Any, source: Path, target: Path, level: int) -> tuple[Any, list[str]]:
    """Return what ONNX Runtime makes of the model; at level 2 without operators that only it has."""
    import onnxruntime

    levels = onnxruntime.GraphOptimizationLevel
    if level == 3:
        return _through_runtime(source, target, levels.ORT_ENABLE_ALL), []
    left_out = _FUSIONS if level == 1 else ()
    made = _through_runtime(source, target, levels.ORT_ENABLE_BASIC, left_out)
    new = model_operators(made) - model_operators(model) - _portable(made)
    if new and level == 2:
        made = _through_runtime(source, target, levels.ORT_ENABLE_BASIC, _FUSIONS)
        new = model_operators(made) - model_operators(model) - _portable(made)
        note = ["without fusions: one of them would have needed an operator of ONNX Runtime's own"]
    else:
        note = []
    if new:
        copy = type(model)()
        copy.CopyFrom(model)
        return copy, ["unused parts removed alone: more would have needed ONNX Runtime's operators"]
    return made, note


def _through_runtime(source: Path, target: Path, level: Any, left_out: Sequence[str] = ()) -> Any:
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.graph_optimization_level = level
    settings.log_severity_level = _FATAL_ONLY
    settings.optimized_model_filepath = str(target)
    try:
        onnxruntime.InferenceSession(
            str(source), settings, providers=["CPUExecutionProvider"], disabled_optimizers=list(left_out)
        )
    except Exception as exc:  # onnxruntime's errors have no common root but this
        raise ModelError(f"ONNX Runtime cannot load {source}: {first_line(exc)}") from exc
    return read_onnx(target, with_external_data=True)


def remove_unused(model: Any) -> None:
    """Leave out the nodes and weights that no output needs; ONNX Runtime keeps a node that leads nowhere."""
    needed = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            kept.append(type(node).FromString(node.SerializeToString()))
            needed.update(node.input)
            for attribute in node.attribute:  # what a subgraph takes from around it
                for graph in [attribute.g, *attribute.graphs]:
                    needed.update(name for inner in nodes_of(graph) for name in inner.input)
                    needed.update(value.name for value in graph.output)
    kept.reverse()
    del model.graph.node[:]
    model.graph.node.extend(kept)
    needed.update(value.name for value in model.graph.input)
    for number in reversed(range(len(model.graph.initializer))):
        if model.graph.initializer[number].name not in needed:
            del model.graph.initializer[number]


def share_equal_weights(model: Any) -> int:
    """Leave out weights that are the same as others, and return how many; inputs and outputs keep theirs."""
    pinned = {value.name for value in [*model.graph.input, *model.graph.output]}
    first: dict[bytes, str] = {}
    renamed: dict[str, str] = {}
    kept = []
    for tensor in model.graph.initializer:
        name = tensor.name
        tensor.name = ""
        content = tensor.SerializeToString(deterministic=True)
        tensor.name = name
        if name not in pinned and content in first:
            renamed[name] = first[content]
            continue
        if name not in pinned:
            first[content] = name
        kept.append(tensor)
    if renamed:
        for node in nodes_of(model.graph):
            node.input[:] = [renamed.get(name, name) for name in node.input]
        kept = [type(tensor).FromString(tensor.SerializeToString()) for tensor in kept]
        del model.graph.initializer[:]
        model.graph.initializer.extend(kept)
    return len(renamed)


def _keep_header(model: Any, made: Any) -> None:
    """Give the result the metadata of its source, and only those operator sets that it uses."""
    del made.metadata_props[:]
    made.metadata_props.extend(model.metadata_props)
    made.producer_name, made.producer_version = model.producer_name, model.producer_version
    named = {entry.domain for entry in model.opset_import}
    used = {node.domain for node in nodes_of(made.graph)} | {
        node.domain for function in made.functions for node in function.node
    }
    sets = [entry for entry in made.opset_import if entry.domain in used | named | {""}]
    sets = [type(entry).FromString(entry.SerializeToString()) for entry in sets]
    del made.opset_import[:]
    made.opset_import.extend(sets)
    ours = [value.name for value in made.graph.output], [value.name for value in made.graph.input]
    theirs = [value.name for value in model.graph.output], [value.name for value in model.graph.input]
    weights = {tensor.name for tensor in model.graph.initializer}
    if ours[0] != theirs[0] or [name for name in theirs[1] if name not in weights] != [
        name for name in ours[1] if name not in weights
    ]:
        raise ModelError("ONNX Runtime changed the model's inputs or outputs: use a lower optimisation level")


def _check(path: Path) -> None:
    import onnx

    try:
        onnx.checker.check_model(str(path))
    except Exception as exc:
        raise ModelError(f"{path} breaks the rules of ONNX: {first_line(exc)}") from exc


def model_operators(model: Any) -> set[str]:
    """Return the names of a model's operators, with the domain of those that have one."""
    return {_name(node) for node in nodes_of(model.graph)}


def _portable(model: Any) -> set[str]:
    return {_name(node) for node in nodes_of(model.graph) if node.domain in _PORTABLE}


def _name(node: Any) -> str:
    return node.op_type if node.domain in _PORTABLE else f"{node.domain}.{node.op_type}"
