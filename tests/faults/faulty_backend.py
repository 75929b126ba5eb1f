"""ONNX Runtime as a device that is slow, chokes on a picture, or hangs: registered as back end `faulty`."""

import time
from dataclasses import dataclass, field
from itertools import count
from threading import Event
from typing import ClassVar

import numpy as np

from engine.backends.base import BackendOptions
from engine.backends.network import Network, Outputs
from engine.backends.onnxruntime import OnnxRuntimeBackend
from engine.models.files import ModelFile
from engine.models.program import Tensors
from tests.faults.colours import is_fatal, is_plain


@dataclass
class Faults:
    """What is wrong with the device. Batches are counted from 0 as it takes them up, trial runs left out.

    Attributes:
        sleep_s: How long every batch takes at least.
        is_choking: Whether a batch with the fatal picture fails.
        hangs_at: Batches that never end.
    """

    sleep_s: float = 0.0
    is_choking: bool = False
    hangs_at: frozenset[int] = frozenset()
    batches: "count[int]" = field(default_factory=count)


class FaultyNetwork(Network):
    """A network of ONNX Runtime on the faulty device."""

    def __init__(self, network: Network, faults: Faults) -> None:
        self.program, self.slots, self.detail = network.program, network.slots, "a faulty device"
        self._network = network
        self._faults = faults

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        (pixels,) = inputs.values()
        values = np.asarray(pixels)[:rows]
        if is_plain(values):
            number = next(self._faults.batches)
            if number in self._faults.hangs_at:
                Event().wait()
            if self._faults.is_choking and is_fatal(values):
                raise RuntimeError("the device chokes on a picture")
            time.sleep(self._faults.sleep_s)
        return self._network.infer(inputs, rows)

    def unload(self) -> None:
        self._network.unload()


class FaultyBackend(OnnxRuntimeBackend):
    """Loads networks onto the one faulty device of this process; a lost one is probed soon."""

    name = "faulty"
    probe_after_s: ClassVar[float] = 1.0
    faults: ClassVar[Faults] = Faults()

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        return FaultyNetwork(super().load(model, options), self.faults)
