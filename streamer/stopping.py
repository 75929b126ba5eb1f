"""Stopping in good order on Ctrl-C and SIGTERM."""

import signal
from threading import Event
from types import FrameType


def stop_on_signals() -> Event:
    """Return an event that the first SIGINT or SIGTERM sets; a second SIGINT ends the program at once."""
    stop = Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        stop.set()

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return stop
