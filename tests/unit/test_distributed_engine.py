"""Batches here and on workers: real workers in processes of their own, and places that do what the test says."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from engine.engines.balancing import LeastOutstanding, Weighted, make_balancer
from engine.engines.breaker import Breaker
from engine.engines.distributed import DistributedInferenceEngine, SharedPlaces
from engine.engines.worker import WorkerServer
from engine.errors import DeviceLostError, InferenceError, ModelError, OptionsError, WorkerError
from tests.fakes.onnx_models import FATAL_PIXEL, TinyClassifier, save_fragile
from tests.fakes.programs import ROOT
from tests.fakes.scripted_place import ScriptedPlace
from tests.fakes.waiting import DEADLINE_S

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def image(value: int) -> dict[str, Any]:
    return {"image": np.full((1, 8, 8, 3), value, np.uint8)}


async def until(is_true: Any, what: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not is_true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.002)
    assert is_true(), what


@contextmanager
def worker_process(model: Path, port: int = 0) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    command = [sys.executable, "-m", "tests.fakes.worker_program", str(model), str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_fragile(tmp_path / "sums.onnx")


async def test_inputs_are_computed_here_and_there_and_each_is_answered_once(model: Path) -> None:
    answers: Counter[int] = Counter()
    async with (
        WorkerServer(model, device="CPU", port=0) as worker,
        DistributedInferenceEngine(model, device="CPU", batch_size=2, worker_urls=[worker.address]) as engine,
    ):
        for number in range(200):
            await engine.add_input(number, image(number), lambda i, outputs: answers.update({i: check(i, outputs)}))
        await until(lambda: engine.stats["total_outputs"] == 200, "all are answered")
        stats, url = engine.stats, worker.address
    assert answers == Counter(range(200))
    assert stats["local_inputs"] + stats["remote_inputs"] == 200
    assert stats["remote_inputs"] > 0
    assert stats["local_inputs"] > 0
    assert stats["workers"][url]["rows"] == stats["remote_inputs"]


def check(number: int, outputs: dict[str, Any]) -> int:
    assert outputs["answer"].tolist() == [[64.0 * number] * 3]
    return 1


@pytest.mark.slow
async def test_of_three_workers_one_may_be_killed_under_load(model: Path) -> None:
    answers: Counter[int] = Counter()
    failed: list[object] = []
    with worker_process(model) as first, worker_process(model) as second, worker_process(model) as third:
        urls = [first[1], second[1], third[1]]
        engine = DistributedInferenceEngine(
            model, device="CPU", batch_size=2, worker_urls=urls, on_error=lambda i, _: failed.append(i)
        )
        async with engine:
            for number in range(600):
                if number == 200:
                    os.kill(second[0].pid, signal.SIGKILL)
                await engine.add_input(number, image(number % 200), lambda i, _: answers.update([i]))
            await until(lambda: engine.stats["total_outputs"] == 600, "all are answered")
            workers = engine.stats["workers"]
    assert failed == []
    assert answers == Counter(range(600)), "each exactly once"
    assert [workers[url]["is_answering"] for url in urls] == [True, False, True]


async def test_a_worker_that_comes_back_is_given_work_again(model: Path) -> None:
    with worker_process(model) as (process, url):
        engine = DistributedInferenceEngine(model, device="CPU", worker_urls=[url], batch_timeout=0)
        async with engine:
            process.kill()
            process.wait()
            for number in range(20):
                await engine.add_input(number, image(number))
            await until(lambda: not engine.stats["workers"][url]["is_answering"], "it is given up")
            with worker_process(model, int(url.rpartition(":")[2])):
                await until(lambda: engine.stats["workers"][url]["is_answering"], "it is found again")
                before = engine.stats["remote_inputs"]
                for number in range(20):
                    await engine.add_input(number, image(number))
                await until(lambda: engine.stats["remote_inputs"] > before, "it works again")
            assert engine.stats["failed_inputs"] == 0


async def test_workers_that_are_nowhere_leave_all_to_this_machine(model: Path) -> None:
    urls = ["http://127.0.0.1:9", "http://no-such-host.invalid:8070"]
    async with DistributedInferenceEngine(model, device="CPU", worker_urls=urls) as engine:
        for number in range(10):
            await engine.add_input(number, image(number))
        await until(lambda: engine.stats["total_outputs"] == 10, "all are answered")
        assert (engine.stats["local_inputs"], engine.stats["failed_inputs"]) == (10, 0)
        assert all(not worker["is_answering"] for worker in engine.stats["workers"].values())


async def test_a_bad_input_is_found_through_a_worker_too(model: Path) -> None:
    failed: list[object] = []
    async with (
        WorkerServer(model, device="CPU", port=0) as worker,
        DistributedInferenceEngine(
            model,
            device="CPU",
            batch_size=8,
            worker_urls=[worker.address],
            balancing="weighted",
            weights={worker.address: 1000},
            on_error=lambda i, _: failed.append(i),
        ) as engine,
    ):
        for number in (1, 2, FATAL_PIXEL, 4):
            await engine.add_input(number, image(number))
        await until(lambda: engine.stats["total_outputs"] == 4, "all are answered")
        assert engine.stats["workers"][worker.address]["is_answering"], "a bad input is no fault of the worker"
    assert failed == [FATAL_PIXEL]
    assert engine.stats["remote_inputs"] == 3


async def test_a_worker_with_a_token_is_told_it_and_a_wrong_one_gets_no_work(model: Path) -> None:
    async with WorkerServer(model, device="CPU", port=0, token="right") as worker:
        for token, is_answering in (("right", True), ("wrong", False)):
            engine = DistributedInferenceEngine(model, device="CPU", worker_urls=[worker.address], token=token)
            async with engine:
                assert engine.stats["workers"][worker.address]["is_answering"] is is_answering


async def test_a_worker_that_keeps_silent_is_given_up_in_time(model: Path) -> None:
    release = asyncio.Event()

    async def ready(_: web.Request) -> web.Response:
        return web.json_response({})

    async def silent(_: web.Request) -> web.Response:
        await release.wait()
        return web.json_response({})

    async with foreign_server(ready, silent) as url:
        engine = DistributedInferenceEngine(
            model, device="CPU", worker_urls=[url], worker_timeout=0.3, balancing="weighted", weights={url: 1000}
        )
        async with engine:
            await engine.add_input(1, image(1))
            await until(lambda: engine.stats["total_outputs"] == 1, "this machine does it")
            assert (engine.stats["local_inputs"], engine.stats["failed_inputs"]) == (1, 0)
        release.set()


def outputs(name: str, datatype: str, shape: list[int]) -> bytes:
    tensor = {"name": name, "datatype": datatype, "shape": shape, "data": [0] * int(np.prod(shape))}
    return json.dumps({"outputs": [tensor]}).encode()


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense",
        b'{"outputs": []}',
        b"",
        outputs("evil", "FP32", [1, 3]),
        outputs("answer", "UINT8", [1, 3]),
        outputs("answer", "FP32", [1, 1]),
        outputs("answer", "FP32", [2, 3]),
        b" " * 1_000_000,
    ],
)
async def test_a_server_that_answers_nonsense_harms_no_input_but_is_told(model: Path, answer: bytes) -> None:
    async def ready(_: web.Request) -> web.Response:
        return web.json_response({})

    async def infer(_: web.Request) -> web.Response:
        return web.Response(body=answer)

    async with foreign_server(ready, infer) as url:
        engine = DistributedInferenceEngine(
            model, device="CPU", worker_urls=[url], balancing="weighted", weights={url: 1000}
        )
        async with engine:
            await engine.add_input(1, image(1))
            await until(lambda: engine.stats["total_outputs"] == 1, "this machine does it")
            assert (engine.stats["local_inputs"], engine.stats["failed_inputs"]) == (1, 0)


class foreign_server:  # noqa: N801 - it reads as a function
    """Somebody else's server of the protocol."""

    def __init__(self, ready: Any, infer: Any) -> None:
        application = web.Application()
        application.router.add_get("/v2/models/sums/ready", ready)
        application.router.add_post("/v2/models/sums/infer", infer)
        self._runner = web.AppRunner(application, shutdown_timeout=1)

    async def __aenter__(self) -> str:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


@asynccontextmanager
async def ten_offered_to(url: str, model: Path) -> AsyncIterator[DistributedInferenceEngine]:
    """An engine that prefers a worker, once ten inputs have been answered."""
    engine = DistributedInferenceEngine(
        model, device="CPU", worker_urls=[url], batch_size=1, balancing="weighted", weights={url: 1000}
    )
    async with engine:
        for number in range(10):
            await engine.add_input(number, image(number))
        await until(lambda: engine.stats["total_outputs"] == 10, "this machine does it")
        yield engine


@pytest.mark.parametrize("status", [400, 413, 500, 302])
async def test_a_worker_that_refuses_everything_costs_no_input(model: Path, status: int) -> None:
    async def ready(_: web.Request) -> web.Response:
        return web.json_response({})

    async def infer(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "http://127.0.0.1:9/"})

    async with foreign_server(ready, infer) as url, ten_offered_to(url, model) as engine:
        assert (engine.stats["local_inputs"], engine.stats["failed_inputs"]) == (10, 0)
        assert not engine.stats["workers"][url]["is_answering"], "it is not asked for ever"


async def test_a_batch_is_tried_elsewhere_and_in_the_end_here() -> None:
    here, first, second = ScriptedPlace(), ScriptedPlace(), ScriptedPlace()
    first.fails = second.fails = lambda _: WorkerError("gone")
    shared = SharedPlaces(here, {"a": first, "b": second}, Weighted({"a": 100, "b": 100}))
    outputs, is_remote = await shared.compute({"x": np.ones(2)}, 2)
    assert (outputs["x_doubled"].tolist(), is_remote) == ([2.0, 2.0], False)
    assert first.batches == second.batches == here.batches == [2]
    here.fails = lambda _: InferenceError("bad input")
    with pytest.raises(InferenceError, match="bad input"):
        await shared.compute({"x": np.ones(2)}, 2)


async def test_a_lost_device_here_leaves_all_to_the_workers_and_without_them_is_an_error() -> None:
    here, there = ScriptedPlace(), ScriptedPlace()
    here.fails = lambda _: DeviceLostError("the card is gone")
    shared = SharedPlaces(here, {"a": there}, LeastOutstanding())
    for _ in range(4):
        outputs, _ = await shared.compute({"x": np.ones(2)}, 2)
        assert outputs["x_doubled"].tolist() == [2.0, 2.0]
    there.fails = lambda _: WorkerError("gone, too")
    with pytest.raises((DeviceLostError, WorkerError)):
        await shared.compute({"x": np.ones(2)}, 2)


async def test_a_worker_that_gets_no_work_says_why_once(model: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with WorkerServer(model, device="CPU", port=0) as worker:
        url = worker.address
        engine = DistributedInferenceEngine(model, device="CPU", worker_urls=[url], model_name="other")
        async with engine:
            problem = engine.stats["workers"][url]["problem"]
    assert "is not ready for other: 404" in problem
    assert [record for record in caplog.records if "gets no work" in record.getMessage()]


async def test_what_a_foreign_server_says_is_one_short_line(model: Path) -> None:
    async def ready(_: web.Request) -> web.Response:
        return web.Response(status=404, text="\n<html>nothing here</html>\n" + "more\n" * 1000)

    async def infer(_: web.Request) -> web.Response:
        return web.Response(status=404)

    async with foreign_server(ready, infer) as url:
        engine = DistributedInferenceEngine(model, device="CPU", worker_urls=[url])
        async with engine:
            problem = engine.stats["workers"][url]["problem"]
    assert problem == f"worker {url} is not ready for sums: 404 <html>nothing here</html>"


async def test_a_worker_with_another_graph_is_quoted(tmp_path: Path, model: Path) -> None:
    (tmp_path / "other").mkdir()
    other = TinyClassifier().save(tmp_path / "other" / "sums.onnx")
    async with WorkerServer(other, device="CPU", port=0) as worker:
        url = worker.address
        async with ten_offered_to(url, model) as engine:
            problem = engine.stats["workers"][url]["problem"]
    assert problem.startswith(f"worker {url} refuses what this machine can compute: 400: ")
    assert "take" in problem.partition("400: ")[2]


async def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path) -> None:
    before = len(asyncio.all_tasks())
    engine = DistributedInferenceEngine(tmp_path / "nowhere.onnx", device="CPU", worker_urls=["http://127.0.0.1:9"])
    with pytest.raises(ModelError):
        await engine.start()
    assert len(asyncio.all_tasks()) == before


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"worker_urls": ["worker1:8070"]}, "http://HOST:PORT"),
        ({"worker_urls": ["http://me:secret@worker:8070"]}, "without a user"),
        ({"worker_urls": ["http://a:1", "http://a:1"]}, "twice"),
        ({"worker_urls": ["http://[::1"]}, "http://HOST:PORT"),
        ({"worker_urls": ["http://a:port"]}, "http://HOST:PORT"),
        ({"worker_timeout": 0}, "worker_timeout is above 0"),
        ({"balancing": "random"}, "balancing is 'random'"),
        ({"worker_urls": ["http://a:1", "http://a:1/"]}, "twice"),
        ({"weights": {"local": 1}}, "weights are for"),
        ({"balancing": "weighted", "weights": {"local": 0}}, "the weight of local is 0"),
        ({"balancing": "weighted", "weights": {"http://b:1": 2}}, "names http://b:1, which is none of worker_urls"),
    ],
)
def test_what_it_cannot_be_told(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        DistributedInferenceEngine("model.onnx", **keywords)


# Who is next.


class Place:
    def __init__(self, name: str, slots: int = 1, outstanding: int = 0) -> None:
        self.name, self.slots, self.outstanding = name, slots, outstanding


def test_the_one_with_the_smallest_share_of_its_slots_taken_is_next() -> None:
    places = [Place("a", 4, 2), Place("b", 1, 1), Place("c", 2, 0)]
    assert LeastOutstanding().choose(places) == 2


def test_equals_take_turns() -> None:
    balancer, places = LeastOutstanding(), [Place("a"), Place("b"), Place("c")]
    assert [balancer.choose(places) for _ in range(6)] == [0, 1, 2, 0, 1, 2]
    assert [make_balancer("round-robin").choose(places[:1])] == [0]
    robin = make_balancer("round-robin")
    assert [robin.choose(places) for _ in range(6)] == [0, 1, 2, 0, 1, 2]


def test_weights_are_kept_evenly_spread() -> None:
    balancer, places = Weighted({"a": 5}), [Place("a"), Place("b"), Place("c")]
    assert "".join("abc"[balancer.choose(places)] for _ in range(7)) == "aabacaa"


# The breaker.


def test_three_failures_in_a_row_open_it_and_silence_at_once() -> None:
    breaker = Breaker()
    for _ in range(2):
        breaker.failed(0.0, has_answered=True)
    breaker.succeeded()
    for _ in range(2):
        breaker.failed(0.0, has_answered=True)
        assert not breaker.is_open
    breaker.failed(0.0, has_answered=True)
    assert breaker.is_open
    silent = Breaker()
    silent.failed(5.0, has_answered=False)
    assert silent.is_open
    assert silent.look_in_s(5.0) == 1.0


def test_looks_that_fail_come_ever_more_rarely_and_one_that_succeeds_closes_it() -> None:
    breaker, now_s, waits = Breaker(), 0.0, list[float]()
    for _ in range(5):
        breaker.failed(now_s, has_answered=False)
    assert breaker.look_in_s(now_s) == 1.0, "batches that were under way change nothing"
    for _ in range(8):
        breaker.look_failed(now_s)
        waits.append(breaker.look_in_s(now_s) or 0.0)
        now_s += waits[-1]
    assert waits == [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0, 30.0]
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.look_in_s(now_s) is None


def test_a_worker_that_is_ready_and_fails_all_the_same_is_left_alone_for_ever_longer() -> None:
    breaker, waits = Breaker(), list[float]()
    for _ in range(4):
        breaker.failed(0.0, has_answered=True)
        breaker.failed(0.0, has_answered=True)
        breaker.failed(0.0, has_answered=True)
        waits.append(breaker.look_in_s(0.0) or 0.0)
        breaker.look_succeeded()
        assert not breaker.is_open
    assert waits == [1.0, 2.0, 4.0, 8.0]
