"""When there are too many dead letters: a run of them, or their share of the last frames."""

import pytest

from consumers.dead_letter_limits import MIN_FRAMES, WINDOW_FRAMES, DeadLetterLimits
from consumers.errors import DeadLetterLimitError

DEAD = "truncated"


def passed_at(limits: DeadLetterLimits, frames: list[str | None]) -> int | None:
    """The number of the frame, from 1, that passed a limit."""
    return next((number for number, reason in enumerate(frames, 1) if limits.note(reason)), None)


def test_so_many_in_a_row_are_too_many_and_one_less_is_not() -> None:
    limits = DeadLetterLimits(share=0, run=100)
    frames: list[str | None] = [None, *[DEAD] * 99] * 10
    assert passed_at(limits, frames) is None
    assert limits.note(DEAD) is not None


def test_the_first_frames_may_all_be_dead() -> None:
    assert passed_at(DeadLetterLimits(share=0.5, run=0), [DEAD] * 1000) == MIN_FRAMES


@pytest.mark.parametrize("last", [None, DEAD])
def test_the_share_counts_as_soon_as_enough_was_seen_whatever_came_last(last: str | None) -> None:
    frames = [*[DEAD] * 101, *[None] * (MIN_FRAMES - 102), last]
    assert passed_at(DeadLetterLimits(share=0.5, run=0), frames) == MIN_FRAMES


def test_half_is_not_more_than_half() -> None:
    limits = DeadLetterLimits(share=0.5, run=0)
    assert passed_at(limits, [None, DEAD] * 2000) is None
    assert passed_at(limits, [DEAD, DEAD]) == 1


def test_the_share_is_that_of_the_last_frames() -> None:
    limits = DeadLetterLimits(share=0.5, run=0)
    assert passed_at(limits, [None] * 50_000) is None
    assert passed_at(limits, [DEAD] * WINDOW_FRAMES) == WINDOW_FRAMES // 2 + 1


def test_a_limit_of_zero_never_stops() -> None:
    assert passed_at(DeadLetterLimits(share=0, run=0), [DEAD] * 3000) is None


def test_a_share_of_one_never_stops_either() -> None:
    assert passed_at(DeadLetterLimits(share=1, run=0), [DEAD] * 3000) is None


def test_a_run_of_one_stops_at_the_first() -> None:
    assert passed_at(DeadLetterLimits(share=0, run=1), [None, None, DEAD]) == 3


def test_the_line_says_what_how_many_why_and_what_to_do() -> None:
    limits = DeadLetterLimits(share=0.5, run=10)
    lines = [limits.note(reason) for reason in [*["empty"] * 3, *["truncated"] * 7]]
    assert lines[-1] == (
        "10 frames in a row were dead letters, most of them truncated: look at them with `streamer dlq list`, then "
        "restart, or raise --dead-letter-run"
    )


def test_the_line_about_the_share_names_what_is_in_the_window() -> None:
    limits = DeadLetterLimits(share=0.5, run=0)
    for reason in [*["empty"] * 100, *[None] * WINDOW_FRAMES]:
        assert limits.note(reason) is None
    line = next(line for line in (limits.note("truncated") for _ in range(WINDOW_FRAMES)) if line)
    assert line == (
        "501 of the last 1000 frames were dead letters, most of them truncated: look at them with `streamer dlq "
        "list`, then restart, or raise --dead-letter-share"
    )


def test_the_memory_is_bounded() -> None:
    limits = DeadLetterLimits(share=0, run=0)
    for number in range(5 * WINDOW_FRAMES):
        limits.note(f"reason-{number}")
    assert len(limits._window) == WINDOW_FRAMES
    assert len(limits._reasons) == WINDOW_FRAMES


def test_the_error_is_a_failure_that_is_not_tried_again() -> None:
    assert (DeadLetterLimitError.exit_code, DeadLetterLimitError.retriable) == (1, False)
