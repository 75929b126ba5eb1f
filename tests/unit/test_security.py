"""TLS and login as settings of kafka-python's clients: what is refused, what is derived, and that no secret shows."""

import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kafka
import kafka.errors
import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from messaging import security
from messaging.errors import BrokerRefusedError, SecuritySettingError, TokenError, missing_right
from messaging.kafka import Kafka
from messaging.refusals import Refusal, refusal
from messaging.security import Sasl, Security, Tls, is_loopback, read_secret
from messaging.tokens import ClientCredentials, TokenFile

SECRET = "hunter2"
HERE, FAR = ["127.0.0.1:9092"], ["kafka-1:9093", "127.0.0.1:9092"]
SCRAM = Sasl(mechanism="SCRAM-SHA-512", username="camera", password=SECRET)


@pytest.fixture(autouse=True)
def _warned_of_nothing() -> Iterator[None]:
    security._warn_once.cache_clear()
    yield
    security._warn_once.cache_clear()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{SECRET}\n")
    return path


@pytest.fixture
def leaf(tmp_path: Path) -> trustme.LeafCert:
    """A certificate `cert.pem` with its key `cert.key`, and its authority `ca.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    leaf = authority.issue_cert("camera")
    leaf.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    leaf.private_key_pem.write_to_path(tmp_path / "cert.key")
    return leaf


# -- what goes together ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"tls": Tls()}, "SSL"),
        ({"sasl": SCRAM}, "SASL_SSL"),
        ({"sasl": SCRAM, "tls": Tls()}, "SASL_SSL"),
        ({"protocol": "SSL"}, "SSL"),
        ({"protocol": "SASL_PLAINTEXT", "sasl": SCRAM}, "SASL_PLAINTEXT"),
    ],
)
def test_the_protocol_follows_from_the_parts(given: dict[str, Any], protocol: str) -> None:
    made = Security(**given)
    settings = made.client_settings(HERE)
    assert made.security_protocol == settings["security_protocol"] == protocol
    assert ("ssl_context" in settings) == ("SSL" in protocol)
    assert ("sasl_mechanism" in settings) == ("SASL" in protocol)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"protocol": "PLAINTEXT", "tls": Tls()}, "PLAINTEXT has no TLS: .*, or use SSL$"),
        ({"protocol": "PLAINTEXT", "tls": Tls(), "sasl": SCRAM}, "PLAINTEXT has no TLS: .*, or use SASL_SSL$"),
        ({"protocol": "SASL_PLAINTEXT", "tls": Tls(), "sasl": SCRAM}, "PLAINTEXT has no TLS: .*, or use SASL_SSL$"),
        ({"protocol": "PLAINTEXT", "sasl": SCRAM}, "PLAINTEXT has no login: use SASL_SSL"),
        ({"protocol": "SSL", "sasl": SCRAM}, "SSL has no login: use SASL_SSL"),
        ({"protocol": "SASL_SSL"}, "SASL_SSL needs a login: use --sasl-mechanism"),
        ({"protocol": SECRET}, "no such --security-protocol"),
    ],
)
def test_parts_that_contradict_each_other(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SecuritySettingError, match=says) as caught:
        Security(**given)
    assert caught.value.exit_code == 2
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        # kafka-python takes an empty password, and logs in with it.
        ({"mechanism": "SCRAM-SHA-512", "username": "a", "password": ""}, "needs a password that is not empty"),
        ({"mechanism": "SCRAM-SHA-512", "username": "a"}, "needs a password that is not empty"),
        ({"mechanism": "PLAIN", "username": "a", "password": f"{SECRET}\0x"}, "needs a password"),
        ({"mechanism": "PLAIN", "username": "a\0b", "password": SECRET}, "needs --sasl-username"),
        ({"mechanism": "SCRAM-SHA-256", "username": "", "password": SECRET}, "needs --sasl-username"),
        ({"mechanism": "SCRAM-SHA-256", "password": SECRET}, "needs --sasl-username"),
        ({"mechanism": "OAUTHBEARER"}, "needs --sasl-oauth-token-file"),
        ({"mechanism": "OAUTHBEARER", "tokens": TokenFile(Path("t")), "username": "a"}, "takes no user name"),
        ({"mechanism": "OAUTHBEARER", "tokens": TokenFile(Path("t")), "password": SECRET}, "takes no user name"),
        ({"mechanism": "PLAIN", "username": "a", "password": SECRET, "tokens": TokenFile(Path("t"))}, "takes no token"),
        ({"mechanism": SECRET, "username": "a", "password": "b"}, "no such --sasl-mechanism"),
    ],
)
def test_a_login_that_lacks_something(given: dict[str, Any], says: str) -> None:
    with pytest.raises(SecuritySettingError, match=says) as caught:
        Sasl(**given)
    assert SECRET not in str(caught.value)


def test_a_user_name_is_written_as_scram_wants_it() -> None:
    # kafka-python sends it as it is, and a comma would end it.
    assert Sasl(mechanism="SCRAM-SHA-256", username="a,b=c", password="d").client_settings() == {
        "sasl_mechanism": "SCRAM-SHA-256",
        "sasl_plain_username": "a=2Cb=3Dc",
        "sasl_plain_password": "d",
    }
    assert Sasl(mechanism="PLAIN", username="a,b=c", password="d").client_settings()["sasl_plain_username"] == "a,b=c"


@pytest.mark.parametrize("client", [kafka.KafkaProducer, kafka.KafkaConsumer, kafka.KafkaAdminClient])
def test_every_client_knows_our_settings(client: Any, token_file: Path) -> None:
    # The error about an unknown one would print its value.
    tokens = Sasl(mechanism="OAUTHBEARER", tokens=TokenFile(token_file))
    for sasl in (SCRAM, tokens):
        settings = Security(sasl=sasl).client_settings(HERE)
        assert settings.keys() | {"kafka_client"} <= client.DEFAULT_CONFIG.keys()


def test_a_token_that_cannot_be_had_is_said_before_anybody_connects(tmp_path: Path) -> None:
    tokens = TokenFile(tmp_path / "nowhere")
    cluster = Kafka("127.0.0.1:9", security=Security(sasl=Sasl(mechanism="OAUTHBEARER", tokens=tokens)))
    with pytest.raises(SecuritySettingError, match=r"^--sasl-oauth-token-file .*nowhere: cannot be read: No such file"):
        cluster.admin()


# -- what is shown ---------------------------------------------------------------------------------


def test_nothing_shows_a_secret(token_file: Path) -> None:
    shown = [
        repr(Kafka("a:1", security=Security(sasl=SCRAM, tls=Tls(key_password=SECRET, certificate_file=Path("c"))))),
        repr(Sasl(mechanism="OAUTHBEARER", tokens=TokenFile(token_file))),
    ]
    assert not any(SECRET in text for text in shown)
    assert "camera" in shown[0]


@pytest.mark.parametrize(
    ("address", "is_here"),
    [
        ("127.0.0.1:9092", True),
        ("127.8.9.1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("SASL_SSL://127.0.0.1:1", True),
        ("kafka:1", False),
        ("localhost.example.com:1", False),
        ("128.0.0.1:1", False),
        ("[fe80::1]:1", False),
        ("0.0.0.0:1", False),
    ],
)
def test_what_is_this_machine(address: str, is_here: bool) -> None:
    assert is_loopback(address) == is_here


@pytest.mark.parametrize(
    ("servers", "protocol", "warns"),
    [(HERE, "SASL_PLAINTEXT", False), (FAR, "SASL_SSL", False), (FAR, "SASL_PLAINTEXT", True)],
)
def test_a_login_that_anybody_may_read_is_warned_about_once(
    servers: list[str], protocol: Any, warns: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            Security(protocol=protocol, sasl=SCRAM).client_settings(servers)
    said = ["SASL_PLAINTEXT sends the login to kafka-1:9093 unencrypted: use SASL_SSL"] if warns else []
    assert caplog.messages == said


# -- files -----------------------------------------------------------------------------------------


def test_host_names_are_checked_unless_told_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    context = Tls().context()
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2
    assert not caplog.messages
    context = Tls(is_host_name_checked=False).context()
    assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_REQUIRED)
    assert [message.partition(":")[0] for message in caplog.messages] == ["--tls-skip-hostname-check"]


def test_files_that_are_right(tmp_path: Path, leaf: trustme.LeafCert) -> None:
    files = {name: tmp_path / name for name in ("ca.pem", "cert.pem", "cert.key")}
    context = Tls(ca_file=files["ca.pem"], certificate_file=files["cert.pem"], key_file=files["cert.key"]).context()
    assert len(context.get_ca_certs()) == 1  # and none of the system
    both = tmp_path / "both.pem"
    leaf.private_key_and_cert_chain_pem.write_to_path(both)
    Tls(certificate_file=both).context()
    encrypt(leaf, tmp_path / "cert.key")
    Tls(certificate_file=files["cert.pem"], key_file=files["cert.key"], key_password=SECRET).context()


def encrypt(leaf: trustme.LeafCert, path: Path) -> None:
    key = load_pem_private_key(leaf.private_key_pem.bytes(), None)
    password = BestAvailableEncryption(SECRET.encode())
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, password))


def test_files_that_are_wrong(tmp_path: Path, leaf: trustme.LeafCert) -> None:
    cert, key, ca, text = (tmp_path / name for name in ("cert.pem", "cert.key", "ca.pem", "text"))
    text.write_text("nothing")
    other, encrypted = tmp_path / "other.key", tmp_path / "encrypted.key"
    trustme.CA().issue_cert("other").private_key_pem.write_to_path(other)
    encrypt(leaf, encrypted)
    for given, says in (
        ({"ca_file": tmp_path / "no"}, "^--tls-ca-file .*no: cannot be read: No such file"),
        ({"ca_file": text}, "^--tls-ca-file .*text: holds no certificates in PEM"),
        ({"certificate_file": tmp_path / "no"}, "^--tls-certificate-file .*no: cannot be read: No such file"),
        ({"certificate_file": cert, "key_file": tmp_path / "no"}, "^--tls-key-file .*no: cannot be read: No such file"),
        ({"certificate_file": tmp_path}, "cannot be read: Is a directory"),
        ({"certificate_file": text, "key_file": key}, "text and --tls-key-file .*: hold no certificate with"),
        ({"certificate_file": text}, "^--tls-certificate-file .*text: holds no certificate with its key in PEM"),
        ({"certificate_file": cert}, "cert.pem: holds no certificate with its key in PEM"),
        ({"certificate_file": cert, "key_file": ca}, "and --tls-key-file .*ca.pem: hold no certificate with"),
        ({"certificate_file": cert, "key_file": other}, "other.key is not that of the certificate in .*cert.pem"),
        ({"certificate_file": cert, "key_file": encrypted}, "encrypted: give --tls-key-password-file"),
        (
            {"certificate_file": cert, "key_file": encrypted, "key_password": "x" + SECRET},
            "password of the key .* wrong",
        ),
        (
            {"certificate_file": cert, "key_file": encrypted, "key_password": SECRET * 500},
            "password of the key .* wrong",
        ),
        ({"key_file": key}, "--tls-certificate-file is missing"),
        ({"key_password": SECRET}, "--tls-certificate-file is missing"),
    ):
        with pytest.raises(SecuritySettingError, match=says) as caught:
            Tls(**given).context()
        assert SECRET not in str(caught.value)
        assert all(str(caught.value).count(str(path)) <= 1 for path in (text, cert))


@pytest.mark.parametrize(
    ("content", "secret"), [(b"a b", "a b"), (b"a\n", "a"), (b"a\r\n", "a"), (" ä ".encode(), " ä ")]
)
def test_a_secret_in_a_file(tmp_path: Path, content: bytes, secret: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    assert read_secret(path, "--sasl-password-file") == secret


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"hunter2\nhunter2\n", "has 2 lines, a secret is one"),
        (b"\nhunter2", "has 2 lines, a secret is one"),
        (b"hunter2\xff", "is no plain text (UTF-8), a secret is one line of it"),
        (b"hunter2\0", "is no plain text (UTF-8), a secret is one line of it"),
        (b"x" * (64 * 1024 + 1), "is larger than 64 KiB, a secret is one line"),
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_file_that_holds_no_secret(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content)
    with pytest.raises(SecuritySettingError) as caught:
        read_secret(path, "--tls-key-password-file")
    assert str(caught.value) == f"--tls-key-password-file {path}: {says}"


def test_a_provider_that_is_away_says_what_to_check() -> None:
    with socket.socket() as nobody:  # it has a port, and does not listen
        nobody.bind(("127.0.0.1", 0))
        where = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(TokenError) as caught:
            ClientCredentials(f"http://{where}/token", "camera", SECRET).token()
    assert str(caught.value) == (
        f"the token URL at {where} cannot be asked: Connection refused: "
        "check --sasl-oauth-token-url, and that the provider runs"
    )


# -- why a connection failed -----------------------------------------------------------------------

CONFIG = {"security_protocol": "SASL_SSL", "sasl_mechanism": "PLAIN", "sasl_plain_username": "camera"}


def wrapped(error: BaseException) -> kafka.errors.KafkaConnectionError:
    """As kafka-python hands on what it caught."""
    return kafka.errors.KafkaConnectionError(error)


def tls_error(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, reason)
    error.reason = reason
    return error


def certificate_error(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_code, error.verify_message = code, "odd"
    return error


@pytest.mark.parametrize(
    ("error", "is_connected", "says", "is_final"),
    [
        (certificate_error(62), False, "certificate of Kafka at k:1 is not for k: use a name", True),
        (certificate_error(64), False, "is not for k: use a name", True),
        (certificate_error(20), False, "none of the trusted authorities: check --tls-ca-file", True),
        (certificate_error(10), False, "has expired: renew it", True),
        (certificate_error(9), False, "is not valid yet: renew it", True),
        (certificate_error(24), False, "cannot be trusted (odd): check --tls-ca-file", True),
        (tls_error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), True, "(tlsv13 alert certificate required): check", True),
        (tls_error("WRONG_VERSION_NUMBER"), False, "nobody speaks TLS at k:1: check the port", True),
        (tls_error("UNEXPECTED_EOF_WHILE_READING"), False, "nobody speaks TLS at k:1: check the port", False),
        (ConnectionResetError(104, "reset"), False, "nobody speaks TLS at k:1: check the port", False),
        (kafka.errors.SaslAuthenticationFailedError("no"), True, "refuses user camera with PLAIN: check", True),
        (kafka.errors.UnsupportedSaslMechanismError(), True, "Kafka at k:1 does not take PLAIN: give", True),
        (kafka.errors.IllegalSaslStateError(), True, "has no login: use the port", True),
        (kafka.errors.InvalidReceiveError("x"), True, "k:1 is no Kafka, or wants TLS: check the port", True),
        (TokenError("the token ended"), True, "the token ended", True),
        (kafka.errors.KafkaConnectionError("socket disconnected"), True, "closes the connection before it", False),
    ],
)
def test_why_a_connection_failed(error: BaseException, is_connected: bool, says: str, is_final: bool) -> None:
    found = refusal(wrapped(error), "k:1", CONFIG, is_connected=is_connected)
    assert isinstance(found, Refusal)
    line = str(BrokerRefusedError(found.found, found.mend))
    assert says in line
    assert found.is_final == is_final


@pytest.mark.parametrize(
    ("error", "protocol", "is_connected"),
    [
        (kafka.errors.KafkaConnectionError("111 ECONNREFUSED"), "SASL_SSL", False),
        (wrapped(ConnectionResetError(104, "reset")), "PLAINTEXT", False),
        (kafka.errors.KafkaTimeoutError("I/O wait timed out"), "SSL", False),
        (kafka.errors.RequestTimedOutError("frozen"), "SSL", True),
    ],
)
def test_a_broker_that_is_away_refuses_nobody(error: BaseException, protocol: str, is_connected: bool) -> None:
    assert refusal(error, "k:1", CONFIG | {"security_protocol": protocol}, is_connected=is_connected) is None


def test_a_token_is_refused_without_being_shown() -> None:
    config = CONFIG | {"sasl_mechanism": "OAUTHBEARER", "sasl_plain_username": None}
    found = refusal(kafka.errors.SaslAuthenticationFailedError(SECRET), "k:1", config, is_connected=True)
    assert found is not None
    assert found.found == "Kafka at k:1 refuses the token"
    assert SECRET not in found.mend


def test_a_missing_right_has_its_way_out() -> None:
    denied = str(kafka.errors.GroupAuthorizationFailedError("line"))
    assert "docs/security.md" in missing_right(f"group line cannot be read: {denied}")
    assert missing_right(str(kafka.errors.UnknownTopicOrPartitionError("frames"))) == ""
