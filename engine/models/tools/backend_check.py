"""Which back ends can run a model: each is asked to."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from engine.backends.registry import backend_names
from engine.errors import EngineError, first_line
from engine.models.files import TFLITE_HINT

#: What is not tried, and why: a question must not send a model away.
_NOT_TRIED: Mapping[str, str] = MappingProxyType({"qai_hub": "not tried: it would send the model to Qualcomm AI Hub"})
#: What a back end has to be told beside the model: the simulator, whose figures it goes by.
_KEYWORDS: Mapping[str, Mapping[str, Any]] = MappingProxyType({"simulator": {"row": "resnet50/best-throughput"}})


def check_backends(path: Path, say: Callable[[str], None]) -> dict[str, str]:
    """Load a model on every back end of this machine.

    Args:
        path: The model.
        say: Told which one is asked.

    Returns:
        For each "", where it runs, or why it does not, in one line.
    """
    if path.suffix.lower() == ".tflite":
        return dict.fromkeys(backend_names(), f"takes no TFLite file: {TFLITE_HINT}")
    return {name: _NOT_TRIED.get(name) or _why_not(name, path, say) for name in backend_names()}


def _why_not(name: str, path: Path, say: Callable[[str], None]) -> str:
    from engine.session import Session

    say(f"asking back end {name}")
    try:
        with Session(path, backend=name, **_KEYWORDS.get(name, {})) as session:
            session.setup()
    except EngineError as exc:
        return first_line(exc)
    except Exception as exc:  # noqa: BLE001 - a vendor's software raises anything; it is the answer to the question
        return f"{type(exc).__name__}: {first_line(exc)}"
    return ""
