"""A real broker that lets nobody in without a login, with the users and rights that the documentation gives."""

import base64
import json
import re
import shlex
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ACLResourcePatternType,
    ResourcePattern,
    ResourceType,
    UserScramCredentialUpsertion,
)

from messaging.broker import BrokerOptions, EmbeddedBroker
from messaging.broker.ports import free_ports
from messaging.kafka import Kafka
from tests.fakes.programs import ROOT

HOST = "127.0.0.1"
USERS = ("admin", "camera", "consumer", "reader", "audit", "replay", "nobody")
#: No line of any output may hold one of these.
PASSWORD, KEY_PASSWORD = "pass-Wort-91c7", "key-Wort-52ab"
_ANYONE = "*"
_OPERATIONS = {"Describeconfigs": "DESCRIBE_CONFIGS"}
_RESOURCES = {
    "topic": ResourceType.TOPIC,
    "group": ResourceType.GROUP,
    "transactional_id": ResourceType.TRANSACTIONAL_ID,
}


def token_of(user: str, life_s: float = 3600.0) -> str:
    """Return a token that the broker's validator for tests takes: a JSON Web Token without a signature."""
    now_s = int(time.time())
    claims = {"sub": user, "iat": now_s, "exp": now_s + life_s}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({"alg": "none"}, claims)
    ]
    return ".".join([*parts, ""])


@dataclass(frozen=True)
class SecuredBroker:
    """Where each listener is, and the files and secrets for it.

    Attributes:
        cluster: The listener without security, for the test itself.
        alias: A listener with TLS alone that sends clients on to a name that its certificate is not for.
    """

    folder: Path
    cluster: Kafka
    scram: str
    mutual: str
    oauth: str
    plain: str
    alias: str

    def of_scram(self, user: str) -> dict[str, str]:
        """Return the settings of a user with a password."""
        return {
            "STREAMER_BOOTSTRAP_SERVERS": self.scram,
            "STREAMER_SASL_MECHANISM": "SCRAM-SHA-512",
            "STREAMER_SASL_USERNAME": user,
            "STREAMER_SASL_PASSWORD": PASSWORD,
            "STREAMER_TLS_CA_FILE": str(self.folder / "ca.pem"),
        }

    def of_certificate(self, user: str) -> dict[str, str]:
        """Return the settings of a user with a certificate, whose key is encrypted."""
        return {
            "STREAMER_BOOTSTRAP_SERVERS": self.mutual,
            "STREAMER_TLS_CA_FILE": str(self.folder / "ca.pem"),
            "STREAMER_TLS_CERTIFICATE_FILE": str(self.folder / f"{user}.pem"),
            "STREAMER_TLS_KEY_FILE": str(self.folder / f"{user}.key"),
            "STREAMER_TLS_KEY_PASSWORD_FILE": str(self.folder / "key-password"),
        }

    def of_token(self, user: str) -> dict[str, str]:
        """Return the settings of a user with a token in a file."""
        return {
            "STREAMER_BOOTSTRAP_SERVERS": self.oauth,
            "STREAMER_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "STREAMER_SASL_MECHANISM": "OAUTHBEARER",
            "STREAMER_SASL_OAUTH_TOKEN_FILE": str(self.folder / f"{user}.token"),
        }


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Run the broker, with the users and the rights of `docs/security.md`."""
    _make_certificates(folder)
    for user in USERS:
        (folder / f"{user}.token").write_text(token_of(user) + "\n")
    plain, controller, scram, mutual, oauth, alias = free_ports(6)
    listeners = {"PLAINTEXT": plain, "SCRAM": scram, "MUTUAL": mutual, "OAUTH": oauth, "ALIAS": alias}
    clients = ",".join(f"{name}://{HOST}:{port}" for name, port in listeners.items())
    module = "org.apache.kafka.common.security"
    properties = {
        "listeners": f"{clients},CONTROLLER://{HOST}:{controller}",
        "advertised.listeners": clients.replace(f"ALIAS://{HOST}", "ALIAS://localhost"),
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MUTUAL:SSL,"
        "OAUTH:SASL_PLAINTEXT,ALIAS:SSL",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(folder / "broker.pem"),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(folder / "ca.pem"),
        "listener.name.scram.sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN",
        "listener.name.scram.scram-sha-512.sasl.jaas.config": f"{module}.scram.ScramLoginModule required;",
        "listener.name.scram.plain.sasl.jaas.config": f"{module}.plain.PlainLoginModule required "
        f'user_reader="{PASSWORD}";',
        "listener.name.mutual.ssl.client.auth": "required",
        "listener.name.mutual.ssl.principal.mapping.rules": "RULE:^.*CN=([^,]+).*$/$1/,DEFAULT",
        "listener.name.oauth.sasl.enabled.mechanisms": "OAUTHBEARER",
        "listener.name.oauth.oauthbearer.sasl.jaas.config": f"{module}.oauthbearer.OAuthBearerLoginModule required "
        'unsecuredLoginStringClaim_sub="broker";',
        # Clients have to log in again before their token ends.
        "listener.name.oauth.connections.max.reauth.ms": "3600000",
    }
    options = BrokerOptions(port=plain, controller_port=controller, properties=properties, is_for_tests=True)
    with EmbeddedBroker(options) as broker:
        cluster = Kafka(broker.bootstrap_servers)
        _make_users(cluster)
        addresses = (f"{HOST}:{port}" for port in (scram, mutual, oauth, plain, alias))
        yield SecuredBroker(folder, cluster, *addresses)


def documented_acls(page: Path = ROOT / "docs" / "security.md") -> list[ACL]:
    """Read the rights off the commands of the documentation."""
    parser = ArgumentParser()
    parser.add_argument("--allow-principal", required=True)
    parser.add_argument("--resource-pattern-type", default="literal")
    for name in ("--operation", "--topic", "--group", "--transactional-id"):
        parser.add_argument(name, action="append", default=[])
    commands = re.findall(r"^\$acls ((?:.*\\\n)*.*)$", page.read_text(), re.MULTILINE)
    assert len(commands) > 5
    acls = []
    for command in commands:
        given = parser.parse_args(shlex.split(command.replace("\\\n", " ")))
        pattern = ACLResourcePatternType[given.resource_pattern_type.upper()]
        for kind, resource_type in _RESOURCES.items():
            for name, operation in product(getattr(given, kind), given.operation):
                right = ACLOperation[_OPERATIONS.get(operation.capitalize(), operation.upper())]
                resource = ResourcePattern(resource_type, name, pattern)
                acls.append(ACL(given.allow_principal, _ANYONE, right, ACLPermissionType.ALLOW, resource))
    return acls


def _make_users(cluster: Kafka) -> None:
    with closing(cluster.admin()) as admin:
        users = [UserScramCredentialUpsertion(user, "SCRAM-SHA-512", PASSWORD) for user in USERS]
        refused = {user: why for user, why in admin.alter_user_scram_credentials(users).items() if why}
        assert not refused
        made = admin.create_acls(documented_acls())
        assert not made["failed"]


def _make_certificates(folder: Path) -> None:
    """Make an authority, the broker's certificate for 127.0.0.1 alone, and one for each user with an encrypted key."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
    (folder / "key-password").write_text(KEY_PASSWORD + "\n")
    broker = authority.issue_cert(HOST)
    chain = b"".join(blob.bytes() for blob in broker.cert_chain_pems)
    (folder / "broker.pem").write_bytes(_key(broker, None) + chain)
    for user in USERS:
        certificate = authority.issue_cert(f"{user}@example.com", common_name=user)
        (folder / f"{user}.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
        (folder / f"{user}.key").write_bytes(_key(certificate, KEY_PASSWORD))


def _key(certificate: trustme.LeafCert, password: str | None) -> bytes:
    """Return a certificate's key as PKCS 8, which is what Java reads."""
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    encryption = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
