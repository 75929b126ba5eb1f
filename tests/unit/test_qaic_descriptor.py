"""The description of a program's buffers: types, shapes, and what is none of the caller's."""

import json
import struct
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from engine.backends.qaic.descriptor import Descriptor
from engine.errors import InferenceError, ModelError
from tests.fakes.qaic import QAicApi_pb2

INPUT, OUTPUT = QAicApi_pb2.BUFFER_IO_TYPE_INPUT, QAicApi_pb2.BUFFER_IO_TYPE_OUTPUT


def binding(name: str, index: int, kind: int, direction: int, dims: list[int], **more: object) -> dict[str, object]:
    size = int(np.prod(dims)) * {0: 4, 1: 2, 7: 8, 11: 2}.get(kind, 1)
    return {"name": name, "index": index, "type": kind, "dir": direction, "dims": dims, "size": size, **more}


def parse(
    bindings: list[dict[str, object]], shapes: list[list[list[int]]] | None = None, api: Any = QAicApi_pb2
) -> Descriptor:
    allowed = [[{"type": 0, "dims": dims} for dims in entry] for entry in shapes or []]
    return Descriptor.parse(api, json.dumps({"bindings": bindings, "allowed_shapes": allowed}).encode())


def rows(**sizes: int) -> Mapping[str, np.ndarray[Any, np.dtype[np.float32]]]:
    return {name: np.zeros((size, 3), np.float32) for name, size in sizes.items()}


def test_buffers_are_in_the_order_of_their_index_and_statistics_are_left_out() -> None:
    descriptor = parse(
        [
            binding("aiccyclecounts", 2, 7, OUTPUT, [4]),
            binding("answer", 1, 1, OUTPUT, [2, 5]),
            binding("image", 0, 0, INPUT, [2, 3]),
        ]
    )
    program = descriptor.program({"streamer.name": "bottles"})
    assert [(spec.name, spec.shape, spec.dtype) for spec in program.inputs] == [("image", (2, 3), np.dtype(np.float32))]
    assert [(spec.name, spec.shape, spec.dtype) for spec in program.outputs] == [
        ("answer", (2, 5), np.dtype(np.float16))
    ]
    assert program.metadata == {"streamer.name": "bottles"}
    assert program.max_rows == 2
    assert [b.name for b in descriptor.bindings] == ["image", "answer", "aiccyclecounts"]


def test_directions_are_told_by_name() -> None:
    """They are 0 and 1 in the proto, 1 and 2 in the C++ enumeration."""
    api = ModuleType("api")
    api.__dict__.update(vars(QAicApi_pb2), BUFFER_IO_TYPE_INPUT=1, BUFFER_IO_TYPE_OUTPUT=2)
    program = parse([binding("image", 0, 0, 1, [2, 3]), binding("answer", 1, 0, 2, [2])], api=api).program({})
    assert [spec.name for spec in program.inputs] == ["image"]
    assert [spec.name for spec in program.outputs] == ["answer"]


def test_several_shapes_make_a_ladder_and_a_wrong_one_is_refused_before_the_card_sees_it() -> None:
    # The output stands first by its index; shapes have the inputs first.
    descriptor = parse(
        [binding("answer", 0, 0, OUTPUT, [8, 5]), binding("image", 1, 0, INPUT, [8, 3])],
        [[[8, 3], [8, 5]], [[1, 3], [1, 5]]],
    )
    program = descriptor.program({})
    assert program.ladder == (1, 8)
    assert program.inputs[0].shape == (None, 3)
    assert program.outputs[0].shape == (None, 5)
    assert descriptor.fit(rows(image=1)) == ((1, 5), (1, 3))
    assert descriptor.size_bytes(0, (1, 5)) == 20
    assert descriptor.size_bytes(0, (8, 5)) == 160
    with pytest.raises(InferenceError, match=r"image \[8, 3\] or image \[1, 3\], not for image \[2, 3\]"):
        descriptor.fit(rows(image=2))


def test_combinations_count_and_not_each_shape_alone() -> None:
    bindings = [binding("a", 0, 0, INPUT, [4, 3]), binding("b", 1, 0, INPUT, [4, 3])]
    descriptor = parse(bindings, [[[4, 3], [4, 3]], [[1, 3], [1, 3]]])
    assert descriptor.fit(rows(a=4, b=4)) == ((4, 3), (4, 3))
    with pytest.raises(InferenceError):
        descriptor.fit(rows(a=4, b=1))


def test_bfloat16_is_float32_here() -> None:
    (value,) = parse([binding("x", 0, 11, INPUT, [7])]).bindings
    assert value.dtype == np.float32
    assert value.itemsize == 2
    numbers = np.array([1.0, -2.5, np.inf, np.nan, 1 + 2**-8, 1 + 3 * 2**-8, 3.3895314e38], np.float32)
    halves = struct.unpack("<7H", value.encode(numbers))
    # One, minus two and a half, infinity; to even where two are as near; the largest that is finite stays it.
    assert halves[:3] == (0x3F80, 0xC020, 0x7F80)
    assert halves[4:] == (0x3F80, 0x3F82, 0x7F7F)
    back = value.decode(value.encode(numbers), (7,))
    assert np.isnan(back[3])
    np.testing.assert_array_equal(back[:3], numbers[:3])
    awkward = np.array([0x7F800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    assert np.isnan(value.decode(value.encode(np.resize(awkward, 7)), (7,))).all()


def test_quantised_values_pass_as_they_are_and_tell_their_scale() -> None:
    program = parse([binding("x", 0, 3, INPUT, [2], quant_scale=0.5, quant_offset=-3)]).program({})
    assert program.inputs[0].dtype == np.uint8
    assert program.metadata == {"qaic.quant_scale:x": "0.5", "qaic.quant_offset:x": "-3"}


def test_what_cannot_be_understood_is_an_error_of_the_model() -> None:
    with pytest.raises(ModelError, match="x has the type 77"):
        parse([binding("x", 0, 77, INPUT, [1])])
    with pytest.raises(ModelError, match="cannot be read"):
        Descriptor.parse(QAicApi_pb2, b"\x00")
