"""Each fuzzer for a few seconds: that it runs, is guided by coverage, and finds nothing at once."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.fuzz import NAMES

_SECONDS = 1
_ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _atheris() -> None:
    if importlib.util.find_spec("atheris") is None:
        if os.environ.get("STREAMER_TESTS_REQUIRE_TOOLS"):
            pytest.fail("atheris is missing, and STREAMER_TESTS_REQUIRE_TOOLS is set")
        pytest.skip("atheris is missing: it has no wheel for this Python")


def fuzz(*arguments: str) -> "subprocess.CompletedProcess[str]":
    # Through a shell that forks: a process begins with the peak memory of the one that it was forked from, here a
    # run of tests with torch in it, and the fuzzer would take that for its own.
    command = ["sh", "-c", '"$@"; exit $?', "sh", sys.executable, "-m", "tests.fuzz.fuzz", *arguments]
    return subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=100, check=False)


def test_nothing_is_found_at_once() -> None:
    done = fuzz(*NAMES, "--seconds", str(_SECONDS))
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    _, *parts = re.split(r"^== ", done.stderr, flags=re.MULTILINE)
    assert [part.split("\n")[0] for part in parts] == list(NAMES)
    for part in parts:
        executed = re.search(r"stat::number_of_executed_units: (\d+)", part)
        added = re.search(r"stat::new_units_added: +(\d+)", part)
        assert executed, part
        assert added, part
        assert int(executed[1]) > 100, part
        assert int(added[1]) > 10, f"new branches are found beyond those of the seeds: {part}"


def test_a_finding_can_be_seen_again(tmp_path: Path) -> None:
    file = tmp_path / "finding"
    file.write_bytes(b"\xff\xd8\xff")
    assert fuzz("pictures", "--again", str(file)).returncode == 0
