"""What becomes of an item."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one item's way: what the last step gave, or what a step raised.

    Attributes:
        value: What the last step gave; None where there is an error.
        error: What a step raised; None where there is a value.
    """

    value: Any = None
    error: BaseException | None = None

    def unwrap(self) -> Any:
        """Return the value, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.value


@dataclass(frozen=True, slots=True)
class Failed:
    """What a function over batches gives in place of one item's value, so that this item fails alone."""

    error: Exception
