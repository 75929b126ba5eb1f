"""Cameras that go away and come back: an RTSP server that is stopped, and one that freezes without closing."""

import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from messaging.broker import EmbeddedBroker
from messaging.frame import Frame, read_frame
from messaging.kafka import Kafka
from messaging.reader import TopicReader
from messaging.status import CameraStatus, read_status
from tests.fakes.rtsp_camera import RtspCamera, rtsp_camera
from tests.fakes.waiting import wait_until
from tests.faults.harness import new_stage
from tests.faults.worker import Program
from tests.integration.stage import Stage

pytestmark = pytest.mark.broker

_SILENCE_S = 2.0
_RETRY = r"camera gate: .*; next try in ([0-9.]+) s"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Watched:
    """The frames topic, read on as a test goes."""

    def __init__(self, stage: Stage) -> None:
        self._reader = TopicReader(stage.cluster, stage.topics.frames, from_beginning=True)
        self._reader.open()
        self.frames: list[Frame] = []

    def wait_for_more(self, frames: int) -> None:
        wanted = len(self.frames) + frames

        def is_there() -> bool:
            self.frames += [read_frame(record) for record in self._reader.poll(0.1)]
            return len(self.frames) >= wanted

        wait_until(is_there, f"{frames} more frames, of {wanted}")

    def close(self) -> None:
        self._reader.close()


@contextmanager
def _watched_camera(broker: EmbeddedBroker, port: int, folder: Path) -> Iterator[tuple[Program, _Watched, Stage]]:
    stage = new_stage(Kafka(broker.bootstrap_servers))
    command = [
        "produce", "--camera", "gate", "--source", f"rtsp://127.0.0.1:{port}/stream",
        "--source-timeout", f"{_SILENCE_S:.0f}s", "--json", *stage.flags(),
    ]  # fmt: skip
    watched = _Watched(stage)
    with ExitStack() as stack:
        stack.callback(watched.close)
        yield stack.enter_context(Program("camera", "streamer", command, folder / "camera.log")), watched, stage


def _check_account(program: Program, watched: _Watched, stage: Stage, *, reconnects: int) -> None:
    """One session, numbered without a gap, all of it sent; the hole is in the capture times."""
    program.stop()
    watched.frames += [read_frame(record) for record in watched._reader.read_to_end()]
    account = program.summary()["cameras"]["gate"]
    assert len({frame.session for frame in watched.frames}) == 1
    assert [frame.sequence for frame in watched.frames] == list(range(account["captured"]))
    assert (account["sent"], account["shed"]) == (account["captured"], 0)
    gaps_s = [(after.captured_at_us - before.captured_at_us) / 1e6 for before, after in pairwise(watched.frames)]
    assert sum(gap > 1.0 for gap in gaps_s) >= 1, f"no hole in the capture times: {max(gaps_s):.2f} s at the most"
    statuses = [read_status(record.value) for record in stage.records(stage.topics.status)]
    last = statuses[-1]
    assert isinstance(last, CameraStatus)
    assert (last.captured, last.sent, last.state) == (account["captured"], account["sent"], "stopped"), json.dumps(
        account
    )
    assert last.reconnects >= reconnects
    assert any(isinstance(status, CameraStatus) and status.state == "retrying" for status in statuses)


@pytest.mark.faults(17)
def test_a_camera_that_is_stopped_is_tried_again_less_and_less_often(broker: EmbeddedBroker, tmp_path: Path) -> None:
    port = _free_port()
    with ExitStack() as stack:
        first = stack.enter_context(rtsp_camera("--port", str(port)))
        program, watched, stage = stack.enter_context(_watched_camera(broker, port, tmp_path))
        watched.wait_for_more(20)
        first.kill()
        wait_until(lambda: len(_delays(program)) >= 4, "four tries")
        delays = _delays(program)
        # Twice as long each time, less up to half of it by chance.
        for number, delay_s in enumerate(delays[:4]):
            assert 0.25 * 2**number - 0.05 <= delay_s <= 0.5 * 2**number + 0.05, delays
        stack.enter_context(rtsp_camera("--port", str(port)))
        watched.wait_for_more(20)
        _check_account(program, watched, stage, reconnects=4)


@pytest.mark.faults(17)
def test_a_camera_that_freezes_without_closing_is_given_up_and_found_again(
    broker: EmbeddedBroker, tmp_path: Path
) -> None:
    port = _free_port()
    with ExitStack() as stack:
        camera: RtspCamera = stack.enter_context(rtsp_camera("--port", str(port)))
        program, watched, stage = stack.enter_context(_watched_camera(broker, port, tmp_path))
        watched.wait_for_more(20)
        camera.freeze()
        program.wait_for_line(r"camera gate: .*timed out.*; next try in", deadline_s=_SILENCE_S + 10.0)
        camera.kill()
        stack.enter_context(rtsp_camera("--port", str(port)))
        watched.wait_for_more(20)
        _check_account(program, watched, stage, reconnects=1)


def _delays(program: Program) -> list[float]:
    """Return the seconds that the camera said it would wait, in turn."""
    return [float(match[1]) for line in program.lines if (match := re.search(_RETRY, line))]
