"""The contract of a camera's source."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture as a source gives it: pixels, or the encoded bytes as they came.

    Exactly one of `pixels` and `encoded` is set.

    Attributes:
        pixels: uint8[height, width, 3], RGB, C-contiguous; valid until the next `read`.
        encoded: A JPEG, PNG, WebP or BMP file, byte for byte as the source has it.
        truth: The label that the source knows this picture to have.
    """

    pixels: NDArray[np.uint8] | None = None
    encoded: bytes | None = None
    truth: str | None = None


class Source(ABC):
    """A source of pictures, read by one thread.

    The life is `check`, then any number of `open`, `read`..., `close`. No constructor touches the outside.

    Which thread: all calls but `interrupt` come from the camera's own thread.
    What may block: `open` and `read` may block, for at most the time-out that the source was made with.
    What is not promised: that `read` keeps a pace (the camera paces sources with `is_live` False), or that
    pictures have one size.
    """

    #: The source itself decides when a picture is there (a network or USB camera), so the camera adds no pace
    #: unless it is asked for a lower rate, and an end of the stream is a failure to be retried.
    is_live: bool = False

    #: What the source is called in output: its URI without user name, password or query secrets.
    display_name: str = ""

    @property
    def fps(self) -> float | None:
        """The source's own frame rate once it is open, in frames/s; None where it has none."""
        return None

    def check(self) -> None:  # noqa: B027 - optional: not every source has something to check
        """Refuse at once, without a network, what can never work.

        Raises:
            SourceNotFoundError: The file, pattern or device is not there.
            SourceSettingError: The URI cannot be used.
        """

    @abstractmethod
    def open(self) -> None:
        """Make the source ready to be read from its start (a live source: from now).

        Raises:
            SourceNotFoundError: As for `check`.
            SourceSettingError: What it names is there and can never be read (a file that holds no video).
            SourceFailedError: It cannot be opened at this time.
        """

    @abstractmethod
    def read(self) -> Picture | None:
        """Give the next picture, or None at the end of a source that ends.

        Raises:
            SourceNotFoundError: As for `open`, where it shows only now (no file of a directory is an image).
            SourceSettingError: As for `open`, where it shows only now.
            SourceFailedError: The source broke; the camera closes it and opens it again after a pause.
        """

    @abstractmethod
    def close(self) -> None:
        """Let everything go. Closing twice is harmless; a closed source can be opened again."""

    def interrupt(self) -> None:  # noqa: B027 - optional: time-outs end a blocked call too
        """Make a blocked `open` or `read` return soon, from another thread. Optional: time-outs bound it too."""

    def __enter__(self) -> Self:
        """Open the source for a `with` block."""
        self.open()
        return self

    def __exit__(self, *_: object) -> None:
        """Close the source."""
        self.close()
