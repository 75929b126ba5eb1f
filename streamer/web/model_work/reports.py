"""What came of work on models, as it is drawn and said."""

from collections.abc import Mapping
from typing import Any

from nicegui import ui

from streamer.web import words
from streamer.web.parts import Text


def draw_facts(facts: Mapping[str, str]) -> None:
    """Draw names and values."""
    with ui.element("dl").classes("facts"):
        for name, value in facts.items():
            Text("dt", name)
            Text("dd", value)


def comparison_facts(compared: Mapping[str, Any]) -> dict[str, str]:
    """Return what is said of two models that were compared.

    Args:
        compared: `Comparison.as_json()`.
    """
    agreement = compared["top_class_agreement"]
    return {
        "Largest difference": _number(compared["max_abs_difference"]),
        "As a part of the largest value": _number(compared["max_relative_difference"]),
        "Top class is the same": "no classes" if agreement is None else words.percent(agreement),
        "Size": _change(words.size(compared["size_before_bytes"]), words.size(compared["size_after_bytes"])),
        "One run on this CPU": _change(
            words.milliseconds(compared["latency_before_ms"]), words.milliseconds(compared["latency_after_ms"])
        ),
        "Compared on": f"{words.count(compared['samples'])} random inputs",
    }


def _number(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.3g}"


def _change(before: str, after: str) -> str:
    return f"{before} → {after}"
