import json
import re
from typing import Any

import pytest

from messaging.errors import MessageError
from messaging.status import (
    CameraStatus,
    PartitionStatus,
    StepStatus,
    WorkerStatus,
    read_status,
    status_key,
    write_status,
)
from tests.fakes.records import TIME_US


def camera_status(**changes: Any) -> CameraStatus:
    fields: dict[str, Any] = {
        "camera": "hall/2",
        "session": "s1",
        "source": "rtsp://10.0.0.7/stream",
        "state": "running",
        "captured": 10,
        "sent": 9,
        "shed": {"camera-buffer-full": 1},
        "fps_declared": None,
        "fps_delivered": 24.5,
        "reconnects": 0,
        "updated_at": "2026-11-21T08:00:00.000000Z",
    }
    return CameraStatus(**fields | changes)


def worker_status(**changes: Any) -> WorkerStatus:
    fields: dict[str, Any] = {
        "group": "line",
        "host": "edge",
        "device": "0",
        "slot": 1,
        "state": "running",
        "frames_topic": "frames",
        "partitions": (PartitionStatus(0, 5, None, None),),
        "first_offsets": {"0": 5},
        "model": "workpiece",
        "model_digest": "sha256:ab",
        "backend": "onnxruntime",
        "simulated": False,
        "classified": 1,
        "skipped": 0,
        "dead_lettered": 0,
        "waiting_frames": 0,
        "frames_in_flight": 0,
        "batch_size_mean": 1.5,
        "utilisation": 0.25,
        "steps": (StepStatus("decode", 1, 0.5, 0.1),),
        "updated_at": "2026-11-21T08:00:00.000000Z",
    }
    return WorkerStatus(**fields | changes)


def test_the_keys_of_the_contract() -> None:
    assert status_key(camera_status()) == "camera/hall/2"
    assert status_key(worker_status()) == "worker/line/edge/0/1"


@pytest.mark.parametrize(
    ("status", "subject", "source"),
    [
        (camera_status(), b"hall/2", b"/cameras/hall/2"),
        (worker_status(), b"worker/line/edge/0/1", b"/worker/line/edge/0/1"),
    ],
    ids=["camera", "worker"],
)
def test_a_status_is_an_event(status: CameraStatus | WorkerStatus, subject: bytes, source: bytes) -> None:
    key, value, headers, timestamp_ms = write_status(status, 3, TIME_US)
    assert key.decode() == status_key(status)
    assert timestamp_ms is None
    assert dict(headers) == {
        "ce_specversion": b"1.0",
        "ce_id": f"{status_key(status)}/{TIME_US}-3".encode(),
        "ce_source": source,
        "ce_type": b"streamer.status.v1",
        "ce_subject": subject,
        "ce_time": b"2026-11-21T08:00:00.000000Z",
        "content-type": b"application/json",
    }
    assert read_status(value) == status


def test_two_statuses_of_one_moment_are_two_events() -> None:
    ids = {dict(write_status(camera_status(), number, TIME_US).headers)["ce_id"] for number in range(3)}
    assert len(ids) == 3


def test_what_is_not_known_is_said_to_be_null() -> None:
    camera = json.loads(write_status(camera_status(), 0, TIME_US).value)
    assert camera["kind"] == "camera"
    assert (camera["fps_declared"], camera["error"]) == (None, None)
    worker = json.loads(write_status(worker_status(), 0, TIME_US).value)
    assert worker["kind"] == "worker"
    (partition,) = worker["partitions"]
    unknown = {"position": None, "lag": None, "loss_horizon_s": None}
    assert partition == {"partition": 0, "first_offset": 5} | unknown
    assert worker["steps"][0].keys() == {"name", "executions", "execution_ms_mean", "waiting_ms_mean"}


@pytest.mark.parametrize(
    ("state", "is_final"),
    [("connecting", False), ("running", False), ("retrying", False), ("stopped", True), ("failed", True)],
)
def test_the_states_after_which_nothing_comes(state: str, is_final: bool) -> None:
    assert camera_status(state=state).is_final is is_final


def test_fields_of_later_versions_do_no_harm() -> None:
    value = json.loads(write_status(camera_status(), 0, TIME_US).value) | {"temperature": 40}
    assert read_status(json.dumps(value).encode()) == camera_status()


@pytest.mark.parametrize("huge", ["1" + "0" * 30, "1" + "0" * 400, "-1", str(2**53 + 1)])
@pytest.mark.parametrize("name", ["captured", "sent", "shed", "reconnects"])
def test_a_camera_that_counts_beyond_all_measure_is_not_believed(name: str, huge: str) -> None:
    status = json.loads(write_status(camera_status(), 0, TIME_US).value)
    value = {"camera-buffer-full": 7777} if name == "shed" else 7777
    text = json.dumps(status | {name: value})
    read_status(text.encode())
    with pytest.raises(MessageError, match="not a status of streamer"):
        read_status(text.replace("7777", huge).encode())


@pytest.mark.parametrize("huge", ["1" + "0" * 30, "1" + "0" * 400, "-1"])
@pytest.mark.parametrize(
    "place", ["slot", "classified", "frames_lost", "lag", "position", "first_offset", "partition", "executions", "7"]
)
def test_a_worker_that_counts_beyond_all_measure_is_not_believed(place: str, huge: str) -> None:
    worker = worker_status(partitions=(PartitionStatus(0, 5, 6, 1, None),), first_offsets={"7": 5}, frames_lost=2)
    text = write_status(worker, 0, TIME_US).value.decode()
    changed = re.sub(rf'"{place}":\d+', f'"{place}":{huge}', text)
    assert changed != text
    with pytest.raises(MessageError, match="not a status of streamer"):
        read_status(changed.encode())


@pytest.mark.parametrize("huge", ["1e101", "-1e101", "1" + "0" * 400])
@pytest.mark.parametrize("name", ["fps_declared", "fps_delivered"])
def test_a_rate_beyond_all_measure_is_not_believed(name: str, huge: str) -> None:
    text = json.dumps(json.loads(write_status(camera_status(), 0, TIME_US).value) | {name: 7777.5})
    read_status(text.encode())
    with pytest.raises(MessageError, match="not a status of streamer"):
        read_status(text.replace("7777.5", huge).encode())


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"{}",
        b"\xff",
        b'{"kind":"toaster"}',
        b'{"kind":"camera","camera":"\xff"}',
        b'{"x":' + b"[" * 100_000,
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_is_no_status_is_one_kind_of_error(value: bytes) -> None:
    with pytest.raises(MessageError, match="not a status of streamer"):
        read_status(value)
