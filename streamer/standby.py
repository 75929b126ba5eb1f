"""`--standby`: which back end and which device take over, and with which model."""

from collections.abc import Mapping
from typing import Any

from config.errors import ConfigError
from config.settings import Settings
from engine.backends.base import Backend
from engine.backends.failover import FailoverBackend, Standby
from engine.backends.registry import backend_names
from engine.models.files import ModelFile, locate_model
from engine.options import nearest
from engine.session_keywords import SessionKeywords, read_keywords

#: The word for the standby that every machine has.
_CPU = "cpu"


def backend_of(settings: Settings, device: SessionKeywords, wanted: Mapping[str, Any], model: str | None) -> Backend:
    """Make the back end of a consumer, with its standby where one is asked for; nothing is opened.

    Args:
        settings: They say what the standby is.
        device: The device that is asked first.
        wanted: The keywords that it was made of; a standby on the same back end has them, too.
        model: The device's model; None where it computes nothing.

    Raises:
        ConfigError: There is no such standby, it is the device itself, or it needs a model of its own.
        EngineError: The standby's options or its model cannot be used.
    """
    if settings.standby is None:
        if settings.standby_model is not None:
            raise ConfigError("--standby-model is the model of a --standby: say which, such as --standby cpu")
        return device.backend()
    name, device_name = _parse(settings.standby, device.backend)
    shared = wanted if name == device.backend.name else {"data_path_timeout": device.options.data_path_timeout_s}
    keywords = read_keywords(
        {**shared, "backend": name, "device": device_name},
        company="decoding",
        open_batch=settings.batch_size,
    )
    standby = Standby(keywords.backend(), keywords.options, _model(settings, keywords.backend, model))
    if name == device.backend.name and standby.device.lower() == device.backend.device_of(device.options).lower():
        raise ConfigError(f"--standby {settings.standby} is the device itself: name another one")
    return FailoverBackend(device.backend(), standby)


def _parse(text: str, own: type[Backend]) -> tuple[str, str | None]:
    """Return the back end's name and its device; None for the one that it takes by itself."""
    if text == _CPU:
        return "onnxruntime", _CPU
    name, _, device = text.partition(":")
    if name in backend_names():
        return name, device or None
    if own.has_device_name(text):
        return own.name, text
    raise ConfigError(
        f"--standby {text}: no back end, and no device of back end {own.name}{nearest(name, backend_names())}: "
        f"give {_CPU}, a back end ({', '.join(backend_names())}), BACKEND:DEVICE, or another device"
    )


def _model(settings: Settings, backend: type[Backend], model: str | None) -> ModelFile | None:
    """Return the standby's model, before anything is compiled or opened."""
    name = settings.standby_model or model
    if name is None:
        return None
    file = locate_model(name)
    if file.kind not in backend.kinds and settings.standby_model is None:
        raise ConfigError(
            f"--standby {settings.standby} cannot take {file.path} ({file.kind}): "
            "give it the ONNX file of the same model, --standby-model PATH"
        )
    backend().check_model(file)
    return file
