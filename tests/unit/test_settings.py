"""The settings: one name in the file, the environment and the flags, and errors that say where a value came from."""

import json
import os
import traceback
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from config.errors import ConfigError
from config.load import Loaded, flag_name, known_settings, load, value_of, variable_name
from config.schema import settings_schema
from config.settings import SECTIONS, Settings
from streamer.cli.main import COMMANDS

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def _nothing_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the tester's, and no `streamer.toml`."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith("STREAMER_"):
            monkeypatch.delenv(name)


def write(text: str, name: str = "streamer.toml") -> Path:
    path = Path(name)
    path.write_text(text)
    return path


def message_of(flags: dict[str, Any] | None = None, file: Path | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        load(flags or {}, file=file)
    assert caught.value.exit_code == 2
    assert SECRET not in "".join(traceback.format_exception(caught.value))  # what --debug prints
    assert "\n" not in str(caught.value)
    return str(caught.value)


def seen(loaded: Loaded, path: str) -> tuple[Any, str]:
    return value_of(loaded.settings, path), loaded.origins.get(path, "default")


# -- where a value comes from ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "in_file", "other"),
    [
        ("batch_size", "batch_size = 2", ("3", 3, "4", 4, 2)),
        ("batch_size", "batch-size = 2", ("3", 3, "4", 4, 2)),
        ("from", "from = 'latest'", ("earliest", "earliest", "latest", "latest", "latest")),
        ("broker.port", "[broker]\nport = 2", ("3", 3, "4", 4, 2)),
        ("broker.heap_mb", "[broker]\nheap-mb = 200", ("300", 300, "400", 400, 200)),
        ("loop", "loop = true", ("false", False, True, True, True)),
        ("demo.fps", "[demo]\nfps = 2.5", ("3", 3.0, "4.5", 4.5, 2.5)),
    ],
)
def test_flags_win_over_the_environment_that_over_the_file_and_that_over_the_default(
    monkeypatch: pytest.MonkeyPatch, path: str, in_file: str, other: tuple[Any, ...]
) -> None:
    in_environment, environment_value, flag, flag_value, file_value = other
    default, origin = seen(load({}), path)
    assert origin == "default"
    assert value_of(Settings(), path) == default

    write(in_file)
    assert seen(load({}), path) == (file_value, f"{path} in streamer.toml")

    monkeypatch.setenv(variable_name(path), in_environment)
    assert seen(load({}), path) == (environment_value, variable_name(path))

    assert seen(load({path: flag}), path) == (flag_value, flag_name(path))


def test_sources_of_one_section_are_brought_together(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[broker]\nport = 1\nheap_mb = 200\nnodes = 3\n[demo]\ncameras = 2")
    monkeypatch.setenv("STREAMER_BROKER_HEAP_MB", "300")
    settings = load({"broker.port": "4", "demo.fps": "5"}).settings
    assert (settings.broker.port, settings.broker.heap_mb, settings.broker.nodes) == (4, 300, 3)
    assert (settings.demo.cameras, settings.demo.fps) == (2, 5)


@pytest.mark.parametrize("source", ["file", "environment", "flag"])
def test_every_setting_can_come_from_everywhere(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    texts = {
        "dead_letter_topic": "my-dead",
        "max_age": "500ms",
        "model_mean": "0.1,0.2,0.3",
        "broker.nodes": "3",
        "broker.data_directory": "/data",
        "demo.seconds": "5",
        "frames_retention_bytes": "3GiB",
        "policy": "freshest",
        "model_layout": "NHWC",
    }
    flags = {}
    for path, text in texts.items():
        if source == "environment":
            monkeypatch.setenv(variable_name(path), text)
        elif source == "flag":
            flags[path] = text
    if source == "file":
        top = [f"{path} = {text!r}" for path, text in texts.items() if "." not in path]
        write("\n".join([*top, "[broker]\nnodes = 3\ndata_directory = '/data'\n[demo]\nseconds = 5"]))
    settings = load(flags).settings
    assert settings.dead_letter_topic == "my-dead"
    assert settings.max_age is not None
    assert settings.max_age.total_seconds() == 0.5
    assert settings.model_mean == (0.1, 0.2, 0.3)
    assert settings.broker.nodes == 3
    assert settings.broker.data_directory == Path("/data")
    assert settings.demo.seconds.total_seconds() == 5
    assert settings.frames_retention_bytes == 3 * 1024**3
    assert (settings.policy, settings.model_layout) == ("freshest", "NHWC")


def test_the_file_is_the_one_that_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    write("top = 1")
    other = write("top = 2", "other.toml")
    write("top = 3", "third.toml")
    assert load({}).settings.top == 1
    monkeypatch.setenv("STREAMER_CONFIG", "other.toml")
    assert seen(load({}), "top") == (2, "top in other.toml")
    assert load({}, file=Path("third.toml")).settings.top == 3
    other.unlink()
    assert message_of() == "cannot read the settings file other.toml: No such file or directory"


def test_without_any_file_the_defaults_are_those_of_the_contract() -> None:
    settings = load({}).settings
    assert not load({}).origins
    assert (settings.batch_size, settings.batch_timeout.total_seconds(), settings.top) == (8, 0.02, 5)
    assert (settings.start, settings.policy) == ("earliest", "every-frame")
    assert settings.session_timeout.total_seconds() == 10
    assert (settings.max_age, settings.until_idle, settings.group, settings.fps) == (None, None, None, None)
    assert settings.bootstrap_servers == "127.0.0.1:9092"
    assert (settings.frames_topic, settings.results_topic) == ("streamer.frames", "streamer.results")
    assert (settings.dead_letter_topic, settings.status_topic) == ("streamer.dead-letters", "streamer.status")
    assert settings.frames_retention.total_seconds() == 600
    assert (settings.demo.cameras, settings.demo.fps, settings.demo.seconds.total_seconds()) == (4, 25, 10)


def test_settings_are_frozen() -> None:
    settings = load({}).settings
    with pytest.raises(ValidationError):
        settings.top = 3  # type: ignore[misc]
    with pytest.raises(ValidationError):
        settings.broker.port = 3  # type: ignore[misc]


# -- names -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("batch_sise = 3", "unknown setting batch_sise in streamer.toml: did you mean batch_size?"),
        ("[brokr]\nport = 3", "unknown setting brokr in streamer.toml: did you mean broker?"),
        ("[broker]\nprt = 3", "unknown setting broker.prt in streamer.toml: did you mean broker.port?"),
        ("port = 3", "unknown setting port in streamer.toml"),
        # The name in Python of a setting that users call `from`.
        ("start = 'latest'", "unknown setting start in streamer.toml"),
        ("broker = 3", "broker in streamer.toml: write its settings in a table, [broker]"),
        ("batch_size = 3\nbatch-size = 4", "batch_size stands twice in streamer.toml"),
        ("zzz = 3", "unknown setting zzz in streamer.toml"),
        ("x = ", "streamer.toml is no TOML file: Invalid value"),
    ],
)
def test_an_unknown_name_in_the_file_and_the_nearest_that_is_known(text: str, says: str) -> None:
    write(text)
    assert message_of().startswith(says)


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("STREAMER_BATCH_SIZES", "STREAMER_BATCH_SIZE"),
        ("STREAMER_BACHT_SIZE", "STREAMER_BATCH_SIZE"),
        ("STREAMER_BROKER", "STREAMER_BROKER_PORT"),
        ("STREAMER_CONFIGS", "STREAMER_CONFIG"),
        ("STREAMER_BROKER_HEAP", "STREAMER_BROKER_HEAP_MB"),
    ],
)
def test_a_variable_that_is_nearly_ours_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, nearest: str
) -> None:
    monkeypatch.setenv(variable, "3")
    assert message_of() == f"unknown environment variable {variable}: did you mean {nearest}?"


@pytest.mark.parametrize("service", ["STREAMER", "STREAMER_DASHBOARD", "STREAMER_CONSUME", "STREAMER_RESULTS"])
def test_what_kubernetes_sets_for_a_service_is_let_be(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    port = f"{service}_PORT"
    for name in (f"{service}_SERVICE_HOST", f"{service}_SERVICE_PORT", f"{service}_SERVICE_PORT_HTTP", port):
        monkeypatch.setenv(name, "tcp://10.0.0.1:80")
    for part in ("", "_PROTO", "_PORT", "_ADDR"):
        monkeypatch.setenv(f"{port}_80_TCP{part}", "tcp://10.0.0.1:80")
    assert not load({}).origins


def test_the_service_of_a_section_is_let_be_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER_BROKER_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("STREAMER_DEMO_PORT", "tcp://10.0.0.1:80")
    assert not load({}).origins


@pytest.mark.parametrize("variable", ["streamer_batch_size", "Streamer_Batch_Size", "STREAMER_START", "STREAMER_ZZZ"])
def test_no_variable_is_taken_under_another_name(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "3")
    loaded = load({})
    assert (loaded.settings.batch_size, loaded.settings.start) == (8, "earliest")
    assert not loaded.origins


# -- values ----------------------------------------------------------------------------------------

BAD = [
    ("batch_size", SECRET),
    ("batch_size", "0"),
    ("batch_size", ""),
    ("batch_timeout", SECRET),
    ("batch_timeout", "20"),
    ("batch_timeout", f"20{SECRET}"),
    ("max_age", "-5s"),
    ("policy", SECRET),
    ("fps", SECRET),
    ("fps", "nan"),
    ("fps", "inf"),
    ("loop", SECRET),
    ("model_mean", f"{SECRET},1"),
    ("model_mean", "nan,1,1"),
    ("model_layout", SECRET),
    ("frames_topic", f"{SECRET} topic"),
    ("frames_topic", "x" * 250),
    ("frames_retention", "0s"),
    ("frames_retention_bytes", SECRET),
    ("frames_retention_bytes", "0"),
    ("buffer_bytes", "-1"),
    ("camera", ""),
    ("camera", "\udcff"),
    ("source", ""),
    ("broker.port", SECRET),
    ("broker.port", "65536"),
    ("broker.nodes", "2"),
    ("broker.nodes", SECRET),
    ("demo.seconds", SECRET),
    ("demo.seconds", "0"),
]


@pytest.mark.parametrize(("path", "text"), BAD, ids=lambda value: ascii(value)[:30])
def test_a_bad_value_is_one_line_with_its_origin_and_without_the_value(
    monkeypatch: pytest.MonkeyPatch, path: str, text: str
) -> None:
    message = message_of({path: text})
    assert message.startswith(f"{flag_name(path)}: ")
    assert SECRET not in message

    if "\udcff" not in text:
        section, _, name = path.rpartition(".")
        write(f"{f'[{section}]' if section else ''}\n{name} = {json.dumps(text)}")
        message = message_of()
        assert message.startswith(f"{path} in streamer.toml: ")
        assert SECRET not in message

    monkeypatch.setenv(variable_name(path), text)
    message = message_of()
    assert message.startswith(f"{variable_name(path)}: ")
    assert SECRET not in message


@pytest.mark.parametrize(
    "line", [f"source = ['{SECRET}']", f"[broker]\nport = {{ x = '{SECRET}' }}", "top = 2026-01-01"]
)
def test_a_value_of_another_kind(line: str) -> None:
    write(line)
    message = message_of()
    assert " in streamer.toml: " in message
    assert SECRET not in message


@pytest.mark.parametrize("given", [{"results_topic": "a", "frames_topic": "a"}, {"status_topic": "streamer.results"}])
def test_one_topic_cannot_have_two_roles(given: dict[str, str]) -> None:
    # A consumer would read its own results as frames, and dead-letter them for ever.
    assert message_of(given) == "frames, results, dead letters and status need four different topics"


# -- what every setting has ------------------------------------------------------------------------


def test_every_setting_says_what_it_is() -> None:
    for path, info in known_settings():
        assert info.description, path
        assert not info.description.endswith("."), path


def test_no_two_settings_share_a_variable() -> None:
    variables = [variable_name(path) for path, _ in known_settings()]
    assert len(set(variables)) == len(variables)
    assert "STREAMER_CONFIG" not in variables


def test_no_setting_is_called_like_a_section() -> None:
    assert not set(SECTIONS) & {path for path, _ in known_settings()}


def test_the_schema_is_that_of_the_file() -> None:
    schema = settings_schema()
    properties = schema["properties"]
    assert set(properties) == {path for path, _ in known_settings() if "." not in path} | set(SECTIONS)
    assert schema["additionalProperties"] is False
    assert all(schema["$defs"][name]["additionalProperties"] is False for name in ("BrokerSettings", "DemoSettings"))


def test_every_default_passes_its_own_check() -> None:
    for path, info in known_settings():
        default = info.get_default(call_default_factory=True)
        if default is not None:
            load({path: default})


def test_the_commands_are_known() -> None:
    assert {"demo", "broker", "topics", "produce", "consume", "config"} <= set(COMMANDS)


def test_the_schemas_defaults_are_as_one_would_write_them() -> None:
    schema = settings_schema()
    defaults = {
        f"{section}.{name}" if section else name: about["default"]
        for section, properties in (
            ("", schema["properties"]),
            *(
                (title.removesuffix("Settings").lower(), group["properties"])
                for title, group in schema["$defs"].items()
            ),
        )
        for name, about in properties.items()
        if about.get("default") is not None and name not in SECTIONS
    }
    assert defaults["batch_timeout"] == "20ms"
    assert defaults["demo.seconds"] == "10s"
    settings = load(defaults).settings
    assert settings.model_dump() == Settings().model_dump()


@pytest.mark.parametrize("given", [{"top": SECRET}, {"broker": {"port": SECRET}}, {"status_topic": f"{SECRET} x"}])
def test_pydantics_own_error_hides_the_value_too(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(**given)
    assert SECRET not in str(caught.value)
