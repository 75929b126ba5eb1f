"""Back ends by name. A module is imported when its back end is asked for, so missing software breaks nothing else."""

import difflib
from collections.abc import Callable
from importlib import import_module

from engine.backends.base import Backend
from engine.errors import BackendError

#: Name → module and class.
_BACKENDS = {"onnxruntime": ("engine.backends.onnxruntime", "OnnxRuntimeBackend")}


def backend_names() -> tuple[str, ...]:
    """Return the names of all back ends."""
    return tuple(_BACKENDS)


def make_backend(name: str) -> Backend:
    """Make the back end called `name`; nothing is opened yet.

    Raises:
        BackendError: There is none, or the software that it needs is not installed.
    """
    if name not in _BACKENDS:
        close = difflib.get_close_matches(name, _BACKENDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are: {', '.join(_BACKENDS)}"
        raise BackendError(f"no back end {name!r}: {hint}")
    module, class_name = _BACKENDS[name]
    try:
        factory: Callable[[], Backend] = getattr(import_module(module), class_name)
    except ImportError as exc:
        raise BackendError(f"back end {name} cannot be loaded, its software is missing or broken: {exc}") from exc
    return factory()
