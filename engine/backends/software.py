"""Importing what only some back ends need."""

from importlib import import_module
from types import ModuleType

from engine.errors import BackendError


def require(module: str, backend: str, install: str) -> ModuleType:
    """Import a module that a back end is made of.

    Args:
        module: Its name.
        backend: Who needs it, for the message.
        install: The line that installs it.

    Raises:
        BackendError: It is missing or broken; the message has the line that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as exc:
        # What is missing may be one of its own parts.
        raise BackendError(f"back end {backend} needs the Python package {exc.name or module}: {install}") from exc
    except Exception as exc:  # a shared library that does not load raises anything
        raise BackendError(f"back end {backend} cannot load {module}: {exc} ({install})") from exc


def extra(name: str) -> str:
    """Return the line that installs one of this program's extras."""
    return f"pip install 'aic-streamer[{name}]'"
