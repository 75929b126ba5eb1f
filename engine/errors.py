"""What can go wrong while computing.

EngineError
├── ModelError                the model's file cannot be used                          (exit 2)
│   ├── ModelNotFoundError    there is no such file
│   ├── NotAClassifierError   it is a model, but not one that classifies pictures
│   ├── StoreError            the model store does not take, give or keep it
│   └── CompileError          the device's compiler refused or failed it
├── OptionsError              an option is unknown, out of its range, or not for this  (exit 2)
├── BackendError              no such back end, or its software is missing             (exit 2)
├── DeviceNotFoundError       the back end has no such device                          (exit 2)
├── InferenceError            the device refused or failed a batch                     (exit 1, retriable)
│   ├── DeviceLostError       the device hung or broke; what it had is handed back
│   ├── NotOpenError          the back end is closed
│   ├── QueueFullError        an engine has no room for another input
│   └── WorkerError           a worker on another machine did not answer, or failed
├── PipelineError             a pipeline's description cannot be used                  (exit 2)
└── ImageError                a picture cannot be decoded; `reason` says why           (exit 1)
"""

from typing import ClassVar, Literal

ImageReason = Literal[
    "empty", "too-large", "not-an-image", "truncated", "too-many-pixels", "too-many-scans", "unsupported"
]


class EngineError(Exception):
    """The root of the engine's errors."""

    exit_code: ClassVar[int] = 1
    retriable: ClassVar[bool] = False


class ModelError(EngineError):
    """The model's file cannot be used."""

    exit_code = 2


class ModelNotFoundError(ModelError):
    """There is no such model file."""


class NotAClassifierError(ModelError):
    """It is a model, but its inputs and outputs are not those of an image classifier."""


class StoreError(ModelError):
    """The model store does not take, give or keep it."""


class CompileError(ModelError):
    """The device's compiler refused the model, or failed."""


class OptionsError(EngineError):
    """An option is unknown, out of its range, excluded by another one, or not for this call."""

    exit_code = 2


class BackendError(EngineError):
    """There is no such back end, or the software it needs is missing."""

    exit_code = 2


class DeviceNotFoundError(EngineError):
    """The back end has no device of that name."""

    exit_code = 2


class InferenceError(EngineError):
    """The device refused or failed a batch."""

    retriable = True


class DeviceLostError(InferenceError):
    """The device hung or broke. Whatever it had been given is handed back unanswered; it may be given work again later.

    Every future that the device had ends with this error, so whoever submitted a batch still has it.
    """


class NotOpenError(InferenceError):
    """The back end is not open, or was closed meanwhile."""


class QueueFullError(InferenceError):
    """An engine has as many inputs, or as many bytes, as it may hold."""


class WorkerError(InferenceError):
    """A worker on another machine did not answer, or failed; another one may do what it was asked.

    Attributes:
        is_silent: Whether it did not answer at all.
    """

    def __init__(self, message: str, *, is_silent: bool = False) -> None:
        super().__init__(message)
        self.is_silent = is_silent


class PipelineError(EngineError):
    """What was said of a pipeline cannot be used: a step's name, its order, or its function."""

    exit_code = 2


class ImageError(EngineError):
    """A picture cannot be decoded, or must not be.

    Attributes:
        reason: The kind of fault, the same word as in a dead letter.
    """

    def __init__(self, reason: ImageReason, message: str) -> None:
        super().__init__(message)
        self.reason: ImageReason = reason


def first_line(exc: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return next((line.strip() for line in str(exc).splitlines() if line.strip()), type(exc).__name__)
