"""What a test's cameras did: each frame sent, and whether the broker acknowledged it."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

#: `ok`: the broker acknowledged it. `fail`: the broker refused it. `unknown`: sent, and nothing was heard.
State = Literal["ok", "fail", "unknown"]


@dataclass(slots=True)
class SentFrame:
    """One frame of the ledger. `truth` is None where the frame is meant to be a dead letter."""

    frame_id: str
    camera: str
    sequence: int
    truth: str | None
    state: State = "unknown"


class Ledger:
    """Frames by id, for several threads; with a file, every change is written at once, so that a kill loses none.

    Args:
        path: A file of JSON lines to write to.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._lock = Lock()
        self._frames: dict[str, SentFrame] = {}
        self._file = path.open("a", encoding="utf-8", buffering=1) if path is not None else None

    def __len__(self) -> int:
        with self._lock:
            return len(self._frames)

    @property
    def frames(self) -> dict[str, SentFrame]:
        """All frames by id."""
        with self._lock:
            return dict(self._frames)

    def count(self, state: State) -> int:
        with self._lock:
            return sum(frame.state == state for frame in self._frames.values())

    def begin(self, frame: SentFrame) -> None:
        """Note a frame before it is sent."""
        with self._lock:
            self._frames[frame.frame_id] = frame
            self._write(asdict(frame))

    def settle(self, frame_id: str, state: State) -> None:
        """Note what the broker said."""
        with self._lock:
            self._frames[frame_id].state = state
            self._write({"frame_id": frame_id, "state": state})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _write(self, change: dict[str, object]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(change) + "\n")


def read_ledgers(paths: Iterable[Path]) -> Ledger:
    """Read what processes wrote; the last line of a killed one may be cut."""
    ledger = Ledger()
    for path in paths:
        for line in path.read_text("utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                continue
            change = json.loads(line)
            if "camera" in change:
                ledger.begin(SentFrame(**change))
            else:
                ledger.settle(change["frame_id"], change["state"])
    return ledger
