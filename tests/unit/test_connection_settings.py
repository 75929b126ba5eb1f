"""From settings to the security of the connection: where secrets may come from, and that none is shown."""

import json
import os
from importlib import import_module
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import flag_name, is_secret, known_settings, load
from config.schema import settings_schema
from messaging.errors import SecuritySettingError
from messaging.security import Sasl, Security, Tls
from streamer.cli.command import Command, UsageError, make_parser, parse
from streamer.cli.main import main
from streamer.compose import kafka_of
from streamer.demo.demo import _environ

SECRET = "hunter2"
SECRETS = [path for path, info in known_settings() if is_secret(info)]


@pytest.fixture(autouse=True)
def _nothing_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the tester's."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("STREAMER_"):
            monkeypatch.delenv(name)


def security(**settings: str) -> Security:
    return kafka_of(load(settings).settings).security


def test_without_settings_there_is_none() -> None:
    assert security() == Security()
    assert security().security_protocol == "PLAINTEXT"


def test_scram_with_a_password_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER_SASL_PASSWORD", SECRET)
    made = security(sasl_mechanism="SCRAM-SHA-512", sasl_username="camera", tls_ca_file="ca.pem")
    assert made == Security(
        tls=Tls(ca_file=Path("ca.pem")), sasl=Sasl(mechanism="SCRAM-SHA-512", username="camera", password=SECRET)
    )
    assert made.security_protocol == "SASL_SSL"


def test_a_password_of_a_file() -> None:
    Path("password").write_text(f"{SECRET}\n")
    made = security(sasl_mechanism="PLAIN", sasl_username="camera", sasl_password_file="password")
    assert made.sasl == Sasl(mechanism="PLAIN", username="camera", password=SECRET)


def test_mutual_tls_without_its_host_name() -> None:
    Path("key-password").write_text(SECRET)
    made = security(
        tls_certificate_file="camera.pem",
        tls_key_file="camera.key",
        tls_key_password_file="key-password",
        tls_skip_hostname_check="true",
    )
    assert made.security_protocol == "SSL"
    assert made.tls == Tls(
        certificate_file=Path("camera.pem"),
        key_file=Path("camera.key"),
        key_password=SECRET,
        is_host_name_checked=False,
    )


def test_a_token_of_a_file() -> None:
    Path("token").write_text(SECRET)
    made = security(sasl_mechanism="OAUTHBEARER", sasl_oauth_token_file="token")
    assert made.client_settings([])["sasl_oauth_token_provider"].token() == SECRET


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sasl_username": "camera"}, "--sasl-mechanism is missing"),
        ({"sasl_oauth_token_file": "token"}, "--sasl-mechanism is missing"),
        ({"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "a"}, "STREAMER_SASL_PASSWORD or give --sasl-password"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "a", "sasl_password_file": "no"}, "cannot read the secret in no"),
        ({"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_client_id": "a"}, "--sasl-oauth-token-url is missing"),
        ({"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_url": "https://a"}, "needs --sasl-oauth-client-id"),
        (
            {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_url": "https://a", "sasl_oauth_token_file": "t"},
            "not both",
        ),
        ({"security_protocol": "PLAINTEXT", "tls_ca_file": "ca.pem"}, "PLAINTEXT has no TLS"),
    ],
)
def test_settings_that_do_not_do(given: dict[str, str], says: str) -> None:
    with pytest.raises(SecuritySettingError, match=says) as caught:
        security(**given)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_stands_in_one_place(name: str) -> None:
    with pytest.raises(ConfigError, match=f"give {name} or {name}_file, not both"):
        load({name: SECRET, f"{name}_file": "file"})


# -- no secret is a flag, and none is shown --------------------------------------------------------


def test_which_settings_are_secret() -> None:
    assert SECRETS == ["sasl_password", "sasl_oauth_client_secret", "tls_key_password"]


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize("words", [["consume"], ["produce"], ["topics", "create"]], ids=" ".join)
def test_a_secret_is_no_flag(words: list[str], name: str) -> None:
    command: Command = import_module(f"streamer.cli.{words[0]}").COMMAND
    for word in words[1:]:
        command = command.subcommands[word]
    parser = make_parser("streamer", command)
    assert flag_name(name) not in parser.format_help().split()
    assert f"{flag_name(name)}-file" in parser.format_help()
    for argv in ([flag_name(name), SECRET], [f"{flag_name(name)}={SECRET}"]):
        with pytest.raises(UsageError, match=f"{flag_name(name)} is no flag") as caught:
            parse(parser, argv)
        assert f"set STREAMER_{name.upper()}, or give {flag_name(name)}-file" in str(caught.value)
        assert SECRET not in str(caught.value)


def test_show_and_schema_mask_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in SECRETS:
        monkeypatch.setenv(f"STREAMER_{name.upper()}", SECRET)
    assert main(["config", "show"]) == 0
    table = capsys.readouterr().out
    assert main(["config", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert SECRET not in table + json.dumps(shown)
    assert table.count("***") == len(SECRETS)
    assert all(shown[name] == {"value": "***", "origin": f"STREAMER_{name.upper()}"} for name in SECRETS)
    properties = settings_schema()["properties"]
    assert all("password" in json.dumps(properties[name]["anyOf"][0]) for name in SECRETS)
    assert SECRET not in json.dumps(settings_schema())


@pytest.mark.parametrize("name", SECRETS)
def test_errors_about_settings_never_hold_a_secret(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("streamer.toml").write_text(f"{name} = ['{SECRET}']")
    assert main(["config", "show", "--debug"]) == 2
    Path("streamer.toml").write_text(f"{name}s = '{SECRET}'")
    assert main(["config", "show", "--debug"]) == 2
    Path("streamer.toml").write_text(f"{name} = '{SECRET}'\n{name} = '{SECRET}'")
    assert main(["config", "show", "--debug"]) == 2
    Path("streamer.toml").unlink()
    monkeypatch.setenv(f"STREAMER_{name.upper()}S", SECRET)
    assert main(["config", "show", "--debug"]) == 2
    out, err = capsys.readouterr()
    assert SECRET not in out + err


def test_the_demos_processes_have_no_login_of_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMER_SASL_PASSWORD", SECRET)
    Path("streamer.toml").write_text("sasl_mechanism = 'PLAIN'")
    environ = _environ("127.0.0.1:1")
    assert SECRET not in environ.values()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("STREAMER_SASL_PASSWORD")
    assert kafka_of(load({}).settings).security == Security()
    assert load({}).settings.bootstrap_servers == "127.0.0.1:1"
