"""What can go wrong at AI Hub, by what may still come of it.

HubError                    an error of AI Hub; the message is one line                        (exit 1)
├── RefusedError            it heard and refused, or the job failed: asking again is no use
├── NotYetError             it is too busy, or the job is not done: it may work later          (retriable)
├── UnreachableError        nobody answers, or not as AI Hub should                            (retriable)
└── StoppedError            this program was told to stop; what runs there runs on             (retriable)
"""

from collections.abc import Iterator
from contextlib import contextmanager

from engine.errors import BackendError, DeviceLostError, EngineError


class HubError(EngineError):
    """The root of AI Hub's errors."""


class RefusedError(HubError):
    """AI Hub refused, or a job of it failed or is gone; it would do so again."""


class NotYetError(HubError):
    """The time is over, and what was asked for may still come."""

    retriable = True


class UnreachableError(HubError):
    """AI Hub cannot be reached, or answers as it should not."""

    retriable = True


class StoppedError(HubError):
    """The wait was broken off from this side."""

    retriable = True


@contextmanager
def mapped(failure: type[EngineError]) -> Iterator[None]:
    """Turn AI Hub's errors into those of a back end.

    Args:
        failure: What a refusal, a failed job and one that takes too long are.

    Raises:
        DeviceLostError: AI Hub cannot be reached.
        EngineError: A `failure`.
    """
    try:
        yield
    except UnreachableError as exc:
        raise DeviceLostError(str(exc)) from exc
    except (HubError, BackendError) as exc:
        raise failure(str(exc)) from exc
