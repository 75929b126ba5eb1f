"""`streamer consume`: classify frames with one device."""

import os
import sys
from argparse import ArgumentParser
from typing import NoReturn

from config.errors import ConfigError
from config.settings import ConsumeSettings, EngineSettings, KafkaSettings, ModelSettings, Settings
from streamer.cli.command import Call, Command


def _check(settings: Settings) -> None:
    """Refuse what the types alone cannot."""
    from messaging.timestamps import parse_us

    if settings.start not in ("earliest", "latest"):
        try:
            parse_us(settings.start)
        except (ValueError, OverflowError) as exc:
            raise ConfigError(
                f"--from {settings.start}: give earliest, latest or a time such as 2026-11-21T08:00:00Z"
            ) from exc


def _leave_hung_device(settings: Settings, error: BaseException | None) -> NoReturn:
    """End the process though a thread of the device does not: it cannot be ended in any other way."""
    from streamer.terminal import harmless

    if error is not None:
        print(f"streamer: {harmless(str(error), 2000)}", file=sys.stderr)
    print(
        f"streamer: device {settings.device} did not finish its last batch; its frames are not committed and will be "
        "read again",
        file=sys.stderr,
        flush=True,
    )
    os._exit(1)


def _run(call: Call) -> int:
    # Imported here: the help text needs none of it.
    from messaging.topics import create_topics
    from streamer.compose import classifier_of, consumer_of, group_of, kafka_of, topic_plan
    from streamer.stopping import stop_on_signals
    from streamer.telemetry import Role, telemetry
    from streamer.terminal import harmless, print_json

    settings = call.loaded.settings
    _check(settings)
    stop = stop_on_signals()
    group = group_of(settings)
    with telemetry(Role.CONSUMER, {"streamer.device": settings.device, "streamer.group": group}):
        classifier = classifier_of(settings)
        try:
            spec = classifier.spec
            for assumption in spec.assumptions:
                print(f"model {harmless(spec.name)}: {assumption}", file=sys.stderr)
            create_topics(kafka_of(settings), topic_plan(settings))
            classes = f"{len(spec.labels)} classes" if classifier.program.outputs else "nothing is computed"
            print(
                f"model {harmless(spec.name)} ({classes}) on {harmless(classifier.backend.health().detail, 300)}; "
                f"group {group} gets every frame of {settings.frames_topic}; give cards the same --group to share",
                file=sys.stderr,
            )
            rows = classifier.program.max_rows
            if rows is not None and rows > settings.batch_size:
                print(f"the program takes {rows} rows at a time: --batch-size {rows} fills it", file=sys.stderr)
            consumer = consumer_of(settings, classifier)
            try:
                consumer.run(until=stop)
            finally:
                if consumer.is_hung:
                    _leave_hung_device(settings, sys.exc_info()[1])
        finally:
            classifier.backend.close()
    summary = {"group": group, "device": settings.device} | consumer.counts.summary()
    if call.arguments.json:
        print_json(summary)
    else:
        counts = consumer.counts
        timed = f"{counts.frames['timed']} timed, " if counts.frames["timed"] else ""
        print(
            f"{counts.frames['classified']} classified, {timed}{counts.frames['skipped']} skipped, "
            f"{counts.frames['dead-lettered']} dead-lettered, {counts.fps:.1f} frames/s",
            file=sys.stderr,
        )
    return 0


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")


COMMAND = Command(
    help="Classify the frames of the frames topic with one device, and publish one result for each.\n\n"
    "Each device has a consumer group of its own and sees every frame; devices with the same --group share them.",
    run=_run,
    settings=((ConsumeSettings, ""), (ModelSettings, ""), (EngineSettings, ""), (KafkaSettings, "")),
    add_arguments=_arguments,
    examples="streamer consume --device 0\n"
    "streamer consume --device 0 --model bottles.onnx --batch-size 16 --batch-timeout 10ms\n"
    "streamer consume --device 1 --group line --policy freshest --max-age 500ms\n"
    "streamer consume --backend simulator --row resnet50/best-throughput --compute none\n"
    "streamer consume --from 2026-11-21T08:00:00Z --until-idle 5s --json",
)
