"""The names of the store's models: they are folders, so nothing but a plain word passes."""

import re

from engine.errors import StoreError
from engine.models.files import BUILT_IN

#: What a file called as a built-in model becomes, and that model.
COPIES = {f"{name}-copy": name for name in BUILT_IN}
_MAX_LETTERS = 64
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


def is_store_name(text: str) -> bool:
    """Tell whether a model of the store can have this name."""
    return _NAME.fullmatch(text) is not None and text not in BUILT_IN


def check_name(text: str) -> str:
    """Return a name that a model of the store can have.

    Raises:
        StoreError: It is none; or a built-in model has it, which always comes first.
    """
    if text in BUILT_IN:
        raise StoreError(f"{text} is the built-in model's name: give another one")
    if _NAME.fullmatch(text) is None:
        raise StoreError(
            f"{text[:100]!r} is no name for a model: give 1 to {_MAX_LETTERS} of a-z, 0-9, '.', '_' and '-', "
            "with a letter or a digit first"
        )
    return text


def store_name(text: str) -> str:
    """Make a name of whatever a file is called: `My Models/Bottles v2.ONNX` becomes `bottles-v2`."""
    file = re.split(r"[/\\]", text)[-1].lower()
    stem = file.rpartition(".")[0] or file
    name = re.sub(r"[^a-z0-9._-]+", "-", stem).strip("-._")[:_MAX_LETTERS]
    if not name:
        return "model"
    return next((copy for copy, built_in in COPIES.items() if built_in == name), name)
