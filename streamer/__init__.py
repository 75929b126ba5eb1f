"""Classify camera frames over Apache Kafka with Qualcomm Cloud AI 100 cards.

The command is `streamer`; `streamer.compose` shows how the parts go together.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

__version__ = "0.1.0"

_HOME = Path(__file__).resolve().parent.parent


def _check_names() -> None:
    """Refuse to run where a file of the user's shadows one of this program's packages: the names are everyday ones.

    Raises:
        ImportError: It names the file in the way.
    """
    for name in ("producers", "consumers", "engine", "messaging", "config"):
        spec = find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin != _HOME / name / "__init__.py":
            where = origin or (next(iter(spec.submodule_search_locations or ()), "nothing") if spec else "nothing")
            raise ImportError(
                f"streamer needs its own package `{name}`, but Python finds {where}: rename that file or folder, "
                "or run streamer from another directory"
            )


def _is_command() -> bool:
    """Tell whether this is `streamer` or `python -m streamer`, and not a program that imports it."""
    program = sys.argv[0] if sys.argv else ""
    return program == "-m" or Path(program).name in ("streamer", "streamer.exe")


try:
    _check_names()
except ImportError as clash:
    if not _is_command() or "--debug" in sys.argv:
        raise
    print(f"streamer: {clash}", file=sys.stderr)  # noqa: T201 - the command says it in one line
    sys.exit(2)
