"""kafka-python's connections, with what it keeps to itself: why they fail.

Its clients try for as long as they may and then say that nobody answered. A wrong password does not become right by
then, so while a client starts, a refusal that would only repeat itself ends the attempts.
"""

import logging
import ssl
from dataclasses import replace
from functools import partial
from typing import Any

import kafka.errors
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import create_connection
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.net.transport import KafkaSSLTransport, KafkaTCPTransport

from messaging.errors import BrokerRefusedError
from messaging.refusals import Refusal, refusal

log = logging.getLogger(__name__)

#: A broker that restarts behind a proxy may break a handshake off; a listener without TLS always does.
_BROKEN_HANDSHAKES = 3


class ConnectionWatch:
    """Makes the network side of one kafka-python client, as its setting `kafka_client`, and knows why it fails."""

    def __init__(self) -> None:
        """Begin with nothing known."""
        self._client: Any = None

    def __call__(self, **configs: Any) -> Any:
        """Make the network side, as kafka-python asks for it."""
        net = NetworkSelector(**configs)
        self._client = KafkaNetClient(net=net, manager=_Manager(net, **configs))
        return self._client

    @property
    def refusal(self) -> Refusal | None:
        """Why the last connection failed; None where nobody answered."""
        known: Refusal | None = self._client._manager.refusal if self._client else None  # noqa: SLF001 - our own
        return known

    @property
    def is_unanswered(self) -> bool:
        """Whether somebody took the last connection and has said nothing: a broker that is too busy, or no broker."""
        return bool(self._client and self._client._manager.is_unanswered)  # noqa: SLF001 - our own

    def close(self) -> None:
        """Let go of what a client that could not be made leaves behind: its thread and its sockets."""
        if self._client is not None:
            self._client.close()


class _Manager(KafkaConnectionManager):  # type: ignore[misc]  # kafka-python has no types
    """The connections of one client. All but the constructor runs on the client's I/O thread."""

    def __init__(self, net: Any, **configs: Any) -> None:
        super().__init__(net, **configs)
        self.refusal: Refusal | None = None
        self.is_unanswered = False
        self._broken_handshakes = 0

    def get_connection(self, node_id: Any, **options: Any) -> Any:
        """Return the connection of a node, as `KafkaConnectionManager` has it.

        Raises:
            BrokerRefusedError: The client starts, and was refused in a way that repeats itself.
        """
        if self.refusal is not None and self.refusal.is_final and not self.bootstrapped:
            raise BrokerRefusedError(self.refusal.found, self.refusal.mend)
        before = self._conns.get(node_id)
        connection = super().get_connection(node_id, **options)
        if connection is not before:
            node = self.cluster.broker_metadata(node_id)
            failed = partial(self._failed, connection, f"{node.host}:{node.port}")
            connection.init_future.add_callback(lambda _: connection.close_future.add_errback(failed))
            connection.init_future.add_errback(failed)
        return connection

    def _failed(self, connection: Any, address: str, error: BaseException) -> None:
        if self.closed or (self.bootstrapped and connection.init_future.succeeded()):
            return  # by us, or by a broker that let us in and stops
        self.is_unanswered &= isinstance(error, (kafka.errors.RequestTimedOutError, kafka.errors.KafkaTimeoutError))
        is_connected = connection.parser is not None
        found = refusal(error, address, self.config, is_connected=is_connected)
        if found is None:
            return
        if self.bootstrapped:  # it goes on, and tries for ever: a broker that starts is no news, a refusal is
            if found.is_final and found != self.refusal:
                self.refusal = found
                log.warning("%s: %s", found.found, found.mend)
            return
        if not is_connected and not found.is_final:
            self._broken_handshakes += 1
            found = replace(found, is_final=self._broken_handshakes >= _BROKEN_HANDSHAKES)
        self.refusal = found

    async def _build_transport(self, node: Any, timeout_at: float | None = None) -> Any:
        """Connect. kafka-python's own would wait for a silent TLS peer for ever, and leave the socket of a refused."""
        sock = await create_connection(
            self._net, node.host, node.port, self.config["socket_options"], timeout_at=timeout_at
        )
        self.is_unanswered = True
        if not self.ssl_enabled:
            return _TcpTransport(self._net, sock, host=node.host)
        transport = None
        try:
            transport = _TlsTransport(self._net, sock, host=node.host, ssl_context=self.config["ssl_context"])
            await self._shake_hands(transport._sock, timeout_at)  # noqa: SLF001 - as kafka-python's own does
        except BaseException as exc:
            (transport or sock).close()
            if isinstance(exc, OSError):  # of which ssl's errors are
                raise kafka.errors.KafkaConnectionError(f"TLS handshake failed: {exc}") from exc
            raise
        return transport

    async def _shake_hands(self, sock: ssl.SSLSocket, timeout_at: float | None) -> None:
        while True:
            try:
                sock.do_handshake()
            except ssl.SSLWantReadError:
                wait = self._net.wait_read
            except ssl.SSLWantWriteError:
                wait = self._net.wait_write
            else:
                return
            await wait(sock, timeout_at=timeout_at)


class _LastWords:
    """A transport that hands on what it has read before it says that the connection is closed.

    kafka-python's own drops it, and it is what a broker says before it hangs up: why.
    """

    def _sock_recv(self) -> tuple[bytes, Exception | None]:
        data, error = super()._sock_recv()  # type: ignore[misc]  # the transport's
        return data, None if data else error


class _TcpTransport(_LastWords, KafkaTCPTransport):  # type: ignore[misc]  # kafka-python has no types
    """A connection without TLS."""


class _TlsTransport(_LastWords, KafkaSSLTransport):  # type: ignore[misc]  # the same
    """A connection with TLS."""
