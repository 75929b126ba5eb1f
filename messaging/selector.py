"""The selector that kafka-python waits with, without the price of its misses.

kafka-python asks for the key of a socket before each wait, mostly in vain, and the standard library answers with an
exception that describes the socket: two system calls and a string, for nobody (measured: 4 % of a consumer's CPU).
"""

import selectors
from typing import Any


class QuickSelector(selectors.DefaultSelector):
    """The platform's selector, whose `get_key` misses cheaply."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Register, as `selectors.BaseSelector` has it."""
        key = super().register(fileobj, events, data)
        self._keys[key.fd] = key
        return key

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        """Unregister, as `selectors.BaseSelector` has it."""
        key = super().unregister(fileobj)
        self._keys.pop(key.fd, None)
        return key

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """Change events or data, as `selectors.BaseSelector` has it."""
        key = super().modify(fileobj, events, data)
        self._keys[key.fd] = key
        return key

    def get_key(self, fileobj: Any) -> selectors.SelectorKey:
        """Return the key of a registered file object.

        Raises:
            KeyError: It is not registered; unlike the standard library's, the error does not describe it.
        """
        number = fileobj.fileno()
        if number < 0:  # closed: found by identity
            return super().get_key(fileobj)
        return self._keys[number]
