"""What can go wrong with the pages in the browser.

WebError
├── WebSettingError      the pages cannot be served as it was asked for        (exit 2)
├── WebMissingError      a part that is needed is not installed                (exit 2)
└── WebFailedError       the server did not start, or ended by itself          (exit 1)
"""

from typing import ClassVar


class WebError(Exception):
    """The root of the errors about pages in the browser."""

    exit_code: ClassVar[int] = 1


class WebSettingError(WebError):
    """The address cannot be used, or is open to others without a token."""

    exit_code = 2


class WebMissingError(WebError):
    """A part that is needed is not installed; the message says how to install it."""

    exit_code = 2


class WebFailedError(WebError):
    """The server did not start, or ended by itself."""
