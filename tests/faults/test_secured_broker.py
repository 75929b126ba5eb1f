"""A broker that lets nobody in without a login: every role works with its own rights, and each refusal is one line."""

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from messaging.topics import TopicNames
from tests.fakes.programs import environ, python
from tests.faults.secured_broker import (
    KEY_PASSWORD,
    PASSWORD,
    SecuredBroker,
    secured_broker,
    token_of,
)
from tests.integration.stage import Stage, camera_frames

pytestmark = [pytest.mark.broker, pytest.mark.faults(18), pytest.mark.timeout(300)]

#: As long as a command may take to say that it cannot get in, start of Python included.
_REFUSED_WITHIN_S = 15.0
_FRAMES = 20
_WAYS = ("of_scram", "of_certificate", "of_token")
_PRODUCE = ("produce", "--source", "synthetic:workpiece", "--fps", "50", "--frames", str(_FRAMES))
#: A program that asks kafka-python for all that it can say before `streamer` begins.
_CHATTY = """
import logging, sys
import kafka, kafka.net.connection, kafka.net.sasl.oauth, kafka.protocol.parser
for name in [name for name in logging.root.manager.loggerDict if name.startswith("kafka")]:
    logging.getLogger(name).setLevel(1)
from streamer.cli.main import main
sys.exit(main(sys.argv[1:]))
"""
#: The same without the command, which sets up logs of its own: each kind of client says what it likes, everywhere.
_CHATTY_LIBRARY = """
import logging, sys
logging.basicConfig(level=1, stream=sys.stdout)
import kafka, kafka.net.connection, kafka.net.sasl.oauth, kafka.protocol.parser
for name in [name for name in logging.root.manager.loggerDict if name.startswith("kafka")]:
    logging.getLogger(name).setLevel(1)
from config.load import load
from streamer.compose import kafka_of
cluster = kafka_of(load({}).settings)
print(cluster)
for client in (cluster.admin(), cluster.consumer(), cluster.producer(linger_ms=0)):
    client.close()
    logging.getLogger("kafka.producer.kafka").setLevel(1)
print("all closed")
"""


@pytest.fixture(scope="module")
def secured(kafka_tools: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """The broker, with the topics that the admin has made."""
    with secured_broker(tmp_path_factory.mktemp("secured")) as running:
        made = streamer(running.of_scram("admin"), "topics", "create", "--partitions", "2")
        assert made.returncode == 0, made.stderr
        yield running


def streamer(settings: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command with `--debug` and chatty logs; whatever it says, no secret is in it."""
    done = python(["-c", _CHATTY, *arguments, "--debug"], env=environ(**settings), timeout=90)
    require_no_secret(done.stdout + done.stderr, settings)
    return done


def require_no_secret(said: str, settings: dict[str, str]) -> None:
    tokens = settings.get("STREAMER_SASL_OAUTH_TOKEN_FILE", "")
    secrets = [PASSWORD, KEY_PASSWORD, *([Path(tokens).read_text().strip()] if Path(tokens).is_file() else [])]
    assert not [secret for secret in secrets if secret in said]


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """Return the line that a person sees who did not ask for `--debug`."""
    assert done.returncode in (1, 2), done.stderr
    line = done.stderr.splitlines()[-1]
    assert line.startswith("streamer: "), done.stderr
    return line


# -- every role with its own rights ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("way", "delivery"),
    [
        pytest.param("of_scram", "at-least-once", marks=pytest.mark.faults_short),
        ("of_certificate", "exactly-once"),
        ("of_token", "at-least-once"),
    ],
)
def test_each_role_works_with_no_more_than_its_rights(
    secured: SecuredBroker, way: str, delivery: str, tmp_path: Path
) -> None:
    settings_of = getattr(secured, way)
    camera = f"camera-{way}"
    produced = streamer(settings_of("camera"), *_PRODUCE, "--camera", camera)
    assert produced.returncode == 0, produced.stderr
    assert f"{_FRAMES} sent, 0 shed" in produced.stderr

    spoil(secured, camera)
    consume = ("consume", "--until-idle", "2s", "--delivery", delivery, "--state-directory", str(tmp_path))
    consumed = streamer(settings_of("consumer"), *consume)
    assert consumed.returncode == 0, consumed.stderr
    assert "DescribeConfigs" not in consumed.stderr  # a right that is missed without an error

    read = streamer(
        settings_of("reader"),
        "results",
        "--camera",
        camera,
        "--from-beginning",
        "--count",
        str(_FRAMES),
        "--format",
        "csv",
    )
    assert read.returncode == 0, read.stderr
    assert len(read.stdout.splitlines()) == _FRAMES + 1

    audited = streamer(settings_of("audit"), "audit", "--camera", camera)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert "no outcome is missing" in audited.stdout

    replayed = streamer(settings_of("replay"), "dlq", "replay", "--all", "--camera", camera, "--yes")
    assert replayed.returncode == 0, replayed.stderr
    assert "1 was put back" in replayed.stderr
    assert streamer(settings_of("consumer"), *consume).returncode == 0  # for the next way: its rest


def spoil(secured: SecuredBroker, camera: str) -> None:
    """Add a frame that nobody can classify."""
    Stage(secured.cluster, TopicNames()).feed(camera_frames(camera, 1, data=b"no picture"))


def test_a_token_that_is_renewed_in_time_keeps_a_camera_going(secured: SecuredBroker, tmp_path: Path) -> None:
    path = tmp_path / "token"
    done = Event()

    def renew() -> None:
        while not done.is_set():
            draft = tmp_path / "draft"
            draft.write_text(token_of("camera", life_s=4))
            draft.chmod(0o600)
            draft.replace(path)
            done.wait(0.5)

    thread = Thread(target=renew, name="renews the token")
    thread.start()
    try:
        while not path.exists():
            done.wait(0.01)
        settings = secured.of_token("camera") | {"STREAMER_SASL_OAUTH_TOKEN_FILE": str(path)}
        # Three lives of a token.
        source = ("--source", "synthetic:workpiece", "--fps", "10", "--frames", "120", "--camera", "long")
        produced = streamer(settings, "produce", *source)
    finally:
        done.set()
        thread.join()
    assert produced.returncode == 0, produced.stderr
    assert "120 frames captured, 120 sent, 0 shed" in produced.stderr
    assert "WARNING" not in produced.stderr


# -- each refusal is one line ----------------------------------------------------------------------

_REFUSALS = {
    "a wrong password": (
        "of_scram",
        {"STREAMER_SASL_PASSWORD": "wrong"},
        "refuses user reader with SCRAM-SHA-512: check --sasl-username and the password",
    ),
    "a wrong password, plain": (
        "of_scram",
        {"STREAMER_SASL_MECHANISM": "PLAIN", "STREAMER_SASL_PASSWORD": "wrong"},
        "refuses user reader with PLAIN: check --sasl-username and the password",
    ),
    "an empty password": ("of_scram", {"STREAMER_SASL_PASSWORD": ""}, "needs a password that is not empty"),
    "a mechanism that it does not have": (
        "of_scram",
        {"STREAMER_SASL_MECHANISM": "SCRAM-SHA-256"},
        "does not take SCRAM-SHA-256: give a --sasl-mechanism that it takes",
    ),
    "a token that has ended": (
        "of_token",
        {"STREAMER_SASL_OAUTH_TOKEN_FILE": "{folder}/ended.token"},
        "ended at 1970-01-01T00:00:01Z: renew the file",
    ),
    "a token of nobody's": (
        "of_token",
        {"STREAMER_SASL_OAUTH_TOKEN_FILE": "{folder}/strange.token"},
        "refuses the token: check its issuer, audience and end",
    ),
    "an authority that is not trusted": (
        "of_scram",
        {"STREAMER_TLS_CA_FILE": "{folder}/other-ca.pem"},
        "is signed by none of the trusted authorities: check --tls-ca-file",
    ),
    "the authorities of the system": (
        "of_scram",
        {"STREAMER_TLS_CA_FILE": None},
        "is signed by none of the trusted authorities: check --tls-ca-file",
    ),
    "another host name": (
        "of_scram",
        {"STREAMER_BOOTSTRAP_SERVERS": "localhost:{scram}"},
        "is not for localhost: use a name that it has in --bootstrap-servers",
    ),
    "no certificate of our own": (
        "of_scram",
        {"STREAMER_BOOTSTRAP_SERVERS": "127.0.0.1:{mutual}"},
        "refuses our TLS (tlsv13 alert certificate required): check --tls-certificate-file",
    ),
    "a key without its password": (
        "of_certificate",
        {"STREAMER_TLS_KEY_PASSWORD_FILE": None},
        "is encrypted: give --tls-key-password-file",
    ),
    "TLS where there is none": (
        "of_scram",
        {"STREAMER_BOOTSTRAP_SERVERS": "127.0.0.1:{plain}"},
        "nobody speaks TLS at 127.0.0.1:{plain}: check the port, or --security-protocol",
    ),
    "no TLS where there is": (
        "of_token",
        {"STREAMER_BOOTSTRAP_SERVERS": "127.0.0.1:{scram}"},
        "127.0.0.1:{scram} is no Kafka, or wants TLS: check the port, or --security-protocol",
    ),
    "a login where there is none": (
        "of_token",
        {"STREAMER_BOOTSTRAP_SERVERS": "127.0.0.1:{plain}"},
        "has no login: use the port of one that has",
    ),
    "no login where one is wanted": (
        "of_scram",
        dict.fromkeys(("STREAMER_SASL_MECHANISM", "STREAMER_SASL_USERNAME", "STREAMER_SASL_PASSWORD")),
        "closes the connection before it answers: it may want a certificate or a login",
    ),
}


@pytest.mark.parametrize(("way", "changes", "says"), _REFUSALS.values(), ids=_REFUSALS)
def test_a_refusal_is_one_line_that_says_what_to_check(
    secured: SecuredBroker, way: str, changes: dict[str, str | None], says: str
) -> None:
    (secured.folder / "ended.token").write_text(token_of("reader", life_s=1 - int(time.time())))
    strange = secured.folder / "strange.token"
    strange.write_text("opaque")
    strange.chmod(0o600)
    names = {"folder": str(secured.folder)} | {
        name: getattr(secured, name).rpartition(":")[2] for name in ("scram", "mutual", "plain")
    }
    settings = getattr(secured, way)("reader")
    for name, value in changes.items():
        if value is None:
            del settings[name]
        else:
            settings[name] = value.format_map(names)
    began_s = time.monotonic()
    done = streamer(settings, "results", "--count", "1")
    assert time.monotonic() - began_s < _REFUSED_WITHIN_S
    assert says.format_map(names) in complaint(done)


def test_a_broker_that_sends_clients_on_to_a_wrong_name_is_told_of(secured: SecuredBroker) -> None:
    settings = {
        "STREAMER_BOOTSTRAP_SERVERS": secured.alias,
        "STREAMER_TLS_CA_FILE": str(secured.folder / "ca.pem"),
    }
    done = streamer(settings, "results", "--count", "1")
    assert done.returncode == 1
    (told,) = [line for line in done.stderr.splitlines() if "is not for localhost: use a name" in line]
    assert " WARNING the certificate of Kafka at localhost:" in told


@pytest.mark.parametrize(
    ("user", "arguments", "says"),
    [
        ("nobody", (*_PRODUCE, "--camera", "a"), "topic streamer.frames is missing and cannot be created"),
        ("nobody", ("results", "--count", "1"), "or allow this user to Describe it"),
        ("consumer", (*_PRODUCE, "--camera", "a"), "TopicAuthorizationFailedError"),
        ("audit", (*_PRODUCE, "--camera", "a"), "ClusterAuthorizationFailedError"),  # it may write nowhere
        ("camera", ("consume", "--until-idle", "1s"), "TopicAuthorizationFailedError"),
        ("consumer", ("consume", "--until-idle", "1s", "--group", "other"), "GroupAuthorizationFailedError: other"),
        (
            "consumer",
            ("consume", "--until-idle", "1s", "--group", "other", "--delivery", "exactly-once"),
            "TransactionalIdAuthorizationFailedError",
        ),
        ("reader", ("audit",), "there is no topic streamer.frames"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_missing_right_is_one_line(
    secured: SecuredBroker, user: str, arguments: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    where = ("--state-directory", str(tmp_path)) if arguments[0] == "consume" else ()
    line = complaint(streamer(secured.of_scram(user), *arguments, *where))
    assert says in line
    assert "AuthorizationFailedError" not in says or line.endswith("docs/security.md lists what each role needs")


def test_the_doctor_says_the_same_line(secured: SecuredBroker) -> None:
    done = streamer(secured.of_scram("reader") | {"STREAMER_SASL_PASSWORD": "wrong"}, "doctor")
    assert done.returncode == 1
    assert "refuses user reader with SCRAM-SHA-512" in done.stdout
    assert "→ check --sasl-username and the password" in done.stdout
    assert "start one with" not in done.stdout


# -- no secret is ever said ------------------------------------------------------------------------


@pytest.mark.parametrize("way", [*_WAYS, "plain"])
def test_clients_say_no_secret_however_chatty_their_logs_are(secured: SecuredBroker, way: str) -> None:
    plain = secured.of_scram("reader") | {"STREAMER_SASL_MECHANISM": "PLAIN"}  # the password itself is sent
    settings = plain if way == "plain" else getattr(secured, way)("reader")
    done = python(["-c", _CHATTY_LIBRARY], env=environ(**settings))
    assert done.returncode == 0, done.stderr
    assert "all closed" in done.stdout
    require_no_secret(done.stdout + done.stderr, settings)
    assert "Bootstrap complete" in done.stdout  # the logs do speak
