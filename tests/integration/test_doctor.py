"""`streamer doctor` on a real broker, on none, and on what only looks like one."""

import json
import re
import socket
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from messaging.cloudevents import Message
from messaging.status import CameraStatus, write_status
from messaging.timestamps import format_us, now_us
from streamer.cli.main import main
from tests.conftest import TopicFactory
from tests.fakes.waiting import DEADLINE_S
from tests.integration.stage import Stage

#: Longer than the whole run may take where one part does not answer.
LIMIT_S = 45.0
HOUR_US = 3600 * 1_000_000


@pytest.fixture
def doctor(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, dict[str, Any]]]]:
    def run(*flags: str) -> tuple[int, dict[str, dict[str, Any]]]:
        code = main(["doctor", *flags, "--json"])
        answer = json.loads(capsys.readouterr().out.splitlines()[-1])
        assert answer["ok"] == (code == 0)
        return code, {check["name"]: check for check in answer["checks"]}

    return run


Doctor = Callable[..., tuple[int, dict[str, dict[str, Any]]]]


@pytest.mark.broker
def test_all_is_well(stage: Stage, doctor: Doctor) -> None:
    code, checks = doctor(*stage.flags())
    assert code == 0
    fine = {name for name, check in checks.items() if check["state"] == "ok"}
    assert fine >= {"broker", "model", "device", "checksums", *(f"topic {name}" for name in stage.topics.all())}
    assert "with the protocol of Kafka 4." in checks["broker"]["found"]
    assert checks["model"]["found"].startswith("workpiece: 5 classes, 128×128 px, sha256:")
    assert "a micro-batch of 8 takes" in checks["device"]["found"]
    assert "JPEGs/s a core" in checks["decoding"]["found"]
    assert {"settings", "versions", "clock", "clocks of cameras and workers", "machine"} <= set(checks)
    assert all(check["mend"] for check in checks.values() if check["state"] in ("warn", "fail"))


@pytest.mark.broker
def test_topics_that_are_missing_or_spoil_frames(stage: Stage, new_topic: TopicFactory, doctor: Doctor) -> None:
    compacted = new_topic(configs={"cleanup.policy": "compact"})
    plain = new_topic()
    topics = replace(stage.topics, frames=compacted, results=plain, status="nowhere")
    code, checks = doctor(*Stage(stage.cluster, topics).flags())
    assert code == 1
    assert checks[f"topic {compacted}"]["state"] == "fail"
    assert "compacted" in checks[f"topic {compacted}"]["found"]
    assert "cleanup.policy=delete" in checks[f"topic {compacted}"]["mend"]
    assert checks[f"topic {plain}"]["state"] == "warn"
    assert "max.message.bytes=" in checks[f"topic {plain}"]["mend"]
    assert checks["topic nowhere"]["state"] == "warn"
    assert checks["clocks of cameras and workers"]["state"] == "info"
    assert checks["model"]["state"] == "ok"


@pytest.mark.broker
def test_a_camera_whose_clock_is_ahead_is_named(
    stage: Stage, doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    messages = [Message(b"k", b"not a status", [])]
    for camera, made_at_us in (("right", now_us()), ("ahead\x1b[2J", now_us() + HOUR_US)):
        status = CameraStatus(
            camera=camera,
            session="s",
            source="",
            state="running",
            captured=0,
            sent=0,
            shed={},
            fps_declared=None,
            fps_delivered=0.0,
            reconnects=0,
            updated_at=format_us(made_at_us),
        )
        messages.append(write_status(status, 0, made_at_us))
    with closing(stage.cluster.producer(linger_ms=0)) as producer:
        for message in messages:
            producer.send(stage.topics.status, message.value, message.key, message.headers)
        producer.flush(DEADLINE_S)
    code, checks = doctor(*stage.flags())
    clocks = checks["clocks of cameras and workers"]
    assert (code, clocks["state"]) == (0, "warn")
    assert clocks["found"].startswith("camera/ahead")
    assert re.search(r" (3600|35\d\d) s ahead", clocks["found"]), "an hour, less what this took"
    assert "right" not in clocks["found"].replace("and", "")
    assert main(["doctor", *stage.flags()]) == 0
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "! warn" in shown
    assert "camera/ahead\\x1b[2J is 3" in shown
    assert "→ let a time service" in shown


def test_without_a_broker_everything_else_is_looked_at(doctor: Doctor) -> None:
    code, checks = doctor("--bootstrap-servers", "127.0.0.1:1")
    assert code == 1
    assert checks["broker"]["found"] == "no Kafka broker answers at 127.0.0.1:1"
    assert "streamer broker" in checks["broker"]["mend"]
    assert checks["topics"]["state"] == "info"
    assert checks["model"]["state"] == "ok"


def test_a_broker_that_never_answers_holds_nothing_up(doctor: Doctor) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        began_s = time.monotonic()
        code, checks = doctor("--bootstrap-servers", f"127.0.0.1:{silent.getsockname()[1]}")
    assert code == 1
    assert checks["broker"]["state"] == "fail"
    assert time.monotonic() - began_s < LIMIT_S


@pytest.mark.broker
def test_a_model_that_does_not_open_is_one_line(
    stage: Stage, doctor: Doctor, capsys: pytest.CaptureFixture[str]
) -> None:
    code, checks = doctor(*stage.flags(), "--model", "nowhere.onnx")
    assert code == 1
    assert checks["model"]["state"] == "fail"
    assert "nowhere.onnx" in checks["model"]["found"]
    assert checks["decoding"]["state"] == "info"
    code, checks = doctor(*stage.flags(), "--backend", "abacus")
    assert "abacus" in checks["model"]["found"]
    assert main(["doctor", *stage.flags(), "--model", "nowhere.onnx"]) == 1
    shown = capsys.readouterr().out
    assert "✗ FAIL  model" in shown
    assert "1 failed" in shown
