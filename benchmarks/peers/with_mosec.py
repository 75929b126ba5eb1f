"""The model behind mosec."""

import sys
from typing import Any

from mosec import Server, Worker

from benchmarks.peers.peer_model import BATCH, PORT, TIMEOUT_S, PeerModel, rows


class Net(Worker):  # type: ignore[misc]
    """Raw bytes in and out."""

    def __init__(self) -> None:
        """Load the model, in the process that computes."""
        super().__init__()
        self._model = PeerModel()

    def deserialize(self, data: bytes) -> Any:
        """Take the pictures."""
        return rows(data)

    def forward(self, data: Any) -> Any:
        """Compute."""
        return self._model.answer(data)

    def serialize(self, data: Any) -> bytes:
        """Give the logits."""
        return bytes(data.tobytes())


if __name__ == "__main__":
    sys.argv[1:] = ["--address", "127.0.0.1", "--port", str(PORT), "--timeout", "60000"]
    server = Server()
    server.append_worker(Net, num=1, max_batch_size=BATCH, max_wait_time=max(int(TIMEOUT_S * 1e3), 1))
    server.run()
