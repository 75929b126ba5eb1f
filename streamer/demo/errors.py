"""What can go wrong in the demo."""

from typing import ClassVar


class DemoError(Exception):
    """A process of the demo failed, or did not do its part in time."""

    exit_code: ClassVar[int] = 1
