"""Which back ends can run a model: each is asked to, in a process of its own.

So a back end that takes for ever, takes all memory, or ends its process with the model that it is given, costs its own
answer and no more: OpenVINO compiles a chain of 20,000 operators for more than ten minutes, and no signal of Python's
reaches it. What a vendor's software prints stays there, too.
"""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from engine.backends.registry import backend_names
from engine.errors import EngineError, first_line
from engine.models.files import TFLITE_HINT

#: A compiler of a card takes a minute or two for a large model.
TIMEOUT_S: Final = 120.0
#: What is not tried, and why: a question must not send a model away.
_NOT_TRIED: Mapping[str, str] = MappingProxyType({"qai_hub": "not tried: it would send the model to Qualcomm AI Hub"})
#: What a back end has to be told beside the model: the simulator, whose figures it goes by.
_KEYWORDS: Mapping[str, Mapping[str, Any]] = MappingProxyType({"simulator": {"row": "resnet50/best-throughput"}})
#: A process that is interrupted has so long to end those that it started.
_END_S: Final = 2.0
_SILENT: Final = 2


def check_backends(path: Path, say: Callable[[str], None], timeout_s: float = TIMEOUT_S) -> dict[str, str]:
    """Load a model on every back end of this machine.

    Args:
        path: The model.
        say: Told which one is asked.
        timeout_s: How long one may take.

    Returns:
        For each "", where it runs, or why it does not, in one line.
    """
    if path.suffix.lower() == ".tflite":
        return dict.fromkeys(backend_names(), f"takes no TFLite file: {TFLITE_HINT}")
    return {name: _NOT_TRIED.get(name) or _why_not(name, path, say, timeout_s) for name in backend_names()}


def _why_not(name: str, path: Path, say: Callable[[str], None], timeout_s: float) -> str:
    say(f"asking back end {name}")
    # -P: no files of the folder.
    command = [sys.executable, "-P", "-m", "engine.models.tools.backend_check", name, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            answer, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return f"not known: it took longer than {timeout_s:g} s"
        finally:
            _end(process)
    try:
        return str(json.loads(answer))
    except ValueError:
        return f"its process ended with {_named(process.returncode)}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a process with what it started; one that does not listen alone."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.communicate(timeout=_END_S)
        except subprocess.TimeoutExpired:
            process.kill()


def _named(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def _main(name: str, path: str) -> None:
    """Be that process: try one back end, and write why not as JSON."""
    # Libraries print to the output whatever they like: it is none of theirs.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answer:
        os.dup2(_SILENT, sys.stdout.fileno())
        _bound_memory()
        answer.write(json.dumps(_try(name, path)))


def _bound_memory() -> None:
    """Leave the machine a quarter of its memory; a model that fills the rest fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * 3 // 4
    resource.setrlimit(resource.RLIMIT_DATA, (most if soft == resource.RLIM_INFINITY else min(soft, most), hard))


def _try(name: str, path: str) -> str:
    from engine.session import Session

    try:
        with Session(path, backend=name, **_KEYWORDS.get(name, {})) as session:
            session.setup()
    except EngineError as exc:
        return first_line(exc)
    except Exception as exc:  # noqa: BLE001 - a vendor's software raises anything; it is the answer to the question
        return f"{type(exc).__name__}: {first_line(exc)}"
    return ""


if __name__ == "__main__":
    _main(*sys.argv[1:])
