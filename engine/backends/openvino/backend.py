"""The back end: devices, and an OpenVINO that reports to nobody."""

import re
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any, ClassVar

from engine.backends.base import BackendOptions, Company, HostOptions
from engine.backends.network import Network
from engine.backends.openvino.network import OpenVinoNetwork
from engine.backends.software import extra, require
from engine.backends.threaded import ThreadedBackend
from engine.errors import DeviceNotFoundError
from engine.models.files import ModelFile

_DEVICE = re.compile(r"^(CPU|AUTO|(GPU|NPU)(\.\d+)?)$")
_TELEMETRY = "openvino_telemetry"


class OpenVinoBackend(ThreadedBackend):
    """Runs ONNX files. `num_activations` × `set_size` inferences run at a time."""

    name = "openvino"
    uses = frozenset({"num_activations", "set_size", "onnx_define_symbol", "convert_to_fp16"})
    default_device = "CPU"
    Own = HostOptions
    defaults: ClassVar[Mapping[Company, Mapping[str, int]]] = {
        "decoding": {"num_activations": 2, "inference_threads": 1}
    }

    @classmethod
    def has_device_name(cls, name: str) -> bool:
        """Tell whether it is `CPU`, `AUTO`, or a `GPU` or `NPU` with or without a number."""
        return _DEVICE.match(name.upper()) is not None

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        """Load the ONNX file; see `Backend.open`."""
        openvino = import_openvino()
        core = openvino.Core()
        activations, set_size = self.concurrency(options)
        own = options.own_of(HostOptions)
        device = _device(core, self.device_of(options))
        return OpenVinoNetwork(core, model.path, options, device, activations * set_size, own.inference_threads)


def import_openvino() -> ModuleType:
    """Import OpenVINO, and keep it from reporting that to Google Analytics.

    Its import sends an event, from a forked process, unless a file in the user's home says otherwise. Without its
    telemetry package it takes a stub of its own instead.

    Raises:
        BackendError: It is missing or broken.
    """
    hides = _TELEMETRY not in sys.modules
    if hides:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # what Python takes for missing
    try:
        return require("openvino", "openvino", extra("openvino"))
    finally:
        if hides:
            del sys.modules[_TELEMETRY]


def _device(core: Any, wanted: str) -> str:
    device = wanted.upper()
    available = core.available_devices
    # A GPU alone is called GPU, several are GPU.0 …: either name is good for the first.
    names = {"AUTO", *available, *(name.partition(".")[0] for name in available)}
    if not _DEVICE.match(device) or not {device, device.removesuffix(".0")} & names:
        raise DeviceNotFoundError(
            f"back end openvino has no device {wanted!r} here: it has {', '.join([*available, 'AUTO'])}"
        )
    return device
