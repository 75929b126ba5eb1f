"""A worker on another machine, or anybody's server of the Open Inference Protocol v2."""

import asyncio
import json
import logging
import math
import os
import time
from collections.abc import Iterable
from typing import Any, Final

from engine.backends.software import extra, require
from engine.engines.breaker import Breaker
from engine.engines.place import Computed, Place
from engine.engines.v2 import BINARY_TYPE, HEADER_LENGTH, read_response, write_request
from engine.errors import InferenceError, WorkerError
from engine.models.program import Program, Tensors, TensorSpec

log = logging.getLogger(__name__)

_MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
#: What may stand around the tensors of an answer.
_HEADER_BYTES: Final = 64 * 1024
_CHUNK_BYTES: Final = 1024 * 1024
_MAX_REASON: Final = 200
_OK: Final = 200
#: Answers that lay the blame on the inputs; with any other one, another worker may do better.
_INPUTS_FAULT: Final = frozenset({400, 413, 422})


class RemotePlace(Place):
    """Sends batches to a worker, `slots` at a time; it knows whether that answers at present."""

    def __init__(self, url: str, model: str, token: str | None, slots: int, timeout_s: float) -> None:
        """Remember where it is; nothing is asked yet.

        Args:
            url: `http://HOST:PORT`.
            model: What the worker calls the model.
            token: What it wants to be told; None for nothing.
            slots: Batches that it is sent at a time.
            timeout_s: How long one may take.
        """
        self.url = url.rstrip("/")
        self.breaker = Breaker()
        self._problem = ""
        self._model = model
        # A packed answer could unpack to anything.
        self._headers = {"Accept-Encoding": "identity"} | (
            {} if token is None else {"Authorization": f"Bearer {token}"}
        )
        self._outputs: dict[str, TensorSpec] | None = None
        self._row_bytes: int | None = None
        self._slots = slots
        self._timeout_s = timeout_s
        self._client: Any = None
        self._watch: asyncio.Task[None] | None = None
        self._has_failed = asyncio.Event()

    @property
    def problem(self) -> str:
        """Why it gets no work, in one line; "" where it does."""
        return self._problem

    @property
    def slots(self) -> int:
        """How many batches it is sent at a time; none while it does not answer."""
        return 0 if self.breaker.is_open else self._slots

    async def open(self) -> None:
        """Ask whether it is ready; where it is not, it is looked at again now and then."""
        aiohttp = require("aiohttp", "distributed", extra("distributed"), kind="engine")
        self._client = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=self._timeout_s, connect=min(self._timeout_s, 5.0)),
            connector=aiohttp.TCPConnector(limit=0),
            headers=self._headers,
            auto_decompress=False,
        )
        await self._look()
        self._watch = asyncio.create_task(self._look_again(), name=f"watch {self.url}")

    async def compute(self, inputs: Tensors, rows: int) -> Computed:
        """Send a batch.

        Raises:
            WorkerError: The worker is at fault: another one may do it.
            InferenceError: The worker refused the inputs.
        """
        body, length = write_request(inputs)
        headers = {HEADER_LENGTH: str(length), "Content-Type": BINARY_TYPE}
        try:
            status, answer, header_length = await self._ask(
                "POST", f"/v2/models/{self._model}/infer", self._most_bytes(rows), body, headers
            )
            if status != _OK and status not in _INPUTS_FAULT:
                raise WorkerError(f"worker {self.url} answered {status}: {_reason(answer)}")
            outputs = self._read(answer, header_length, rows) if status == _OK else {}
        except WorkerError as exc:
            self._failed(str(exc), has_answered=not exc.is_silent)
            raise
        if status != _OK:
            raise InferenceError(f"worker {self.url} answered {status}: {_reason(answer)}")
        self.breaker.succeeded()
        return Computed(outputs, is_remote=True)

    def blame(self, error: InferenceError) -> None:
        """Note that it refused what this machine could compute."""
        reason = str(error).removeprefix(f"worker {self.url} answered ")
        self._failed(f"worker {self.url} refuses what this machine can compute: {reason}", has_answered=True)

    async def close(self) -> None:
        """Let go of the connections."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])
        if self._client is not None:
            await self._client.close()

    def expect(self, program: Program | None) -> None:
        """Take what answers have to look like: as those of this machine."""
        self._outputs = None if program is None else {spec.name: spec for spec in program.outputs}
        self._row_bytes = _row_bytes(self._outputs.values()) if self._outputs else None

    def _read(self, answer: bytes, header_length: str | None, rows: int) -> Tensors:
        try:
            outputs = read_response(answer, header_length)
        except InferenceError as exc:
            raise WorkerError(f"worker {self.url} does not speak the protocol: {exc}") from exc
        if self._outputs is not None and outputs.keys() != self._outputs.keys():
            raise WorkerError(f"worker {self.url} has other outputs than {', '.join(self._outputs)}: another model?")
        for name, output in outputs.items():
            spec = self._outputs[name] if self._outputs is not None else None
            fits = output.ndim > 0 and len(output) == rows
            if spec is not None:
                fits = fits and output.dtype == spec.dtype
                fits = fits and (not spec.shape or _fits(output.shape[1:], spec.shape[1:]))
            if not fits:
                raise WorkerError(
                    f"worker {self.url}: output {name} is {output.dtype}{list(output.shape)} for {rows} rows"
                )
        return outputs

    def _most_bytes(self, rows: int) -> int:
        """Return how large an answer may be."""
        if self._row_bytes is None:
            return _MAX_ANSWER_BYTES
        return min(rows * self._row_bytes + _HEADER_BYTES, _MAX_ANSWER_BYTES)

    async def _ask(
        self, method: str, path: str, most_bytes: int, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, bytes, str | None]:
        import aiohttp

        try:
            async with self._client.request(
                method, self.url + path, data=body, headers=headers, allow_redirects=False
            ) as response:
                answer = bytearray()
                async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                    answer += chunk
                    if len(answer) > most_bytes:
                        raise WorkerError(f"worker {self.url} answered more than {most_bytes} bytes")
                return response.status, bytes(answer), response.headers.get(HEADER_LENGTH)
        except TimeoutError as exc:
            text = f"worker {self.url} did not answer within {self._timeout_s:g} s"
            raise WorkerError(text, is_silent=True) from exc
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise WorkerError(f"worker {self.url} does not answer: {_why(exc)}", is_silent=True) from exc

    async def _look(self) -> None:
        """Ask whether it is ready for the model."""
        try:
            status, answer, _ = await self._ask("GET", f"/v2/models/{self._model}/ready", _HEADER_BYTES)
            if status != _OK:
                raise WorkerError(f"worker {self.url} is not ready for {self._model}: {status} {_reason(answer)}")
        except WorkerError as exc:
            self.breaker.look_failed(time.monotonic())
            self._note(str(exc))
        else:
            self.breaker.look_succeeded()
            self._note("")

    def _failed(self, problem: str, *, has_answered: bool) -> None:
        """Note that a batch failed by the worker's fault."""
        self.breaker.failed(time.monotonic(), has_answered=has_answered)
        if self.breaker.is_open:
            self._note(problem)
            self._has_failed.set()

    def _note(self, problem: str) -> None:
        """Say once that it gets no work, and once that it does again."""
        if problem and not self._problem:
            log.warning("%s: it gets no work until it is", problem)
        elif self._problem and not problem:
            log.info("worker %s is back", self.url)
        self._problem = problem

    async def _look_again(self) -> None:
        while True:
            wait_s = self.breaker.look_in_s(time.monotonic())
            if wait_s is None:
                self._has_failed.clear()
                await self._has_failed.wait()
                continue
            await asyncio.sleep(wait_s)
            await self._look()


def _row_bytes(outputs: Iterable[TensorSpec]) -> int | None:
    """Return the bytes of one row of all outputs; None where the program does not say."""
    size = 0
    for spec in outputs:
        if not spec.shape or None in spec.shape[1:]:
            return None
        size += math.prod(each or 1 for each in spec.shape[1:]) * spec.dtype.itemsize
    return size


def _fits(shape: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(shape) == len(wanted) and all(b in (None, a) for a, b in zip(shape, wanted, strict=True))


def _reason(answer: bytes) -> str:
    """Return what an answer says is wrong: its `error`, or the first line of whatever else it is."""
    answer = answer[:_HEADER_BYTES]
    try:
        text = str(json.loads(answer)["error"])
    except (ValueError, RecursionError, LookupError, TypeError):
        text = answer.decode("utf-8", "replace")
    line = next((line.strip() for line in text.splitlines() if line.strip()), "nothing")
    line = "".join(character if character.isprintable() else "?" for character in line)
    return line if len(line) <= _MAX_REASON else f"{line[: _MAX_REASON - 1]}…"


def _why(exc: Exception) -> str:
    """Return in words what broke a connection."""
    import aiohttp

    if isinstance(exc, aiohttp.ClientSSLError):
        return "its certificate, or TLS itself, does not hold"
    cause = exc.os_error if isinstance(exc, aiohttp.ClientConnectorError) else exc
    if isinstance(cause, OSError) and cause.errno is not None:
        is_name = isinstance(exc, aiohttp.ClientConnectorDNSError)
        return "its name is not known" if is_name else os.strerror(cause.errno).lower()
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "it ended the connection"
    return "its answer broke off" if isinstance(exc, aiohttp.ClientPayloadError) else "it speaks no HTTP"
