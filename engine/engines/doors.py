"""Who may hold a connection to a worker, and for how long without asking anything or reading an answer."""

import asyncio
from contextlib import suppress
from typing import Any, Final

from aiohttp import web

#: A client that has connected and asked nothing yet; aiohttp itself waits for the first request for ever.
_FIRST_REQUEST_S: Final = 10.0
#: Nor does it mind who asks and never reads.
_ANSWER_S: Final = 30.0


class Doors:
    """Makes the protocols of a server's connections (for `create_server`), and bounds them."""

    def __init__(
        self, max_connections: int, first_request_s: float = _FIRST_REQUEST_S, answer_s: float = _ANSWER_S
    ) -> None:
        """Remember the bounds.

        Args:
            max_connections: At one time; a further one is closed at once.
            first_request_s: How long the head of the first request may take.
            answer_s: How long an answer may take to go.
        """
        self._answer_s = answer_s
        self._max_connections = max_connections
        self._first_request_s = first_request_s
        self._silent: set[object] = set()
        self._server: web.Server | None = None

    def lead_to(self, server: web.Server) -> None:
        """Say whose connections these are."""
        self._server = server

    def __call__(self) -> asyncio.BaseProtocol:
        """Make the protocol of one connection."""
        assert self._server is not None, "doors lead somewhere"
        if len(self._server.connections) >= self._max_connections:
            return _Shut()
        protocol = self._server()
        self._silent.add(protocol)
        asyncio.get_running_loop().call_later(self._first_request_s, self._look, protocol)
        return protocol

    @property
    def middleware(self) -> Any:
        """What tells this of requests, and sends all answers; the outermost of the server's."""

        @web.middleware
        async def knock(request: web.Request, handler: Any) -> web.StreamResponse:
            self._silent.discard(request.protocol)
            response: web.StreamResponse = await handler(request)
            with suppress(ConnectionError):  # the server sees by itself that it is lost
                await self.send(request, response)
            return response

        return knock

    async def send(self, request: web.Request, response: web.StreamResponse) -> None:
        """Write an answer, unless that is done; who does not read it loses the connection.

        Raises:
            ConnectionError: The connection is lost.
        """
        try:
            async with asyncio.timeout(self._answer_s):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError as exc:
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionError(f"nobody read the answer within {self._answer_s:g} s") from exc

    def _look(self, protocol: web.RequestHandler) -> None:
        if protocol in self._silent:
            self._silent.discard(protocol)
            protocol.force_close()


class _Shut(asyncio.Protocol):
    """A connection that is one too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()
