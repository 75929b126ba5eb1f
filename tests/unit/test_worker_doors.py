"""Connections to a worker: how many, and for how long without a question."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from aiohttp import web

from engine.engines.doors import Doors

pytestmark = pytest.mark.anyio
ASK = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server that lets two in, and waits for a second."""
    doors = Doors(2, first_request_s=1.0, answer_s=1.0)
    application = web.Application(middlewares=[doors.middleware])
    application.router.add_get("/", answer)
    application.router.add_get("/long", answer_at_length)
    runner = web.AppRunner(application)
    await runner.setup()
    assert runner.server is not None
    doors.lead_to(runner.server)
    listener = await asyncio.get_running_loop().create_server(doors, "127.0.0.1", 0)
    yield listener.sockets[0].getsockname()[1]
    listener.close()
    await runner.cleanup()


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="here")


async def answer_at_length(_: web.Request) -> web.Response:
    return web.Response(body=bytes(32 * 1024 * 1024))


async def ask(connection: Connection, request: bytes = ASK) -> bytes:
    """Return an answer up to its end, or b"" where there is none."""
    reader, writer = connection
    writer.write(request)
    try:
        async with asyncio.timeout(10):
            return await reader.readuntil(b"here")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""


async def test_who_asks_stays_and_who_asks_nothing_is_shown_out(port: int) -> None:
    asking = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(asking)
    silent = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(silent, b"GET / HTTP/1.1\r\nHost: ") == b"", "the rest of its head never comes"
    assert await ask(asking), "longer than the time for the first request"
    for _, writer in (asking, silent):
        writer.close()


async def test_one_too_many_is_closed_at_once_and_let_in_when_there_is_room(port: int) -> None:
    inside = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    for connection in inside:
        assert await ask(connection)
    third = await asyncio.open_connection("127.0.0.1", port)
    assert await ask(third) == b""
    for _, writer in (*inside, third):
        writer.close()
    await get_in(port)


async def test_who_does_not_read_an_answer_makes_room_for_others(port: int) -> None:
    deaf = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    for reader, writer in deaf:
        writer.write(ASK.replace(b"/ ", b"/long "))
        with suppress(ConnectionResetError):  # it is shown out already
            assert await reader.read(1)
    await get_in(port)
    for _, writer in deaf:
        writer.transport.abort()


async def get_in(port: int) -> None:
    """Try until there is room."""
    async with asyncio.timeout(10):
        while True:
            later = await asyncio.open_connection("127.0.0.1", port)
            is_inside = await ask(later)
            later[1].close()
            if is_inside:
                break
