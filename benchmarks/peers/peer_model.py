"""The model as peers serve it, for `benchmarks.engines`; it imports nothing of this project.

A request's pictures are raw bytes and its logits are given back as such, which is the least that a peer can do.
"""

import os
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

PORT = int(os.environ["PEER_PORT"])
#: Requests in a batch.
BATCH = int(os.environ["PEER_BATCH"])
TIMEOUT_S = float(os.environ["PEER_TIMEOUT_S"])

_ROW = tuple(int(size) for size in os.environ["PEER_ROW"].split(","))


def rows(body: bytes) -> NDArray[np.generic]:
    """Return the pictures of a request."""
    return np.frombuffer(body, os.environ["PEER_DTYPE"]).reshape(-1, *_ROW)


class PeerModel:
    """Computes several requests as one batch."""

    def __init__(self) -> None:
        """Load it."""
        self._session = onnxruntime.InferenceSession(os.environ["PEER_MODEL"], providers=["CPUExecutionProvider"])
        self._name = self._session.get_inputs()[0].name

    def answer(self, asked: Any) -> Any:
        """Compute one request, or a list of them."""
        return self._answers(asked) if isinstance(asked, list) else self._answers([asked])[0]

    def _answers(self, requests: list[NDArray[np.generic]]) -> list[NDArray[np.generic]]:
        batch = np.concatenate(requests) if len(requests) > 1 else requests[0]
        (logits,) = self._session.run(None, {self._name: batch})
        return np.split(logits, np.cumsum([len(request) for request in requests])[:-1])
