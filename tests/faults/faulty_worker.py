"""`streamer` with one more back end, `faulty`: `python -m tests.faults.faulty_worker --sleep 1 -- consume …`."""

import argparse
import sys

from engine.backends import registry
from streamer.cli.main import main
from tests.faults.faulty_backend import Faults, FaultyBackend


def run() -> int:
    """Read what is wrong with the device, put it into the registry, and be the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sleep", type=float, default=0.0)
    parser.add_argument("--choke", action="store_true")
    parser.add_argument("--hang-at", type=int, nargs="*", default=[])
    ours, theirs = sys.argv[1:], []
    if "--" in ours:
        at = ours.index("--")
        ours, theirs = ours[:at], ours[at + 1 :]
    given = parser.parse_args(ours)
    FaultyBackend.faults = Faults(given.sleep, given.choke, frozenset(given.hang_at))
    registry._BACKENDS["faulty"] = (FaultyBackend.__module__, FaultyBackend.__name__)
    return main(theirs)


if __name__ == "__main__":
    sys.exit(run())
