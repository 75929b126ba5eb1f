"""`streamer consume`: classify frames with one device."""

import logging
import os
import sys
from argparse import SUPPRESS, ArgumentParser
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn

from config.errors import ConfigError
from config.settings import (
    ConsumeSettings,
    EngineSettings,
    KafkaSettings,
    ModelSettings,
    ObservingSettings,
    Settings,
)
from streamer.cli.command import Call, Command
from streamer.terminal import harmless

if TYPE_CHECKING:
    from engine.models.classifier import Classifier

#: A worker takes no longer than this to close what it has after it drained.
_CLOSE_S = 15.0


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
    from streamer.logs import say

    if error is not None:
        say(f"streamer: {error}", logging.ERROR)
    say(
        f"streamer: device {settings.device} did not finish its last batch; its frames are not committed and will be "
        "read again",
        logging.ERROR,
    )
    os._exit(1)


def _run(call: Call) -> int:
    settings = call.loaded.settings
    _check(settings)
    return _supervise(call) if settings.workers > 1 else _work(call)


def _supervise(call: Call) -> int:
    """Run several workers, each the same command in a process of its own."""
    # Imported here: the help text needs none of it.
    from consumers.counts import merge_summaries
    from streamer.compose import group_of
    from streamer.logs import say
    from streamer.monitoring import Monitoring
    from streamer.stopping import stop_on_signals
    from streamer.supervisor import Supervisor, Timing
    from streamer.worker_metrics import WorkerAnswers

    settings = call.loaded.settings
    stop = stop_on_signals()
    say(
        f"{settings.workers} workers share group {group_of(settings)}; "
        f"a topic's partitions are the most that have work: {settings.partitions} unless it was made with others"
    )
    command = [sys.executable, "-P", "-m", "streamer", "consume"]  # -P: no files of the folder
    # A worker that drains in time still has to leave its group, and its device may have to be given up.
    timing = Timing(kill_after_s=settings.drain_timeout.total_seconds() + _CLOSE_S)
    command += [*call.argv, "--workers", "1", "--json"]
    with TemporaryDirectory(prefix="streamer-") as directory:
        if settings.metrics_port is not None:
            command += ["--metrics-directory", directory]
        supervisor = Supervisor(command, settings.workers, timing)
        answers = WorkerAnswers(Path(directory), supervisor, settings.workers).answers()
        with Monitoring(settings, answers):
            code = supervisor.run(stop)
    summary = merge_summaries(supervisor.summaries()) | {"workers": settings.workers, "restarts": supervisor.restarts}
    _report(call, {"group": group_of(settings), "device": settings.device} | summary)
    return code


def _work(call: Call) -> int:
    """Be the one worker."""
    # Imported here: the help text needs none of it.
    from engine.telemetry import announce
    from messaging.topics import create_topics
    from streamer.compose import classifier_of, consumer_of, group_of, kafka_of, topic_plan
    from streamer.logs import set_up_logs
    from streamer.monitoring import Monitoring
    from streamer.stopping import stop_on_signals
    from streamer.telemetry import Role, telemetry
    from streamer.worker_metrics import socket_of

    settings = call.loaded.settings
    stop = stop_on_signals()
    group = group_of(settings)
    number = call.arguments.worker_number
    if number is not None:
        set_up_logs(is_debug=call.arguments.debug, form=settings.log_format, worker=str(number))
    own_socket = socket_of(call.arguments.metrics_directory, number) if call.arguments.metrics_directory else None
    with Monitoring(settings, own_socket=own_socket) as monitoring, ExitStack() as stack:
        classifier = classifier_of(settings)
        try:
            said = _attributes(settings, classifier, number)
            stack.enter_context(telemetry(Role.CONSUMER, said, monitoring.prometheus))
            create_topics(kafka_of(settings), topic_plan(settings))
            if number in (None, 1):  # the others would say the same
                _introduce(settings, classifier)
            announce(classifier.backend.name)
            consumer = consumer_of(settings, classifier)
            monitoring.watch(consumer.readings.why_not_alive, consumer.readings.why_not_ready)
            failure: BaseException | None = None
            try:
                consumer.run(until=stop)
            except BaseException as exc:
                failure = exc
                raise
            finally:
                known = failure is not None and {
                    "error": harmless(str(failure), 2000),
                    "is_retriable": bool(getattr(failure, "retriable", False)),
                }
                summary = {"group": group, "device": settings.device} | consumer.counts.summary()
                _report(call, summary | {"failure": known or None})
                if consumer.is_hung:
                    _leave_hung_device(settings, failure)
        finally:
            classifier.backend.close()
    return 0


def _attributes(settings: Settings, classifier: "Classifier", number: int | None) -> dict[str, str]:
    """Return what every span and metric says about this consumer."""
    from streamer.compose import group_of

    return {
        "streamer.device": settings.device,
        "streamer.group": group_of(settings),
        "streamer.worker": str(number or 1),
        "streamer.model": classifier.spec.name,
        "streamer.backend": classifier.backend.name,
    }


def _introduce(settings: Settings, classifier: "Classifier") -> None:
    """Say what is about to classify what."""
    from streamer.compose import group_of
    from streamer.logs import say

    spec = classifier.spec
    for assumption in spec.assumptions:
        say(f"model {harmless(spec.name)}: {harmless(assumption, 500)}")
    classes = f"{len(spec.labels)} classes" if classifier.program.outputs else "nothing is computed"
    say(
        f"model {harmless(spec.name)} ({classes}) on {harmless(classifier.backend.health().detail, 300)}; "
        f"group {group_of(settings)} gets every frame of {settings.frames_topic}; give cards the same --group to share"
    )
    rows = classifier.program.max_rows
    if rows is not None and rows > settings.batch_size:
        say(f"the program takes {rows} rows at a time: --batch-size {rows} fills it")


def _report(call: Call, summary: dict[str, Any]) -> None:
    """Say what was done, also where it ended in a failure."""
    from streamer.logs import say
    from streamer.terminal import print_json

    if call.arguments.json:
        print_json(summary)
        return
    timed = f"{summary['timed']} timed, " if summary["timed"] else ""
    lost = f"{summary['lost_to_retention']} lost to retention, " if summary["lost_to_retention"] else ""
    say(
        f"{summary['classified']} classified, {timed}{summary['skipped']} skipped, "
        f"{summary['dead_lettered']} dead-lettered, {lost}{summary['fps']:.1f} frames/s"
    )
    if shadow := summary["shadow"]:
        compared = shadow["agreed"] + shadow["disagreed"]
        share = f"agrees on {shadow['agreement']:.1%} of {compared} frames" if compared else "compared nothing"
        digest = shadow["model_digest"].removeprefix("sha256:")[:12]
        say(
            f"shadow model {harmless(shadow['model'])} ({digest}) {share}; {shadow['dropped']} dropped, "
            f"{shadow['failed']} failed"
        )


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the figures as one JSON object, on the last line")
    parser.add_argument("--worker-number", type=int, help=SUPPRESS)  # from whoever supervises
    parser.add_argument("--metrics-directory", type=Path, help=SUPPRESS)  # from the same


COMMAND = Command(
    help="Classify the frames of the frames topic with one device, and publish one result for each.\n\n"
    "Each device has a consumer group of its own and sees every frame; devices with the same --group share them.",
    run=_run,
    settings=(
        (ConsumeSettings, ""),
        (ModelSettings, ""),
        (EngineSettings, ""),
        (ObservingSettings, ""),
        (KafkaSettings, ""),
    ),
    add_arguments=_arguments,
    examples="streamer consume --device 0\n"
    "streamer consume --device 0 --model bottles.onnx --batch-size 16 --batch-timeout 10ms\n"
    "streamer consume --device 0 --batch-size 16 --latency-budget 200ms\n"
    "streamer consume --model bottles --shadow bottles-next.onnx\n"
    "streamer consume --device 1 --group line --policy freshest --max-age 500ms\n"
    "streamer consume --workers 4 --delivery exactly-once\n"
    "streamer consume --backend simulator --row resnet50/best-throughput --compute none\n"
    "streamer consume --from 2026-11-21T08:00:00Z --until-idle 5s --json",
)
