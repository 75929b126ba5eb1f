"""`streamer config`: the settings, where each came from, and their schema."""

import json
from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from pydantic import ByteSize, SecretStr
from pydantic_core import to_jsonable_python

from config.load import known_settings, value_of, variable_name
from config.schema import settings_schema
from config.types import format_duration
from producers.sources.address import redact
from streamer.cli.command import Call, Command
from streamer.terminal import print_json, print_table


def _shown(value: Any, extra: dict[str, Any]) -> Any:
    """Return a value as it may be printed: secrets masked, URLs without credentials."""
    if isinstance(value, SecretStr):
        return "***"
    if isinstance(value, str) and extra.get("holds_credentials"):
        return redact(value)
    if isinstance(value, timedelta):
        return format_duration(value)
    if isinstance(value, ByteSize):
        return int(value)
    return to_jsonable_python(value)


def _show(call: Call) -> int:
    values = {}
    for path, info in known_settings():
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        values[path] = _shown(value_of(call.loaded.settings, path), extra)
    if call.arguments.json:
        print_json(
            {
                path: {"value": value, "origin": call.loaded.origins.get(path, "default")}
                for path, value in values.items()
            }
        )
        return 0
    rows = [
        (path, "" if value is None else value, call.loaded.origins.get(path, "default"), variable_name(path))
        for path, value in values.items()
    ]
    print_table("", ("setting", "value", "from", "environment"), rows)
    return 0


def _schema(call: Call) -> int:
    del call
    print(json.dumps(settings_schema(), indent=2))
    return 0


def _json_flag(parser: ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")


COMMAND = Command(
    help="The settings: their values and origins, and the JSON schema of streamer.toml.",
    subcommands={
        "show": Command(
            help="Every setting, its value and where it came from; secrets are masked.",
            run=_show,
            add_arguments=_json_flag,
            examples="streamer config show\nSTREAMER_BATCH_SIZE=4 streamer config show --json",
        ),
        "schema": Command(
            help="The JSON schema of streamer.toml, for editors.",
            run=_schema,
            examples="streamer config schema > streamer.schema.json",
        ),
    },
)
