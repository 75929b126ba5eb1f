"""`streamer quantize --frames`: calibrating with what cameras sent, on a real broker."""

import json

import pytest

from messaging.errors import TopicError
from streamer.cli.main import main
from streamer.recent_frames import recent_frames
from tests.fakes.conv_models import save_conv
from tests.integration.stage import Stage, camera_frames, jpeg

pytestmark = pytest.mark.broker


def test_the_newest_frames_are_read(stage: Stage) -> None:
    old = [camera_frames(f"camera-{number}", 3, data=jpeg(number)) for number in range(4)]
    stage.feed([frame for frames in old for frame in frames])
    new = [frame for number in range(4) for frame in camera_frames(f"camera-{number}", 2, data=jpeg(10 + number))]
    stage.feed(new)
    everything = recent_frames(stage.cluster, stage.topics.frames, 100)
    assert len(everything) == 20
    newest = recent_frames(stage.cluster, stage.topics.frames, 4)
    assert len(newest) == 4
    assert set(newest) <= {frame.data for frame in new}


def test_the_command_calibrates_with_frames(
    stage: Stage, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path_factory.mktemp("models")
    stage.feed([*camera_frames("gate", 5), *camera_frames("door", 1, data=b"no picture")])
    words = ["quantize", str(save_conv(folder / "conv.onnx")), str(folder / "int8.onnx"), "--frames", "50", "--json"]
    assert main([*words, *stage.flags()]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "ranges measured on 5 samples, 1 that cannot be decoded left out" in found["notes"]


def test_an_empty_topic_is_said(stage: Stage) -> None:
    with pytest.raises(TopicError, match="there is no frame in topic"):
        recent_frames(stage.cluster, stage.topics.frames, 5)
