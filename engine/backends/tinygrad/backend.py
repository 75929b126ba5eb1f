"""The back end: files and devices."""

import atexit
from functools import cache, partial
from importlib import import_module
from typing import Any

from engine.backends.base import BackendOptions
from engine.backends.network import Network
from engine.backends.software import extra, require
from engine.backends.threaded import ThreadedBackend
from engine.backends.tinygrad.compiler import compiler, has_compiler
from engine.backends.tinygrad.network import TinygradNetwork
from engine.backends.tinygrad.settings import settings
from engine.backends.tinygrad.worker import WORKER
from engine.errors import BackendError, DeviceNotFoundError, ModelError, first_line
from engine.models.files import ModelFile
from engine.models.graph import program_of, with_symbols
from engine.models.npz import load_npz
from engine.models.onnx_file import read_onnx
from engine.models.program import Program


class TinygradBackend(ThreadedBackend):
    """Runs ONNX files and `.npz` models. Batches take turns: more slots only let one wait while another is answered."""

    name = "tinygrad"
    kinds = frozenset({"onnx", "npz"})
    uses = frozenset({"num_activations", "set_size", "onnx_define_symbol"})
    default_device = "CPU"

    @classmethod
    def has_device_name(cls, name: str) -> bool:
        """Tell whether it is a device that tinygrad compiles for; it need not be there."""
        # Only those that are no plain word: a camera's consumer may well be called METAL.
        return name.upper() in {"CPU", "CUDA", "CL"}

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        """Load the file; see `Backend.open`."""
        require("tinygrad", "tinygrad", extra("tinygrad"))
        is_npz = model.kind == "npz"
        proto = load_npz(model.path) if is_npz else read_onnx(model.path, with_external_data=True)
        program = with_symbols(program_of(proto, model.path), options.keywords, model.path)
        activations, set_size = self.concurrency(options)
        return WORKER.run(
            partial(_load, model, proto, program, self.device_of(options), activations * set_size),
            options.data_path_timeout_s,
        )


def _load(model: ModelFile, proto: Any, program: Program, wanted: str, slots: int) -> TinygradNetwork:
    """Load a model; on tinygrad's thread."""
    device = _open_device(wanted)
    try:
        return TinygradNetwork(proto, program, device, slots)
    except Exception as exc:
        raise ModelError(f"tinygrad cannot run {model.path}: {first_line(exc)}") from exc


def _open_device(wanted: str) -> str:
    devices = import_module("tinygrad.device")
    device = wanted.upper()
    if device not in devices.ALL_DEVICES:
        raise DeviceNotFoundError(
            f"back end tinygrad has no device {wanted!r}: it knows {', '.join(sorted(devices.ALL_DEVICES))}"
        )
    if device == "CPU" and not has_compiler():
        raise BackendError(
            f"back end tinygrad compiles for the CPU with {compiler()}, which is not on PATH: apt-get install clang"
        )
    try:
        with settings(device):
            devices.Device[device]
    except Exception as exc:  # each device has its own errors, groups of them among these
        raise DeviceNotFoundError(f"tinygrad cannot use {device} here: {first_line(exc)}") from exc
    _watch_the_end()
    return device


@cache
def _watch_the_end() -> None:
    """Have devices forgotten before tinygrad closes them: what is registered last is called first."""
    atexit.register(_forget_devices)


def _forget_devices() -> None:
    """Keep tinygrad from closing devices that its thread works with, as at Ctrl-C: it may allow no use of them."""
    if WORKER.is_busy:
        import_module("tinygrad.device").Device._opened_devices.clear()  # noqa: SLF001 - nothing public closes less
