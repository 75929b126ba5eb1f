"""ONNX Runtime on a device that hangs, breaks and comes back as a test wrote down."""

from typing import ClassVar

import numpy as np

from engine.backends.base import BackendOptions
from engine.backends.network import Network, Outputs
from engine.backends.onnxruntime import OnnxRuntimeBackend
from engine.errors import DeviceLostError
from engine.models.files import ModelFile
from engine.models.program import Tensors
from tests.fakes.scripted_network import Device


class FaultyNetwork(Network):
    """Computes for real, after the device has had its way."""

    def __init__(self, real: Network, device: Device) -> None:
        self.program, self.slots, self.detail = real.program, real.slots, "a faulty device"
        self._real = real
        self._device = device

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        self._device.count(began=1)
        self._device.on_infer(float(np.asarray(next(iter(inputs.values())), np.float64).flat[0]))
        return self._real.infer(inputs, rows)

    def unload(self) -> None:
        self._device.count(unloads=1)
        self._real.unload()


class FaultyBackend(OnnxRuntimeBackend):
    """Probes at once."""

    name = "faulty"
    probe_after_s: ClassVar[float] = 0.01

    def __init__(self, device: Device) -> None:
        super().__init__()
        self._device = device

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        number = self._device.loads
        self._device.count(loads=1)
        self._device.on_load(number)
        return FaultyNetwork(super().load(model, options), self._device)


def broken(_: float) -> None:
    """For `Device.on_infer`: the device breaks over every batch."""
    raise DeviceLostError("the device fell off the bus")


def broken_device() -> Device:
    device = Device()
    device.on_infer = broken
    return device
