"""What can be wrong with settings.

ConfigError           a setting is unknown, missing or has a bad value; names the setting and its origin  (exit 2)
"""

from typing import ClassVar


class ConfigError(Exception):
    """A setting is unknown, missing or has a bad value."""

    exit_code: ClassVar[int] = 2
    retriable: ClassVar[bool] = False
