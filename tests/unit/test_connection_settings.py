"""From settings to the security of the connection: where secrets may come from, and that none is shown."""

import json
import os
from importlib import import_module
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import flag_name, is_secret, known_settings, load, variable_name
from config.schema import settings_schema
from messaging.errors import SecuritySettingError
from messaging.security import Sasl, Security, Tls
from streamer.cli.command import Command, UsageError, make_parser, parse
from streamer.cli.doctor import _checks
from streamer.cli.main import main
from streamer.compose import kafka_of
from streamer.doctor.check import run_checks
from streamer.processes import environ_for

SECRET = "hunter2"
SECRETS = [path for path, info in known_settings() if is_secret(info)]
OF_KAFKA = [path for path in SECRETS if "." not in path]


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
        ({"sasl_username": "camera"}, "^--sasl-username is set, so --sasl-mechanism is needed"),
        ({"sasl_oauth_token_file": "t"}, "^--sasl-oauth-token-file is set, so --sasl-mechanism OAUTHBEARER is needed"),
        ({"sasl_mechanism": "SCRAM-SHA-512", "sasl_username": "a"}, "STREAMER_SASL_PASSWORD or give --sasl-password"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "a", "sasl_password_file": "no"}, "^--sasl-password-file no: ca"),
        ({"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_client_id": "a"}, "so --sasl-oauth-token-url is needed"),
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
def test_a_secret_stands_in_one_place(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable_name(name), SECRET)
    for path, flags, second in (
        ("other.toml", {f"{name}_file": "file"}, f"{flag_name(name)}-file"),
        ("streamer.toml", {}, f"{name}_file in streamer.toml"),
    ):
        Path(path).write_text(f"{name}_file = 'file'")
        with pytest.raises(ConfigError) as caught:
            load(flags)
        assert str(caught.value) == f"{variable_name(name)} and {second} give the same secret: leave one of them out"


@pytest.mark.parametrize("name", OF_KAFKA)
def test_a_secret_alone_says_what_else_it_needs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable_name(name), SECRET)
    needs = {
        "sasl_password": "is set, so --sasl-mechanism is needed, such as SCRAM-SHA-512",
        "sasl_oauth_client_secret": "is set, so --sasl-oauth-token-url is needed: whom to ask for a token",
        "tls_key_password": "--tls-certificate-file is missing: a key or its password is not enough",
    }
    with pytest.raises(SecuritySettingError) as caught:
        security().client_settings([])
    given = f"{variable_name(name)} (or {name} in the settings file) "
    assert str(caught.value) == ("" if name == "tls_key_password" else given) + needs[name]


@pytest.mark.parametrize(
    "given",
    [
        {"sasl_mechanism": "PLAIN", "sasl_username": "camera", "sasl_password_file": "file"},
        {"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_file": "file"},
        {
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_token_url": "https://a",
            "sasl_oauth_client_id": "a",
            "sasl_oauth_client_secret_file": "file",
        },
        {"tls_certificate_file": "camera.pem", "tls_key_file": "key", "tls_key_password_file": "file"},
        {"tls_certificate_file": "camera.pem", "tls_key_file": "file"},
        {"tls_certificate_file": "file"},
    ],
    ids=lambda given: list(given)[-1],
)
@pytest.mark.parametrize(("mode", "warns"), [(0o644, True), (0o604, True), (0o640, False), (0o600, False)])
def test_a_secret_that_everybody_may_read_is_warned_about_once(
    given: dict[str, str], mode: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path("file").absolute()
    path.write_text(SECRET)
    path.chmod(mode)
    for _ in range(2):
        security(**given)
    said = f"{path} holds a secret, and every user of this machine may read it: chmod 600 {path}"
    assert caplog.messages == ([said] if warns else [])


@pytest.mark.parametrize(
    ("text", "mode", "warns"),
    [
        (f"sasl_password = '{SECRET}'", 0o644, True),
        (f"sasl_password = '{SECRET}'", 0o600, False),
        ("sasl_password_file = 'file'", 0o644, False),
    ],
)
def test_a_settings_file_that_everybody_may_read_is_warned_about_where_it_has_a_secret(
    text: str, mode: int, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path = Path("streamer.toml")
    path.write_text(text)
    path.chmod(mode)
    load({})
    assert [f"chmod 600 {path.absolute()}" in message for message in caplog.messages] == [True] * warns


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_secret_of_another_owner_is_let_be(caplog: pytest.LogCaptureFixture) -> None:
    path = Path("password")
    path.write_text(SECRET)
    path.chmod(0o644)
    os.chown(path, os.geteuid() + 1, -1)
    security(sasl_mechanism="PLAIN", sasl_username="camera", sasl_password_file="password")
    assert not caplog.messages


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"sasl_mechanism": "PLAIN", "sasl_username": "a"}, "PLAIN needs a password that is not empty"),
        ({"tls_ca_file": "no.pem"}, "--tls-ca-file no.pem: cannot be read: No such file or directory"),
        ({"sasl_mechanism": "OAUTHBEARER", "sasl_oauth_token_file": "no"}, "--sasl-oauth-token-file no: cannot be"),
    ],
)
def test_the_doctor_shows_settings_that_do_not_do(given: dict[str, str], says: str) -> None:
    loaded = load(given)
    checks = [check for check in _checks(loaded.settings, loaded.origins) if check.name in ("broker", "topics")]
    broker, topics = run_checks(checks)
    assert (broker.name, broker.state, topics.state) == ("broker", "fail", "info")
    assert broker.found.startswith(says)
    assert broker.mend.startswith("`streamer config show`")


# -- no secret is a flag, and none is shown --------------------------------------------------------


def test_which_settings_are_secret() -> None:
    assert OF_KAFKA == ["sasl_password", "sasl_oauth_client_secret", "tls_key_password"]
    assert {*OF_KAFKA, *(f"{page}.token" for page in ("dashboard", "worker", "converter", "manager"))} == set(SECRETS)


@pytest.mark.parametrize(
    ("words", "name"),
    [
        *((words, name) for words in (["consume"], ["produce"], ["topics", "create"]) for name in OF_KAFKA),
        (["dashboard"], "dashboard.token"),
        (["worker"], "worker.token"),
        *((["web", page], f"{page}.token") for page in ("converter", "manager")),
    ],
)
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
        assert f"set {variable_name(name)}, or give {flag_name(name)}-file" in str(caught.value)
        assert SECRET not in str(caught.value)


def test_show_and_schema_mask_secrets(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in SECRETS:
        monkeypatch.setenv(variable_name(name), SECRET)
    assert main(["config", "show"]) == 0
    table = capsys.readouterr().out
    assert main(["config", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert SECRET not in table + json.dumps(shown)
    assert table.count("***") == len(SECRETS)
    assert all(shown[name] == {"value": "***", "origin": variable_name(name)} for name in SECRETS)
    properties = settings_schema()["properties"]
    assert all("password" in json.dumps(properties[name]["anyOf"][0]) for name in OF_KAFKA)
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
    environ = environ_for("127.0.0.1:1")
    assert SECRET not in environ.values()
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("STREAMER_SASL_PASSWORD")
    assert kafka_of(load({}).settings).security == Security()
    assert load({}).settings.bootstrap_servers == "127.0.0.1:1"
