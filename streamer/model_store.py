"""The model store of this machine, and what a model's name means: built in, a path, or a name in the store."""

import glob
import os
from pathlib import Path

from config.settings import Settings
from engine.errors import ModelNotFoundError
from engine.models.files import BUILT_IN
from engine.models.store.names import is_store_name
from engine.models.store.store import ModelStore


def state_directory(settings: Settings) -> Path:
    """Return where this machine's workers keep what outlives them."""
    if settings.state_directory is not None:
        return settings.state_directory
    # systemd gives a service a directory of its own.
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    home = os.environ.get("XDG_STATE_HOME") or Path(os.environ.get("HOME") or Path.home()) / ".local" / "state"
    return Path(given) if given else Path(home) / "streamer"


def model_store_of(settings: Settings) -> ModelStore:
    """Return the store that the settings name; nothing is made or read."""
    directory = settings.model_store or state_directory(settings) / "models"
    return ModelStore(directory.absolute())  # links lead there, and whoever reads may be elsewhere


def stored_name(settings: Settings, text: str) -> str | None:
    """Return the name in the model store that is meant; None for a built-in model, or for a path.

    Raises:
        ModelNotFoundError: It is none of the three; it says what the store has.
    """
    if text in BUILT_IN or glob.has_magic(text) or not is_store_name(text) or Path(text).exists():
        return None
    try:
        return model_store_of(settings).get(text).name
    except ModelNotFoundError as exc:
        raise ModelNotFoundError(f"no model {text}: there is no such file, and {exc}; built in: workpiece") from exc
