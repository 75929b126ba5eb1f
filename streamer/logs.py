"""Logs: one line each, on standard error, so that standard output stays for results."""

import logging
import sys

from streamer.terminal import harmless

#: The packages whose information is shown, not only their warnings.
OUR_LOGGERS = ("streamer", "producers", "consumers", "engine", "messaging", "config")


_MAX_LINE_CHARS = 2000


class _OneLine(logging.Formatter):
    """Time, level and message in one line, whatever a message quotes; a traceback only where it was asked for."""

    def __init__(self, *, has_tracebacks: bool, speaker: str = "") -> None:
        super().__init__(f"%(asctime)s %(levelname)s {speaker}%(message)s", "%H:%M:%S")
        self._has_tracebacks = has_tracebacks

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return harmless(" ".join(super().formatMessage(record).split()), _MAX_LINE_CHARS)

    def format(self, record: logging.LogRecord) -> str:
        first, *others = super().format(record).splitlines()
        # What an exception quotes stands indented, so that no line of it looks like one of ours.
        return "\n".join([first, *(f"  {harmless(line, _MAX_LINE_CHARS)}" for line in others if self._has_tracebacks)])


def set_up_logs(*, is_debug: bool, speaker: str = "") -> None:
    """Send warnings of everybody and information of ours to standard error; `--debug` adds details and tracebacks.

    kafka-python never says more than warnings: at DEBUG it logs passwords and the bytes of frames.

    Args:
        is_debug: More of ours, and tracebacks.
        speaker: What every line begins with, such as `worker 2: `.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine(has_tracebacks=is_debug, speaker=speaker))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in OUR_LOGGERS:
        logging.getLogger(name).setLevel(logging.DEBUG if is_debug else logging.INFO)
    # It reports every lost connection as an error of its own; we say once that Kafka does not answer.
    for name in [name for name in logging.root.manager.loggerDict if name.startswith("kafka.")]:
        logging.getLogger(name).setLevel(logging.NOTSET)  # as their parent has it
    logging.getLogger("kafka").setLevel(logging.WARNING if is_debug else logging.CRITICAL)
