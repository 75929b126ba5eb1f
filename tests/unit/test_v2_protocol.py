import json
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from engine.engines.v2 import (
    describe,
    read_request,
    read_response,
    write_request,
    write_response,
)
from engine.errors import InferenceError
from engine.models.program import TensorSpec

DTYPES = st.sampled_from(
    [np.dtype(name) for name in ("bool", "int8", "uint8", "int32", "int64", "uint64", "float16", "float32", "float64")]
)
ARRAYS = DTYPES.flatmap(lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=1, max_dims=4)))


@given(st.dictionaries(st.text(min_size=1, max_size=8), ARRAYS, min_size=1, max_size=3), st.text(max_size=10))
def test_what_is_written_is_read_again(tensors: dict[str, Any], request_id: str) -> None:
    body, length = write_request(tensors, request_id)
    request = read_request(body, str(length))
    assert request.request_id == request_id
    assert request.inputs.keys() == tensors.keys()
    for name, value in tensors.items():
        assert request.inputs[name].dtype == value.dtype
        assert request.inputs[name].shape == value.shape
        assert request.inputs[name].tobytes() == value.tobytes()
    answer, answer_length = write_response("m", request, tensors)
    again = read_response(answer, str(answer_length))
    assert {name: value.tobytes() for name, value in again.items()} == {
        name: value.tobytes() for name, value in tensors.items()
    }


@given(ARRAYS.filter(lambda array: array.dtype.kind in "biu"))
def test_numbers_in_the_json_are_the_same(array: Any) -> None:
    header = {"name": "x", "datatype": describe(TensorSpec("x", (None,), array.dtype))["datatype"]}
    body = json.dumps({"inputs": [header | {"shape": array.shape, "data": array.ravel().tolist()}]}).encode()
    assert np.array_equal(read_request(body, None).inputs["x"], array)


def test_a_client_that_asks_for_no_binary_data_gets_json() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [2, 1], "data": [[1], [2]]}
    request = read_request(json.dumps({"id": "7", "inputs": [tensor]}).encode(), None)
    body, length = write_response("m", request, {"y": np.array([[3.0], [4.0]], np.float32), "z": np.zeros(1)})
    assert length is None
    answer = json.loads(body)
    assert (answer["id"], answer["model_name"], [output["name"] for output in answer["outputs"]]) == (
        "7",
        "m",
        ["y", "z"],
    )
    assert answer["outputs"][0]["data"] == [3.0, 4.0]


def test_a_client_gets_the_outputs_that_it_names_each_in_its_form() -> None:
    tensor = {"name": "x", "datatype": "UINT8", "shape": [1], "data": [1]}
    outputs = [{"name": "z", "parameters": {"binary_data": True}}, {"name": "y"}]
    request = read_request(json.dumps({"inputs": [tensor], "outputs": outputs}).encode(), None)
    body, length = write_response("m", request, {"y": np.ones(1, np.uint8), "z": np.array([9], np.uint8)})
    assert length is not None
    assert [output["name"] for output in json.loads(body[:length])["outputs"]] == ["z", "y"]
    assert body[length:] == b"\x09"
    other = read_request(json.dumps({"inputs": [tensor], "outputs": [{"name": "q"}]}).encode(), None)
    with pytest.raises(InferenceError, match="no output q: it has y"):
        write_response("m", other, {"y": np.ones(1)})


GOOD = {"name": "x", "datatype": "UINT8", "shape": [2]}


@pytest.mark.parametrize(
    ("header", "rest", "length", "message"),
    [
        ({"inputs": [GOOD | {"parameters": {"binary_data_size": 3}}]}, b"abc", None, "takes 2 bytes"),
        ({"inputs": [GOOD | {"parameters": {"binary_data_size": 2}}]}, b"a", None, "1 came"),
        ({"inputs": [GOOD | {"parameters": {"binary_data_size": -2}}]}, b"ab", None, "binary_data_size is -2"),
        ({"inputs": [GOOD | {"data": [1, 2]}]}, b"left", None, "4 bytes of binary data belong to no input"),
        ({"inputs": [GOOD | {"data": [1, 2, 3]}]}, b"", None, "3 values for the shape"),
        ({"inputs": [GOOD | {"data": [1, -2]}]}, b"", None, "its data is no uint8"),
        ({"inputs": [GOOD | {"data": [[1], [2, 3]]}]}, b"", None, "its data is no uint8"),
        ({"inputs": [GOOD]}, b"", None, "neither data nor binary_data_size"),
        ({"inputs": [GOOD | {"datatype": "BYTES"}]}, b"", None, "datatype 'BYTES' is none of"),
        ({"inputs": [GOOD | {"shape": [-1]}]}, b"", None, "shape is no list of sizes"),
        ({"inputs": [GOOD | {"shape": [1] * 33}]}, b"", None, "more than 32 axes"),
        ({"inputs": [GOOD | {"shape": [0, 2**70], "parameters": {"binary_data_size": 0}}]}, b"", None, "sizes above 0"),
        (
            {"inputs": [GOOD | {"shape": [2**40], "parameters": {"binary_data_size": 2**40}}]},
            b"",
            None,
            "sizes above 0",
        ),
        ({"inputs": [GOOD | {"data": [1, 2]}] * 2}, b"", None, "x is given twice"),
        ({"inputs": []}, b"", None, "inputs is no list"),
        ({"inputs": [3]}, b"", None, "inputs is no list"),
        ({}, b"", None, "inputs is no list"),
        ({"inputs": [GOOD | {"data": [1, 2]}], "id": 3}, b"", None, "id is no text"),
        ({"inputs": [GOOD | {"data": [1, 2], "parameters": []}]}, b"", None, "parameters are no object"),
        ([], b"", None, "no JSON object"),
        ({"inputs": [GOOD | {"data": [1, 2]}]}, b"", "99999", "Inference-Header-Content-Length is '99999'"),
        ({"inputs": [GOOD | {"data": [1, 2]}]}, b"", "9" * 5000, "Inference-Header-Content-Length is '9999"),
        ({"inputs": [GOOD | {"data": [1, 2]}]}, b"", "-1", "Inference-Header-Content-Length is '-1'"),
    ],
)
def test_what_the_protocol_does_not_have_is_refused(header: Any, rest: bytes, length: str | None, message: str) -> None:
    head = json.dumps(header).encode()
    with pytest.raises(InferenceError, match=message):
        read_request(head + rest, length or str(len(head)))


@given(st.binary(max_size=200), st.one_of(st.none(), st.text(max_size=5)))
def test_any_bytes_are_read_or_refused(body: bytes, length: str | None) -> None:
    with suppress(InferenceError):
        read_request(body, length)


def test_a_nested_bomb_is_refused() -> None:
    with pytest.raises(InferenceError):
        read_request(b"[" * 100_000, None)
