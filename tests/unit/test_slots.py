"""Worker slots: held by a lock that ends with its process, and marked while transactions may be open."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from consumers.errors import SlotError
from consumers.slots import Slots
from tests.fakes.programs import environ
from tests.fakes.waiting import DEADLINE_S

SERVERS = "127.0.0.1:9092"
#: Takes a slot, says which, and holds it until its standard input ends.
HOLDER = """
import sys
from pathlib import Path
from consumers.slots import Slots

slot = Slots(Path(sys.argv[1]), sys.argv[2], "group", "0").take()
if sys.argv[3] == "open":
    slot.begin_transactions()
print(slot.number, flush=True)
sys.stdin.read()
"""


def slots_of(state: Path, servers: str = SERVERS, group: str = "group", device: str = "0") -> Slots:
    return Slots(state, servers, group, device)


@contextmanager
def holder(state: Path, transactions: str = "none") -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Another process with a slot, and the slot's number."""
    command = [sys.executable, "-c", HOLDER, str(state), SERVERS, transactions]
    with subprocess.Popen(command, env=environ(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process, int(process.stdout.readline())
        finally:
            process.kill()


def test_the_lowest_free_slot_is_taken(tmp_path: Path) -> None:
    slots = slots_of(tmp_path)
    taken = [slots.take() for _ in range(4)]
    assert [slot.number for slot in taken] == [0, 1, 2, 3]
    taken[2].free()
    taken[1].free()
    again = [slots.take() for _ in range(3)]
    assert [slot.number for slot in again] == [1, 2, 4]
    for slot in taken + again:
        slot.free()


def test_a_slot_that_is_freed_twice_takes_nobody_elses(tmp_path: Path) -> None:
    slots = slots_of(tmp_path)
    first = slots.take()
    first.free()
    second = slots.take()
    first.free()
    assert not first.was_left_open
    first.begin_transactions()
    third = slots.take()
    assert (second.number, third.number) == (0, 1)
    assert not second.was_left_open, "a slot that was let go writes nothing"
    second.free()
    third.free()


def test_a_killed_process_frees_its_slot(tmp_path: Path) -> None:
    with holder(tmp_path) as (process, number):
        assert number == 0
        mine = slots_of(tmp_path).take()
        assert mine.number == 1, "the other one's is taken"
        process.kill()
        process.wait(DEADLINE_S)
        freed = slots_of(tmp_path).take()
        assert freed.number == 0
        freed.free()
        mine.free()


def test_a_process_that_is_started_by_a_worker_does_not_keep_the_slot(tmp_path: Path) -> None:
    mine = slots_of(tmp_path).take()
    script = "print('here', flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", script], close_fds=False, **pipes) as child:  # type: ignore[call-overload]
        assert child.stdout.readline() == b"here\n"
        mine.free()
        again = slots_of(tmp_path).take()
        child.communicate(b"\n", DEADLINE_S)
    assert again.number == mine.number == 0
    again.free()


@pytest.mark.parametrize(
    ("other", "is_shared"),
    [
        pytest.param({"servers": "b:1,a:1"}, True, id="the order of servers is nothing"),
        pytest.param({"servers": " b:1 , a:1 "}, True, id="neither are spaces"),
        pytest.param({"servers": "a:1"}, False, id="servers"),
        pytest.param({"servers": "a:1,b:1", "group": "another"}, False, id="group"),
        pytest.param({"servers": "a:1,b:1", "device": "1"}, False, id="device"),
        pytest.param({"servers": "a:1,b:1", "group": "group0", "device": ""}, False, id="no blur between them"),
    ],
)
def test_brokers_groups_and_devices_have_slots_of_their_own(
    tmp_path: Path, other: dict[str, str], is_shared: bool
) -> None:
    first = slots_of(tmp_path, "a:1,b:1").take()
    second = slots_of(tmp_path, **other).take()
    assert (first.number, second.number) == (0, int(is_shared))
    first.free()
    second.free()


def test_what_was_left_in_transactions_is_found_and_held(tmp_path: Path) -> None:
    slots = slots_of(tmp_path)
    clean, ended, left, mine = (slots.take() for _ in range(4))
    ended.begin_transactions()
    ended.end_transactions()
    left.begin_transactions()
    mine.begin_transactions()
    for slot in (clean, ended, left):
        slot.free()

    with slots.left_open() as found:
        assert [slot.number for slot in found] == [2], "neither a clean one nor one that is held"
        assert found[0].was_left_open
        with slots_of(tmp_path).left_open() as elsewhere:
            assert elsewhere == [], "nobody else ends the same one"
        others = [slots.take() for _ in range(3)]
        assert [slot.number for slot in others] == [0, 1, 4]
        found[0].end_transactions()

    freed = slots.take()
    assert freed.number == 2
    assert not freed.was_left_open
    with slots.left_open() as found:
        assert found == []
    for slot in (*others, freed, mine):
        slot.free()


def test_a_slot_that_was_not_ended_is_found_again(tmp_path: Path) -> None:
    with holder(tmp_path, "open") as (process, _):
        with slots_of(tmp_path).left_open() as found:
            assert found == [], "its holder lives"
        process.kill()
        process.wait(DEADLINE_S)
    for _ in range(2):
        with slots_of(tmp_path).left_open() as found:
            assert [slot.number for slot in found] == [0]
    taken = slots_of(tmp_path).take()
    assert taken.was_left_open, "who takes it can see it, too"
    taken.free()


def test_no_directory_yet_is_nothing_left_open(tmp_path: Path) -> None:
    with slots_of(tmp_path / "nothing").left_open() as found:
        assert found == []


def test_what_is_no_slot_is_left_alone(tmp_path: Path) -> None:
    slots = slots_of(tmp_path)
    slots.take().free()
    (directory,) = (tmp_path / "slots").iterdir()
    (directory / "notes.slot").write_bytes(b"in use\n")
    (directory / "1.slot~").write_bytes(b"in use\n")
    with slots.left_open() as found:
        assert found == []


def refusal(state: Path) -> str:
    with pytest.raises(SlotError) as caught:
        slots_of(state).take()
    assert caught.value.exit_code == 2
    assert not caught.value.retriable
    assert "\n" not in str(caught.value)
    assert "--state-directory" in str(caught.value)
    return str(caught.value)


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_bytes(b"somebody's")
    slots_of(tmp_path).take().free()
    (directory,) = (tmp_path / "slots").iterdir()
    (directory / "0.slot").unlink()
    (directory / "0.slot").symlink_to(precious)
    assert "symbolic link" in refusal(tmp_path)
    assert precious.read_bytes() == b"somebody's"


@pytest.mark.parametrize("what", ["a file in its place", "a file above it", "a place where nothing can be made"])
def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path, what: str) -> None:
    file = tmp_path / "file"
    file.touch()
    state = {"a file in its place": file, "a file above it": file / "state"}.get(what, Path("/proc/state"))
    assert str(state) in refusal(state)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_directory_that_may_not_be_written_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert "Permission denied" in refusal(tmp_path)


def test_the_slots_are_nobody_elses_to_read(tmp_path: Path) -> None:
    slots_of(tmp_path).take().free()
    (directory,) = (tmp_path / "slots").iterdir()
    assert directory.stat().st_mode & 0o077 == 0
    assert (directory / "0.slot").stat().st_mode & 0o077 == 0
