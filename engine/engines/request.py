"""One input on its way through an engine."""

from collections.abc import Awaitable, Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.errors import InferenceError
from engine.models.program import Program, Tensors

#: Takes the input's id and its outputs, by name; plain or async.
Callback = Callable[[Any, dict[str, NDArray[Any]]], Awaitable[object] | object]
#: Takes the id of an input that failed for good, and why; plain or async.
OnError = Callable[[Any, Exception], Awaitable[object] | object]


@dataclass(slots=True, eq=False)
class Request:
    """An input, and what is to happen with its outputs.

    Attributes:
        inputs: By name, each with the input's own rows as its first axis.
        rows: How many those are.
        size_bytes: Of all its arrays.
        added_at_s: When it was added, monotonic.
        inference_s: How long the batch that answered it took.
        holds_room: Whether its place in the queue is still its own.
        stream: The stream that it is of.
        on_error: Takes its error, where that is not the engine's business.
        ended: Told when its callback is done.
        owner: The engine that has taken it up.
    """

    input_id: Hashable
    inputs: Tensors
    rows: int
    size_bytes: int
    callback: Callback | None
    added_at_s: float = 0.0
    inference_s: float = 0.0
    holds_room: bool = False
    stream: str | None = None
    on_error: OnError | None = None
    ended: Callable[[], None] | None = None
    owner: object = None


def make_request(input_id: Hashable, inputs: Mapping[str, Any], callback: Callback | None) -> Request:
    """Check an input as far as that is possible without the model.

    Raises:
        InferenceError: It is no mapping of arrays, or they disagree about the number of rows.
    """
    if not isinstance(inputs, Mapping) or not inputs:
        raise InferenceError(f"input {input_id}: give a mapping of name → array, not {type(inputs).__name__}")
    arrays = {name: np.asarray(value) for name, value in inputs.items()}
    rows = {len(array) if array.ndim else 0 for array in arrays.values()}
    if len(rows) > 1 or 0 in rows:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        raise InferenceError(
            f"input {input_id}: the first axis of each array is the batch's, the same for all: {shapes}"
        )
    return Request(input_id, arrays, rows.pop(), sum(array.nbytes for array in arrays.values()), callback)


def check_request(program: Program, inputs: Tensors) -> None:
    """Refuse an input that the model can never take, before it shares a batch with others.

    Its rows are not looked at: where the program's batch is fixed, they are padded or go in parts.

    Raises:
        InferenceError: A name, a shape or a dtype is another than the model's.
    """
    most = program.max_rows
    if most is not None:
        inputs = {
            name: np.broadcast_to(value[:1], (most, *value.shape[1:])) if value.ndim and len(value) else value
            for name, value in inputs.items()
        }
    program.check(inputs, None)
