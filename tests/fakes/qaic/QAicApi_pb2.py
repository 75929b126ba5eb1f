"""A stand-in of the vendor's protobuf module of the same name, with JSON for protobuf. It is not the vendor's software.

Names and numbers: quic/software-kit-for-qualcomm-cloud-ai-100 lib/core/proto/QAicApi.proto.
"""

import json
from types import SimpleNamespace
from typing import Any

BUFFER_IO_TYPE_INPUT = 0
BUFFER_IO_TYPE_OUTPUT = 1
FLOAT_TYPE = 0
FLOAT_16_TYPE = 1
INT8_Q_TYPE = 2
UINT8_Q_TYPE = 3
INT16_Q_TYPE = 4
INT32_Q_TYPE = 5
INT32_I_TYPE = 6
INT64_I_TYPE = 7
INT8_TYPE = 8


class IoDesc:
    """Fields that were never set have protobuf's defaults."""

    def __init__(self) -> None:
        self.selected_set = SimpleNamespace(bindings=[])
        self.allowed_shapes: list[Any] = []

    def ParseFromString(self, content: bytes) -> int:  # noqa: N802 - protobuf's name
        if not isinstance(content, bytes):
            raise TypeError("bytes are needed")
        values = json.loads(content)
        defaults = {"quant_scale": 0.0, "quant_offset": 0, "is_partial_buf_allowed": False}
        self.selected_set.bindings = [SimpleNamespace(**{**defaults, **entry}) for entry in values["bindings"]]
        self.allowed_shapes = [
            SimpleNamespace(shapes=[SimpleNamespace(**shape) for shape in shapes])
            for shapes in values["allowed_shapes"]
        ]
        return len(content)
