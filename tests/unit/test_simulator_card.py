"""What a simulated card does when, without a clock."""

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.backends.simulator.card import Card, Turn

INSTANCES = st.integers(1, 14)
SET_SIZES = st.integers(1, 6)
SERVICE_TIMES_S = st.floats(1e-4, 0.1)
# Bursts as well as pauses.
GAPS_S = st.lists(st.one_of(st.just(0.0), st.floats(0, 0.2)), min_size=1, max_size=120)


def turns(card: Card, gaps_s: list[float]) -> list[tuple[float, Turn]]:
    return [(now_s, card.begin(now_s)) for now_s in accumulate(gaps_s, initial=1000.0)]


def test_an_idle_card_begins_at_once() -> None:
    card = Card(instances=2, service_time_s=0.5, set_size=3)
    assert card.begin(10.0) == (10.0, 10.0, 10.5)
    assert card.begin(10.1) == (10.1, 10.1, 10.6)


def test_the_next_batch_waits_for_the_first_instance_that_is_free() -> None:
    card = Card(instances=2, service_time_s=0.5, set_size=2)
    assert [card.begin(now_s) for now_s in (0.0, 0.25, 0.3, 0.3, 0.3)] == [
        (0.0, 0.0, 0.5),
        (0.25, 0.25, 0.75),
        (0.3, 0.5, 1.0),
        (0.3, 0.75, 1.25),
        (0.5, 1.0, 1.5),  # all four places were taken until then
    ]


def test_who_comes_late_pays_once() -> None:
    card = Card(instances=1, service_time_s=0.5, set_size=2)
    finished_s = [card.begin(now_s).finished_at_s for now_s in (0.0, 0.1, 0.6, 1.2, 1.6)]
    assert finished_s == [0.5, 1.0, 1.5, 2.0, 2.5]
    assert card.begin(3.0).finished_at_s == 3.5


@given(INSTANCES, SERVICE_TIMES_S, SET_SIZES, GAPS_S)
def test_batches_keep_their_order_and_take_their_time(
    instances: int, service_time_s: float, set_size: int, gaps_s: list[float]
) -> None:
    done = turns(Card(instances, service_time_s, set_size), gaps_s)
    for arrived_s, turn in done:
        assert arrived_s <= turn.taken_at_s <= turn.served_at_s < turn.finished_at_s
        assert turn.finished_at_s == turn.served_at_s + service_time_s
    for (_, first), (_, second) in pairwise(done):
        assert all(earlier <= later for earlier, later in zip(first, second, strict=True))


@given(INSTANCES, SERVICE_TIMES_S, SET_SIZES, GAPS_S)
def test_no_more_are_in_service_than_instances_nor_in_flight_than_places(
    instances: int, service_time_s: float, set_size: int, gaps_s: list[float]
) -> None:
    done = [turn for _, turn in turns(Card(instances, service_time_s, set_size), gaps_s)]
    for turn in done:
        in_service = [one for one in done if one.served_at_s <= turn.served_at_s < one.finished_at_s]
        in_flight = [one for one in done if one.taken_at_s <= turn.taken_at_s < one.finished_at_s]
        assert len(in_service) <= instances
        assert len(in_flight) <= instances * set_size


@given(INSTANCES, SERVICE_TIMES_S, SET_SIZES, GAPS_S)
def test_no_instance_is_idle_while_a_batch_waits(
    instances: int, service_time_s: float, set_size: int, gaps_s: list[float]
) -> None:
    done = turns(Card(instances, service_time_s, set_size), gaps_s)
    for number, (arrived_s, turn) in enumerate(done):
        if turn.served_at_s > arrived_s:
            # Until the very moment all instances were busy, and one of them became free then.
            before = [one for _, one in done[:number]]
            assert sum(one.served_at_s < turn.served_at_s <= one.finished_at_s for one in before) == instances
            assert any(one.finished_at_s == turn.served_at_s for one in before)


@given(INSTANCES, SERVICE_TIMES_S, SET_SIZES, st.integers(2, 20))
def test_a_busy_card_has_its_throughput_and_the_latency_of_littles_law(
    instances: int, service_time_s: float, set_size: int, rounds: int
) -> None:
    card = Card(instances, service_time_s, set_size)
    batches = rounds * instances * set_size
    done = [card.begin(0.0) for _ in range(batches)]
    assert batches / done[-1].finished_at_s == pytest.approx(card.batches_per_s)
    for turn in done[card.slots :]:
        latency_s = turn.finished_at_s - turn.taken_at_s
        assert latency_s == pytest.approx(card.slots / card.batches_per_s)


@given(SERVICE_TIMES_S, st.lists(st.floats(0, 0.9), min_size=5, max_size=60))
def test_lateness_of_those_who_hand_over_does_not_add_up(service_time_s: float, lateness: list[float]) -> None:
    """One batch waits while one is computed; its successor comes late by less than a batch takes."""
    card = Card(instances=1, service_time_s=service_time_s, set_size=2)
    first, second = card.begin(0.0), card.begin(0.0)
    for share in lateness:
        first, second = second, card.begin(first.finished_at_s + share * service_time_s)
    assert second.finished_at_s == pytest.approx((len(lateness) + 2) * service_time_s)
