"""Importing what only some back ends and models need."""

from importlib import import_module
from types import ModuleType

from engine.errors import BackendError


def require(module: str, name: str, install: str, *, kind: str = "back end") -> ModuleType:
    """Import a module that a back end, or something else that is optional, is made of.

    Args:
        module: Its name.
        name: Who needs it, for the message.
        install: The line that installs it.
        kind: What that is.

    Raises:
        BackendError: It is missing or broken; the message has the line that installs it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as exc:
        # What is missing may be one of its own parts.
        raise BackendError(f"{kind} {name} needs the Python package {exc.name or module}: {install}") from exc
    except Exception as exc:  # a shared library that does not load raises anything
        raise BackendError(f"{kind} {name} cannot load {module}: {exc} ({install})") from exc


def extra(name: str) -> str:
    """Return the line that installs one of this program's extras."""
    return f"pip install 'aic-streamer[{name}]'"
