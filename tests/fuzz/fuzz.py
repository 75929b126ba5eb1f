"""Run fuzzers, one after the other: `python -m tests.fuzz.fuzz TARGET … --seconds 60`; `--list` names them.

Ends with 0 where nothing was found. A finding ends it: the traceback says what, and the bytes are kept under
`build/fuzz/TARGET`; give that file as `--again FILE` to see it again, and make a unit test of it.
"""

import argparse
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.fuzz.targets import Target

NAMES = ("pictures", "frames", "messages", "batches")
_PACKAGES = ["engine.images", "messaging", "kafka.record", "kafka.consumer.fetcher", "PIL"]
_RSS_LIMIT_MIB = 2048
_TIMEOUT_S = 10


def main() -> None:
    """Fuzz targets for some time, coverage guided, each from seeds of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(NAMES))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--again", type=Path)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    if options.list or not options.targets:
        print(*NAMES)  # noqa: T201
        return
    if strange := set(options.targets) - set(NAMES):
        parser.error(f"no target {', '.join(strange)}: give {', '.join(NAMES)}")

    logging.disable()  # a warning for each batch that cannot be read
    if options.again:
        from tests.fuzz.targets import TARGETS

        TARGETS[options.targets[0]].run(options.again.read_bytes())
        return

    import atheris  # here: the names are of use without it

    with atheris.instrument_imports(include=_PACKAGES):
        from tests.fuzz.targets import TARGETS

    *first, last = options.targets
    for name in first:  # in a process each, for a fuzzer ends its own; what is instrumented is there already
        child = os.fork()
        if child == 0:
            _fuzz(name, TARGETS[name], options.seconds)
        _, status = os.waitpid(child, 0)
        if status:
            sys.exit(os.waitstatus_to_exitcode(status))
    _fuzz(last, TARGETS[last], options.seconds)


def _fuzz(name: str, target: "Target", seconds: int) -> None:
    """Fuzz one target, and end the process."""
    import atheris

    print(f"== {name}", file=sys.stderr, flush=True)  # noqa: T201
    findings = Path("build/fuzz") / name
    findings.mkdir(parents=True, exist_ok=True)
    corpus = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for number, seed in enumerate(target.seeds()):
        (corpus / str(number)).write_bytes(seed)
    flags = [
        f"-max_total_time={seconds}",
        "-print_final_stats=1",
        "-max_len=65536",
        f"-rss_limit_mb={_RSS_LIMIT_MIB}",
        f"-timeout={_TIMEOUT_S}",
        f"-artifact_prefix={findings}/",
    ]
    atheris.Setup([sys.argv[0], str(corpus), *flags], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
