"""What a back end's own software does with a model: the smallest part of a back end."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from engine.models.program import Program, Tensors

Outputs = Mapping[str, NDArray[np.generic]]


class Network(ABC):
    """A model that is loaded onto a device.

    `infer` comes from several threads, `slots` of them at a time at the most; `unload` once, from any thread, when no
    inference is running, or when the device was given up (then `infer` may still be stuck in another thread).

    Attributes:
        slots: How many batches the device works on at a time.
        detail: One line about the device, for `health`.
        is_simulated: Whether times, or answers, come from a simulation.
        timeout_s: How long a batch may take at the most, where that is not the caller's `data_path_timeout_s` to say.
    """

    program: Program
    slots: int
    detail: str
    is_simulated: bool = False
    timeout_s: float | None = None

    @abstractmethod
    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Compute, and wait for it.

        Args:
            inputs: They fit the program.
            rows: The rows of the batch, padding included; None where the inputs are no batch.

        Raises:
            DeviceLostError: The device broke: all that it has is handed back, and it is probed.
            Exception: This batch failed, and the device can go on.
        """

    @abstractmethod
    def unload(self) -> None:
        """Let the device go."""
