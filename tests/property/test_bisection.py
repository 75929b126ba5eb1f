"""Frames at fault are found, all of them and no others, in few calls of the device."""

from collections import deque
from collections.abc import Callable, Iterator
from math import log2

from hypothesis import given
from hypothesis import strategies as st

from consumers.batch import Batch, PolledFrame
from consumers.bisection import after_failure, after_success
from tests.fakes.polled_frames import polled_frames

MOST = 1024
FRAMES = polled_frames([0] * MOST)


def failed(batch: Batch) -> Batch:
    """The batch as the device hands it back: every frame was decoded."""
    batch.good = batch.frames
    return batch


def costs(batch: Batch, calls: int) -> Iterator[tuple[PolledFrame, int]]:
    """Each frame that may be the only bad one of a batch or its rest, with the calls that it takes to blame it."""
    calls += 1
    at_fault, batches = after_failure(failed(batch))
    if at_fault is not None:
        yield at_fault, calls + len(batches)
    else:
        (suspect,) = (part for part in batches if part.frames[0] is batch.frames[0])
        yield from costs(suspect, calls + len(batches) - 1)  # the others are good, and nothing comes after them
    for part in after_success(batch):
        yield from costs(part, calls)


def test_one_bad_frame_costs_no_more_than_the_bound_wherever_it_stands_in_a_batch_of_any_size() -> None:
    for size in range(1, MOST + 1):
        frames = FRAMES[:size]
        found = list(costs(Batch(frames, size), 0))
        assert [polled.frame.sequence for polled, _ in found] == list(range(size))
        assert max(calls for _, calls in found) <= 2 * log2(size) + 2, f"a batch of {size}"


@given(st.data())
def test_all_bad_frames_are_found_and_all_good_ones_answered(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 200))
    bad = data.draw(st.sets(st.integers(0, size - 1)))
    assert blamed(size, lambda batch, _: any(polled.frame.sequence in bad for polled in batch.frames)) == sorted(bad)


@given(st.data())
def test_a_fault_that_passes_harms_no_frame(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 200))
    number = data.draw(st.integers(0, 3))
    assert blamed(size, lambda batch, call: call == number and len(batch.frames) > 1) == []


def blamed(size: int, fails: Callable[[Batch, int], bool]) -> list[int]:
    """Send a batch and what comes of it; return who was blamed. Everybody has one outcome."""
    waiting, answered, guilty = deque([Batch(FRAMES[:size], size)]), list[int](), list[int]()
    call = 0
    while waiting:
        batch = waiting.popleft()
        if fails(batch, call):
            at_fault, batches = after_failure(failed(batch))
            guilty += [at_fault.frame.sequence] if at_fault is not None else []
            waiting.extend(batches)
        else:
            answered += [polled.frame.sequence for polled in batch.frames]
            waiting.extend(after_success(batch))
        call += 1
    assert sorted(answered + guilty) == list(range(size)), "one outcome each"
    return sorted(guilty)
