"""The process that works on a model for a page: a request on its input, and JSON lines on its output.

It is started as `python -m streamer.web.model_work.tool_process`, bounds itself, reads
`{"task": …, "arguments": {…}, "limits": {…}}`, and writes lines of `{"say": …}`, and at its end one of
`{"result": {…}}` or `{"error": …}`.
"""

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import IO, Any

_SILENT = 2


def main() -> int:
    """Do what is asked for; return the exit code."""
    # Libraries print to the output whatever they like: it is none of theirs.
    with os.fdopen(os.dup(sys.stdout.fileno()), "w") as answers:
        os.dup2(_SILENT, sys.stdout.fileno())
        request = json.load(sys.stdin)
        _bound(**request["limits"])
        return _answer(request, answers)


def _bound(memory_bytes: int, file_bytes: int) -> None:
    """Bound this process: what it asks for beyond that fails, and harms itself alone."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _answer(request: dict[str, Any], answers: IO[str]) -> int:
    from engine.errors import EngineError, first_line

    def write(**said: Any) -> None:
        answers.write(json.dumps(said) + "\n")
        answers.flush()

    def say(line: str) -> None:
        write(say=line)

    try:
        from streamer.web.model_work.tasks import TASKS

        task: Callable[..., dict[str, Any]] = TASKS[request["task"]]
        write(result=task(say, **request["arguments"]))
    except Exception as exc:  # noqa: BLE001 - the last resort: a line for whoever waits
        if _lacked_memory(exc):
            write(error="the model needs more memory than a job may have: start with a larger --job-memory")
        elif isinstance(exc, EngineError):
            write(error=first_line(exc))
        else:
            write(error=f"{type(exc).__name__}: {first_line(exc)}")
    else:
        return 0
    return 1


def _lacked_memory(exc: BaseException | None) -> bool:
    """Tell whether it began with memory that was not to be had."""
    while exc is not None and not isinstance(exc, MemoryError):
        exc = exc.__cause__ or exc.__context__
    return exc is not None


if __name__ == "__main__":
    sys.exit(main())
