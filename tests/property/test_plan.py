"""The arithmetic of a plan: more never costs less, and nothing is promised that the parts cannot give."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from engine.backends.simulator.figures import CardFigures, read_figures
from streamer.sizing.broker_load import most_cameras
from streamer.sizing.errors import InfeasibleError
from streamer.sizing.host import HostCost
from streamer.sizing.plan import Plan, fullest_share, make_plan
from streamer.sizing.quantiles import fill_p99_s, wait_p99_s
from streamer.sizing.search import BorderSearch
from streamer.sizing.wish import Wish

TABLE = read_figures()
MODELS = ("resnet50", "resnet18", "vit_b_16", "squeezenet1_1", "efficientnet_b7", "densenet121")

hosts = st.builds(
    HostCost,
    decode_us=st.floats(50, 2000),
    frame_us=st.floats(100, 1000),
    batch_us=st.floats(0, 2000),
    worker_cores=st.floats(0.3, 2),
    transit_ms=st.floats(1, 30),
    variation=st.floats(0, 4),
    origin=st.just("given"),
)
wishes = st.builds(
    Wish,
    cameras=st.integers(1, 5000),
    fps=st.floats(0.1, 60),
    budget_s=st.floats(0.005, 2),
    frame_bytes=st.integers(1000, 200_000),
    headroom=st.floats(0, 0.6),
)
models = st.sampled_from(MODELS)


def programs(model: str) -> list[CardFigures]:
    return [row for row in TABLE.rows.values() if row.model == model]


def planned(model: str, wish: Wish, host: HostCost) -> Plan | None:
    try:
        return make_plan(programs(model), wish, host)
    except InfeasibleError:
        return None


@given(models, wishes, hosts)
def test_a_plan_promises_no_more_than_its_parts_give(model: str, wish: Wish, host: HostCost) -> None:
    plan = planned(model, wish, host)
    assume(plan is not None)
    assert plan is not None
    lane, free = plan.lane, 1 - wish.headroom
    assert plan.worker_fps <= lane.device_fps * free * (1 + 1e-9)
    assert plan.worker_fps <= lane.host_fps * free * (1 + 1e-9)
    assert plan.worker_fps >= wish.fps * (1 - 1e-9), "a camera is never divided"
    assert plan.worker_fps * plan.workers >= wish.total_fps * (1 - 1e-9)
    assert plan.devices * lane.figures.images_per_s * free >= wish.total_fps * (1 - 1e-9)
    assert plan.workers_per_device * lane.activations == lane.figures.instances
    assert plan.latency.total_s <= wish.budget_s
    assert plan.partitions % plan.workers == 0
    assert 1 <= plan.mean_batch <= plan.batch_size
    assert plan.host_cores * free * 1e6 >= wish.total_fps * (host.decode_us + host.frame_us) * (1 - 1e-9)
    assert plan.max_cameras >= wish.cameras


@given(models, wishes, hosts, st.integers(0, 3000))
def test_more_cameras_never_need_fewer_cards(model: str, wish: Wish, host: HostCost, more: int) -> None:
    few = planned(model, wish, host)
    many = planned(model, changed(wish, cameras=wish.cameras + more), host)
    assert few is not None or many is None
    assert few is None or many is None or few.devices <= many.devices


@given(models, wishes, hosts, st.floats(1, 4))
def test_faster_cameras_never_need_fewer_cards(model: str, wish: Wish, host: HostCost, factor: float) -> None:
    slow = planned(model, wish, host)
    fast = planned(model, changed(wish, fps=wish.fps * factor), host)
    assert slow is not None or fast is None
    assert slow is None or fast is None or slow.devices <= fast.devices


@given(models, wishes, hosts, st.floats(1, 10))
def test_more_time_never_needs_more_cards(model: str, wish: Wish, host: HostCost, factor: float) -> None:
    hurried = planned(model, wish, host)
    patient = planned(model, changed(wish, budget_s=wish.budget_s * factor), host)
    assert patient is not None or hurried is None
    assert hurried is None or patient is None or patient.devices <= hurried.devices


@given(models, wishes, hosts)
def test_the_fewest_cards_are_few_enough_to_be_just_enough(model: str, wish: Wish, host: HostCost) -> None:
    plan = planned(model, wish, host)
    assume(plan is not None)
    assert plan is not None
    more = changed(wish, cameras=plan.max_cameras)
    assert is_enough(Plan(more, plan.devices, plan.workers_per_device, plan.lane))
    beyond = changed(wish, cameras=plan.max_cameras + 1)
    assert not is_enough(Plan(beyond, plan.devices, plan.workers_per_device, plan.lane))


def is_enough(plan: Plan) -> bool:
    return plan.worker_fps <= min(plan.limits_fps.values())


def changed(wish: Wish, **changes: float) -> Wish:
    values = {"cameras": wish.cameras, "fps": wish.fps, "budget_s": wish.budget_s} | changes
    return Wish(int(values["cameras"]), values["fps"], values["budget_s"], wish.frame_bytes, headroom=wish.headroom)


@given(st.integers(1, 10_000), st.integers(1, 500))
def test_no_worker_has_less_than_an_even_share_and_more_workers_never_give_it_more(cameras: int, workers: int) -> None:
    share = fullest_share(cameras, workers)
    assert max(1 / workers, 1 / cameras) <= share <= 1
    assert fullest_share(cameras, workers + 1) <= share


@given(st.integers(1, 10_000_000), st.integers(1, 10_000))
def test_a_partition_is_sized_for_its_share_and_what_is_uneven_in_it(cameras: int, partitions: int) -> None:
    most, even = most_cameras(cameras, partitions), cameras / partitions
    uneven = even + 2 * math.sqrt(even * (1 - 1 / partitions))
    assert max(1, min(int(uneven), cameras)) <= most <= cameras
    assert most <= even + 8 * math.sqrt(even) + 10


@pytest.mark.parametrize(("cameras", "partitions"), [(3, 8), (20, 16), (40, 424), (300, 16)])
def test_hardly_any_partition_has_more_cameras_than_it_is_sized_for(cameras: int, partitions: int) -> None:
    random = np.random.default_rng(cameras)
    fullest = [np.bincount(random.integers(0, partitions, cameras)).max() for _ in range(2000)]
    most = most_cameras(cameras, partitions)
    assert np.mean(np.array(fullest) > most) <= 0.03
    assert np.mean(np.array(fullest) > most - 1) > 0.01, "and not for more than needed"


@pytest.mark.parametrize("size", [2, 4, 14, 32])
def test_the_wait_for_company_is_that_of_random_arrivals(size: int) -> None:
    random = np.random.default_rng(size)
    fps = 500.0
    arrivals = np.cumsum(random.exponential(1 / fps, (20_000, size)), axis=1)
    waits = arrivals[:, -1:] - arrivals
    assert fill_p99_s(size, fps) == pytest.approx(float(np.quantile(waits, 0.99)), rel=0.03)


def test_one_frame_waits_for_no_company() -> None:
    assert fill_p99_s(1, 0.001) == 0


@given(st.floats(0.02, 0.98), st.floats(0, 0.02), st.integers(1, 14), st.floats(0, 1))
def test_a_fuller_server_never_makes_one_wait_less(load: float, more: float, servers: int, variability: float) -> None:
    shorter = wait_p99_s(load, 0.01, servers, variability)
    assert 0 <= shorter <= wait_p99_s(min(load + more, 0.999), 0.01, servers, variability)
    assert wait_p99_s(1.0, 0.01, servers, variability) == math.inf


def test_the_wait_at_one_random_server_is_that_of_the_exact_formula() -> None:
    assert wait_p99_s(0.8, 0.01, 1, 1.0) == pytest.approx(math.log(80) * 0.05)


@given(st.integers(0, 3000), st.integers(1, 3000), st.integers(8, 30))
def test_the_search_finds_the_border_between_what_passes_and_what_does_not(border: int, first: int, most: int) -> None:
    asked: list[int] = []

    def passes(load: int) -> bool:
        asked.append(load)
        return load <= border

    found = BorderSearch(passes, resolution=0.04, most=most).largest(first)
    assert len(asked) <= most
    assert found <= border
    assert found == 0 or found in asked
    if len(asked) < most:  # it was not cut short
        assert found >= border / 1.04 - 1


@given(st.integers(1, 500), st.integers(1, 500), st.integers(0, 8))
def test_one_hiccup_does_not_move_the_border(border: int, first: int, hiccup: int) -> None:
    asked = 0

    def passes(load: int) -> bool:
        nonlocal asked
        asked += 1
        return load <= border and asked != hiccup

    assert border / 1.04 - 1 <= BorderSearch(passes, resolution=0.04, most=100).largest(first) <= border
