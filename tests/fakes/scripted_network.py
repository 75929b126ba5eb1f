"""A device, and a network on it, that do what a test wrote down: they hang, break and come back."""

from collections.abc import Callable
from pathlib import Path
from threading import Condition, Event
from typing import ClassVar

import numpy as np

from engine.backends.base import BackendOptions, OwnOptions
from engine.backends.network import Network, Outputs
from engine.backends.threaded import ThreadedBackend
from engine.errors import ModelError
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors, TensorSpec

DEADLINE_S = 20.0


class Device:
    """What several loads of one network share.

    Attributes:
        on_infer: Called with the first pixel of a batch, on the thread that computes it; it may wait or raise.
        on_load: Called with the number of the load, from 0.
        loads: How often the network was loaded; `unloads` how often it was let go.
    """

    def __init__(self) -> None:
        self.on_infer: Callable[[float], None] = lambda _: None
        self.on_load: Callable[[int], None] = lambda _: None
        self.loads = 0
        self.unloads = 0
        self.began = 0
        self._changed = Condition()

    def count(self, *, loads: int = 0, unloads: int = 0, began: int = 0) -> None:
        with self._changed:
            self.loads += loads
            self.unloads += unloads
            self.began += began
            self._changed.notify_all()

    def wait_for(self, condition: Callable[["Device"], bool]) -> None:
        """Wait until something was counted."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), DEADLINE_S), "it never came to that"


class DeviceOwn(OwnOptions):
    """Nothing of its own."""


class ScriptedNetwork(Network):
    """Doubles its input."""

    detail = "a scripted device"

    def __init__(self, device: Device, slots: int, *, with_anchors: bool = False) -> None:
        spec = TensorSpec("x", (None, 2), np.dtype(np.float32))
        outputs = [TensorSpec("y", (None, 2), np.dtype(np.float32))]
        if with_anchors:
            outputs.append(TensorSpec("anchors", (4,), np.dtype(np.float32)))
        self.program = Program((spec,), tuple(outputs), ladder=(1, 4))
        self.slots = slots
        self._device = device

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        del rows
        self._device.count(began=1)
        self._device.on_infer(float(np.asarray(inputs["x"], np.float32)[0, 0]))
        answers = {"y": np.asarray(inputs["x"], np.float32) * 2, "anchors": np.zeros(4, np.float32)}
        return {spec.name: answers[spec.name] for spec in self.program.outputs}

    def unload(self) -> None:
        self._device.count(unloads=1)


class DeviceBackend(ThreadedBackend):
    """Loads `ScriptedNetwork`s onto a `Device`; probes at once."""

    name = "scripted-device"
    probe_after_s: ClassVar[float] = 0.01

    def __init__(self, device: Device, *, with_anchors: bool = False) -> None:
        super().__init__()
        self._device = device
        self._with_anchors = with_anchors

    def check_model(self, model: ModelFile) -> None:
        """Take anything."""

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        del model
        number = self._device.loads
        self._device.count(loads=1)
        self._device.on_load(number)
        activations, set_size = self.concurrency(options)
        return ScriptedNetwork(self._device, activations * set_size, with_anchors=self._with_anchors)


#: What it is opened with.
NO_MODEL = ModelFile(Path("no model"), "onnx")


def hang(event: Event) -> None:
    """Wait for a test to let go."""
    if not event.wait(DEADLINE_S):
        raise ModelError("nobody let the device go")
