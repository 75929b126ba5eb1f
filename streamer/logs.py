"""Logs: one line each, on standard error, so that standard output stays for results."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Literal

from streamer.terminal import harmless

#: The packages whose information is shown, not only their warnings.
OUR_LOGGERS = ("streamer", "producers", "consumers", "engine", "messaging", "config")


_MAX_LINE_CHARS = 2000
_MAX_TRACEBACK_CHARS = 20_000


class _OneLine(logging.Formatter):
    """Time, level and message in one line, whatever a message quotes; a traceback only where it was asked for."""

    def __init__(self, *, has_tracebacks: bool, worker: str = "") -> None:
        speaker = f"worker {worker}: " if worker else ""
        super().__init__(f"%(asctime)s %(levelname)s {speaker}%(message)s", "%H:%M:%S")
        self._has_tracebacks = has_tracebacks

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return harmless(" ".join(super().formatMessage(record).split()), _MAX_LINE_CHARS)

    def format(self, record: logging.LogRecord) -> str:
        first, *others = super().format(record).splitlines()
        # What an exception quotes stands indented, so that no line of it looks like one of ours.
        return "\n".join([first, *(f"  {harmless(line, _MAX_LINE_CHARS)}" for line in others if self._has_tracebacks)])


class _Json(logging.Formatter):
    """One JSON object a line, for programs; a line about a frame names its trace."""

    def __init__(self, *, has_tracebacks: bool, worker: str = "") -> None:
        super().__init__()
        self._has_tracebacks = has_tracebacks
        self._worker = worker

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": harmless(" ".join(record.getMessage().split()), _MAX_LINE_CHARS),
        }
        if self._worker:
            line["worker"] = self._worker
        for name in ("trace_id", "span_id"):
            if value := getattr(record, name, ""):
                line[name] = str(value)
        if record.exc_info and self._has_tracebacks:
            line["exception"] = harmless(self.formatException(record.exc_info), _MAX_TRACEBACK_CHARS)
        return json.dumps(line)


def say(line: str, level: int = logging.INFO) -> None:
    """Tell a person something on standard error; where programs read it, as one more line of the log."""
    handlers = logging.getLogger().handlers
    if handlers and isinstance(handlers[0].formatter, _Json):
        logging.getLogger("streamer").log(level, "%s", line)
    else:
        print(harmless(line, _MAX_LINE_CHARS), file=sys.stderr, flush=True)  # noqa: T201 - for a person


def set_up_logs(*, is_debug: bool, form: Literal["text", "json"] = "text", worker: str = "") -> None:
    """Send warnings of everybody and information of ours to standard error; `--debug` adds details and tracebacks.

    kafka-python never says more than warnings: at DEBUG it logs passwords and the bytes of frames.

    Args:
        is_debug: More of ours, and tracebacks.
        form: `text` for people, `json` for programs.
        worker: The number of the worker that speaks; "" where there is one alone.
    """
    handler = logging.StreamHandler(sys.stderr)
    formatter = _Json if form == "json" else _OneLine
    handler.setFormatter(formatter(has_tracebacks=is_debug, worker=worker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if is_debug else logging.INFO)
    # It reports every lost connection as an error of its own; we say once that Kafka does not answer.
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("kafka.")]:
        logging.getLogger(name).setLevel(logging.NOTSET)  # as their parent has it
    logging.getLogger("kafka").setLevel(logging.WARNING if is_debug else logging.CRITICAL)
