"""What the commands for models share: where the model is, and what a comparison says."""

import sys
from argparse import ArgumentParser
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.models.tools.comparison import Comparison

#: What stands for OUT in each command's help.
REPLACES = "; one that is there is replaced"
_SHOWN_PART = 0.0001


def add_json_flag(parser: ArgumentParser) -> None:
    """Add `--json`."""
    parser.add_argument("--json", action="store_true", help="the result as one JSON object, on the last line")


def comparison_rows(comparison: "Comparison") -> list[tuple[str, str]]:
    """Return the lines of a table that say how the second model compares with the first."""
    smaller = comparison.size_after_bytes / max(1, comparison.size_before_bytes)
    agreement = comparison.top_class_agreement
    part = comparison.max_relative_difference
    shown = f"{part:.2%}" if part >= _SHOWN_PART else f"under {_SHOWN_PART:.2%}"
    gap = f"{comparison.max_abs_difference:.3g} ({shown} of the largest value)" if part else "none"
    return [
        ("size", f"{comparison.size_before_bytes:,} → {comparison.size_after_bytes:,} bytes ({smaller:.0%})"),
        ("time of a run", f"{comparison.latency_before_ms:.3f} → {comparison.latency_after_ms:.3f} ms"),
        ("largest difference", gap),
        ("same top class", "–" if agreement is None else f"{agreement:.1%} of {comparison.samples} inputs"),
    ]


def say_notes(notes: tuple[str, ...]) -> None:
    """Say what was done on standard error, where it disturbs nobody's pipe."""
    from streamer.terminal import harmless

    for note in notes:
        print(harmless(note, 1000), file=sys.stderr)
