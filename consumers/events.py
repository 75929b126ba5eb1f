"""What happens to a consumer's frames, as JSON lines: for fault tests, and for whoever wonders where a frame is."""

import json
import os
import time
from typing import Any, TextIO

#: By partition, its offsets or what else is said about it.
ByPartition = dict[int, Any]


class Events:
    """Writes one line for each event, at once; does nothing without a stream. Any thread may call.

    A stream that takes no more is given up: on Kafka's threads an error would be swallowed, together with the frame
    that the event is about.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        """Remember where to."""
        self._stream = stream

    @property
    def are_wanted(self) -> bool:
        """Whether anybody reads them; ask before working anything out for one."""
        return self._stream is not None

    def __call__(self, event: str, **facts: Any) -> None:
        """Write an event with its time (s since 1970) and this process's id."""
        stream = self._stream
        if stream is None:
            return
        line = json.dumps({"event": event, "at": time.time(), "pid": os.getpid(), **facts})
        try:
            stream.write(line + "\n")  # one write, so that lines of several threads do not mix
            stream.flush()
        except (OSError, ValueError):  # the other end of a pipe is gone; the stream is closed
            self._stream = None
