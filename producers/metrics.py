"""The cameras' metrics: their names, units and meanings. Plain numbers, looked at when somebody collects them."""

from collections.abc import Callable, Sequence
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import MeterProvider, Observation

from messaging import telemetry as names
from messaging.outcome import SKIPPED_CAMERA_BUFFER_FULL
from messaging.telemetry import Metric
from producers.camera import Camera
from producers.publisher import FramePublisher

SCOPE: Final = "streamer.producers"

CAPTURED: Final = Metric("streamer.camera.captured", "counter", "{frame}", "frames captured", ("camera",))
SENT: Final = Metric("streamer.camera.sent", "counter", "{frame}", "frames that the broker has", ("camera",))
SHED: Final = Metric(
    "streamer.camera.shed", "counter", "{frame}", "frames given up, oldest first", ("camera", "reason")
)
FPS_DECLARED: Final = Metric(
    "streamer.camera.fps_declared", "gauge", "", "frames/s that were asked for, or that the source names", ("camera",)
)
FPS_DELIVERED: Final = Metric(
    "streamer.camera.fps_delivered", "gauge", "", "frames/s captured over the last second", ("camera",)
)
RECONNECTS: Final = Metric(
    "streamer.camera.reconnects",
    "counter",
    "{reconnect}",
    "times that a source failed and was tried again",
    ("camera",),
)
RUNNING: Final = Metric("streamer.camera.running", "gauge", "", "1 while it gives pictures, else 0", ("camera",))
BUFFER_SIZE: Final = Metric(
    "streamer.camera.buffer.size", "gauge", "By", "frames that the broker does not have yet, of all cameras"
)

METRICS: Final = (
    *(CAPTURED, SENT, SHED, FPS_DECLARED, FPS_DELIVERED, RECONNECTS, RUNNING, BUFFER_SIZE),
    *(names.CLIENT_SENT_MESSAGES, names.CLIENT_OPERATION_DURATION),
)


def show_cameras(
    cameras: Sequence[Camera], publisher: FramePublisher, frames_topic: str, meters: MeterProvider | None = None
) -> None:
    """Have the figures of these cameras looked at whenever metrics are collected.

    Args:
        cameras: Whose.
        publisher: What sends their frames.
        frames_topic: Where to.
        meters: With whose SDK; None for the one that is set up by now.
    """
    meter = metrics.get_meter(SCOPE, meter_provider=meters)

    def figure(metric: Metric, value: Callable[[Camera], float | None], **attributes: str) -> None:
        def observe(_: object) -> list[Observation]:
            values = [(camera.name, value(camera)) for camera in cameras]
            return [Observation(each, {"camera": name} | attributes) for name, each in values if each is not None]

        metric.observe(meter, observe)

    figure(CAPTURED, lambda camera: camera.ledger.captured)
    figure(SENT, lambda camera: camera.ledger.sent)
    figure(SHED, lambda camera: camera.ledger.shed.total, reason=SKIPPED_CAMERA_BUFFER_FULL)
    figure(FPS_DECLARED, lambda camera: camera.fps_declared)
    figure(FPS_DELIVERED, lambda camera: camera.fps_delivered)
    figure(RECONNECTS, lambda camera: camera.reconnects)
    figure(RUNNING, lambda camera: int(camera.state == "running"))
    BUFFER_SIZE.observe(meter, lambda _: [Observation(publisher.unsent_bytes)])
    of_topic = {names.SYSTEM: names.KAFKA_SYSTEM, names.DESTINATION_NAME: frames_topic}
    names.CLIENT_SENT_MESSAGES.observe(
        meter, lambda _: [Observation(sum(camera.ledger.sent for camera in cameras), of_topic)]
    )
