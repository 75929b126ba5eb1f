"""The stand-in's compiled program: the ONNX file and its shapes. It is not the vendor's format, and no card takes it.

Only the first four bytes are the vendor's: AICQPC_MAGIC_NUMBER of quic/software-kit-for-qualcomm-cloud-ai-100
lib/networkdesc/qpc/inc/QAicQpc.h.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

MAGIC = (0x00A1CD7C).to_bytes(4, "little")
FILE_NAME = "programqpc.bin"
_TYPES = {
    TensorProto.FLOAT: ("FLOAT_TYPE", 0, 4),
    TensorProto.FLOAT16: ("FLOAT_16_TYPE", 1, 2),
    TensorProto.UINT8: ("UINT8_Q_TYPE", 3, 1),
    TensorProto.INT32: ("INT32_I_TYPE", 6, 4),
    TensorProto.INT64: ("INT64_I_TYPE", 7, 8),
    TensorProto.INT8: ("INT8_TYPE", 8, 1),
}


@dataclass(frozen=True)
class Container:
    """What the stand-in of the compiler wrote: `descriptor` is the content of the I/O descriptor."""

    cores: int
    descriptor: dict[str, Any]
    graph: bytes


def write_container(path: Path, container: Container) -> None:
    head = json.dumps({"cores": container.cores, "descriptor": container.descriptor}).encode()
    path.write_bytes(MAGIC + len(head).to_bytes(4, "little") + head + container.graph)


def read_container(path: Path) -> Container:
    content = path.read_bytes()
    if content[:4] != MAGIC:
        raise ValueError("no QPC")
    size = int.from_bytes(content[4:8], "little")
    head = json.loads(content[8 : 8 + size])
    return Container(head["cores"], head["descriptor"], content[8 + size :])


def describe(model: Any, symbols: list[dict[str, int]]) -> dict[str, Any]:
    """Describe inputs and outputs, with a combination of shapes for each entry of symbols.

    Raises:
        ValueError: A shape stays open, in the words of Glow's loader, whose flags the vendor's compiler has.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants]
    values = [*((value, 0) for value in inputs), *((value, 1) for value in model.graph.output)]
    combinations = [[_shape(value, sizes) for value, _ in values] for sizes in symbols]
    largest = max(combinations, key=lambda shapes: [size for shape in shapes for size in shape])
    bindings = []
    for index, (value, direction) in enumerate(values):
        _, number, itemsize = _TYPES[value.type.tensor_type.elem_type]
        size = itemsize
        for axis in largest[index]:
            size *= axis
        bindings.append(
            {"name": value.name, "index": index, "type": number, "dir": direction, "dims": largest[index], "size": size}
        )
    shapes = [
        [{"type": bindings[index]["type"], "dims": dims} for index, dims in enumerate(shapes)]
        for shapes in combinations
    ]
    return {"bindings": bindings, "allowed_shapes": shapes if len(shapes) > 1 else []}


def _shape(value: Any, sizes: dict[str, int]) -> list[int]:
    shape = []
    for axis in value.type.tensor_type.shape.dim:
        if axis.dim_param and axis.dim_param not in sizes:
            raise ValueError(
                f"ONNX model symbol '{axis.dim_param}' is undefined. Define the symbol with the following command "
                f"line option: -onnx-define-symbol={axis.dim_param},<value>."
            )
        shape.append(sizes[axis.dim_param] if axis.dim_param else axis.dim_value)
    return shape


def load_graph(path: Path) -> Any:
    model = onnx.load(path)
    onnx.checker.check_model(model)
    if not model.graph.output:
        raise ValueError("the graph has no output")
    return model
