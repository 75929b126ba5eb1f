import pytest

from consumers.allowance import Allowance
from consumers.loop_time import LoopTime, RebalanceTime


def test_the_time_of_a_loop_is_split_without_a_gap() -> None:
    loop = LoopTime()
    assert loop.turned_at_s is None
    for phase, now_s in (("poll", 10.0), ("work", 12.0), ("back-pressure", 12.5), ("work", 15.0), ("poll", 16.0)):
        loop.enter(phase, now_s)  # type: ignore[arg-type]
    assert loop.totals_s() == pytest.approx({"poll": 2.0, "work": 1.5, "back-pressure": 2.5})
    assert loop.turned_at_s == 16.0


def test_a_rebalance_pauses_from_taking_to_giving() -> None:
    rebalances = RebalanceTime()
    assert not rebalances.has_joined
    rebalances.given(1.0)
    assert (rebalances.count, rebalances.paused_s(5.0)) == (1, 0.0)
    rebalances.taken(10.0)
    rebalances.taken(11.0)
    assert rebalances.paused_s(12.0) == pytest.approx(2.0), "also while it goes on"
    rebalances.given(13.0)
    assert rebalances.count == 2
    assert rebalances.paused_s(99.0) == pytest.approx(3.0)
    assert rebalances.has_joined


def test_an_allowance_is_used_up_and_grows_again() -> None:
    allowance = Allowance(per_second=2.0, at_once=3)
    assert [allowance.takes(0.0) for _ in range(4)] == [True, True, True, False]
    assert [allowance.takes(0.5) for _ in range(2)] == [True, False]
    assert [allowance.takes(100.0) for _ in range(4)] == [True, True, True, False], "never more than at once"
    assert not allowance.takes(50.0), "a clock that goes back gives nothing"
