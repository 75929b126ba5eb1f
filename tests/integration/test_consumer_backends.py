"""The consumer on other back ends: a simulated card with and without answers, OpenVINO, a card's stand-in."""

from pathlib import Path

import pytest
import simplejpeg

from engine.backends.qaic.sdk import ROOT_VARIABLE
from messaging.frame import Frame
from messaging.outcome import Classified, Timed
from producers.sources.synthetic.workpiece import LABELS, WorkpieceRenderer
from tests.fakes.optional_backends import need
from tests.fakes.qaic.sdk import installed
from tests.integration.stage import Stage, camera_frames, consume_all

pytestmark = pytest.mark.broker
ROW = "resnet50/best-latency"


def workpieces(count: int) -> list[Frame]:
    """Frames whose truth is known."""
    frames = camera_frames("line", count)
    renderer = WorkpieceRenderer(seed=5)
    for frame in frames:
        pixels, truth = renderer.render()
        frame.data, frame.truth = simplejpeg.encode_jpeg(pixels, quality=90), truth
    return frames


def test_a_simulated_card_that_computes_nothing_times_every_frame(stage: Stage) -> None:
    stage.feed(camera_frames("a", 30))
    settings = stage.settings(backend="simulator", row=ROW, compute="none")
    consumer = consume_all(settings)
    results = stage.results()
    assert consumer.counts.frames == {"timed": 30}
    assert [result.sequence for result in results] == list(range(30))
    for result in results:
        assert isinstance(result, Timed)
        assert (result.backend, result.simulated, result.model, result.model_digest) == ("simulator", True, ROW, "")
        assert result.batch.size <= result.batch.capacity


def test_a_simulated_card_that_computes_gives_the_models_own_answers(stage: Stage) -> None:
    stage.feed(workpieces(30))
    consume_all(stage.settings(backend="simulator", row="resnet50/best-throughput"))
    results = stage.results()
    assert len(results) == 30
    assert all(isinstance(result, Classified) and result.simulated for result in results)
    assert sum(isinstance(result, Classified) and result.label == result.truth for result in results) >= 29
    assert {result.label for result in results if isinstance(result, Classified)} <= set(LABELS)


def test_openvino_classifies_as_well(stage: Stage) -> None:
    need("openvino")
    stage.feed(workpieces(30))
    consume_all(stage.settings(backend="openvino", device="5"))
    results = stage.results()
    assert len(results) == 30
    assert sum(isinstance(result, Classified) and result.label == result.truth for result in results) >= 29
    assert {(result.backend, result.device) for result in results if isinstance(result, Classified)} == {
        ("openvino", "5")
    }


def test_a_card_is_taken_where_there_is_one_and_frames_fill_its_batches(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with installed(tmp_path / "qti-aic") as sdk:
        monkeypatch.setenv(ROOT_VARIABLE, str(sdk.root))
        stage.feed(workpieces(30))
        consume_all(stage.settings(device="0"))  # nobody names a back end
    results = stage.results()
    assert len(results) == 30
    assert sum(isinstance(result, Classified) and result.label == result.truth for result in results) >= 29
    for result in results:
        assert isinstance(result, Classified)
        assert (result.backend, result.device, result.batch.capacity) == ("qaic", "0", 8)
