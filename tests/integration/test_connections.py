"""Peers that are no Kafka: how long they are waited for, and what is left of the client."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import pytest

from messaging.errors import BrokerRefusedError, BrokerUnavailableError
from messaging.kafka import Kafka
from messaging.security import Security, Tls

#: Less than kafka-python tries for; so a refusal that repeats itself has ended the attempts.
_AT_ONCE_S = 4.0
#: As long as it tries for, and some more.
_GIVEN_UP_S = 9.0
_TLS = Security(tls=Tls())
_CLIENTS: dict[str, Callable[[Kafka], Any]] = {
    "admin": Kafka.admin,
    "consumer": Kafka.consumer,
    "producer": lambda cluster: cluster.producer(linger_ms=0),
}


@contextmanager
def peer(greet: Callable[[socket.socket], None]) -> Iterator[str]:
    """Listen, and do something with each connection; all are closed at the end."""
    done = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.05)

        def serve() -> None:
            connections = []
            while not done.is_set():
                try:
                    connection, _ = server.accept()
                except TimeoutError:
                    continue
                connections.append(connection)
                greet(connection)
            for connection in connections:
                connection.close()

        thread = Thread(target=serve, name="peer")
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def keep_silent(_: socket.socket) -> None:
    """Say nothing, and keep the connection."""


def hang_up(connection: socket.socket) -> None:
    connection.recv(1)
    connection.close()


def answer_and_hang_up(connection: socket.socket) -> None:
    """Say it all at once: the end is there before the answer is read."""
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    connection.shutdown(socket.SHUT_WR)


def answer_as_a_web_server(connection: socket.socket) -> None:
    connection.recv(1)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def kafka_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("kafka")]


@pytest.mark.parametrize("client", _CLIENTS)
@pytest.mark.parametrize(
    ("greet", "security", "says"),
    [
        (hang_up, _TLS, "nobody speaks TLS at"),
        (answer_as_a_web_server, _TLS, "nobody speaks TLS at"),
        (answer_as_a_web_server, Security(), "is no Kafka, or wants TLS"),
        (answer_and_hang_up, Security(), "is no Kafka, or wants TLS"),
    ],
    ids=["hangs up", "web server, TLS", "web server", "web server that hangs up"],
)
def test_what_is_no_kafka_is_known_at_once(
    greet: Callable[[socket.socket], None], security: Security, says: str, client: str
) -> None:
    before = kafka_threads()
    with peer(greet) as address:
        began_s = time.monotonic()
        with pytest.raises(BrokerRefusedError, match=says) as caught:
            _CLIENTS[client](Kafka(address, security=security))
    assert time.monotonic() - began_s < _AT_ONCE_S
    assert address in str(caught.value)
    assert str(caught.value).endswith("check the port, or --security-protocol")
    assert kafka_threads() == before


@pytest.mark.parametrize("security", [Security(), _TLS], ids=["plain", "TLS"])
def test_a_peer_that_keeps_silent_is_given_up(security: Security) -> None:
    before = kafka_threads()
    with peer(keep_silent) as address:
        began_s = time.monotonic()
        with pytest.raises(BrokerUnavailableError, match=f"no Kafka broker answers at {address}"):
            Kafka(address, security=security, answer_timeout_s=0.0).admin()
    assert time.monotonic() - began_s < _GIVEN_UP_S
    assert kafka_threads() == before


def test_a_port_where_nobody_listens_is_given_up_early() -> None:
    began_s = time.monotonic()
    with pytest.raises(BrokerUnavailableError):
        Kafka("127.0.0.1:1").admin()
    assert time.monotonic() - began_s < _GIVEN_UP_S


def test_a_plain_listener_that_hangs_up_may_only_be_starting() -> None:
    began_s = time.monotonic()
    with peer(hang_up) as address, pytest.raises(BrokerRefusedError, match="before it answers: it may want TLS or a"):
        Kafka(address).admin()
    assert time.monotonic() - began_s > _AT_ONCE_S
