import pytest

from engine.batching import MicroBatcher

MANY = 1 << 30


def filled(batcher: MicroBatcher[str], names: str, now_s: float = 0.0, size_bytes: int = 1) -> MicroBatcher[str]:
    for name in names:
        batcher.add(name, size_bytes, now_s)
    return batcher


def test_a_full_batch_closes_at_once_in_the_order_of_arrival() -> None:
    batcher = filled(MicroBatcher(3, 10, MANY), "ab")
    assert batcher.take(0) == []
    filled(batcher, "cd")
    assert batcher.take(0) == ["a", "b", "c"]
    assert batcher.take(0) == []
    assert batcher.waiting() == ["d"]


def test_a_batch_closes_when_its_first_item_is_old_enough_and_not_before() -> None:
    batcher = filled(MicroBatcher(8, 0.02, MANY), "a", now_s=5.0)
    assert batcher.due_at_s() == 5.02
    assert not batcher.is_due(5.019)
    assert batcher.is_due(5.02)
    assert batcher.take(5.02) == ["a"]


def test_later_items_do_not_re_arm_the_timer() -> None:
    batcher = MicroBatcher[str](8, 1.0, MANY)
    for eighth in range(7):
        batcher.add(str(eighth), 1, eighth / 8)
        assert not batcher.is_due(eighth / 8)
        assert batcher.due_at_s() == 1.0
    assert len(batcher.take(1.0)) == 7


def test_what_a_full_batch_leaves_has_waited_since_it_came() -> None:
    batcher = MicroBatcher[str](2, 1.0, MANY)
    for quarter in range(3):
        batcher.add(str(quarter), 1, quarter / 4)
    assert batcher.take(0.75) == ["0", "1"]
    assert batcher.due_at_s() == 1.5


def test_an_item_after_an_idle_gap_waits_its_full_time() -> None:
    batcher = filled(MicroBatcher(8, 1.0, MANY), "a")
    assert batcher.take(100.0) == ["a"]
    batcher.add("b", 1, 200.0)
    assert not batcher.is_due(200.999)
    assert batcher.due_at_s() == 201.0


def test_an_item_that_waited_through_a_busy_device_waits_no_more() -> None:
    batcher = filled(MicroBatcher(2, 1.0, MANY), "abc", now_s=0)
    assert batcher.take(50.0) == ["a", "b"]
    assert batcher.take(50.0) == ["c"]


def test_a_batch_stays_within_its_bytes() -> None:
    batcher = filled(MicroBatcher(8, 10, 10), "ab", size_bytes=4)
    assert batcher.take(0) == []
    batcher.add("c", 4, 0)
    assert batcher.waiting_bytes == 12
    assert batcher.take(0) == ["a", "b"]
    assert batcher.waiting_bytes == 4


def test_a_batch_that_has_its_bytes_is_due() -> None:
    batcher = filled(MicroBatcher(8, 10, 8), "ab", size_bytes=4)
    assert batcher.take(0) == ["a", "b"]


def test_an_item_over_the_budget_goes_alone() -> None:
    batcher = MicroBatcher[str](8, 10, 10)
    batcher.add("large", 100, 0)
    batcher.add("small", 1, 0)
    assert batcher.take(0) == ["large"]
    assert batcher.take(0) == []
    assert batcher.take(10) == ["small"]


def test_a_time_out_of_zero_makes_every_batch_due() -> None:
    batcher = filled(MicroBatcher(8, 0, MANY), "ab", now_s=3.0)
    assert batcher.take(3.0) == ["a", "b"]


def test_a_drain_takes_what_is_not_due_within_the_bounds() -> None:
    batcher = filled(MicroBatcher(2, 10, MANY), "abc")
    assert batcher.take(0, force=True) == ["a", "b"]
    assert batcher.take(0, force=True) == ["c"]
    assert batcher.take(0, force=True) == []


def test_nothing_is_due_where_nothing_waits() -> None:
    batcher = MicroBatcher[str](8, 0, MANY)
    assert (batcher.due_at_s(), batcher.is_due(1e9), batcher.take(1e9), len(batcher)) == (None, False, [], 0)


def test_what_is_discarded_leaves_the_order_and_the_age_of_the_rest() -> None:
    batcher = MicroBatcher[str](8, 1.0, MANY)
    for index, name in enumerate("abcd"):
        batcher.add(name, index + 1, index / 10)
    assert batcher.discard(lambda name: name in "ac") == ["a", "c"]
    assert (batcher.waiting(), batcher.waiting_bytes, len(batcher)) == (["b", "d"], 6, 2)
    assert batcher.due_at_s() == pytest.approx(1.1)


def test_equal_items_are_not_taken_for_one() -> None:
    batcher = filled(MicroBatcher(8, 1.0, MANY), "aaa")
    assert batcher.discard(lambda _: False) == []
    assert batcher.take(1.0) == ["a", "a", "a"]


@pytest.mark.parametrize(("size", "timeout_s", "budget_bytes"), [(0, 1, 1), (1, -1, 1), (1, 1, 0)])
def test_bounds_that_allow_nothing_are_refused(size: int, timeout_s: float, budget_bytes: int) -> None:
    with pytest.raises(ValueError, match="at least one"):
        MicroBatcher[str](size, timeout_s, budget_bytes)


def by_letter(name: str) -> str:
    return name[0]


def fair(size: int, *names: str) -> MicroBatcher[str]:
    batcher = MicroBatcher[str](size, 10, MANY, by_letter)
    for name in names:
        batcher.add(name, 1, 0)
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
    batcher.add("x1", 1, 0)
    assert batcher.discard(lambda name: name == "x0") == ["x0"]
    assert batcher.take(0) == ["x1"]
