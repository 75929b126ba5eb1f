"""`streamer produce`: publish the frames of a camera, or of many."""

import logging
import sys
import time
from argparse import ArgumentParser
from typing import TYPE_CHECKING

from config.settings import CameraSettings, KafkaSettings, ObservingSettings, ProduceSettings
from streamer.cli.command import Call, Command
from streamer.logs import say
from streamer.terminal import harmless, print_json

if TYPE_CHECKING:
    from producers.cameras import Cameras

_PROGRESS_INTERVAL_S = 5.0
_MAX_NAMES_CHARS = 1000


class _Progress:
    """A line about all cameras every few seconds, for a person at a terminal."""

    def __init__(self, cameras: "Cameras") -> None:
        self._cameras = cameras
        self._next_s = time.monotonic() + 1.0

    def __call__(self) -> None:
        if time.monotonic() < self._next_s or not sys.stderr.isatty():
            return
        self._next_s = time.monotonic() + _PROGRESS_INTERVAL_S
        ledgers = [camera.ledger for camera in self._cameras.cameras]
        running = sum(camera.state == "running" for camera in self._cameras.cameras)
        say(
            f"{running} of {len(ledgers)} cameras running: {sum(ledger.captured for ledger in ledgers)} frames "
            f"captured, {sum(ledger.sent for ledger in ledgers)} sent, "
            f"{sum(ledger.shed.total for ledger in ledgers)} shed"
        )


def _run(call: Call) -> int:
    # Imported here: the help text needs none of it.
    from messaging.topics import create_topics
    from streamer.compose import cameras_of, kafka_of, topic_plan
    from streamer.monitoring import Monitoring
    from streamer.stopping import stop_on_signals
    from streamer.telemetry import Role, telemetry

    settings = call.loaded.settings
    stop = stop_on_signals()
    cameras = cameras_of(settings)
    names = ",".join(camera.name for camera in cameras.cameras)[:_MAX_NAMES_CHARS]
    with Monitoring(settings) as monitoring, telemetry(Role.CAMERA, {"streamer.camera": names}, monitoring.prometheus):
        cameras.show_metrics(settings.frames_topic)
        monitoring.watch(lambda: "", cameras.why_not_ready)
        create_topics(kafka_of(settings), topic_plan(settings))
        for camera in cameras.cameras:
            source = camera.status().source
            say(f"camera {harmless(camera.name)}: {harmless(source)} to {settings.frames_topic}")
        unsent = cameras.run(stop, _Progress(cameras))
    failed = [camera for camera in cameras.cameras if camera.state == "failed"]
    report = {
        "cameras": {
            camera.name: {
                "captured": camera.ledger.captured,
                "sent": camera.ledger.sent,
                "shed": camera.ledger.shed.total,
                "state": camera.state,
                "error": camera.error,
            }
            for camera in cameras.cameras
        },
        "unsent": unsent,
    }
    if call.arguments.json:
        print_json(report)
    ledgers = [camera.ledger for camera in cameras.cameras]
    say(
        f"{sum(ledger.captured for ledger in ledgers)} frames captured, {sum(ledger.sent for ledger in ledgers)} sent, "
        f"{sum(ledger.shed.total for ledger in ledgers)} shed"
    )
    if unsent:
        say(f"{unsent} frames are not at the broker and are lost with this process", logging.WARNING)
    return 1 if failed or unsent else 0


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")


COMMAND = Command(
    help="Publish the frames of a camera, or of many, to the frames topic.",
    run=_run,
    settings=((CameraSettings, ""), (ProduceSettings, ""), (ObservingSettings, ""), (KafkaSettings, "")),
    add_arguments=_arguments,
    examples="streamer produce --camera demo --source synthetic:workpiece --fps 25\n"
    "streamer produce --camera gate --source rtsp://user:password@10.0.0.7/stream --fps 5\n"
    "streamer produce --camera test --source 'pictures/*.jpg' --loop --frames 1000\n"
    "streamer produce --camera door --source http://10.0.0.8/snapshot.jpg --fps 1\n"
    "streamer produce --cameras site.toml",
)
