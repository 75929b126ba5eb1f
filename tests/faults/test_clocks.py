"""Cameras whose clocks are wrong, or that tell no time at all."""

import pytest

from messaging.frame import write_frame
from messaging.timestamps import format_us, now_us
from tests.fakes.otlp_receiver import OtlpReceiver, otlp_receiver
from tests.fakes.waiting import DEADLINE_S
from tests.faults.conftest import SceneFactory
from tests.faults.feeder import FeedPlan
from tests.faults.harness import Delivery, Scene
from tests.faults.ledger import Ledger

pytestmark = pytest.mark.broker

_FRAMES = 120
_SKEW_US = 5_000_000


def _feed_with_wrong_clocks(scene: Scene) -> tuple[Ledger, int]:
    """Send frames whose capture times are ahead, behind, missing and no times; return how many are ahead."""
    plan, ledger, ahead = FeedPlan(frames=_FRAMES), Ledger(), 0
    producer = scene.stage.cluster.producer(linger_ms=0)
    for number in range(_FRAMES):
        frame, sent = plan.frame(number)
        message = write_frame(frame)
        # Frames ahead are further ahead than the test is long.
        time_of = {
            0: format_us(now_us() + 60 * _SKEW_US).encode(),
            1: format_us(now_us() - _SKEW_US).encode(),
            2: None,
            3: b"half past nine, \xff\x00",
            4: format_us(now_us() + _SKEW_US).encode(),
        }
        wrong = time_of[number % len(time_of)]
        ahead += number % len(time_of) == 0
        headers = [(name, value) for name, value in message.headers if name != "ce_time"]
        if wrong is not None:
            headers.append(("ce_time", wrong))
        ledger.begin(sent)
        producer.send(scene.stage.topics.frames, message.value, message.key, headers).get(timeout=DEADLINE_S)
        ledger.settle(frame.frame_id, "ok")
    producer.close()
    return ledger, ahead


def _newest(receiver: OtlpReceiver, name: str) -> list[object]:
    """Return the last data points of a metric."""
    found = [metric for _, metric in receiver.metrics if metric.name == name]
    assert found, f"no metric {name} arrived"
    return list((found[-1].histogram if found[-1].HasField("histogram") else found[-1].sum).data_points)


@pytest.mark.faults(13)
@pytest.mark.parametrize("delivery", ["at-least-once", "exactly-once"])
def test_a_wrong_clock_is_counted_and_makes_no_negative_sample(new_scene: SceneFactory, delivery: Delivery) -> None:
    scene = new_scene(delivery)
    ledger, ahead = _feed_with_wrong_clocks(scene)
    with otlp_receiver() as receiver:
        worker = scene.worker(OTEL_EXPORTER_OTLP_ENDPOINT=receiver.endpoint)
        scene.finish(ledger)
    summary = worker.summary()
    (latency,) = _newest(receiver, "streamer.frame.end_to_end.duration")
    (skew,) = _newest(receiver, "streamer.clock_skew")
    assert latency.min >= 0  # type: ignore[attr-defined]
    assert latency.count + skew.as_int == _FRAMES  # type: ignore[attr-defined]
    assert ahead <= skew.as_int <= _FRAMES * 2 // 5  # type: ignore[attr-defined]
    assert summary["classified"] == _FRAMES
    assert all(value >= 0 for value in summary["latency_ms"].values())
