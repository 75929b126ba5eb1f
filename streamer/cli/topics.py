"""`streamer topics`: create and describe the four topics."""

from argparse import ArgumentParser

from config.settings import KafkaSettings, TopicSettings
from streamer.cli.command import Call, Command
from streamer.terminal import print_json, print_table


def _create(call: Call) -> int:
    from messaging.topics import create_topics
    from streamer.compose import kafka_of, topic_names, topic_plan

    settings = call.loaded.settings
    created = create_topics(kafka_of(settings), topic_plan(settings))
    if call.arguments.json:
        print_json({"created": created})
        return 0
    for name in topic_names(settings).all():
        print(f"{name}: {'created' if name in created else 'was there'}")
    return 0


def _describe(call: Call) -> int:
    from messaging.topics import describe_topics
    from streamer.compose import kafka_of, topic_names

    settings = call.loaded.settings
    topics = describe_topics(kafka_of(settings), topic_names(settings))
    if call.arguments.json:
        print_json(
            {
                topic.name: {
                    "partitions": topic.partitions,
                    "replication": topic.replication,
                    "settings": dict(topic.settings),
                }
                for topic in topics
            }
        )
        return 0
    missing = set(topic_names(settings).all()) - {topic.name for topic in topics}
    rows = [
        (topic.name, topic.partitions, topic.replication, " ".join(f"{k}={v}" for k, v in topic.settings.items()))
        for topic in topics
    ]
    print_table("", ("topic", "partitions", "replication", "settings"), rows)
    for name in sorted(missing):
        print(f"{name}: missing (`streamer topics create`)")
    return 0


def _json_flag(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")


COMMAND = Command(
    help="The topics of frames, results, dead letters and status.",
    subcommands={
        "create": Command(
            help="Create those of the topics that are missing, with the settings that a live stream needs.",
            run=_create,
            settings=((KafkaSettings, ""), (TopicSettings, "")),
            add_arguments=_json_flag,
            examples="streamer topics create\nstreamer topics create --partitions 32 --frames-retention 30m",
        ),
        "describe": Command(
            help="Partitions, replication and settings of the topics as the broker has them.",
            run=_describe,
            settings=((KafkaSettings, ""),),
            add_arguments=_json_flag,
            examples="streamer topics describe",
        ),
    },
)
