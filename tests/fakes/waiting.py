"""Waiting for what a test cannot be told of."""

import time
from collections.abc import Callable
from threading import Event

DEADLINE_S = 30.0


def wait_until(
    is_true: Callable[[], bool], what: str = "what the test waits for", deadline_s: float = DEADLINE_S
) -> None:
    """Wait for something, with a deadline; the pause is short and never what a test relies on."""
    until_s = time.monotonic() + deadline_s
    pause = Event()
    while not is_true():
        if time.monotonic() > until_s:
            raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
        pause.wait(0.005)
