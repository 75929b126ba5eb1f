"""A device that hangs or breaks is given up and probed; what it had is handed back."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Event, Thread

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.backends.base import BackendOptions, Inference
from engine.errors import DeviceLostError, InferenceError, ModelError
from engine.options import SessionOptions
from tests.fakes.scripted_network import DEADLINE_S, NO_MODEL, Device, DeviceBackend, hang
from tests.fakes.waiting import wait_until

HUNG, BROKEN, BAD = 7.0, 8.0, 9.0


def rows(*firsts: float) -> dict[str, NDArray[np.float32]]:
    return {"x": np.array([[first, 0] for first in firsts], np.float32)}


def opened(
    device: Device, slots: int = 2, timeout_s: float = DEADLINE_S, *, with_anchors: bool = False
) -> DeviceBackend:
    backend = DeviceBackend(device, with_anchors=with_anchors)
    options = BackendOptions(keywords=SessionOptions(num_activations=slots), data_path_timeout_s=timeout_s)
    backend.open(NO_MODEL, options)
    return backend


def first_of(future: Future[Inference]) -> float:
    return float(future.result(DEADLINE_S).outputs["y"][0, 0])


def test_a_hung_device_is_given_up_with_all_it_had_and_comes_back() -> None:
    device, let_go = Device(), Event()
    device.on_infer = lambda first: hang(let_go) if first == HUNG else None
    backend = opened(device, slots=2, timeout_s=0.4)
    futures = [backend.submit(rows(first), 1) for first in (HUNG, HUNG, 1.0, 2.0)]
    for future in futures:
        with pytest.raises(DeviceLostError, match=r"no answer within 0\.4 s"):
            future.result(DEADLINE_S)
    device.wait_for(lambda seen: seen.loads == 2)
    wait_until(lambda: backend.health().is_ready, "the device to be back")
    assert first_of(backend.submit(rows(3.0), 1)) == 6.0
    let_go.set()  # what the old network still says is heard by nobody
    assert all(isinstance(future.exception(), DeviceLostError) for future in futures)
    backend.close()
    device.wait_for(lambda seen: seen.unloads == 2)


def test_while_it_is_lost_it_takes_nothing_and_says_why() -> None:
    device, let_go = Device(), Event()

    def broken(number: int) -> None:
        if number:
            raise ModelError("still broken")

    device.on_load = broken
    device.on_infer = lambda _: hang(let_go)
    backend = opened(device, slots=1, timeout_s=0.4)
    with pytest.raises(DeviceLostError):
        backend.submit(rows(1.0), 1).result(DEADLINE_S)
    device.wait_for(lambda seen: seen.loads >= 3)
    assert not backend.health().is_ready
    assert "no answer" in backend.health().detail
    with pytest.raises(DeviceLostError, match="no answer"):
        backend.submit(rows(1.0), 1)
    backend.close()
    with pytest.raises(InferenceError, match="closed") as caught:
        backend.submit(rows(1.0), 1)
    assert not isinstance(caught.value, DeviceLostError)
    let_go.set()


def test_a_device_that_says_it_is_broken_is_given_up_at_once() -> None:
    device = Device()

    def break_down(first: float) -> None:
        if first == BROKEN:
            raise DeviceLostError("QS_DEV_ERROR")

    device.on_infer = break_down
    backend = opened(device, slots=1)
    with pytest.raises(DeviceLostError, match="QS_DEV_ERROR"):
        backend.submit(rows(BROKEN), 1).result(DEADLINE_S)
    device.wait_for(lambda seen: seen.loads == 2)
    wait_until(lambda: backend.health().is_ready, "the device to be back")
    assert first_of(backend.submit(rows(1.0), 1)) == 2.0
    with pytest.raises(DeviceLostError, match="QS_DEV_ERROR"):
        backend.submit(rows(BROKEN), 1).result(60)
    device.wait_for(lambda seen: seen.loads == 3)
    backend.close()


def test_a_batch_that_fails_does_not_cost_the_device() -> None:
    device = Device()

    def fail(first: float) -> None:
        if first == BAD:
            raise ValueError("bad row\nand a second line")

    device.on_infer = fail
    backend = opened(device)
    futures = [backend.submit(rows(first), 1) for first in (1.0, BAD, 2.0)]
    assert (first_of(futures[0]), first_of(futures[2])) == (2.0, 4.0)
    with pytest.raises(InferenceError, match="bad row") as caught:
        futures[1].result(DEADLINE_S)
    assert not isinstance(caught.value, DeviceLostError)
    assert "\n" not in str(caught.value)
    assert (device.loads, backend.health().is_ready) == (1, True)
    backend.close()


def test_closing_while_the_device_hangs_waits_no_longer_than_the_time_out() -> None:
    device, let_go = Device(), Event()
    device.on_infer = lambda _: hang(let_go)
    backend = opened(device, slots=1, timeout_s=0.4)
    future = backend.submit(rows(1.0), 1)
    device.wait_for(lambda seen: seen.began == 1)
    closing = Thread(target=backend.close)
    closing.start()
    closing.join(DEADLINE_S)
    assert not closing.is_alive()
    assert isinstance(future.exception(DEADLINE_S), DeviceLostError)
    device.wait_for(lambda seen: seen.unloads == 1)
    assert device.loads == 1
    let_go.set()


def test_a_device_that_comes_back_after_closing_is_let_go_again() -> None:
    device, let_go, probing = Device(), Event(), Event()

    def slow(number: int) -> None:
        if number:
            probing.set()
            hang(let_go)

    def break_down(_: float) -> None:
        raise DeviceLostError("gone")

    device.on_load, device.on_infer = slow, break_down
    backend = opened(device, slots=1)
    assert isinstance(backend.submit(rows(1.0), 1).exception(DEADLINE_S), DeviceLostError)
    assert probing.wait(DEADLINE_S)
    backend.close()
    let_go.set()
    device.wait_for(lambda seen: seen.unloads == 2)


def test_the_smallest_batch_size_that_fits_is_used_and_the_waste_told() -> None:
    backend = opened(Device())
    inference = backend.submit(rows(1.0, 2.0, 0.0, 0.0), 2).result(DEADLINE_S)
    assert (inference.outputs["y"].shape, inference.padded_rows) == ((2, 2), 2)
    assert backend.submit(rows(1.0), 1).result(DEADLINE_S).padded_rows == 0
    with pytest.raises(InferenceError, match=r"x takes float32\[4, 2\], not float32\[3, 2\]"):
        backend.submit(rows(1.0, 2.0, 0.0), 3)
    with pytest.raises(InferenceError, match="5 rows do not fit"):
        backend.submit(rows(1.0, 2.0, 0.0, 0.0, 0.0), 5)
    backend.close()


def test_a_benchmark_keeps_every_slot_busy_and_counts() -> None:
    device = Device()
    backend = opened(device, slots=3)
    run = backend.benchmark(rows(1.0), 50, None)
    assert (run.completed, device.began) == (50, 50)
    assert run.took_s > 0
    run = backend.benchmark(rows(1.0), None, 0.01)
    assert run.completed == device.began - 50
    device.on_infer = lambda _: (_ for _ in ()).throw(ValueError("no more"))
    with pytest.raises(InferenceError, match="no more"):
        backend.benchmark(rows(1.0), 50, None)
    backend.close()


def test_a_benchmark_on_a_device_that_hangs_ends_and_the_device_is_probed() -> None:
    device, let_go = Device(), Event()
    backend = opened(device, slots=2, timeout_s=0.4)
    device.on_infer = lambda _: hang(let_go)
    with pytest.raises(DeviceLostError, match="no answer"):
        backend.benchmark(rows(1.0), 50, None)
    device.wait_for(lambda seen: seen.loads >= 2)
    let_go.set()
    backend.close()


def test_a_long_loop_is_no_silence() -> None:
    device, slow = Device(), Event()
    device.on_infer = lambda _: (slow.wait(0.02), None)[1]
    backend = opened(device, slots=1, timeout_s=1.0)
    run = backend.benchmark(rows(1.0), 70, None)
    assert (run.completed, device.loads) == (70, 1)
    assert run.took_s > 1.0
    assert run.latencies_s.min >= 0.02
    assert run.latencies_s.total <= run.took_s
    backend.close()


def test_a_benchmark_has_the_latency_of_every_batch_of_every_slot() -> None:
    device, slow, turns = Device(), Event(), iter([0.3, *[0.0] * 19])
    device.on_infer = lambda _: (slow.wait(next(turns)), None)[1]
    backend = opened(device, slots=2)
    latencies_s = backend.benchmark(rows(1.0), 20, None).latencies_s
    assert latencies_s.count == 20
    assert latencies_s.max >= 0.3
    assert latencies_s.percentile(0.5) < 0.3
    backend.close()


def test_a_network_is_let_go_once_whatever_happens_as_it_closes() -> None:
    for _ in range(50):
        device = Device()

        def break_down(_: float) -> None:
            raise DeviceLostError("gone")

        device.on_infer = break_down
        backend = opened(device, slots=1)
        future = backend.submit(rows(1.0), 1)
        backend.close()
        assert future.done()
        device.wait_for(lambda seen: seen.unloads >= seen.loads)
        assert device.unloads == device.loads


def test_a_profiler_is_around_the_computation_and_sees_its_end() -> None:
    device = Device()
    backend = opened(device)
    seen: list[object] = []

    def around(compute: Callable[[], Inference]) -> Inference:
        seen.append(device.began)
        inference = compute()
        seen.append(device.began)
        return inference

    assert backend.submit(rows(1.0), 1, around).result(DEADLINE_S).outputs["y"].shape == (1, 2)
    assert seen == [0, 1]
    backend.close()


def test_an_output_without_rows_is_not_cut() -> None:
    backend = opened(Device(), with_anchors=True)
    outputs = backend.submit(rows(1.0, 2.0, 0.0, 0.0), 2).result(DEADLINE_S).outputs
    assert (outputs["y"].shape, outputs["anchors"].shape) == ((2, 2), (4,))
    backend.close()


def test_opening_twice_is_refused() -> None:
    backend = opened(Device())
    with pytest.raises(InferenceError, match="open already"):
        backend.open(NO_MODEL, BackendOptions())
    backend.close()
    backend.close()
