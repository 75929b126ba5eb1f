"""What the commands that serve pages share."""

from argparse import ArgumentParser


def add_page_flags(parser: ArgumentParser) -> None:
    """Add `--open` and `--json`."""
    parser.add_argument("--open", action="store_true", help="open it in the browser of this machine")
    parser.add_argument("--json", action="store_true", help="its address as one JSON object, once it answers")
