import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.engines.async_batch import AsyncBatchInferenceEngine
from engine.engines.devices import session_keywords
from engine.engines.synchronous import BatchInferenceEngine, SyncStreamingInferenceEngine
from engine.errors import DeviceLostError, InferenceError, NotOpenError, OptionsError, QueueFullError
from tests.fakes.onnx_models import FATAL_PIXEL, save_fragile
from tests.fakes.scripted_place import ScriptedEngine, ScriptedPlace, ScriptedStreams
from tests.fakes.waiting import DEADLINE_S, wait_until

Outputs = dict[str, NDArray[Any]]
#: A batch that is not full goes when the engine stops.
NEVER_S = 1000.0
pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def row(value: float, rows: int = 1) -> dict[str, NDArray[np.float32]]:
    return {"x": np.full((rows, 2), value, np.float32)}


def image(value: int) -> dict[str, NDArray[np.uint8]]:
    return {"image": np.full((1, 8, 8, 3), value, np.uint8)}


async def until(is_true: Any, what: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.001)
    assert is_true(), what


# The engine on a loop.


async def test_each_input_gets_its_own_outputs_with_its_own_rows() -> None:
    answers: dict[str, Outputs] = {}
    async with ScriptedEngine(ScriptedPlace(), batch_size=4, batch_timeout=NEVER_S) as engine:
        for number, rows in enumerate((1, 2, 1, 3, 7)):
            await engine.add_input(f"i{number}", row(number, rows), answers.__setitem__)
    assert {name: outputs["x_doubled"].tolist() for name, outputs in answers.items()} == {
        f"i{number}": [[2.0 * number] * 2] * rows for number, rows in enumerate((1, 2, 1, 3, 7))
    }
    assert engine.scripted.batches == [4, 3, 7], "no more rows than fit, save for an input that has more alone"
    assert engine.scripted.is_closed


async def test_every_statistic_is_there_from_the_start_and_counts() -> None:
    engine = ScriptedEngine(ScriptedPlace(), batch_size=4, batch_timeout=NEVER_S)
    before = engine.get_stats()
    assert (before["avg_inference_time"], before["avg_batch_size"], before["total_inputs"]) == (0.0, 0.0, 0)
    await engine.start()
    for number in range(10):
        await engine.add_input(number, row(number))
    assert engine.stats["total_inputs"] == 10, "they count as they are added"
    await engine.stop()
    stats = engine.get_stats()
    assert stats.keys() == before.keys()
    counted = ("total_inputs", "total_outputs", "total_batches", "failed_inputs", "local_inputs", "remote_inputs")
    assert [stats[name] for name in counted] == [10, 10, 3, 0, 10, 0]
    assert stats["avg_batch_size"] == pytest.approx(10 / 3)
    assert 0 < stats["avg_inference_time"] < 1000
    assert 0 < stats["latency_ms"]["p50"] <= stats["latency_ms"]["p99"]
    assert stats["queue"]["inputs"] == stats["queue"]["bytes"] == 0


async def test_a_full_queue_makes_the_next_input_wait_in_turn() -> None:
    place = ScriptedPlace()
    place.gate.clear()
    async with ScriptedEngine(place, batch_size=1, max_queue_size=2) as engine:
        await engine.add_input(0, row(0))
        await engine.add_input(1, row(1))
        order: list[int] = []
        adding = [asyncio.create_task(engine.add_input(n, row(n), lambda i, _: order.append(i))) for n in (2, 3, 4)]
        await until(lambda: engine.stats["queue"]["full"]["inputs"] == 3, "three wait")
        assert engine.stats["total_inputs"] == 2
        place.gate.set()
        await asyncio.gather(*adding)
    assert order == [2, 3, 4]
    assert engine.stats["total_outputs"] == 5


async def test_a_full_queue_raises_where_it_is_told_to_and_names_the_limit() -> None:
    place = ScriptedPlace()
    place.gate.clear()
    async with ScriptedEngine(place, batch_size=1, max_queue_bytes=20, when_full="raise") as engine:
        await engine.add_input(0, row(0))
        await engine.add_input(1, row(1))
        with pytest.raises(QueueFullError, match=r"2 inputs, 16 bytes .* max_queue_bytes 20"):
            await engine.add_input(2, row(2))
        with pytest.raises(QueueFullError, match="an input of 80 bytes is larger than the queue, 20 bytes"):
            await engine.add_input(3, row(3, rows=10))
        assert engine.stats["queue"]["full"] == {"inputs": 0, "bytes": 1}
        place.gate.set()
    assert engine.stats["total_inputs"] == engine.stats["total_outputs"] == 2


async def test_a_place_that_was_given_to_a_caller_who_gave_up_is_not_lost() -> None:
    place = ScriptedPlace()
    place.gate.clear()
    async with ScriptedEngine(place, batch_size=1, max_queue_size=1) as engine:
        await engine.add_input(0, row(0))
        waiting = asyncio.create_task(engine.add_input(1, row(1)))
        await until(lambda: engine.stats["queue"]["full"]["inputs"] == 1, "it waits")
        waiting.cancel()
        place.gate.set()
        await engine.add_input(2, row(2))
    assert waiting.cancelled()
    assert engine.stats["total_outputs"] == 2


async def test_an_input_keeps_its_place_until_its_callback_is_done() -> None:
    may_end = asyncio.Event()

    async def slow(_: object, __: Outputs) -> None:
        await may_end.wait()

    async with ScriptedEngine(ScriptedPlace(), batch_size=1, max_queue_size=1, when_full="raise") as engine:
        await engine.add_input(0, row(0), slow)
        await until(lambda: engine.stats["total_outputs"] == 1, "it is computed")
        with pytest.raises(QueueFullError):
            await engine.add_input(1, row(1))
        may_end.set()
        await until(lambda: engine.stats["queue"]["inputs"] == 0, "its place is free")


async def test_callbacks_that_add_inputs_do_not_wait_for_one_another() -> None:
    left = 50

    async def again(_: object, __: Outputs) -> None:
        nonlocal left
        left -= 1
        if left > 0:
            await engine.add_input(left, row(left), again)

    async with asyncio.timeout(DEADLINE_S):
        async with ScriptedEngine(ScriptedPlace(), batch_size=2, batch_timeout=0, max_queue_size=2) as engine:
            await engine.add_input(0, row(0), again)
            await engine.add_input(1, row(1), again)
            await until(lambda: left <= 0, "each adds the next")


async def test_a_callback_that_adds_to_another_engine_keeps_both_queues_right() -> None:
    async with (
        ScriptedEngine(ScriptedPlace(), batch_timeout=0, max_queue_size=4) as first,
        ScriptedEngine(ScriptedPlace(), batch_timeout=0, max_queue_size=4) as second,
    ):
        seen: list[object] = []

        async def on(input_id: object, outputs: Outputs) -> None:
            seen.append((input_id, float((await second.infer({"x": outputs["x_doubled"]}))["x_doubled"][0, 0])))

        async with asyncio.timeout(DEADLINE_S):
            for number in range(20):
                await first.add_input(number, row(1), on)
            await until(lambda: len(seen) == 20, "all went through both")
    for engine in (first, second):
        assert (engine.stats["queue"]["inputs"], engine.stats["queue"]["bytes"]) == (0, 0)


async def test_a_plain_callback_that_raises_a_cancellation_harms_no_neighbour() -> None:
    def cancelled(_: object, __: Outputs) -> None:
        raise asyncio.CancelledError

    answered: list[object] = []
    async with ScriptedEngine(ScriptedPlace(), batch_size=3, batch_timeout=NEVER_S) as engine:
        await engine.add_input(0, row(0), cancelled)
        await engine.add_input(1, row(1), lambda i, _: answered.append(i))
        await engine.add_input(2, row(2), lambda i, _: answered.append(i))
    assert answered == [1, 2]
    assert engine.stats["queue"]["inputs"] == 0


async def test_a_stop_that_somebody_gave_up_is_finished_by_the_next() -> None:
    place = ScriptedPlace()
    place.gate.clear()
    engine = ScriptedEngine(place)
    await engine.start()
    await engine.add_input(0, row(0))
    stopping = asyncio.create_task(engine.stop())
    await asyncio.sleep(0)
    stopping.cancel()
    place.gate.set()
    await engine.stop()
    assert place.is_closed
    assert engine.stats["total_outputs"] == 1


async def test_an_exception_in_a_callback_harms_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    good: list[object] = []

    def breaks(_: object, __: Outputs) -> None:
        raise ValueError("mine")

    async def breaks_later(_: object, __: Outputs) -> None:
        await asyncio.sleep(0)
        raise ValueError("mine, too")

    with caplog.at_level(logging.ERROR):
        async with ScriptedEngine(ScriptedPlace(), batch_size=3) as engine:
            for number, callback in enumerate((breaks, breaks_later, lambda i, _: good.append(i))):
                await engine.add_input(number, row(number), callback)
    assert good == [2]
    assert engine.stats["failed_inputs"] == 0
    assert [record.getMessage() for record in caplog.records] == [
        "the callback of input 0 failed",
        "the callback of input 1 failed",
    ]


async def test_the_input_at_fault_is_found_and_its_neighbours_are_answered() -> None:
    place, failed, answered = ScriptedPlace(), list[tuple[object, str]](), list[object]()
    place.fails = lambda inputs: InferenceError("a thirteen") if 13.0 in inputs["x"] else None
    engine = ScriptedEngine(
        place, batch_size=8, batch_timeout=NEVER_S, on_error=lambda i, error: failed.append((i, str(error)))
    )
    async with engine:
        for number in (1, 2, 13, 4, 5, 6, 7, 8):
            await engine.add_input(number, row(number), lambda i, _: answered.append(i))
    assert failed == [(13, "a thirteen")]
    assert sorted(answered, key=str) == [1, 2, 4, 5, 6, 7, 8]
    stats = engine.stats
    assert (stats["total_batches"], stats["total_outputs"], stats["failed_inputs"]) == (1, 8, 1)
    assert (stats["computed_batches"], stats["computed_rows"]) == (3, 7), "parts that succeeded: 4, 1 and 2 inputs"


async def test_what_fails_is_in_no_mean_time() -> None:
    place = ScriptedPlace()
    place.fails = lambda _: InferenceError("refused")
    async with ScriptedEngine(place, batch_size=1, on_error=lambda *_: None) as engine:
        await engine.add_input(1, row(1))
    stats = engine.stats
    assert (stats["total_batches"], stats["computed_batches"], stats["avg_inference_time"]) == (1, 0, 0.0)


async def test_errors_that_nobody_takes_are_logged_a_few_times_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    place = ScriptedPlace()
    place.fails = lambda _: InferenceError("refused")
    async with ScriptedEngine(place, batch_size=1) as engine:
        for number in range(25):
            await engine.add_input(number, row(number))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 11
    assert lines[0] == "input 0 failed: refused"
    assert lines[-1] == "15 more inputs failed"


async def test_a_batch_that_is_too_large_for_memory_is_halved() -> None:
    place = ScriptedPlace()
    place.fails = lambda inputs: MemoryError("no room for it") if len(inputs["x"]) > 2 else None
    async with ScriptedEngine(place, batch_size=8, batch_timeout=NEVER_S) as engine:
        for number in range(8):
            await engine.add_input(number, row(number))
    assert (engine.stats["failed_inputs"], engine.stats["total_outputs"]) == (0, 8)
    assert place.batches == [8, 4, 2, 2, 4, 2, 2]


async def test_a_lost_device_is_not_asked_again_for_each_half() -> None:
    place, failed = ScriptedPlace(), list[object]()
    place.fails = lambda _: DeviceLostError("it is gone")
    async with ScriptedEngine(
        place, batch_size=4, batch_timeout=NEVER_S, on_error=lambda i, _: failed.append(i)
    ) as engine:
        for number in range(4):
            await engine.add_input(number, row(number))
    assert place.batches == [4]
    assert failed == [0, 1, 2, 3]


async def test_without_on_error_a_failure_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    place = ScriptedPlace()
    place.fails = lambda _: InferenceError("no")
    with caplog.at_level(logging.ERROR):
        async with ScriptedEngine(place) as engine:
            await engine.add_input("a", row(1))
    assert [record.getMessage() for record in caplog.records] == ["input a failed: no"]


async def test_inputs_of_other_names_or_shapes_fail_alone() -> None:
    failed: list[object] = []
    async with ScriptedEngine(
        ScriptedPlace(), batch_size=4, batch_timeout=NEVER_S, on_error=lambda i, _: failed.append(i)
    ) as engine:
        await engine.add_input("a", row(1))
        await engine.add_input("wide", {"x": np.zeros((1, 3), np.float32)})
        await engine.add_input("b", row(2))
        await engine.add_input("c", row(3))
    assert failed == [], "each is computed by itself where they do not go together"
    with pytest.raises(InferenceError, match="first axis"):
        await ScriptedEngine(ScriptedPlace()).add_input("d", {"x": np.float32(1)})
    with pytest.raises(InferenceError, match="the same for all: x \\[1, 2\\], y \\[2, 2\\]"):
        await ScriptedEngine(ScriptedPlace()).add_input("e", row(1) | {"y": np.zeros((2, 2))})


async def test_nothing_can_be_added_before_the_start_or_after_the_stop() -> None:
    engine = ScriptedEngine(ScriptedPlace())
    with pytest.raises(NotOpenError, match="not started"):
        await engine.add_input("a", row(1))
    await engine.start()
    with pytest.raises(RuntimeError, match="started already"):
        await engine.start()
    await engine.stop()
    await engine.stop()
    with pytest.raises(NotOpenError, match="stopped"):
        await engine.add_input("a", row(1))


async def test_a_callback_may_stop_its_engine() -> None:
    stopped = asyncio.Event()

    async def stop(_: object, __: Outputs) -> None:
        await engine.stop()
        stopped.set()

    engine = ScriptedEngine(ScriptedPlace(), batch_size=1)
    await engine.start()
    await engine.add_input(0, row(0), stop)
    await engine.add_input(1, row(1), stop)
    async with asyncio.timeout(DEADLINE_S):
        await stopped.wait()
    await engine.stop()
    assert engine.stats["total_outputs"] == 2


async def test_who_waits_for_room_as_the_engine_stops_is_told() -> None:
    place = ScriptedPlace()
    place.gate.clear()
    engine = ScriptedEngine(place, batch_size=1, max_queue_size=1)
    await engine.start()
    await engine.add_input(0, row(0))
    waiting = asyncio.create_task(engine.add_input(1, row(1)))
    await until(lambda: engine.stats["queue"]["full"]["inputs"] == 1, "it waits")
    stopping = asyncio.create_task(engine.stop())
    with pytest.raises(NotOpenError, match="stopped while an input waited"):
        await waiting
    place.gate.set()
    await stopping


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"max_queue_size": True}, "max_queue_size is True"),
        ({"batch_timeout": -1}, "batch_timeout is -1"),
        ({"when_full": "drop"}, "when_full is 'drop': give wait or raise"),
        ({"on_error": 3}, "on_error takes a function"),
    ],
)
def test_what_an_engine_cannot_be_told(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        AsyncBatchInferenceEngine("model.onnx", **keywords)


@pytest.mark.parametrize(
    ("backend", "device", "expected"),
    [
        (None, "AUTO", (None, None)),
        ("openvino", "auto", ("openvino", "AUTO")),
        ("onnxruntime", "CPU", ("onnxruntime", "cpu")),
        (None, "CUDA", ("onnxruntime", "cuda:0")),
        ("tinygrad", "OCL", ("tinygrad", "CL")),
        ("qaic", "3", ("qaic", "3")),
    ],
)
def test_devices_by_their_common_names(backend: str | None, device: str, expected: tuple[object, object]) -> None:
    said = session_keywords(backend, device)
    assert (said["backend"], said["device"]) == expected


# A real session.


async def test_a_real_model_answers_and_its_bad_input_harms_nobody(tmp_path: Path) -> None:
    answers: dict[object, Outputs] = {}
    failed: list[object] = []
    model = save_fragile(tmp_path / "fragile.onnx")
    engine = AsyncBatchInferenceEngine(model, device="CPU", batch_size=4, on_error=lambda i, _: failed.append(i))
    async with engine:
        for number in (1, 2, FATAL_PIXEL, 4, 5):
            await engine.add_input(number, image(number), answers.__setitem__)
    assert failed == [FATAL_PIXEL]
    assert {number: outputs["answer"].tolist() for number, outputs in answers.items()} == {
        number: [[64.0 * number] * 3] for number in (1, 2, 4, 5)
    }


async def test_an_input_with_more_rows_than_a_fixed_batch_goes_in_parts(tmp_path: Path) -> None:
    answers: dict[object, Outputs] = {}
    async with AsyncBatchInferenceEngine(save_fragile(tmp_path / "two.onnx", batch=2), device="CPU") as engine:
        inputs = {"image": np.concatenate([image(number)["image"] for number in range(5)])}
        await engine.add_input("five", inputs, answers.__setitem__)
    assert answers["five"]["answer"].tolist() == [[64.0 * number] * 3 for number in range(5)]


# Without a loop.


def test_the_synchronous_engine_answers_plain_and_async_callbacks(tmp_path: Path) -> None:
    answers: dict[object, Outputs] = {}
    threads: set[str] = set()

    def plain(input_id: object, outputs: Outputs) -> None:
        threads.add(threading.current_thread().name)
        answers[input_id] = outputs

    async def on_loop(input_id: object, outputs: Outputs) -> None:
        await asyncio.sleep(0)
        answers[input_id] = outputs

    engine = BatchInferenceEngine(model_path=save_fragile(tmp_path / "m.onnx"), backend="onnxruntime", batch_size=4)
    engine.start()
    for number in range(10):
        engine.add_input(f"input_{number}", image(number), plain if number % 2 else on_loop)
    wait_until(lambda: engine.get_stats()["total_inputs"] <= engine.get_stats()["total_batches"] * engine.batch_size)
    engine.stop()
    engine.stop()
    assert len(answers) == 10
    assert len(threads) == 1
    assert engine.get_stats()["total_outputs"] == 10, "after the stop, too"
    with pytest.raises(NotOpenError):
        engine.add_input("late", image(1))


def test_a_blocking_callback_holds_up_no_inference_and_cannot_wait_for_its_own_room(tmp_path: Path) -> None:
    may_end, refusals = threading.Event(), list[Exception]()

    def blocks(_: object, __: Outputs) -> None:
        may_end.wait(DEADLINE_S)
        try:
            engine.add_input("more", image(9))
        except QueueFullError as exc:
            refusals.append(exc)

    model = save_fragile(tmp_path / "m.onnx")
    with BatchInferenceEngine(model, device="CPU", batch_size=1, max_queue_size=3) as engine:
        for number in range(3):
            engine.add_input(number, image(number), blocks)
        wait_until(lambda: engine.stats["total_outputs"] == 3, "all are computed while the first callback blocks")
        may_end.set()
        wait_until(lambda: engine.stats["queue"]["inputs"] == 0, "every callback has ended")
    assert len(refusals) == 1, "after the first there is room"


def test_a_model_that_is_not_there_is_an_error_at_the_start_and_leaves_no_thread() -> None:
    engine = BatchInferenceEngine("nowhere.onnx", device="CPU")
    with pytest.raises(Exception, match=r"nowhere\.onnx"):
        engine.start()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine")]


# Streams.


async def numbers_async() -> AsyncIterator[dict[str, Any]]:
    for number in range(3):
        yield row(number)


def numbers() -> Iterator[dict[str, Any]]:
    for number in range(3):
        yield row(number)


@pytest.mark.parametrize("source", [numbers, numbers_async, numbers(), numbers_async()])
async def test_a_generator_of_either_kind_is_a_source_and_its_end_is_the_streams(source: Any) -> None:
    seen: list[float] = []
    async with ScriptedStreams(ScriptedPlace(), batch_timeout=0) as engine:
        await engine.start_stream("s", source, lambda outputs: seen.append(float(outputs["x_doubled"][0, 0])))
        await until(lambda: len(seen) == 3, "all were handled")
        await engine.stop_stream("s")
    assert seen == [0.0, 2.0, 4.0]
    counts = {"total_inputs": 3, "total_outputs": 3, "failed_inputs": 0, "error": None}
    assert engine.get_stats()["streams"] == {"s": counts}


async def test_callables_of_either_kind_are_asked_once_an_input() -> None:
    async def give() -> dict[str, Any]:
        return row(1)

    async with ScriptedStreams(ScriptedPlace(), batch_timeout=0) as engine:
        handled: list[str] = []

        async def handle(_: Outputs) -> None:
            handled.append("async")

        await engine.start_stream("plain", lambda: row(2), lambda _: handled.append("plain"))
        await engine.start_stream("async", give, handle)
        await until(lambda: {"plain", "async"} <= set(handled), "both run")
        await engine.stop_stream("plain")
        await engine.stop_stream("async")
        streams = engine.get_stats()["streams"]
    assert all(counts["total_inputs"] == counts["total_outputs"] > 0 for counts in streams.values())
    assert len(handled) == sum(counts["total_outputs"] for counts in streams.values())


async def test_a_source_that_blocks_holds_up_neither_the_loop_nor_the_stop() -> None:
    blocked, free = threading.Event(), threading.Event()

    def blocks() -> dict[str, Any]:
        blocked.set()
        free.wait(DEADLINE_S)
        return row(1)

    seen: list[Outputs] = []
    async with ScriptedStreams(ScriptedPlace(), batch_timeout=0) as engine:
        await engine.start_stream("stuck", blocks, seen.append)
        await until(blocked.is_set, "it blocks")
        await engine.start_stream("other", numbers, seen.append)
        await until(lambda: len(seen) == 3, "another stream goes on")
        await engine.stop_stream("stuck")
        assert not free.is_set()
    free.set()


async def test_a_source_that_fails_ends_its_stream_alone_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> dict[str, Any]:
        raise OSError("the camera is gone")

    seen: list[Outputs] = []
    async with ScriptedStreams(ScriptedPlace(), batch_timeout=0) as engine:
        await engine.start_stream("bad", fails, seen.append)
        await engine.start_stream("good", numbers, seen.append)
        await until(lambda: len(seen) == 3 and engine.stats["streams"]["bad"]["error"] is not None, "both have ended")
        with pytest.raises(OptionsError, match="no stream nobody"):
            await engine.stop_stream("nobody")
        await engine.stop_stream("bad")
    assert engine.stats["streams"]["bad"]["error"] == "the camera is gone"


async def test_stopping_a_stream_waits_for_what_is_on_its_way() -> None:
    place, seen = ScriptedPlace(), list[Outputs]()
    place.gate.clear()
    async with ScriptedStreams(place, batch_size=1, batch_timeout=0) as engine:
        await engine.start_stream("s", lambda: row(1), seen.append, interval=1000)
        await until(lambda: engine.stats["total_inputs"] == 1, "one is on its way")
        with pytest.raises(OptionsError, match="stream s is running"):
            await engine.start_stream("s", numbers, seen.append)
        stopping = asyncio.create_task(engine.stop_stream("s"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not stopping.done()
        place.gate.set()
        await stopping
        assert len(seen) == 1


async def test_a_handler_may_stop_its_own_stream_and_a_stream_that_is_started_again_has_no_old_error() -> None:
    stopped = asyncio.Event()

    async def stop(_: Outputs) -> None:
        await engine.stop_stream("s")
        stopped.set()

    def fails() -> dict[str, Any]:
        raise OSError("gone")

    async with ScriptedStreams(ScriptedPlace(), batch_timeout=0) as engine:
        await engine.start_stream("s", fails, stop)
        await until(lambda: engine.stats["streams"]["s"]["error"] == "gone", "it has failed")
        await engine.stop_stream("s")
        await engine.start_stream("s", lambda: row(1), stop, interval=1000)
        async with asyncio.timeout(DEADLINE_S):
            await stopped.wait()
        assert engine.stats["streams"]["s"]["error"] is None


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_stream_that_is_stopped_closes_its_generator(*, is_async: bool) -> None:
    closed = threading.Event()

    def plain() -> Iterator[dict[str, Any]]:
        try:
            while True:
                yield row(1)
        finally:
            closed.set()

    async def on_loop() -> AsyncIterator[dict[str, Any]]:
        try:
            while True:
                yield row(1)
        finally:
            closed.set()

    seen: list[Outputs] = []
    async with ScriptedStreams(ScriptedPlace(), batch_timeout=0) as engine:
        await engine.start_stream("s", on_loop if is_async else plain, seen.append)
        await until(lambda: len(seen) > 2, "it runs")
        await engine.stop_stream("s")
        await until(closed.is_set, "its camera is let go")


def test_calls_that_would_wait_for_themselves_are_refused(tmp_path: Path) -> None:
    refusals: list[str] = []

    def refused(call: Any) -> None:
        try:
            call()
        except RuntimeError as exc:
            refusals.append(str(exc))

    async def on_loop(_: object, __: Outputs) -> None:
        refused(lambda: engine.add_input("more", image(1)))

    def on_thread(_: object, __: Outputs) -> None:
        refused(engine.stop)

    with BatchInferenceEngine(save_fragile(tmp_path / "m.onnx"), device="CPU") as engine:
        engine.add_input("a", image(1), on_loop)
        engine.add_input("b", image(1), on_thread)
    assert sorted(refusals) == [
        "an async callback cannot wait for its own loop: use a plain one, or an async engine",
        "stop would wait for the callback that calls it: call it from elsewhere",
    ]


def test_whoever_calls_while_the_engine_stops_is_answered(tmp_path: Path) -> None:
    """Statistics from other threads, all the time, and two that stop it at once."""
    engine = BatchInferenceEngine(save_fragile(tmp_path / "m.onnx"), device="CPU")
    engine.start()
    has_stopped, asked = threading.Event(), list[int]()

    def ask() -> None:
        while not has_stopped.is_set():
            asked.append(engine.get_stats()["total_inputs"])
        asked.append(engine.get_stats()["total_inputs"])

    threads = [threading.Thread(target=ask, daemon=True) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(20):
        engine.add_input(number, image(1))
    stoppers = [threading.Thread(target=engine.stop, daemon=True) for _ in range(2)]
    for thread in stoppers:
        thread.start()
    for thread in stoppers:
        thread.join(DEADLINE_S)
    has_stopped.set()
    for thread in threads:
        thread.join(DEADLINE_S)
    assert not any(thread.is_alive() for thread in (*threads, *stoppers))
    assert asked[-1] == 20


def test_streams_without_a_loop(tmp_path: Path) -> None:
    seen: list[Outputs] = []
    with SyncStreamingInferenceEngine(save_fragile(tmp_path / "m.onnx"), device="CPU", batch_timeout=0) as engine:
        engine.start_stream("s", (image(number) for number in range(4)), seen.append)
        wait_until(lambda: len(seen) == 4, "all were handled")
        engine.stop_stream("s")
        assert engine.get_stats()["streams"]["s"]["total_outputs"] == 4
