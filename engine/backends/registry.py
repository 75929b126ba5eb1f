"""Back ends by name. A module is imported when its back end is asked for, so missing software breaks nothing else."""

from importlib import import_module

from engine.backends.base import Backend
from engine.errors import BackendError
from engine.options import nearest

#: Name → module and class.
_BACKENDS = {
    "onnxruntime": ("engine.backends.onnxruntime", "OnnxRuntimeBackend"),
    "openvino": ("engine.backends.openvino", "OpenVinoBackend"),
    "qaic": ("engine.backends.qaic.backend", "QaicBackend"),
    "qnn": ("engine.backends.qnn", "QnnBackend"),
    "qai_hub": ("engine.backends.qai_hub", "QaiHubBackend"),
    "tinygrad": ("engine.backends.tinygrad", "TinygradBackend"),
    "simulator": ("engine.backends.simulator.backend", "SimulatorBackend"),
}
#: The vendor's own word in its examples. Source: quic/cloud-ai-sdk-pages docs/Python-API/qaic/qaic.md.
_ALIASES = {"aic": "qaic"}


def backend_names() -> tuple[str, ...]:
    """Return the names of all back ends."""
    return tuple(_BACKENDS)


def backend_class(name: str) -> type[Backend]:
    """Return the class of the back end called `name`. What its device needs is imported when a model is opened.

    Raises:
        BackendError: There is none, or the software that it needs is broken.
    """
    name = _ALIASES.get(name, name)
    if name not in _BACKENDS:
        raise BackendError(f"no back end {name!r}{nearest(name, _BACKENDS) or ': there are ' + ', '.join(_BACKENDS)}")
    module, class_name = _BACKENDS[name]
    try:
        found: type[Backend] = getattr(import_module(module), class_name)
    except ImportError as exc:
        raise BackendError(f"back end {name} cannot be loaded, its software is missing or broken: {exc}") from exc
    return found


def make_backend(name: str) -> Backend:
    """Make the back end called `name`; nothing is opened yet.

    Raises:
        BackendError: There is none, or the software that it needs is broken.
    """
    return backend_class(name)()


def default_backend() -> tuple[str, str]:
    """Return the back end of a caller who names none, and one line that says why it is that one."""
    from engine.backends.qaic.devices import first_ready_device

    device, reason = first_ready_device()
    if device is None:
        return "onnxruntime", f"back end onnxruntime on the CPU: {reason}"
    return "qaic", f"back end qaic: {reason}"
