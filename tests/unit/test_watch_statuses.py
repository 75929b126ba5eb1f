"""The newest status of each camera and worker."""

from typing import Any

import pytest

from messaging.errors import MessageError
from messaging.status import PartitionStatus, StepStatus
from streamer.watch.statuses import Statuses
from tests.fakes.records import record
from tests.fakes.watched import NOW_S, camera_status, status_record, worker_status


def short_record(status: Any) -> Any:
    """A record that leaves out what need not be said."""
    written = status_record(status)
    return written._replace(value=written.value.replace(b',"loss_horizon_s":null', b""))


def test_the_newest_status_of_each_is_kept() -> None:
    statuses = Statuses()
    for captured in (1, 2):
        statuses.take(status_record(camera_status(captured=captured)), NOW_S + captured)
    statuses.take(status_record(worker_status()), NOW_S)
    camera, worker = statuses.cameras.get("line-1"), statuses.workers.get("g/h/0/0")
    assert camera is not None
    assert camera.status == camera_status(captured=2)
    assert camera.at_s == NOW_S + 2
    assert worker is not None
    assert worker.status == worker_status()


def test_a_deleted_status_is_forgotten() -> None:
    statuses = Statuses()
    for status in (camera_status(), camera_status("line-2"), worker_status(), worker_status(slot=1)):
        statuses.take(status_record(status), NOW_S)
    statuses.take(status_record(camera_status(), value=None), NOW_S)
    statuses.take(status_record(worker_status(), value=None), NOW_S)
    for key in (None, b"", b"\xff", b"camera/nobody"):
        statuses.take(record(key=key, value=None), NOW_S)
    assert list(statuses.cameras) == ["line-2"]
    assert list(statuses.workers) == ["g/h/0/1"]


@pytest.mark.parametrize(
    "bad",
    [
        record(value=b"{}"),
        record(value=b"\xff"),
        status_record(camera_status("c" * 10_000)),
        status_record(camera_status(error="e" * 20_000)),
        status_record(worker_status(host="h" * 2_000)),
        status_record(worker_status(model="m" * 200_000)),
        status_record(camera_status(shed={f"reason-{number}": 1 for number in range(33)})),
        status_record(worker_status(steps=(StepStatus("decode", 1, 5.0, 1.0),) * 33)),
        short_record(worker_status(partitions=(PartitionStatus(0, 0, 0, 0),) * 2001)),
        status_record(worker_status(first_offsets={str(number): 0 for number in range(2001)})),
        status_record(worker_status(partitions=(PartitionStatus(0, 0, 0, 10**30),))),
    ],
    ids=[
        "empty",
        "no text",
        "long name",
        "large",
        "long worker",
        "large worker",
        "reasons",
        "steps",
        "partitions",
        "first offsets",
        "huge lag",
    ],
)
def test_what_is_no_status_or_too_large_is_refused(bad: object) -> None:
    statuses = Statuses()
    with pytest.raises(MessageError):
        statuses.take(bad, NOW_S)
    assert not [*statuses.cameras, *statuses.workers]


def test_the_largest_that_is_kept_has_short_texts() -> None:
    statuses = Statuses()
    shed = {f"reason-{number}": 1 for number in range(32)}
    statuses.take(status_record(camera_status(state="s" * 300, error="e" * 600, shed=shed)), NOW_S)
    steps, partitions = (StepStatus("d" * 300, 1, 5.0, 1.0),) * 32, (PartitionStatus(0, 0, 0, 0),) * 1000
    statuses.take(status_record(worker_status(model="m" * 300, steps=steps, partitions=partitions)), NOW_S)
    camera, worker = statuses.cameras.get("line-1"), statuses.workers.get("g/h/0/0")
    assert camera is not None
    assert camera.status == camera_status(state="s" * 200, error="e" * 500, shed=shed)
    assert worker is not None
    assert worker.status is not None
    assert (worker.status.model, len(worker.status.partitions)) == ("m" * 200, 1000)
    assert worker.status.steps == (StepStatus("d" * 200, 1, 5.0, 1.0),) * 32


def test_there_is_room_for_so_many() -> None:
    statuses = Statuses(cameras=2, workers=1)
    for number in range(5):
        statuses.take(status_record(camera_status(f"line-{number}")), NOW_S)
        statuses.take(status_record(worker_status(slot=number)), NOW_S)
    assert list(statuses.cameras) == ["line-0", "line-1"]
    assert statuses.cameras.left_out == 3
    assert statuses.workers.left_out == 4
