"""Results as other programs read them: the names and values of the documented JSON, and the headers."""

import json
from typing import Any

import pytest

from messaging.errors import MessageError
from messaging.outcome import (
    SKIPPED_CAMERA_BUFFER_FULL,
    SKIPPED_SUPERSEDED,
    SKIPPED_TOO_OLD,
    BatchShape,
    Classified,
    ClassScore,
    FrameLocation,
    LatencyParts,
    Skipped,
    Timed,
    camera_source,
    group_source,
    read_outcome,
    write_outcome,
)
from tests.fakes.records import TIME_US, TRACEPARENT

CLASSIFIED_JSON: dict[str, Any] = {
    "camera": "line-1",
    "sequence": 123,
    "captured_at": "2026-11-21T08:00:00.123456Z",
    "group": "streamer-device-0",
    "status": "classified",
    "label": "scratch",
    "score": 0.983,
    "classes": [{"label": "scratch", "score": 0.983}, {"label": "ok", "score": 0.011}],
    "model": "workpiece",
    "model_digest": "sha256:ab",
    "device": "0",
    "backend": "onnxruntime",
    "simulated": False,
    "batch": {"size": 8, "capacity": 8},
    "latency_ms": {
        "transport": 4.1,
        "batch_wait": 8.0,
        "decode": 0.6,
        "device_wait": 0.1,
        "inference": 5.2,
        "order_wait": 0.0,
        "total": 18.0,
    },
    "source": {"topic": "streamer.frames", "partition": 3, "offset": 1042},
    "truth": "scratch",
}

SHARED: dict[str, Any] = {
    "camera": "line-1",
    "sequence": 123,
    "captured_at": "2026-11-21T08:00:00.123456Z",
    "group": "streamer-device-0",
    "model": "workpiece",
    "model_digest": "sha256:ab",
    "device": "0",
    "backend": "onnxruntime",
    "simulated": False,
    "batch": BatchShape(8, 8),
    "latency_ms": LatencyParts(4.1, 8.0, 0.6, 0.1, 5.2, 0.0, 18.0),
    "source": FrameLocation("streamer.frames", 3, 1042),
}
ANSWER: dict[str, Any] = {
    "label": "scratch",
    "score": 0.983,
    "classes": (ClassScore("scratch", 0.983), ClassScore("ok", 0.011)),
}


def written(outcome: Classified | Timed | Skipped) -> Any:
    return json.loads(write_outcome(outcome, "line-1/s/123", group_source("g"), TIME_US, TRACEPARENT).value)


def test_a_classification_is_the_documented_json() -> None:
    assert written(Classified(**SHARED, **ANSWER, truth="scratch")) == CLASSIFIED_JSON


def test_truth_and_degraded_are_there_only_where_they_say_something() -> None:
    plain = written(Classified(**SHARED, **ANSWER))
    assert plain == {name: value for name, value in CLASSIFIED_JSON.items() if name != "truth"}
    assert written(Classified(**SHARED, **ANSWER, degraded=True)) == plain | {"degraded": True}


@pytest.mark.parametrize(
    "changes", [{"sequence": 0, "simulated": True}, {"camera": "", "label": "", "score": 0.0, "classes": ()}]
)
def test_no_required_field_is_left_out_whatever_its_value(changes: dict[str, Any]) -> None:
    assert written(Classified(**SHARED | ANSWER | changes)).keys() == CLASSIFIED_JSON.keys() - {"truth"}


def test_a_timed_frame_has_all_but_the_answer() -> None:
    answer = {"label", "score", "classes"}
    expected = {name: value for name, value in CLASSIFIED_JSON.items() if name not in answer}
    assert written(Timed(**SHARED, truth="scratch")) == expected | {"status": "timed"}


def test_a_frame_that_a_consumer_skipped() -> None:
    skipped = Skipped(
        camera="line-1",
        sequence=123,
        captured_at="2026-11-21T08:00:00.123456Z",
        reason=SKIPPED_TOO_OLD,
        group="g",
        source=FrameLocation("streamer.frames", 3, 1042),
    )
    assert written(skipped) == {
        "status": "skipped",
        "camera": "line-1",
        "sequence": 123,
        "captured_at": "2026-11-21T08:00:00.123456Z",
        "reason": "too-old",
        "group": "g",
        "source": {"topic": "streamer.frames", "partition": 3, "offset": 1042},
    }


def test_a_frame_that_a_camera_skipped_has_neither_group_nor_source() -> None:
    skipped = Skipped(camera="c", sequence=0, captured_at="t", reason=SKIPPED_CAMERA_BUFFER_FULL)
    assert written(skipped) == {
        "status": "skipped",
        "camera": "c",
        "sequence": 0,
        "captured_at": "t",
        "reason": "camera-buffer-full",
    }
    assert SKIPPED_SUPERSEDED == "superseded"


def test_the_headers_and_the_key() -> None:
    message = write_outcome(
        Skipped(camera="größe", sequence=0, captured_at="t", reason="too-old"),
        "größe/s/0",
        group_source("line"),
        TIME_US + 1,
        TRACEPARENT,
    )
    assert message.key == "größe".encode()
    assert message.timestamp_ms is None
    assert message.headers == [
        ("ce_specversion", b"1.0"),
        ("ce_id", "größe/s/0".encode()),
        ("ce_source", b"/groups/line"),
        ("ce_type", b"streamer.classification.v1"),
        ("ce_subject", "größe".encode()),
        ("ce_time", b"2026-11-21T08:00:00.000001Z"),
        ("content-type", b"application/json"),
        ("traceparent", TRACEPARENT.encode()),
    ]
    assert camera_source("c") == b"/cameras/c"


@pytest.mark.parametrize(
    ("change", "kind"),
    [({}, Classified), ({"status": "timed"}, Timed), ({"from_a_later_version": {"a": [1]}}, Classified)],
)
def test_results_can_be_read_and_fields_of_later_versions_do_no_harm(change: dict[str, Any], kind: type) -> None:
    outcome = read_outcome(json.dumps(CLASSIFIED_JSON | change).encode())
    assert isinstance(outcome, kind)
    assert outcome.sequence == 123


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"null",
        b"[]",
        b"{",
        b"\xff",
        b"{}",
        b'{"status":"asleep"}',
        b'{"status":"skipped"}',
        # What msgspec answers with errors of Python's own.
        b'{"status":"skipped","camera":"\xff","sequence":1,"captured_at":"","reason":""}',
        b'{"status":"skipped","x":' + b"[" * 100_000,
    ],
    ids=lambda value: repr(value[:30]),
)
def test_what_is_no_result_is_one_kind_of_error(value: bytes) -> None:
    with pytest.raises(MessageError, match="not a result of streamer") as caught:
        read_outcome(value)
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)
