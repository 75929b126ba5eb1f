"""The routes of the Open Inference Protocol v2 over one engine.

Source: kserve/open-inference-protocol specification/protocol/inference_rest.md; triton-inference-server/server
docs/protocol/extension_binary_data.md and extension_statistics.md.
"""

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import ClientError, web
from aiohttp.http_exceptions import BadHttpMessage
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from engine.engines.async_batch import AsyncBatchInferenceEngine
from engine.engines.doors import Doors
from engine.engines.request import check_request
from engine.engines.v2 import (
    BINARY_TYPE,
    HEADER_LENGTH,
    JSON_TYPE,
    InferRequest,
    describe,
    json_length,
    read_request,
    write_response,
)
from engine.errors import DeviceLostError, EngineError, InferenceError, NotOpenError, QueueFullError, first_line
from engine.models.program import Tensors

log = logging.getLogger(__name__)

_VERSION: Final = "1"
_EXTENSIONS: Final = ["binary_tensor_data", "statistics"]
#: Asked by whoever watches, who knows no token; nothing private is in them.
_OPEN_TO_ALL: Final = ("/v2/health/live", "/v2/health/ready", "/metrics")
_RETRY_AFTER_S: Final = "1"
#: How long a body may take to come.
_BODY_S: Final = 30.0
_MAX_ERROR_CHARS: Final = 1000
_SHORT_JSON_BYTES: Final = 64 * 1024
_BATCHES_IN_A_REQUEST: Final = 16
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})


def make_application(
    engine: AsyncBatchInferenceEngine, model: str, token: str | None, max_body_bytes: int, doors: Doors
) -> web.Application:
    """Return a server of one model.

    Args:
        engine: What computes; it is started.
        model: What clients call the model.
        token: What clients have to know; None for nothing.
        max_body_bytes: Of a request, unpacked, at the most.
        doors: Told of each connection that asks something; they send the answers.
    """
    handlers = _Handlers(engine, model, max_body_bytes, doors)
    middlewares = [doors.middleware, _answering_errors, _guard(token)]
    application = web.Application(client_max_size=max_body_bytes, middlewares=middlewares)
    application.on_shutdown.append(handlers.drain)
    named = "/v2/models/{model}"
    for start in (named, f"{named}/versions/{{version}}"):  # first, as they are looked for in this order
        application.router.add_post(f"{start}/infer", handlers.infer)
    for path, handler in (
        ("/v2", handlers.server),
        ("/v2/health/live", handlers.live),
        ("/v2/health/ready", handlers.ready),
        ("/v2/models/stats", handlers.statistics),
        *((f"{start}", handlers.metadata) for start in (named, f"{named}/versions/{{version}}")),
        *((f"{start}/ready", handlers.model_ready) for start in (named, f"{named}/versions/{{version}}")),
        *((f"{start}/stats", handlers.statistics) for start in (named, f"{named}/versions/{{version}}")),
        ("/metrics", handlers.metrics),
    ):
        application.router.add_get(path, handler)
    return application


class _Handlers:
    """What is answered at each path."""

    def __init__(self, engine: AsyncBatchInferenceEngine, model: str, max_body_bytes: int, doors: Doors) -> None:
        self._doors = doors
        self._engine = engine
        self._model = model
        self._max_body_bytes = max_body_bytes
        self._max_rows = _BATCHES_IN_A_REQUEST * engine.batch_size
        self._is_draining = False
        self._last_inference_ms = 0
        self._held_bytes = 0
        self._reading: set[asyncio.Task[Any]] = set()
        self._one_at_a_time = asyncio.Lock()

    async def drain(self, _: web.Application) -> None:
        """Take nothing more up, and wait for no body that is still to come."""
        self._is_draining = True
        for task in self._reading:
            task.cancel()

    async def server(self, _: web.Request) -> web.Response:
        """Say who this is."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            own = version("aic-streamer")
        except PackageNotFoundError:
            own = "unknown"
        return web.json_response({"name": "streamer", "version": own, "extensions": _EXTENSIONS})

    async def live(self, _: web.Request) -> web.Response:
        """Say that this answers."""
        return web.json_response({"live": True})

    async def ready(self, _: web.Request) -> web.Response:
        """Say whether there is a device, and this goes on."""
        health = self._engine.health()
        is_ready = health.is_ready and not self._is_draining
        return web.json_response({"ready": is_ready}, status=200 if is_ready else 503)

    async def model_ready(self, request: web.Request) -> web.Response:
        """Say the same of the model."""
        self._demand_model(request)
        return await self.ready(request)

    async def metadata(self, request: web.Request) -> web.Response:
        """Describe the model."""
        self._demand_model(request)
        program = self._engine.program
        return web.json_response(
            {
                "name": self._model,
                "versions": [_VERSION],
                "platform": f"streamer_{self._engine.backend_name}",
                "inputs": [describe(spec) for spec in program.inputs],
                "outputs": [describe(spec) for spec in program.outputs],
            }
        )

    async def statistics(self, request: web.Request) -> web.Response:
        """Give what was counted, as Triton does; times in ns."""
        if "model" in request.match_info:
            self._demand_model(request)
        stats = self._engine.get_stats()
        answered = stats["total_outputs"] - stats["failed_inputs"]
        latency_ns = round(stats["avg_latency"] * 1e6 * answered)
        waiting_ns = round(max(stats["avg_waiting"], 0.0) * 1e6 * answered)
        nothing = {"count": 0, "ns": 0}
        model = {
            "name": self._model,
            "version": _VERSION,
            "last_inference": self._last_inference_ms,
            "inference_count": stats["computed_rows"],
            "execution_count": stats["computed_batches"],
            "inference_stats": {
                "success": {"count": answered, "ns": latency_ns},
                "fail": {"count": stats["failed_inputs"], "ns": 0},
                "queue": {"count": answered, "ns": waiting_ns},
                "compute_input": nothing,
                "compute_infer": {"count": answered, "ns": latency_ns - waiting_ns},
                "compute_output": nothing,
                "cache_hit": nothing,
                "cache_miss": nothing,
            },
            "batch_stats": [],
        }
        return web.json_response({"model_stats": [model]})

    async def infer(self, request: web.Request) -> web.Response:
        """Compute."""
        self._demand_model(request)
        if self._is_draining:
            raise NotOpenError("the worker stops: ask another one")
        with self._held() as held:
            body = await self._body(request, held)
            wanted = await self._read(body, request.headers.get(HEADER_LENGTH))
            self._check_size(wanted.inputs)
            check_request(self._engine.program, wanted.inputs)
            outputs = await self._engine.infer(wanted.inputs)
            self._last_inference_ms = time.time_ns() // 1_000_000
            answer, length = write_response(self._model, wanted, outputs)
            held(len(answer))
            kind, headers = (JSON_TYPE, {}) if length is None else (BINARY_TYPE, {HEADER_LENGTH: str(length)})
            response = web.Response(body=answer, content_type=kind, headers=headers)
            await self._doors.send(request, response)  # here, so that it is held against the bound meanwhile
        return response

    async def metrics(self, _: web.Request) -> web.Response:
        """Give Prometheus what was counted."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Metrics(self._model, self._engine.get_stats()))
        return web.Response(body=generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    @contextmanager
    def _held(self) -> Iterator[Callable[[int], None]]:
        """Give a function that counts bytes of a request against the bound of all; they are free at the end."""
        bound = 2 * max(self._engine.options.max_queue_bytes, self._max_body_bytes)
        own = 0

        def hold(size: int) -> None:
            nonlocal own
            if self._held_bytes + size > bound:
                raise QueueFullError(f"{self._held_bytes} bytes of requests and answers are held, {bound} may be")
            self._held_bytes += size
            own += size

        try:
            yield hold
        finally:
            self._held_bytes -= own

    async def _body(self, request: web.Request, held: Callable[[int], None]) -> bytes:
        """Read a body, unpacked, as it comes and in time."""
        if (request.content_length or 0) > self._max_body_bytes:
            raise _too_large(self._max_body_bytes, request.content_length or 0, "--max-body-bytes")
        body, task = bytearray(), asyncio.current_task()
        assert task is not None
        self._reading.add(task)
        try:
            async with asyncio.timeout(_BODY_S):
                async for chunk in request.content.iter_any():
                    held(len(chunk))
                    body += chunk
                    if len(body) > self._max_body_bytes:
                        raise _too_large(self._max_body_bytes, len(body), "--max-body-bytes")
        except TimeoutError as exc:
            raise web.HTTPRequestTimeout(text=f"the body did not come within {_BODY_S:g} s") from exc
        except (ClientError, web.RequestPayloadError, BadHttpMessage) as exc:
            raise web.HTTPBadRequest(text=f"the body is broken: {str(exc)[:100]}") from exc
        finally:
            self._reading.discard(task)
        return bytes(body)

    async def _read(self, body: bytes, header_length: str | None) -> InferRequest:
        """Read a request; one with long JSON on a thread, one at a time."""
        if json_length(len(body), header_length) < _SHORT_JSON_BYTES:
            return read_request(body, header_length)
        async with self._one_at_a_time:
            return await asyncio.to_thread(read_request, body, header_length)

    def _check_size(self, inputs: Tensors) -> None:
        """Refuse what can never fit."""
        size, most = sum(value.nbytes for value in inputs.values()), self._engine.options.max_queue_bytes
        if size > most:
            raise _too_large(most, size, "--max-queue-bytes")
        rows, most = max((len(value) for value in inputs.values() if value.ndim), default=0), self._max_rows
        if rows > most:
            raise web.HTTPRequestEntityTooLarge(most, rows, text=f"{rows} rows are more than {most} in a request")

    def _demand_model(self, request: web.Request) -> None:
        name, version = request.match_info["model"], request.match_info.get("version", _VERSION)
        if name != self._model or version != _VERSION:
            text = f"unknown model {name[:100]!r}, version {version[:20]!r}: there is {self._model}, version {_VERSION}"
            raise web.HTTPNotFound(text=text)


class _Metrics:
    """The engine's counts for Prometheus."""

    def __init__(self, model: str, stats: dict[str, Any]) -> None:
        self._model = model
        self._stats = stats

    def collect(self) -> list[Any]:
        """Give them."""
        stats, families = self._stats, list[Any]()
        for name, key, text in (
            ("streamer_worker_inputs", "total_inputs", "inputs that were taken up"),
            ("streamer_worker_outputs", "total_outputs", "inputs that were answered, also with an error"),
            ("streamer_worker_failed_inputs", "failed_inputs", "inputs that were answered with an error"),
            ("streamer_worker_batches", "computed_batches", "batches that were computed"),
            ("streamer_worker_rows", "computed_rows", "rows that were computed"),
        ):
            counter = CounterMetricFamily(name, text, labels=["model"])
            counter.add_metric([self._model], stats[key])
            families.append(counter)
        for name, value, text in (
            ("streamer_worker_queue_inputs", stats["queue"]["inputs"], "inputs that are not answered yet"),
            ("streamer_worker_queue_bytes", stats["queue"]["bytes"], "and their bytes"),
            (
                "streamer_worker_inference_seconds",
                stats["avg_inference_time"] / 1e3,
                "what a batch takes, mean since the start",
            ),
        ):
            gauge = GaugeMetricFamily(name, text, labels=["model"])
            gauge.add_metric([self._model], value)
            families.append(gauge)
        return families


def _too_large(most: int, size: int, flag: str) -> web.HTTPRequestEntityTooLarge:
    return web.HTTPRequestEntityTooLarge(most, size, text=f"the worker takes at most {most} bytes (its {flag})")


def _guard(token: str | None) -> Any:
    expected = None if token is None else f"Bearer {token}".encode()

    @web.middleware
    async def guard(request: web.Request, handler: Any) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode("utf-8", "surrogateescape")
        if expected is None:
            # No page of a browser's has any business here, under whatever name it reached this machine.
            if (request.url.host or "") not in _LOOPBACK:
                raise web.HTTPMisdirectedRequest(text="this worker is for this machine: call it 127.0.0.1 or localhost")
            if "Origin" in request.headers:
                raise web.HTTPForbidden(text="this worker is not for pages of a browser")
        elif request.path not in _OPEN_TO_ALL and not hmac.compare_digest(given, expected):
            raise web.HTTPUnauthorized(text="this worker wants its token: Authorization: Bearer TOKEN")
        response: web.StreamResponse = await handler(request)
        return response

    return guard


@web.middleware
async def _answering_errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer errors as the protocol has them."""
    headers: dict[str, str] = {}
    try:
        response: web.StreamResponse = await handler(request)
    except web.HTTPException as exc:
        status, text = exc.status, exc.text or exc.reason
    except (QueueFullError, NotOpenError, DeviceLostError) as exc:
        status, text, headers = 503, str(exc), {"Retry-After": _RETRY_AFTER_S}
    except InferenceError as exc:
        status, text = 400, str(exc)
    except EngineError as exc:
        status, text = 500, str(exc)
    except ConnectionError as exc:
        log.info("a client left before it had its answer: %s", first_line(exc))
        status, text = 400, "the connection is lost"
    except Exception as exc:
        # Its cause stands in the line, too: logs have tracebacks only where they are asked for.
        log.exception("a request failed: %s: %s", type(exc).__name__, first_line(exc))  # noqa: TRY401
        status, text = 500, "an error of the worker's own; its log says more"
    else:
        return response
    # What a client sent stands in it, and is not to come back in full.
    body = json.dumps({"error": text[:_MAX_ERROR_CHARS]})
    return web.Response(status=status, text=body, content_type=JSON_TYPE, headers=headers)
