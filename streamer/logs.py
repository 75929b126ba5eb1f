"""Logs: one line each, on standard error, so that standard output stays for results."""

import logging
import sys

_OURS = ("streamer", "producers", "consumers", "engine", "messaging", "config")


def set_up_logs(*, is_debug: bool) -> None:
    """Send warnings of everybody and information of ours to standard error; `--debug` adds our details.

    kafka-python stays at WARNING: at DEBUG it logs passwords and the bytes of frames.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.DEBUG if is_debug else logging.INFO)
    # It reports every lost connection as an error of its own; we say once that Kafka does not answer.
    logging.getLogger("kafka").setLevel(logging.WARNING if is_debug else logging.CRITICAL)
