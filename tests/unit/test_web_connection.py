"""One connection to the server of the pages: how long it is waited for, and how many one address may have."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from typing import Any

import pytest
import uvicorn
from websockets.sync.client import connect

from streamer.web.connection import MAX_CONNECTIONS, MAX_OF_ONE_ADDRESS, BoundedConnection, be_patient
from tests.fakes.waiting import DEADLINE_S, wait_until

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Hasty(BoundedConnection):
    """One that is not waited for as long."""

    request_s = 0.3


class App:
    """Reads a request, answers it when told to, and repeats what a WebSocket says."""

    def __init__(self) -> None:
        self.may_answer = Event()
        self.may_answer.set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": (await receive())["text"]})
            return
        while (await receive()).get("more_body"):
            pass
        await asyncio.to_thread(self.may_answer.wait, DEADLINE_S)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


@contextmanager
def serving(app: App, protocol: type[BoundedConnection]) -> Iterator[int]:
    """Serve on a free port, and give that."""
    with socket.create_server(("127.0.0.1", 0), backlog=2 * MAX_CONNECTIONS) as listening:
        config = uvicorn.Config(app, http=protocol, lifespan="off", log_config=None, log_level="error")
        server = uvicorn.Server(config)
        thread = Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            wait_until(lambda: server.started, "it serves")
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(DEADLINE_S)


def is_closed(client: socket.socket) -> bool:
    """Tell whether the other side has closed, within the deadline."""
    client.settimeout(DEADLINE_S)
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.mark.parametrize(
    "said",
    [b"", b"GET / HTT", HEAD, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"],
    ids=["nothing", "half a line", "half a head", "half a body"],
)
def test_a_request_that_does_not_come_is_not_waited_for(said: bytes) -> None:
    with serving(App(), Hasty) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(said)
        assert is_closed(client)


def test_nor_is_one_that_comes_after_another() -> None:
    with serving(App(), Hasty) as port, socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client:
        client.sendall(HEAD + b"\r\n")
        answer = client.recv(1000)
        while not answer.endswith(b"ok"):
            answer += client.recv(1000)
        client.sendall(HEAD)
        assert is_closed(client)


class PatientApp(App):
    """Waits for the rest of each request as long as some of it comes."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        be_patient(scope)
        await super().__call__(scope, receive, send)


class LessHasty(BoundedConnection):
    """One that is waited for twenty times as long as the pieces of a file are apart here."""

    request_s = 1.0


def test_a_file_may_come_for_longer_where_a_route_says_so_and_no_silence() -> None:
    head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 30\r\n\r\n"
    with serving(PatientApp(), LessHasty) as port, ExitStack() as stack:
        whole, half = (stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S)) for _ in range(2))
        half.sendall(head + b"half")
        whole.sendall(head)
        pause = Event()
        for _ in range(30):
            whole.sendall(b".")
            pause.wait(0.05)
        assert whole.recv(1000).startswith(b"HTTP/1.1 200")
        assert is_closed(half)


def test_the_request_after_a_file_has_the_usual_time() -> None:
    with serving(PatientApp(), Hasty) as port, socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client:
        client.sendall(HEAD + b"\r\n")
        answer = client.recv(1000)
        while not answer.endswith(b"ok"):
            answer += client.recv(1000)
        client.sendall(HEAD)
        assert is_closed(client)


def test_an_answer_may_take_its_time() -> None:
    app = App()
    app.may_answer.clear()
    with serving(app, Hasty) as port, ExitStack() as stack:
        waits, says_nothing = (
            stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S)) for _ in range(2)
        )
        waits.sendall(HEAD + b"\r\n")
        assert is_closed(says_nothing)  # the time is over for both
        says_nothing.close()
        later = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S))
        assert is_closed(later)
        app.may_answer.set()
        assert waits.recv(1000).startswith(b"HTTP/1.1 200")


def test_a_websocket_may_be_silent() -> None:
    with (
        serving(App(), Hasty) as port,
        connect(f"ws://127.0.0.1:{port}/") as client,
        socket.create_connection(("127.0.0.1", port)) as later,
    ):
        assert is_closed(later)
        client.send("still here")
        assert client.recv(DEADLINE_S) == "still here"


def test_one_address_leaves_room_for_others() -> None:
    assert MAX_OF_ONE_ADDRESS < MAX_CONNECTIONS
    app = App()
    with serving(app, BoundedConnection) as port, ExitStack() as stack:
        clients = [
            stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S))
            for _ in range(MAX_OF_ONE_ADDRESS + 1)
        ]
        assert is_closed(clients.pop())
        neighbour = stack.enter_context(socket.create_connection(("127.0.0.1", port), DEADLINE_S, ("127.0.0.2", 0)))
        neighbour.sendall(HEAD + b"\r\n")
        assert neighbour.recv(1000).startswith(b"HTTP/1.1 200")
        clients[0].sendall(HEAD + b"\r\n")
        assert clients[0].recv(1000).startswith(b"HTTP/1.1 200")
