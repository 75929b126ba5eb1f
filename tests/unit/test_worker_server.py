"""The worker, asked by Triton's own client."""

import asyncio
import gzip
import json
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import requests
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from engine.engines import v2_server
from engine.engines.worker import WorkerServer
from engine.errors import ModelError, OptionsError
from tests.fakes.onnx_models import FATAL_PIXEL, save_fragile

pytestmark = pytest.mark.anyio
Result = TypeVar("Result")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def worker(tmp_path: Path) -> AsyncIterator[WorkerServer]:
    model = save_fragile(tmp_path / "sums.onnx")
    async with WorkerServer(model, device="CPU", port=0, batch_size=4, batch_timeout=0.0) as server:
        yield server


async def off(function: Callable[..., Result], *arguments: Any, **keywords: Any) -> Result:
    """Call what blocks on a thread, since the worker is on this one."""
    return await asyncio.to_thread(function, *arguments, **keywords)


def images(*values: int) -> Any:
    return np.stack([np.full((8, 8, 3), value, np.uint8) for value in values])


def infer(address: str, pixels: Any, headers: dict[str, str] | None = None, **keywords: Any) -> Any:
    is_binary = keywords.pop("binary", True)
    client = triton.InferenceServerClient(address.removeprefix("http://"))
    try:
        image = triton.InferInput("image", list(pixels.shape), "UINT8")
        image.set_data_from_numpy(pixels, binary_data=is_binary)
        wanted = [triton.InferRequestedOutput("answer", binary_data=is_binary)]
        result = client.infer("sums", [image], outputs=wanted, headers=headers, request_id="7", **keywords)
        return result.as_numpy("answer"), result.get_response()
    finally:
        client.close()


def ask(address: str, method: str, *arguments: Any) -> Any:
    client = triton.InferenceServerClient(address.removeprefix("http://"))
    try:
        return getattr(client, method)(*arguments)
    finally:
        client.close()


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("packing", [None, "gzip", "deflate"])
async def test_tritons_client_gets_the_models_answers(
    worker: WorkerServer, *, binary: bool, packing: str | None
) -> None:
    packed = {"request_compression_algorithm": packing, "response_compression_algorithm": packing}
    answer, response = await off(infer, worker.address, images(1, 2), binary=binary, **packed)
    assert answer.tolist() == [[64.0] * 3, [128.0] * 3]
    assert (response["id"], response["model_name"]) == ("7", "sums")


async def test_it_says_that_it_lives_what_it_is_and_what_its_model_takes(worker: WorkerServer) -> None:
    address = worker.address
    assert await off(ask, address, "is_server_live")
    assert await off(ask, address, "is_server_ready")
    assert await off(ask, address, "is_model_ready", "sums")
    assert not await off(ask, address, "is_model_ready", "other")
    assert (await off(ask, address, "get_server_metadata"))["name"] == "streamer"
    metadata = await off(ask, address, "get_model_metadata", "sums")
    assert metadata["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 8, 8, 3]}]
    assert metadata["outputs"] == [{"name": "answer", "datatype": "FP32", "shape": [-1, 3]}]
    assert metadata["platform"] == "streamer_onnxruntime"


async def test_statistics_count_rows_batches_and_failures(worker: WorkerServer) -> None:
    await off(infer, worker.address, images(1, 2))
    with pytest.raises(InferenceServerException):
        await off(infer, worker.address, images(FATAL_PIXEL))
    statistics = await off(ask, worker.address, "get_inference_statistics", "sums")
    (model,) = statistics["model_stats"]
    assert (model["inference_count"], model["execution_count"]) == (2, 1), "of those that succeeded"
    assert model["inference_stats"]["success"]["count"] == 1
    spent = model["inference_stats"]
    assert spent["success"]["ns"] >= spent["compute_infer"]["ns"] > 0
    assert spent["queue"]["ns"] + spent["compute_infer"]["ns"] == spent["success"]["ns"]
    assert model["inference_stats"]["fail"]["count"] == 1
    text = (await off(requests.get, f"{worker.address}/metrics", timeout=10)).text
    for sample in ("failed_inputs_total", "batches_total"):
        assert f'streamer_worker_{sample}{{model="sums"}} 1.0' in text


@pytest.mark.parametrize(
    ("name", "datatype", "shape", "message"),
    [
        ("picture", "UINT8", [1, 8, 8, 3], "the model takes image, not picture"),
        ("image", "FP32", [1, 8, 8, 3], "not float32"),
        ("image", "UINT8", [1, 8, 9, 3], r"takes uint8\[\w+, 8, 8, 3\]"),
    ],
)
@pytest.mark.parametrize("batch", [None, 4])
async def test_what_the_model_cannot_take_never_shares_a_batch(
    tmp_path: Path, batch: int | None, name: str, datatype: str, shape: list[int], message: str
) -> None:
    model = save_fragile(tmp_path / "sums.onnx", batch)
    async with WorkerServer(model, device="CPU", port=0, batch_size=2, batch_timeout=30.0) as server:
        url = f"{server.address}/v2/models/sums/infer"
        first = asyncio.create_task(off(infer, server.address, images(1)))
        async with asyncio.timeout(30):
            while not server.get_stats()["total_inputs"]:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
        data = [0] * int(np.prod(shape))
        body = {"inputs": [{"name": name, "datatype": datatype, "shape": shape, "data": data}]}
        refused = await off(requests.post, url, json=body, timeout=10)
        second, _ = await off(infer, server.address, images(2))
        assert ((await first)[0].tolist(), second.tolist()) == ([[64.0] * 3], [[128.0] * 3])
        stats = server.get_stats()
    assert refused.status_code == 400
    assert re.search(message, refused.json()["error"])
    assert [stats[each] for each in ("total_inputs", "total_batches", "computed_batches", "failed_inputs")] == [
        2,
        1,
        1,
        0,
    ]


async def test_where_the_batch_is_fixed_any_rows_are_taken(tmp_path: Path) -> None:
    model = save_fragile(tmp_path / "sums.onnx", 4)
    async with WorkerServer(model, device="CPU", port=0, batch_timeout=0.0) as server:
        for rows in (1, 4, 6):
            answer, _ = await off(infer, server.address, images(*range(rows)))
            assert answer[:, 0].tolist() == [64.0 * value for value in range(rows)]


async def test_a_client_that_leaves_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    tensor = {"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 3], "data": [1] * 192}
    body = json.dumps({"inputs": [tensor]}).encode()
    model = save_fragile(tmp_path / "sums.onnx")
    async with WorkerServer(model, device="CPU", port=0, batch_size=64, batch_timeout=0.3) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", int(server.address.rpartition(":")[2]))
        head = f"POST /v2/models/sums/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        async with asyncio.timeout(30):
            while not server.get_stats()["total_inputs"]:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
            writer.transport.abort()
            while "a client left" not in caplog.text:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


async def test_an_error_of_the_workers_own_is_logged_with_its_cause(
    worker: WorkerServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(v2_server, "write_response", broken)
    with pytest.raises(InferenceServerException, match="its log says more"):
        await off(infer, worker.address, images(1))
    assert "a request failed: ValueError: no such thing" in [record.getMessage() for record in caplog.records]


async def test_clients_share_batches(tmp_path: Path) -> None:
    model = save_fragile(tmp_path / "sums.onnx")
    async with WorkerServer(model, device="CPU", port=0, batch_size=6, batch_timeout=30.0) as server:
        answers = await asyncio.gather(*(off(infer, server.address, images(value)) for value in range(6)))
        assert [answer.tolist() for answer, _ in answers] == [[[64.0 * value] * 3] for value in range(6)]
        assert server.get_stats()["total_batches"] == 1


async def test_a_request_that_fails_harms_no_other(tmp_path: Path) -> None:
    model = save_fragile(tmp_path / "sums.onnx")
    async with WorkerServer(model, device="CPU", port=0, batch_size=3, batch_timeout=30.0) as server:
        answers = await asyncio.gather(
            *(off(infer, server.address, images(value)) for value in (1, FATAL_PIXEL, 2)), return_exceptions=True
        )
    assert [isinstance(answer, InferenceServerException) for answer in answers] == [False, True, False]


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/v2/models/other/infer", b"{}", 404, "unknown model 'other'"),
        ("/v2/models/sums/versions/2/infer", b"{}", 404, "version '2'"),
        ("/v2/models/sums/infer", b"nonsense", 400, "no JSON"),
        ("/v2/models/sums/infer", b"x" * 100_001, 413, "the worker takes at most 100000 bytes (its --max-body-bytes)"),
        ("/v2/nowhere", b"", 404, ""),
    ],
)
async def test_refusals_are_the_protocols(tmp_path: Path, path: str, body: bytes, status: int, message: str) -> None:
    async with WorkerServer(
        save_fragile(tmp_path / "sums.onnx"), device="CPU", port=0, max_body_bytes=100_000
    ) as server:
        response = await off(requests.post, server.address + path, data=body, timeout=10)
    assert response.status_code == status
    assert message in response.json()["error"]


async def test_a_body_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    async with WorkerServer(
        save_fragile(tmp_path / "sums.onnx"), device="CPU", port=0, max_body_bytes=100_000
    ) as server:
        headers = {"Content-Encoding": "gzip"}
        response = await off(
            requests.post, f"{server.address}/v2/models/sums/infer", data=bomb, headers=headers, timeout=20
        )
    assert response.status_code in (400, 413)


async def test_a_full_queue_is_said_and_a_client_may_come_again(tmp_path: Path) -> None:
    model = save_fragile(tmp_path / "sums.onnx")
    patient: dict[str, Any] = {"batch_size": 64, "batch_timeout": 0.5, "max_queue_size": 1}
    async with WorkerServer(model, device="CPU", port=0, **patient) as server:
        first = asyncio.create_task(off(infer, server.address, images(1)))
        async with asyncio.timeout(30):
            while not server.get_stats()["total_inputs"]:  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0.001)
        body = json.dumps(
            {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 8, 8, 3], "data": [0] * 192}]}
        )
        response = await off(requests.post, f"{server.address}/v2/models/sums/infer", data=body, timeout=10)
        assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
        await first


async def test_what_can_never_fit_is_not_to_come_again(tmp_path: Path) -> None:
    model = save_fragile(tmp_path / "sums.onnx")
    async with WorkerServer(model, device="CPU", port=0, max_queue_bytes=300) as server:
        body = json.dumps(
            {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [2, 8, 8, 3], "data": [0] * 384}]}
        )
        response = await off(requests.post, f"{server.address}/v2/models/sums/infer", data=body, timeout=10)
    assert response.status_code == 413
    assert "the worker takes at most 300 bytes (its --max-queue-bytes)" in response.text
    assert "Retry-After" not in response.headers


async def test_no_page_of_a_browser_gets_in_and_no_other_name(worker: WorkerServer) -> None:
    url = f"{worker.address}/v2/models/sums"
    assert (await off(requests.get, url, headers={"Origin": "http://evil.example"}, timeout=10)).status_code == 403
    assert (await off(requests.get, url, headers={"Host": "rebound.evil.example"}, timeout=10)).status_code == 421
    port = worker.address.rpartition(":")[2]
    assert (await off(requests.get, url, headers={"Host": f"localhost:{port}"}, timeout=10)).status_code == 200


async def test_more_rows_than_a_request_may_have_are_refused(worker: WorkerServer) -> None:
    with pytest.raises(InferenceServerException, match="65 rows are more than 64 in a request"):
        await off(infer, worker.address, images(*[1] * 65))


async def test_a_broken_body_is_the_clients_fault(worker: WorkerServer) -> None:
    headers = {"Content-Encoding": "gzip"}
    url = f"{worker.address}/v2/models/sums/infer"
    response = await off(requests.post, url, data=b"no gzip at all", headers=headers, timeout=10)
    assert response.status_code == 400


async def test_bodies_that_do_not_come_hold_up_neither_others_nor_the_stop(tmp_path: Path) -> None:
    server = WorkerServer(save_fragile(tmp_path / "sums.onnx"), device="CPU", port=0)
    await server.start()
    port = int(server.address.rpartition(":")[2])
    head = b"POST /v2/models/sums/infer HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    writers = []
    for framing in (b"Transfer-Encoding: chunked\r\n\r\n1\r\n{", b"Content-Length: 60000000\r\n\r\n{"):
        for _ in range(5):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head + framing)
            await writer.drain()
            writers.append(writer)
    answer, _ = await off(infer, server.address, images(1))
    assert answer.tolist() == [[64.0] * 3]
    async with asyncio.timeout(10):
        await server.stop()
    for writer in writers:
        writer.close()


async def test_with_a_token_nobody_else_gets_in_but_for_health(tmp_path: Path) -> None:
    model = save_fragile(tmp_path / "sums.onnx")
    async with WorkerServer(model, device="CPU", port=0, token="secret") as server:
        with pytest.raises(InferenceServerException, match="wants its token"):
            await off(infer, server.address, images(1))
        answer, _ = await off(infer, server.address, images(1), headers={"Authorization": "Bearer secret"})
        assert answer.tolist() == [[64.0] * 3]
        assert await off(ask, server.address, "is_server_ready")


def test_off_loopback_a_token_that_can_be_guessed_is_refused() -> None:
    with pytest.raises(OptionsError, match="fewer than 16 characters") as caught:
        WorkerServer("model.onnx", device="CPU", host="0.0.0.0", token="hunter2")
    assert "hunter2" not in str(caught.value)
    WorkerServer("model.onnx", device="CPU", host="127.0.0.1", token="hunter2")


async def test_off_loopback_it_makes_a_token_and_says_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async with WorkerServer(save_fragile(tmp_path / "sums.onnx"), device="CPU", host="0.0.0.0", port=0) as server:
        assert server.token is not None
        assert server.token in capsys.readouterr().err
        assert server.token not in caplog.text, "logs are read by others"
        address = server.address.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(InferenceServerException, match="wants its token"):
            await off(infer, address, images(1))


async def test_a_stop_answers_what_was_taken_up(tmp_path: Path) -> None:
    model = save_fragile(tmp_path / "sums.onnx")
    server = WorkerServer(model, device="CPU", port=0, batch_size=64, batch_timeout=0.3)
    await server.start()
    asked = asyncio.create_task(off(infer, server.address, images(3)))
    async with asyncio.timeout(30):
        while not server.get_stats()["total_inputs"]:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.001)
    await server.stop()
    await server.stop()
    assert (await asked)[0].tolist() == [[192.0] * 3]


async def test_a_port_that_is_taken_and_a_model_that_is_not_there_are_one_line(
    worker: WorkerServer, tmp_path: Path
) -> None:
    port = int(worker.address.rpartition(":")[2])
    with pytest.raises(OptionsError, match=rf"127\.0\.0\.1:{port} cannot be listened at"):
        await WorkerServer(save_fragile(tmp_path / "b.onnx"), device="CPU", port=port).start()
    with pytest.raises(OptionsError, match="port is 99999"):
        WorkerServer("any.onnx", port=99999)
    with pytest.raises(ModelError, match="nowhere"):
        await WorkerServer("nowhere.onnx", device="CPU", port=0).start()
