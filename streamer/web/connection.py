"""One connection to the server: a request has to be there in time, and one address leaves room for others."""

from asyncio import TimerHandle, Transport
from collections.abc import MutableMapping
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Connections at a time; a page needs a handful.
MAX_CONNECTIONS: Final = 256
#: Of one address. Half, so that a proxy with many people behind it has as many as there are for anybody else.
MAX_OF_ONE_ADDRESS: Final = MAX_CONNECTIONS // 2
#: How long a request may take to arrive, its body included; a page's are small.
REQUEST_S: Final = 10.0
_PATIENCE: Final = "streamer.patience"


def be_patient(scope: MutableMapping[str, Any]) -> None:
    """Wait for the rest of this request as long as some of it keeps coming; for a route that takes files.

    Called once somebody may come in: who may not has the usual time.
    """
    scope[_PATIENCE]()


class BoundedConnection(HttpToolsProtocol):
    """Speaks HTTP with one client; who sends a request by and by, or never, is not waited for.

    Else whoever opens as many connections as the server takes, and says nothing, would shut everybody out.
    """

    request_s: float = REQUEST_S
    _deadline: TimerHandle | None = None
    _is_patient: bool = False

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Begin to wait for a request; a connection too many from its address is closed."""
        super().connection_made(transport)
        if self._of_same_address() > MAX_OF_ONE_ADDRESS:
            transport.abort()
            return
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take what came; wait on where a request is not whole."""
        super().data_received(data)
        if self._is_patient:
            self._stop_waiting()  # and begin anew
        self._look()

    def on_message_begin(self) -> None:
        """Begin with a request, which has the usual time."""
        super().on_message_begin()
        self._is_patient = False
        self.scope[_PATIENCE] = self._be_patient  # type: ignore[typeddict-unknown-key]  # of our own

    def _be_patient(self) -> None:
        self._is_patient = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _of_same_address(self) -> int:
        hosts = [client[0] for each in self.connections if (client := getattr(each, "client", None))]
        return hosts.count(self.client[0]) if self.client is not None else 0

    def _look(self) -> None:
        """Have a deadline while there is no whole request."""
        if not self._is_waiting():
            self._stop_waiting()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(self.request_s, self._give_up)

    def _is_waiting(self) -> bool:
        if self.transport.get_protocol() is not self:
            return False  # it is a WebSocket by now
        return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_patient and self.flow.read_paused:
            self._look()  # what is here already is still being written
        else:
            self.transport.abort()
