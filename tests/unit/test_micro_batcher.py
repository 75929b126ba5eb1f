import math

import pytest

from engine.batching import MicroBatcher

MANY = 1 << 30


def filled(batcher: MicroBatcher[str], names: str, due_at_s: float = 10.0, size_bytes: int = 1) -> MicroBatcher[str]:
    for name in names:
        batcher.add(name, size_bytes, due_at_s)
    return batcher


def test_a_full_batch_closes_at_once_in_the_order_of_arrival() -> None:
    batcher = filled(MicroBatcher(3, MANY), "ab")
    assert batcher.take(0) == []
    filled(batcher, "cd")
    assert batcher.take(0) == ["a", "b", "c"]
    assert batcher.take(0) == []
    assert batcher.waiting() == ["d"]


def test_a_batch_closes_when_its_first_item_has_waited_enough_and_not_before() -> None:
    batcher = filled(MicroBatcher(8, MANY), "a", due_at_s=5.02)
    assert batcher.due_at_s() == 5.02
    assert not batcher.is_due(5.019)
    assert batcher.is_due(5.02)
    assert batcher.take(5.02) == ["a"]


def test_later_items_do_not_re_arm_the_timer() -> None:
    batcher = MicroBatcher[str](8, MANY)
    for eighth in range(7):
        batcher.add(str(eighth), 1, 1 + eighth / 8)
        assert not batcher.is_due(eighth / 8)
        assert batcher.due_at_s() == 1.0
    assert len(batcher.take(1.0)) == 7


def test_what_a_full_batch_leaves_has_waited_since_it_came() -> None:
    batcher = MicroBatcher[str](2, MANY)
    for quarter in range(3):
        batcher.add(str(quarter), 1, 1 + quarter / 4)
    assert batcher.take(0.75) == ["0", "1"]
    assert batcher.due_at_s() == 1.5


def test_a_later_item_may_be_the_first_that_cannot_wait() -> None:
    batcher = MicroBatcher[str](8, MANY)
    for name, due_at_s in (("a", 3.0), ("b", 1.0), ("c", 2.0)):
        batcher.add(name, 1, due_at_s)
    assert batcher.due_at_s() == 1.0
    assert batcher.discard(lambda name: name == "b") == ["b"]
    assert batcher.due_at_s() == 2.0
    assert batcher.take(2.0) == ["a", "c"], "in the order of arrival, whoever was due"


def test_what_is_left_is_due_by_its_own_time() -> None:
    batcher = MicroBatcher[str](2, MANY)
    for name, due_at_s in (("a", 1.0), ("b", 2.0), ("c", 5.0)):
        batcher.add(name, 1, due_at_s)
    assert batcher.due_at_s() == -math.inf, "it has closed by its size"
    assert batcher.take(0.0) == ["a", "b"]
    assert batcher.due_at_s() == 5.0
    batcher.add("d", 1, 4.0)
    assert batcher.due_at_s() == -math.inf


def test_an_item_after_an_idle_gap_waits_its_full_time() -> None:
    batcher = filled(MicroBatcher(8, MANY), "a")
    assert batcher.take(100.0) == ["a"]
    batcher.add("b", 1, 201.0)
    assert not batcher.is_due(200.999)
    assert batcher.due_at_s() == 201.0


def test_an_item_that_waited_through_a_busy_device_waits_no_more() -> None:
    batcher = filled(MicroBatcher(2, MANY), "abc", due_at_s=1.0)
    assert batcher.take(50.0) == ["a", "b"]
    assert batcher.take(50.0) == ["c"]


def test_a_batch_stays_within_its_bytes() -> None:
    batcher = filled(MicroBatcher(8, 10), "ab", size_bytes=4)
    assert batcher.take(0) == []
    batcher.add("c", 4, 10)
    assert batcher.waiting_weight == 12
    assert batcher.take(0) == ["a", "b"]
    assert batcher.waiting_weight == 4


def test_a_batch_that_has_its_bytes_is_due() -> None:
    batcher = filled(MicroBatcher(8, 8), "ab", size_bytes=4)
    assert batcher.take(0) == ["a", "b"]


def test_an_item_over_the_budget_goes_alone() -> None:
    batcher = MicroBatcher[str](8, 10)
    batcher.add("large", 100, 10)
    batcher.add("small", 1, 10)
    assert batcher.take(0) == ["large"]
    assert batcher.take(0) == []
    assert batcher.take(10) == ["small"]


def test_a_moment_that_is_over_makes_every_batch_due() -> None:
    batcher = filled(MicroBatcher(8, MANY), "ab", due_at_s=2.0)
    assert batcher.take(3.0) == ["a", "b"]


def test_a_drain_takes_what_is_not_due_within_the_bounds() -> None:
    batcher = filled(MicroBatcher(2, MANY), "abc")
    assert batcher.take(0, force=True) == ["a", "b"]
    assert batcher.take(0, force=True) == ["c"]
    assert batcher.take(0, force=True) == []


def test_nothing_is_due_where_nothing_waits() -> None:
    batcher = MicroBatcher[str](8, MANY)
    assert (batcher.due_at_s(), batcher.is_due(1e9), batcher.take(1e9), len(batcher)) == (None, False, [], 0)


def test_what_is_discarded_leaves_the_order_and_the_time_of_the_rest() -> None:
    batcher = MicroBatcher[str](8, MANY)
    for index, name in enumerate("abcd"):
        batcher.add(name, index + 1, 1 + index / 10)
    assert batcher.discard(lambda name: name in "ac") == ["a", "c"]
    assert (batcher.waiting(), batcher.waiting_weight, len(batcher)) == (["b", "d"], 6, 2)
    assert batcher.due_at_s() == pytest.approx(1.1)


def test_equal_items_are_not_taken_for_one() -> None:
    batcher = filled(MicroBatcher(8, MANY), "aaa", due_at_s=1.0)
    assert batcher.discard(lambda _: False) == []
    assert batcher.take(1.0) == ["a", "a", "a"]


@pytest.mark.parametrize(("size", "budget_bytes"), [(0, 1), (1, 0)])
def test_bounds_that_allow_nothing_are_refused(size: int, budget_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        MicroBatcher[str](size, budget_bytes)


def by_letter(name: str) -> str:
    return name[0]


def fair(size: int, *names: str) -> MicroBatcher[str]:
    batcher = MicroBatcher[str](size, MANY, by_letter)
    for name in names:
        batcher.add(name, 1, 10)
    return batcher


def test_with_a_key_the_keys_take_turns_where_more_waits_than_fits() -> None:
    batcher = fair(3, "h0", "h1", "h2", "h3", "a0", "b0", "a1")
    assert batcher.take(0) == ["h0", "a0", "b0"]
    assert batcher.take(0) == ["h1", "a1", "h2"]
    assert batcher.take(0, force=True) == ["h3"]


def test_with_a_key_what_fits_a_batch_is_in_the_order_of_arrival() -> None:
    assert fair(3, "h0", "h1", "a0").take(0) == ["h0", "h1", "a0"]


def test_turns_go_on_from_batch_to_batch() -> None:
    batcher = fair(2, "a0", "a1", "a2", "b0", "b1", "c0", "c1")
    assert [batcher.take(0) for _ in range(3)] == [["a0", "b0"], ["c0", "a1"], ["b1", "c1"]]


def test_an_item_that_replaces_a_discarded_one_keeps_the_turn_of_its_key() -> None:
    batcher = fair(1, "a0", "a1", "b0", "b1", "x0")
    assert [batcher.take(0), batcher.take(0)] == [["a0"], ["b0"]]
    batcher.add("x1", 1, 10)
    assert batcher.discard(lambda name: name == "x0") == ["x0"]
    assert batcher.take(0) == ["x1"]
