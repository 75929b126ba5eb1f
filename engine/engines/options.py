"""What an engine can be told."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, get_args

from engine.engines.request import OnError
from engine.errors import OptionsError

WhenFull = Literal["wait", "raise"]
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How an engine works.

    Attributes:
        batch_size: Rows in a batch, at the most.
        max_queue_size: Inputs that are not answered yet, at the most.
        max_queue_bytes: And their bytes.
        batch_timeout: Seconds that an input waits for company.
        when_full: Whether `add_input` waits for room, or raises.
        on_error: Takes the id and the error of an input that failed for good; without it they are logged.
    """

    batch_size: int = 8
    max_queue_size: int = 256
    max_queue_bytes: int = 256 * _MIB
    batch_timeout: float = 0.02
    when_full: WhenFull = "wait"
    on_error: OnError | None = None

    def __post_init__(self) -> None:
        """Refuse what allows nothing."""
        for name in ("batch_size", "max_queue_size", "max_queue_bytes"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionsError(f"{name} is {value!r}: give a whole number above 0")
        if not isinstance(self.batch_timeout, int | float) or not 0 <= self.batch_timeout < float("inf"):
            raise OptionsError(f"batch_timeout is {self.batch_timeout!r}: give seconds, 0 or more")
        if self.when_full not in get_args(WhenFull):
            raise OptionsError(f"when_full is {self.when_full!r}: give wait or raise")
        if self.on_error is not None and not callable(self.on_error):
            raise OptionsError("on_error takes a function of the input's id and the error")

    @classmethod
    def split(cls, keywords: Mapping[str, Any]) -> tuple[Self, dict[str, Any]]:
        """Take an engine's own out of keywords; return them, and the rest, which are `Session`'s.

        Raises:
            OptionsError: One of its own is out of its range.
        """
        names = {each.name for each in fields(cls)}
        own = {name: value for name, value in keywords.items() if name in names}
        return cls(**own), {name: value for name, value in keywords.items() if name not in names}
