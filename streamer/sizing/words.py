"""Figures as people read them. Pure."""


def counted(number: int, what: str) -> str:
    """Return `1 camera`, `2 cameras`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def small(number: float) -> str:
    """Return a figure with one decimal, and a small one with a digit that says something."""
    return f"{number:.1f}" if number >= 1 or number == 0 else f"{number:.1g}"
