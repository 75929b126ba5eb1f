"""tinygrad's `OnnxRunner`: what it is given, and what it keeps."""

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from engine.models.onnx_file import nodes_of


def prepared(model: Any, domains: frozenset[str]) -> bytes:
    """Return a model's file as `OnnxRunner` takes it: without functions, and without domains that no node is of.

    Args:
        model: An `onnx.ModelProto`.
        domains: Those that tinygrad knows.

    Raises:
        NotImplementedError: An operator is of another domain.
    """
    from onnx import inliner

    if model.functions:
        model = inliner.inline_local_functions(model)
    strange = [f"{node.domain}.{node.op_type}" for node in nodes_of(model.graph) if node.domain not in domains]
    if strange:
        raise NotImplementedError(f"it has no operator {', '.join(sorted(set(strange)))}")
    copied_model = type(model)()
    copied_model.CopyFrom(model)
    del copied_model.opset_import[:]
    copied_model.opset_import.extend(entry for entry in model.opset_import if entry.domain in domains)
    content: bytes = copied_model.SerializeToString()
    return content


def copied(runner: Any, shapes: Mapping[str, tuple[int, ...]]) -> Any:
    """Copy a runner for inputs of these shapes.

    It keeps the sizes of symbols, and what it took for constant, from one call to the next; and it takes no axis
    without a name for an open one.
    """
    result = copy.copy(runner)
    result.graph_values = dict(runner.graph_values)
    result.graph_inputs = {
        name: replace(value, shape=shapes.get(name, value.shape)) for name, value in runner.graph_inputs.items()
    }
    result.variable_dims = {}
    result._python_const_cache = {}  # noqa: SLF001 - nothing public empties it
    result.graph_nodes = tuple(
        type(node)(node.op, node.opset_id, node.inputs, node.outputs, _options(node.opts))
        for node in runner.graph_nodes
    )
    return result


def _options(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: copied(value, {}) if hasattr(value, "graph_nodes") else value for name, value in options.items()}


def nodes(runner: Any) -> Iterator[Any]:
    """Give the nodes of a runner, and those of their branches."""
    for node in runner.graph_nodes:
        yield node
        for value in node.opts.values():
            if hasattr(value, "graph_nodes"):
                yield from nodes(value)


def weights_of(runner: Any) -> Iterator[Any]:
    """Give all values that a runner holds: of its own, in its nodes, and in their branches."""
    yield from runner.graph_values.values()
    for node in nodes(runner):
        for value in node.opts.values():
            if hasattr(value, "graph_nodes"):
                yield from value.graph_values.values()
            else:
                yield value


#: Whose result has as many entries as the values say; tinygrad counts them.
_COUNTING = {"NonZero"}


def depends_on_data(runner: Any, read_as_constants: Mapping[str, tuple[int, ...]]) -> bool:
    """Tell whether an operator reads values that are computed from the inputs, for a shape say.

    tinygrad reads them while it puts the kernels together, and a recording would keep them for all later inputs.
    """
    computed = set(runner.graph_inputs)
    for node in runner.graph_nodes:
        if any(hasattr(value, "graph_nodes") for value in node.opts.values()):
            return True  # what a branch reads is not looked into
        if node.op in _COUNTING:
            return True
        if any(node.inputs[at] in computed for at in read_as_constants.get(node.op, ()) if at < len(node.inputs)):
            return True
        if node.op not in {"Shape", "Size"} and any(name in computed for name in node.inputs):
            computed.update(node.outputs)
    return False
