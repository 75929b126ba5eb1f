"""The limits of dead letters beside the plainest account of the same."""

from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.dead_letter_limits import MIN_FRAMES, WINDOW_FRAMES, DeadLetterLimits

# Stretches of one kind, so that windows fill and runs come about.
STRETCHES = st.lists(
    st.tuples(st.sampled_from([None, "empty", "truncated"]), st.integers(min_value=1, max_value=400)), max_size=12
)


@settings(deadline=None)
@given(
    stretches=STRETCHES,
    share=st.sampled_from([0.0, 0.05, 0.5, 0.999, 1.0]),
    run=st.sampled_from([0, 1, 2, 100, 1500]),
)
def test_a_limit_is_passed_exactly_when_the_plain_account_says_so(
    stretches: list[tuple[str | None, int]], share: float, run: int
) -> None:
    frames = [reason for reason, count in stretches for _ in range(count)]
    limits = DeadLetterLimits(share, run)
    in_a_row = 0
    for number, reason in enumerate(frames, 1):
        line = limits.note(reason)
        in_a_row = in_a_row + 1 if reason else 0
        window = frames[max(number - WINDOW_FRAMES, 0) : number]
        dead = len(window) - window.count(None)
        is_run_passed = run > 0 and in_a_row >= run
        is_share_passed = share > 0 and len(window) >= MIN_FRAMES and dead > share * len(window)
        assert (line is not None) == (is_run_passed or is_share_passed), number
        if line is not None:
            assert ("--dead-letter-run" in line) == is_run_passed
            commonest = max(window.count("empty"), window.count("truncated"))
            named = [reason for reason in ("empty", "truncated") if f"most of them {reason}:" in line]
            assert [window.count(reason) for reason in named] == [commonest]
            assert "\n" not in line
