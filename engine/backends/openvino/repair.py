"""What OpenVINO reads wrongly in an ONNX file, written in the way that it reads rightly."""

from pathlib import Path
from typing import Any

from engine.models.onnx_file import nodes_of, read_onnx

#: From opset 13 to 17 their axes are an attribute. OpenVINO 2026.4 looks for an input, as of opset 18, and where it
#: finds none it reduces all axes, the batch's too.
_MISREAD = {"ReduceL1", "ReduceLogSum", "ReduceLogSumExp"}
_OPSETS = range(13, 18)


def repaired(model: Any, path: Path) -> bytes | None:
    """Return an ONNX file's bytes as OpenVINO takes them; None where it takes the file itself.

    Args:
        model: The file's `onnx.ModelProto`, without the weights beside it.
        path: The file.
    """
    opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    if opset not in _OPSETS or not any(_axes(node) for node in nodes_of(model.graph)):
        return None
    model = read_onnx(path, with_external_data=True)
    _repair(model.graph)
    content: bytes = model.SerializeToString()
    return content


def _repair(graph: Any) -> None:
    from onnx import helper

    nodes = []
    for number, node in enumerate(graph.node):
        for attribute in node.attribute:
            for branch in [attribute.g, *attribute.graphs]:
                _repair(branch)
        axes = _axes(node)
        if axes is not None:
            name = f"streamer axes {number} of {node.output[0]}"
            nodes.append(helper.make_node("Constant", [], [name], value_ints=list(axes.ints)))
            node.input.append(name)
            node.attribute.remove(axes)
        nodes.append(node)
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _axes(node: Any) -> Any:
    """Return the attribute that is misread; None where there is none."""
    if node.op_type not in _MISREAD or node.domain not in {"", "ai.onnx"} or len(node.input) > 1:
        return None
    return next((attribute for attribute in node.attribute if attribute.name == "axes"), None)
