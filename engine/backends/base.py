"""The contract between this program and whatever computes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from engine.errors import InferenceError

Tensors = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """A named input or output.

    Attributes:
        shape: One entry per axis; None where the graph leaves it open.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[np.generic]


@dataclass(frozen=True, slots=True)
class Program:
    """What an opened model looks like from outside.

    Attributes:
        metadata: The key-value pairs that the model's file carries.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def fixed_batch(self) -> int | None:
        """The batch size that the first input insists on; None where it takes any."""
        shape = self.inputs[0].shape if self.inputs else ()
        return shape[0] if shape else None

    def check(self, inputs: Tensors, count: int) -> None:
        """Refuse inputs that do not fit, before the device has seen them; what `Backend.submit` begins with.

        Raises:
            InferenceError: It names the input.
        """
        names = [spec.name for spec in self.inputs]
        if sorted(inputs) != sorted(names):
            raise InferenceError(f"the model takes {', '.join(names)}, not {', '.join(sorted(inputs)) or 'nothing'}")
        if count < 1 or count > (self.fixed_batch or count):
            raise InferenceError(f"{count} rows do not fit the model's batch of {self.fixed_batch or 'any size'}")
        rows = self.fixed_batch or count
        for spec in self.inputs:
            value = inputs[spec.name]
            # A graph that says nothing of the shape has no axes here.
            wanted = (rows, *spec.shape[1:]) if spec.shape else value.shape
            fits = len(wanted) == value.ndim and all(
                size in (None, actual) for size, actual in zip(wanted, value.shape, strict=True)
            )
            if not fits or value.dtype != spec.dtype:
                raise InferenceError(
                    f"input {spec.name} takes {spec.dtype}{list(wanted)}, not {value.dtype}{list(value.shape)}"
                )


@dataclass(frozen=True, slots=True)
class BackendOptions:
    """How a model is run.

    Attributes:
        device: The back end's own name for it: `cpu`, a card's number.
        activations: Inferences in flight, at the most.
        inference_threads: CPU threads of one inference, where the CPU computes.
    """

    device: str = "cpu"
    activations: int = 2
    inference_threads: int = 1


@dataclass(frozen=True, slots=True)
class Inference:
    """What one submitted batch gave.

    Attributes:
        outputs: By name; the first axis has as many rows as were submitted. Padded rows are cut off.
        started_at_s: When the device took it up, `time.monotonic`.
        finished_at_s: When it was done with it.
        simulated: Whether times, or answers, come from a simulation.
    """

    outputs: Tensors
    started_at_s: float
    finished_at_s: float
    simulated: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the device can be given work, and one line about it."""

    is_ready: bool
    detail: str


class Backend(ABC):
    """Runs one model on one device.

    The life is `open` once, `submit` from any thread, `close`.

    Which thread: `open` and `close` come from one thread; `submit` and `health` may come from any. The returned
    future completes on a thread of the back end's own, and so do its callbacks: they must be short.
    What may block: `open` may, for as long as a compiler takes. `submit` does not wait for the device.
    What is not promised: the order of completion; that `inputs` is copied (leave it alone until the future is
    done); that more than `slots` batches are worked on at a time (further ones wait inside); that `submit` sees
    more of a misfit than names, shapes and types (a device may find more, and fail the future).
    Pinned: a failed batch fails its own future alone, with `InferenceError`. After `close` every future that was
    handed out is done, and `submit` raises `InferenceError`. Closing twice is harmless.
    """

    #: The name in the registry and in results.
    name: ClassVar[str]

    @abstractmethod
    def open(self, model: Path, options: BackendOptions) -> Program:
        """Load the model onto the device.

        Raises:
            ModelError: The file cannot be used.
            DeviceNotFoundError: There is no such device.
        """

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many batches the device works on at a time."""

    @abstractmethod
    def submit(self, inputs: Tensors, count: int) -> Future[Inference]:
        """Hand over a batch.

        Args:
            inputs: By name; the first axis has the model's fixed batch size, or `count` rows where it has none.
            count: How many rows, from the first, hold data.

        Raises:
            InferenceError: The back end is closed, or the inputs do not fit the model.
        """

    @abstractmethod
    def health(self) -> Health:
        """Tell whether the device can be given work, without asking it to do any."""

    @abstractmethod
    def close(self) -> None:
        """Finish what was submitted, and let the device go."""
