"""QNN's libraries, and the plug-in that brings them into ONNX Runtime."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import onnxruntime

from engine.backends.onnxruntime import message
from engine.backends.software import extra, require
from engine.errors import BackendError, DeviceNotFoundError

#: QNN's own back ends: what the package calls them, and what `health` does. Its GPU one needs an Adreno.
DEVICES = {
    "htp": ("get_qnn_htp_path", "Hexagon emulator (libQnnHtp on x86-64)"),
    "cpu": ("get_qnn_cpu_path", "QNN's CPU back end"),
}
DEFAULT_DEVICE = "htp"
_registering = Lock()


def find_library(device: str | None) -> tuple[Any, Path, str]:
    """Return the package, the library that is the device, and what that is.

    Raises:
        BackendError: The package is missing, or not for this machine.
        DeviceNotFoundError: There is no such device.
    """
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise BackendError(
            f"back end qnn runs the Hexagon emulator, which there is for Linux on x86-64 and not for {sys.platform} on "
            f"{platform.machine()}: use back end onnxruntime, or qai_hub for a real device"
        )
    package = require("onnxruntime_qnn", "qnn", extra("qnn"))
    found = {name: (Path(getattr(package, path)()), what) for name, (path, what) in DEVICES.items()}
    here = {name: library for name, library in found.items() if library[0].exists()}
    wanted = (device or DEFAULT_DEVICE).lower()
    if wanted not in here:
        raise DeviceNotFoundError(f"back end qnn has no device {device!r} here: it has {' and '.join(here)}")
    return package, *here[wanted]


def find_plugin_devices(package: Any) -> list[Any]:
    """Return the plug-in's devices; it can be registered once in a process, by whomever."""
    name = package.get_ep_name()
    with _registering:
        if not (found := _registered(name)):
            try:
                with _quiet_start():
                    ctypes.CDLL(package.get_qnn_htp_path())
                onnxruntime.register_execution_provider_library(name, package.get_library_path())
            except Exception as exc:  # a library that does not load raises anything
                raise BackendError(
                    f"onnxruntime-qnn {package.__version__} cannot be loaded: {message(exc)} ({extra('qnn')})"
                ) from exc
            found = _registered(name)
    if not found:
        raise BackendError(f"onnxruntime-qnn {package.__version__} finds no device on this machine")
    return found


def _registered(name: str) -> list[Any]:
    return [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keep what the emulator says as it is loaded out of standard output, which may be somebody's JSON."""
    libc = ctypes.CDLL(None)
    try:
        kept = os.dup(1)
    except OSError:  # it is closed
        yield
        return
    try:
        sys.stdout.flush()
        os.dup2(2, 1)
        yield
        libc.fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
