"""The model behind LitServe."""

from typing import Annotated, Any

import litserve
from fastapi import Body, Response

from benchmarks.peers.peer_model import BATCH, PORT, TIMEOUT_S, PeerModel, rows


class Api(litserve.LitAPI):  # type: ignore[misc]
    """Raw bytes in and out."""

    def setup(self, _: str) -> None:
        """Load the model, in the process that computes."""
        self.model = PeerModel()

    def decode_request(self, request: Annotated[bytes, Body(media_type="application/octet-stream")]) -> Any:
        """Take the pictures; of a plain request LitServe would read JSON."""
        return rows(request)

    def predict(self, inputs: Any) -> Any:
        """Compute."""
        return self.model.answer(inputs)

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Leave the requests of a batch as they are."""
        return inputs

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Leave their answers, too."""
        return output

    def encode_response(self, output: Any) -> Response:
        """Give the logits."""
        return Response(output.tobytes(), media_type="application/octet-stream")


if __name__ == "__main__":
    server = litserve.LitServer(Api(max_batch_size=BATCH, batch_timeout=TIMEOUT_S), accelerator="cpu")
    server.run(host="127.0.0.1", port=PORT, generate_client_file=False, log_level="error")
