"""A server that computes for others, over the Open Inference Protocol v2."""

import asyncio
import os
import secrets
import sys
from dataclasses import dataclass, fields
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self

from engine.backends.software import extra, require
from engine.engines.async_batch import AsyncBatchInferenceEngine
from engine.errors import NotOpenError, OptionsError
from engine.exposure import MIN_TOKEN_CHARS, is_loopback

TOKEN_VARIABLE: Final = "STREAMER_WORKER_TOKEN"  # noqa: S105 - the name of a variable
_MIB: Final = 1024 * 1024
_LAST_PORT: Final = 65535
_BACKLOG: Final = 128
#: How long requests that are under way may take when the worker stops.
_DRAIN_S: Final = 60.0
#: A connection that asks nothing more for so long is closed: others may want its place.
_IDLE_S: Final = 75.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """Where a worker listens, and what it takes.

    Attributes:
        host: Its address; one that other machines reach needs a token.
        port: Its port; 0 takes a free one.
        token: What clients have to know (`Authorization: Bearer …`); None for `STREAMER_WORKER_TOKEN`, and off loopback
            for one that is made and printed to standard error.
        max_body_bytes: Of a request, unpacked, at the most.
        max_connections: At one time; a further one is closed at once.
        model_name: What clients call the model; None for its file's name without suffix.
    """

    host: str = "127.0.0.1"
    port: int = 8070
    token: str | None = None
    max_body_bytes: int = 64 * _MIB
    max_connections: int = 256
    model_name: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be.

        Raises:
            OptionsError: A value is out of its range.
        """
        if not 0 <= self.port <= _LAST_PORT:
            raise OptionsError(f"port is {self.port}: give 0 to {_LAST_PORT}")
        for name in ("max_body_bytes", "max_connections"):
            if getattr(self, name) < 1:
                raise OptionsError(f"{name} is {getattr(self, name)}: give a number above 0")


_NAMES: Final = tuple(each.name for each in fields(WorkerOptions))


class WorkerServer:
    """Serves one model to clients of KServe's and Triton's protocol, in batches across all of them.

        server = WorkerServer("mobilenet_v2.onnx", port=8070)
        await server.start()
        ...
        await server.stop()

    It takes over no signals, and stops only when told to: what it has taken up is answered first.
    """

    def __init__(
        self, model_path: str | PathLike[str], *, options: WorkerOptions | None = None, **keywords: Any
    ) -> None:
        """Remember what is wanted; `start` loads the model.

        Args:
            model_path: As of `AsyncBatchInferenceEngine`.
            options: Where to listen; or its fields, as keywords.
            **keywords: Those of `WorkerOptions` and of `AsyncBatchInferenceEngine`.

        Raises:
            OptionsError: A value is out of its range, or the token can be guessed by the machines that reach it.
        """
        own = {name: keywords.pop(name) for name in _NAMES if name in keywords}
        if own and options is not None:
            raise OptionsError(f"give options, or {', '.join(own)}, not both")
        self.options = options or WorkerOptions(**own)
        # A client that finds no room is told so; it has others to ask, or waits by itself.
        self._engine = AsyncBatchInferenceEngine(model_path, **{"when_full": "raise"} | keywords)
        self.model_name = self.options.model_name or Path(model_path).stem
        self.token = self.options.token or os.environ.get(TOKEN_VARIABLE) or None
        if self.token and len(self.token) < MIN_TOKEN_CHARS and not is_loopback(self.options.host):
            raise OptionsError(
                f"other machines reach {self.options.host}, and the token has fewer than {MIN_TOKEN_CHARS} characters: "
                f"give a longer one with token=, {TOKEN_VARIABLE} or a file, or none for one that is made"
            )
        self._runner: Any = None
        self._listener: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where it listens, `http://HOST:PORT`."""
        if self._listener is None:
            raise NotOpenError("the worker is not started, or stopped already")
        host, port = self._listener.sockets[0].getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def get_stats(self) -> dict[str, Any]:
        """Return what the engine counts; see `AsyncBatchInferenceEngine.get_stats`."""
        return self._engine.get_stats()

    def why_not_ready(self) -> str:
        """Return why it cannot be given work, in one line; "" where it can."""
        if self._listener is None:
            return "it does not listen"
        health = self._engine.health()
        return "" if health.is_ready else health.detail

    async def start(self) -> None:
        """Load the model and listen.

        Raises:
            EngineError: The model, the back end or the device cannot be used.
            OptionsError: The address cannot be listened at.
        """
        web = require("aiohttp.web", "worker", extra("distributed"), kind="engine")
        from engine.engines.doors import Doors  # they need aiohttp
        from engine.engines.v2_server import make_application

        is_made = self.token is None and not is_loopback(self.options.host)
        if is_made:
            self.token = secrets.token_urlsafe(24)
        await self._engine.start()
        doors = Doors(self.options.max_connections)
        application = make_application(self._engine, self.model_name, self.token, self.options.max_body_bytes, doors)
        runner = web.AppRunner(
            application,
            handle_signals=False,
            access_log=None,
            shutdown_timeout=_DRAIN_S,
            keepalive_timeout=_IDLE_S,
        )
        try:
            await runner.setup()
            doors.lead_to(runner.server)
            loop = asyncio.get_running_loop()
            listener = await loop.create_server(doors, self.options.host, self.options.port, backlog=_BACKLOG)
        except BaseException as exc:
            await runner.cleanup()
            await self._engine.stop()
            if not isinstance(exc, OSError):
                raise
            where = f"{self.options.host}:{self.options.port}"
            raise OptionsError(f"{where} cannot be listened at: {exc.strerror or exc}: give another port") from exc
        self._runner, self._listener = runner, listener
        if is_made:
            # Not into the log, which others may read.
            print(  # noqa: T201 - whoever starts it has to know it
                f"other machines reach {self.address}: clients need {TOKEN_VARIABLE}={self.token}", file=sys.stderr
            )

    async def stop(self) -> None:
        """Take nothing more up, answer what was, and let the device go. Twice is harmless."""
        runner, self._runner = self._runner, None
        listener, self._listener = self._listener, None
        if runner is not None and listener is not None:
            listener.close()
            await runner.cleanup()
        await self._engine.stop()

    async def __aenter__(self) -> Self:
        """Start, for an `async with` block."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()
