"""The command line: exit codes, one line for what is wrong, help, and what it does not load."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import streamer
from config.errors import ConfigError
from config.load import flag_name, setting_name
from messaging.errors import BrokerUnavailableError
from streamer.cli.command import Call, Command, UsageError, make_parser, parse
from streamer.cli.main import COMMANDS, main
from tests.fakes.programs import ROOT, environ, python

DEADLINE_S = 60


@pytest.fixture(autouse=True)
def _nothing_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the tester's."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("STREAMER_"):
            monkeypatch.delenv(name)


Failing = Callable[[Callable[[Call], int]], str]


@pytest.fixture
def command_that(monkeypatch: pytest.MonkeyPatch) -> Failing:
    """Add a command that does what a function does; its name."""

    def add(run: Callable[[Call], int]) -> str:
        module = ModuleType("streamer.cli.trial")
        module.COMMAND = Command(help="A trial.", run=run)  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "trial", "a trial")
        return "trial"

    return add


def all_commands() -> list[list[str]]:
    """Every command of the overview, and every command of a group."""
    words = []
    for name in COMMANDS:
        command: Command = import_module(f"streamer.cli.{name}").COMMAND
        words += [[name], *([name, sub] for sub in command.subcommands)]
    return words


def command_of(words: list[str]) -> Command:
    command: Command = import_module(f"streamer.cli.{words[0]}").COMMAND
    return command.subcommands[words[1]] if len(words) > 1 else command


# -- help ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"], ["help"]])
def test_the_overview_names_every_command(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert all(f"  {name} " in out for name in COMMANDS)
    assert err == ""


def test_the_overview_lists_what_there_is() -> None:
    modules = (ROOT / "streamer" / "cli").glob("*.py")
    assert set(COMMANDS) == {path.stem for path in modules if "\nCOMMAND = " in path.read_text()}


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"streamer {streamer.__version__}\n"


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    for flag in ("--help", "-h"):
        assert main([*words, flag]) == 0
        out, err = capsys.readouterr()
        assert err == ""
        assert f"usage: streamer {' '.join(words)} " in out
    command = command_of(words)
    if command.run is None:
        assert all(name in out for name in command.subcommands)
    else:
        assert "--config FILE" in out
        assert "--debug" in out
        assert all(line in out for line in command.examples.splitlines())
        assert "None" not in out
        assert "PydanticUndefined" not in out


@pytest.mark.parametrize("words", all_commands(), ids=" ".join)
def test_a_commands_flags_are_told_apart(words: list[str]) -> None:
    command = command_of(words)
    flags = [
        flag_name(setting_name(name, info))
        for group, _ in command.settings
        for name, info in group.model_fields.items()
    ]
    assert len(set(flags)) == len(flags)
    if command.run is not None:
        make_parser("streamer", command)  # argparse refuses what stands twice, `--json` and `--debug` included


def test_a_group_without_a_command_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics"]) == 2
    assert "create" in capsys.readouterr().out


# -- wrong use -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["consme"], "streamer: unknown command consme: did you mean consume?"),
        (["--verbose"], "streamer: unknown flag --verbose: `streamer --help` lists them"),
        (["zzz"], "streamer: unknown command zzz: `streamer --help` lists them"),
        (["topics", "crate"], "streamer topics: unknown command crate: there are create, describe"),
        (["consume", "--batchsize", "3"], "unknown flag --batchsize: did you mean --batch-size?"),
        (["consume", "--batch-siz=3"], "unknown flag --batch-siz: did you mean --batch-size?"),
        (["consume", "extra"], "unknown argument extra"),
        (["consume", "--batch", "3"], "unknown flag --batch"),  # no abbreviations: a new flag would break scripts
        (["consume", "--device"], "argument --device: expected one argument"),
        (["consume", "--batch-size", "x"], "--batch-size: input should be a valid integer"),
        (["consume", "--batch-timeout", "20"], "--batch-timeout: needs a unit"),
        (["consume", "--batch-timeout", "61s"], "--batch-timeout: input should be at most 1m"),
        (["consume", "--latency-budget", "0ms"], "--latency-budget: input should be at least 1ms"),
        (["consume", "--from", "yesterday"], "--from"),
        (["consume", "--config", "nowhere.toml"], "cannot read the settings file nowhere.toml"),
        (["broker", "--nodes", "2"], "--nodes: input should be 1 or 3"),
        (["produce"], "--camera NAME is missing"),
        (["produce", "--camera", "a", "--source", "x", "--cameras", "f"], "not both"),
        (["topics", "describe", "--bootstrap-servers", "host:port"], "bad broker address 'host:port'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_line_and_exit_code_2(argv: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert err.startswith("streamer")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "argv",
    [
        ["rtsp://user:hunter2@10.0.0.7/stream"],
        ["topics", "rtsp://user:hunter2@10.0.0.7/stream"],
        ["produce", "rtsp://user:hunter2@10.0.0.7/stream"],
        ["produce", "--pasword=hunter2"],
        ["--pasword=hunter2"],
    ],
)
def test_a_misplaced_password_is_not_printed(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert "hunter2" not in "".join(capsys.readouterr())


def test_what_is_quoted_cannot_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["a\x1b[2J\nb"]) == 2
    err = capsys.readouterr().err
    assert "\x1b" not in err
    assert err.count("\n") == 1


# -- errors ----------------------------------------------------------------------------------------


def fails_with(error: BaseException) -> Callable[[Call], int]:
    def run(call: Call) -> int:
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (ConfigError("--x is bad"), 2, "streamer: --x is bad"),
        (BrokerUnavailableError("nobody there"), 1, "streamer: nobody there"),
        (BrokerUnavailableError("two\n  lines\x1b[31m"), 1, "streamer: two lines\\x1b[31m"),
        (ValueError("odd"), 1, "streamer: odd (an error of streamer's own; --debug shows where)"),
        (ValueError(), 1, "streamer: ValueError (an error of streamer's own; --debug shows where)"),
        # A connection's, and not that of our output.
        (BrokenPipeError("the camera left"), 1, "streamer: the camera left"),
    ],
    ids=repr,
)
def test_an_error_is_one_line_and_a_traceback_only_with_debug(
    command_that: Failing, error: Exception, code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = command_that(fails_with(error))
    assert main([name]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(line)

    assert main([name, "--debug"]) == code
    err = capsys.readouterr().err
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith(line.partition(" (")[0])


def test_an_interrupted_command_ends_as_shells_expect(
    command_that: Failing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command_that(fails_with(KeyboardInterrupt()))]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("code", [0, 1, 2])
def test_the_commands_own_exit_code(command_that: Failing, code: int) -> None:
    assert main([command_that(lambda _: code)]) == code


def warn(call: Call) -> int:
    del call
    try:
        raise ValueError("within")
    except ValueError:
        logging.getLogger("elsewhere").exception("camera %s\nfailed", "a\x1b[2J")
    logging.getLogger("kafka.net").error("connection lost")
    logging.getLogger("streamer.x").debug("detail")
    return 0


def test_logs_are_one_line_each_on_standard_error(command_that: Failing, capsys: pytest.CaptureFixture[str]) -> None:
    name = command_that(warn)
    assert main([name]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert line.endswith("ERROR camera a\\x1b[2J failed")

    assert main([name, "--debug"]) == 0
    err = capsys.readouterr().err
    assert "ValueError: within" in err
    assert "connection lost" in err
    assert "DEBUG detail" in err
    assert "\x1b" not in err


# -- config ----------------------------------------------------------------------------------------


def test_config_show_says_where_each_value_came_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("streamer.toml").write_text("top = 3\nsource = 'rtsp://user:hunter2@10.0.0.7/stream?token=hunter2'\n")
    monkeypatch.setenv("STREAMER_BATCH_SIZE", "4")
    monkeypatch.setenv("STREAMER_BATCH_TIMEOUT", "1500us")
    assert main(["config", "show", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    shown = json.loads(out)
    assert shown["top"] == {"value": 3, "origin": "top in streamer.toml"}
    assert shown["batch_size"] == {"value": 4, "origin": "STREAMER_BATCH_SIZE"}
    assert shown["batch_timeout"]["value"] == "1500us"
    assert shown["broker.port"] == {"value": 9092, "origin": "default"}
    assert shown["source"]["value"] == "rtsp://10.0.0.7/stream?token=***"

    assert main(["config", "show"]) == 0
    out = capsys.readouterr().out
    assert "hunter2" not in out
    # In a file or a pipe nothing is cut or folded, so that `grep` finds it.
    (row,) = (line for line in out.splitlines() if "STREAMER_BATCH_TIMEOUT" in line)
    assert "1500us" in row


def test_config_schema_is_json_for_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["properties"]["batch_timeout"]["default"] == "20ms"
    assert schema["additionalProperties"] is False


# -- processes -------------------------------------------------------------------------------------


def modules_after(argv: list[str]) -> set[str]:
    code = (
        "import sys; from streamer.cli.main import main; code = main(sys.argv[1:]); "
        "print(*sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = python(["-c", code, *argv])
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def test_the_overview_needs_next_to_nothing() -> None:
    loaded = modules_after(["--help"])
    heavy = {
        "numpy",
        "kafka",
        "pydantic",
        "pydantic_settings",
        "qai_hub",
        "onnxruntime",
        "rich",
        "PIL",
        "av",
        "msgspec",
    }
    assert not loaded & heavy
    assert "opentelemetry" not in loaded
    assert "streamer.cli.main" in loaded


def test_a_commands_help_waits_for_nothing_that_only_its_work_needs() -> None:
    loaded = modules_after(["consume", "--help"])
    assert not loaded & {"pydantic_settings", "qai_hub", "opentelemetry.sdk", "torch"}
    assert "config.settings" in loaded


@pytest.mark.parametrize("argv", [["--help"], ["consume", "--help"], ["config", "schema"], ["config", "show"]])
def test_a_reader_that_left_is_no_error(argv: list[str]) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as output:
        done = python(["-m", "streamer", *argv], stdout=output)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_closed_output_is_no_error() -> None:
    line = f'exec "{sys.executable}" -m streamer --help >&-'
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=DEADLINE_S, env=environ(), check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_an_error() -> None:
    with Path("/dev/full").open("wb") as output:
        done = python(["-m", "streamer", "config", "schema"], stdout=output)
    assert done.returncode == 1
    assert done.stderr.startswith("streamer: [Errno 28]")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_says_nothing() -> None:
    # A command that waits: the settings come from a pipe into which nobody writes.
    os.mkfifo("streamer.fifo")
    process = subprocess.Popen(
        [sys.executable, "-m", "streamer", "config", "show", "--config", "streamer.fifo"],
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with contextlib.ExitStack() as stack:
        stack.callback(process.kill)
        with Path("streamer.fifo").open("wb"):  # opens once the command reads, and so it waits
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, out, err) == (130, b"", b"")


def test_the_command_is_installed_and_a_module_too() -> None:
    done = python(["-m", "streamer", "--version"])
    assert (done.returncode, done.stdout) == (0, f"streamer {streamer.__version__}\n")
    assert (ROOT / "streamer" / "__main__.py").is_file()


DURATIONS = {"engine": ("--duration", "duration", ("--model", "m")), "classifier": ("--time", "time", ())}


@pytest.mark.parametrize("name", DURATIONS)
def test_how_long_something_takes_is_said_in_the_same_way_everywhere(name: str) -> None:
    flag, argument, words = DURATIONS[name]
    parser = make_parser(f"streamer {name}", import_module(f"streamer.cli.{name}").COMMAND)
    for text, wanted_s in (("5", 5.0), ("5.0", 5.0), ("2.5s", 2.5), ("500ms", 0.5), ("2m", 120.0), ("23h", 82_800.0)):
        assert getattr(parse(parser, [*words, flag, text])[1], argument) == wanted_s
    for text, says in (("0", "above 0"), ("1d", "below a day"), ("9e9", "no duration"), ("soon", "no duration")):
        with pytest.raises(UsageError, match=says):
            parse(parser, [*words, flag, text])
