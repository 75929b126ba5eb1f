"""Events: one JSON line each, at once, whole, whoever writes them."""

import json
import os
import time
from collections import Counter
from io import StringIO
from pathlib import Path
from threading import Barrier, Thread

import pytest

from consumers.events import Events


def test_an_event_is_a_json_line_with_its_time_and_process() -> None:
    stream = StringIO()
    before = time.time()
    Events(stream)("polled", count=2, offsets={3: [7, 8]}, topic="a\nb ä")
    line = stream.getvalue()
    assert line.endswith("\n")
    assert line.count("\n") == 1, "whatever is in it"
    event = json.loads(line)
    assert before <= event.pop("at") <= time.time()
    assert event == {"event": "polled", "pid": os.getpid(), "count": 2, "offsets": {"3": [7, 8]}, "topic": "a\nb ä"}


def test_a_line_is_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "events"
    with path.open("w", encoding="utf-8") as stream:  # which keeps a block back
        events = Events(stream)
        events("revoked", partitions=[1])
        assert json.loads(path.read_text("utf-8"))["partitions"] == [1]


def test_without_a_stream_nothing_is_wanted_and_nothing_happens() -> None:
    events = Events()
    assert not events.are_wanted
    events("polled", count=object())  # not even written
    assert Events(StringIO()).are_wanted


def test_a_reader_that_went_away_stops_the_events_and_nothing_else() -> None:
    reader, writer = os.pipe()
    stream = os.fdopen(writer, "w", encoding="utf-8")
    events = Events(stream)
    os.close(reader)
    events("polled", count=2)
    assert not events.are_wanted
    events("polled", count=object())  # not even written
    with pytest.raises(BrokenPipeError):  # what is left in it
        stream.close()


def test_so_does_a_stream_that_is_closed() -> None:
    stream = StringIO()
    stream.close()
    events = Events(stream)
    events("polled", count=2)
    assert not events.are_wanted


class Pieces(StringIO):
    """Keeps what each write wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


def test_a_line_is_one_write_so_that_others_come_before_or_after_it() -> None:
    stream = Pieces()
    for number in range(3):
        Events(stream)("produced", number=number)
    assert [json.loads(piece)["number"] for piece in stream.pieces] == [0, 1, 2]
    assert all(piece.endswith("\n") for piece in stream.pieces)


def test_lines_of_several_threads_do_not_mix(tmp_path: Path) -> None:
    threads, lines = 8, 1000
    path = tmp_path / "events"
    together = Barrier(threads)
    with path.open("w", encoding="utf-8") as stream:
        events = Events(stream)

        def write(thread: int) -> None:
            together.wait()
            for number in range(lines):
                events("produced", thread=thread, number=number, offsets=dict.fromkeys(range(thread), number))

        writers = [Thread(target=write, args=(thread,)) for thread in range(threads)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
    seen = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert Counter(event["thread"] for event in seen) == dict.fromkeys(range(threads), lines)
    for thread in range(threads):
        assert [event["number"] for event in seen if event["thread"] == thread] == list(range(lines))
