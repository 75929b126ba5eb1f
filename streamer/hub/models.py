"""The models of an account: which are to be compiled, and which are compiled."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from engine.backends.qai_hub.client import Hub
from engine.backends.qai_hub.errors import RefusedError
from streamer.hub.errors import NoModelsError

_PAGE = 50
#: What AI Hub compiles; a context binary, which it only wraps, is left out.
#: Source: qai_hub 0.56, client.py, `allows_compilation`.
_SOURCES = frozenset({"ONNX", "TORCHSCRIPT", "TORCH_EXPORTED_PROGRAM", "AIMET_ONNX"})
_TORCH = frozenset({"TORCHSCRIPT", "TORCH_EXPORTED_PROGRAM"})
#: Jobs that make what a device runs. What a quantise job makes is compiled yet.
_COMPILING = frozenset({"compile", "link"})


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model of the account that can be compiled."""

    model: str
    name: str
    type: str
    uploaded_at: str


def find_models(hub: Hub, limit: int) -> list[FoundModel]:
    """Return the newest models that the account may see and that are to be compiled; compiled ones are passed over.

    AI Hub lists uploads and what jobs made of them in one, so more of them are looked at than are wanted.

    Raises:
        NoModelsError: There is none.
        BackendError, HubError: As for `Hub.ask`.
    """
    found: list[FoundModel] = []
    offset = 0
    while len(found) < limit:
        page = hub.look_up("its models", partial(hub.client.get_models, offset=offset, limit=_PAGE))
        for model in page:
            if len(found) < limit and not is_compiled(hub, model):
                day = model.date.isoformat(timespec="seconds")
                found.append(FoundModel(model.model_id, model.name or "", model.model_type.name, day))
        if len(page) < _PAGE:
            break
        offset += _PAGE
    if not found:
        raise NoModelsError(
            "AI Hub shows this account no model that could be compiled: upload one with "
            "`qai-hub upload-model --model FILE`, or name one with --model-id"
        )
    return found


def is_compiled(hub: Hub, model: Any) -> bool:
    """Tell whether a device takes a model as it is: by its type, or because a compile job made it.

    Raises:
        BackendError, HubError: As for `Hub.ask`.
    """
    if model.model_type.name not in _SOURCES:
        return True
    try:
        producer = hub.look_up(f"the maker of model {model.model_id}", model.get_producer, again="always")
    except RefusedError:  # the job is another account's: models that are shared are often compiled ones
        return True
    return producer is not None and producer.job_type in _COMPILING


def needs_sizes(model: Any) -> bool:
    """Tell whether AI Hub compiles a model only where it is told the sizes of its inputs."""
    return model.model_type.name in _TORCH
