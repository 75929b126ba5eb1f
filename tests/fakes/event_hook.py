"""Consumers in this process that tell a test of their events, in the middle of what they do."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr
from typing import Any

from config.settings import Settings
from consumers.consumer import Consumer
from engine.models.classifier import Classifier
from streamer.compose import consumer_of

#: Called with an event's name and what else it says, on the thread that it happens on, which waits meanwhile.
OnEvent = Callable[[str, dict[str, Any]], None]


class _EventHook(io.StringIO):
    """Standard error of a consumer with `--events`."""

    def __init__(self, on_event: OnEvent) -> None:
        super().__init__()
        self._on_event = on_event

    def write(self, line: str) -> int:
        event = json.loads(line)
        self._on_event(event.pop("event"), event)
        return len(line)


def changed(settings: Settings, **changes: Any) -> Settings:
    """Return settings with some changed, checked as any are."""
    return Settings.model_validate(settings.model_dump(by_alias=True) | changes)


def hooked(settings: Settings, classifier: Classifier, on_event: OnEvent) -> Consumer:
    """Return a consumer whose events go to a function; one that raises ends the consumer."""
    with redirect_stderr(_EventHook(on_event)):
        return consumer_of(changed(settings, events=True), classifier)
