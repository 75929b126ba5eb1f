"""Who we are to Kafka, and how we know that it is Kafka: TLS and SASL, as settings of kafka-python's clients."""

import ipaddress
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, get_args

from kafka.net.sasl.oauth import AbstractTokenProvider

from messaging.errors import SecuritySettingError

log = logging.getLogger(__name__)

SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
SaslMechanism = Literal["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN", "OAUTHBEARER"]

#: More is no password and no token, but a file that was named by mistake.
_MAX_SECRET_BYTES = 64 * 1024


def read_secret(path: Path, setting: str) -> str:
    """Read a password or a token from a file of its own; the line end after it is no part of it.

    Args:
        path: The file.
        setting: What names it, such as `--sasl-password-file`, for the errors.

    Raises:
        SecuritySettingError: The file cannot be read, is empty, or holds no text of one line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_SECRET_BYTES + 1)
        text = data.decode().rstrip("\r\n")
    except OSError as exc:
        raise _unreadable(path, setting, exc) from exc
    except UnicodeDecodeError:  # its text quotes the file, so it is not chained
        text = "\0"
    wrong = _why_no_secret(text, len(data))
    if wrong:
        raise SecuritySettingError(f"{setting} {path}: {wrong}")
    return text


def _why_no_secret(text: str, size_bytes: int) -> str:
    """Return what a file of this text is instead, or ""; never what stands in it."""
    if size_bytes > _MAX_SECRET_BYTES:
        return f"is larger than {_MAX_SECRET_BYTES // 1024} KiB, a secret is one line"
    if not text:
        return "is empty"
    lines = len(text.splitlines())
    if lines > 1:
        return f"has {lines} lines, a secret is one"
    return "" if text.isprintable() else "is no plain text (UTF-8), a secret is one line of it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a TLS connection is made. Brokers are always verified.

    Attributes:
        ca_file: PEM file of the authorities that are trusted; None for those of the system.
        certificate_file: PEM file of our own certificate and its chain, for mutual TLS.
        key_file: PEM file of its private key; None where it stands in `certificate_file`.
        key_password: What the key is encrypted with.
        is_host_name_checked: Whether the certificate has to be for the host that is connected to.
    """

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None
    key_password: str | None = field(default=None, repr=False)
    is_host_name_checked: bool = True

    def context(self) -> ssl.SSLContext:
        """Make the context of such connections, TLS 1.2 at least.

        Raises:
            SecuritySettingError: A file cannot be used.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.check_hostname = self.is_host_name_checked
        if not self.is_host_name_checked:
            _warn_once(
                "--tls-skip-hostname-check: whoever has any certificate of a trusted authority can pose as the broker"
            )
        if self.ca_file is None:
            context.load_default_certs()
        else:
            self._load_authorities(context, self.ca_file)
        self._load_certificate(context)
        return context

    def _load_authorities(self, context: ssl.SSLContext, path: Path) -> None:
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as exc:  # a subclass of OSError
            raise SecuritySettingError(f"--tls-ca-file {path}: holds no certificates in PEM") from exc
        except OSError as exc:
            raise _unreadable(path, "--tls-ca-file", exc) from exc

    def _load_certificate(self, context: ssl.SSLContext) -> None:
        if self.certificate_file is None:
            if self.key_file is not None or self.key_password is not None:
                raise SecuritySettingError("--tls-certificate-file is missing: a key or its password is not enough")
            return
        _require_readable(self.certificate_file, "--tls-certificate-file")
        if self.key_file is not None:
            _require_readable(self.key_file, "--tls-key-file")
        asked: list[bool] = []

        def password() -> str:  # without one, OpenSSL would ask at the terminal
            asked.append(True)
            return self.key_password or ""

        try:
            context.load_cert_chain(self.certificate_file, self.key_file, password)
        except (OSError, ValueError) as exc:
            key = self.key_file or self.certificate_file
            if getattr(exc, "reason", "") == "KEY_VALUES_MISMATCH":
                why = f"the key in {key} is not that of the certificate in {self.certificate_file}"
            elif asked and self.key_password is None:
                why = f"the key in {key} is encrypted: give --tls-key-password-file"
            elif asked:
                why = f"the password of the key in {key} is wrong: check --tls-key-password-file"
            elif self.key_file is None:
                why = (
                    f"--tls-certificate-file {key}: holds no certificate with its key in PEM "
                    "(--tls-key-file names a key that stands elsewhere)"
                )
            else:
                files = f"--tls-certificate-file {self.certificate_file} and --tls-key-file {key}"
                why = f"{files}: hold no certificate with its key in PEM"
            raise SecuritySettingError(why) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sasl:
    """How we log in.

    Making one raises `SecuritySettingError` where something is missing, or is of another mechanism.

    Attributes:
        mechanism: SCRAM and PLAIN need a user name and a password, OAUTHBEARER a token provider.
        tokens: Gives a valid token whenever it is asked; see `messaging.tokens`.
    """

    mechanism: SaslMechanism
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tokens: AbstractTokenProvider | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what kafka-python would take and no broker would let in."""
        if self.mechanism not in get_args(SaslMechanism):
            raise SecuritySettingError(f"there is no such --sasl-mechanism; use one of {get_args(SaslMechanism)}")
        if self.mechanism == "OAUTHBEARER":
            if self.tokens is None:
                raise SecuritySettingError("OAUTHBEARER needs --sasl-oauth-token-file or --sasl-oauth-token-url")
            if self.username is not None or self.password is not None:
                raise SecuritySettingError("OAUTHBEARER takes no user name and no password: the token says who we are")
            return
        if self.tokens is not None:
            raise SecuritySettingError(f"{self.mechanism} takes no token: use --sasl-mechanism OAUTHBEARER")
        if not self.username or not self.username.isprintable():
            raise SecuritySettingError(f"{self.mechanism} needs --sasl-username")
        if not self.password or "\0" in self.password:
            raise SecuritySettingError(
                f"{self.mechanism} needs a password that is not empty: "
                "set STREAMER_SASL_PASSWORD or give --sasl-password-file"
            )

    def client_settings(self) -> dict[str, Any]:
        """Return what kafka-python's clients call it.

        Raises:
            MessagingError: There is no token: said here, and not by a client that tries again and again.
        """
        if self.tokens is not None:
            self.tokens.token()
            return {"sasl_mechanism": self.mechanism, "sasl_oauth_token_provider": self.tokens}
        name = self.username or ""
        if self.mechanism.startswith("SCRAM"):  # RFC 5802, section 5.1; kafka-python sends the name as it is
            name = name.replace("=", "=3D").replace(",", "=2C")
        return {
            "sasl_mechanism": self.mechanism,
            "sasl_plain_username": name,
            "sasl_plain_password": self.password,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Security:
    """The security of the connection to Kafka; without anything it is none at all.

    Making one raises `SecuritySettingError` where the parts do not go together. `repr` shows no secret.

    Attributes:
        protocol: Kafka's word for the parts; None derives it: TLS is `SSL`, a login is `SASL_SSL`.
    """

    protocol: SecurityProtocol | None = None
    tls: Tls | None = None
    sasl: Sasl | None = None

    def __post_init__(self) -> None:
        """Refuse parts that contradict the protocol: nothing that was asked for is left out silently."""
        protocol = self.security_protocol
        if protocol not in get_args(SecurityProtocol):
            raise SecuritySettingError(f"there is no such --security-protocol; use one of {get_args(SecurityProtocol)}")
        if self.tls is not None and not self.is_encrypted:
            mend = "SASL_SSL" if protocol.startswith("SASL") or self.sasl is not None else "SSL"
            raise SecuritySettingError(f"--security-protocol {protocol} has no TLS: leave out --tls-…, or use {mend}")
        if (self.sasl is not None) != protocol.startswith("SASL"):
            missing = "SASL_SSL" if self.sasl else "--sasl-mechanism SCRAM-SHA-512"
            raise SecuritySettingError(
                f"--security-protocol {protocol} {'has no login' if self.sasl else 'needs a login'}: use {missing}"
            )

    @property
    def security_protocol(self) -> SecurityProtocol:
        """Kafka's word for what is asked for."""
        if self.protocol is not None:
            return self.protocol
        if self.sasl is not None:
            return "SASL_SSL"
        return "SSL" if self.tls is not None else "PLAINTEXT"

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self.security_protocol in ("SSL", "SASL_SSL")

    @property
    def has_identity(self) -> bool:
        """Whether the broker knows who we are, and may allow some things and not others."""
        return self.sasl is not None or (self.tls is not None and self.tls.certificate_file is not None)

    def client_settings(self, servers: Sequence[str]) -> dict[str, Any]:
        """Return the settings of a kafka-python client.

        Args:
            servers: The bootstrap servers, `host:port` each.

        Raises:
            SecuritySettingError: A file cannot be used.
            TokenError: There is no token to log in with.
        """
        settings: dict[str, Any] = {"security_protocol": self.security_protocol}
        if self.is_encrypted:
            # A context, not the files: kafka-python would keep the key's password, and read all at every connection.
            settings["ssl_context"] = (self.tls or Tls()).context()
        if self.sasl is not None:
            settings |= self.sasl.client_settings()
            far = [server for server in servers if not is_loopback(server)]
            if far and not self.is_encrypted:
                _warn_once(f"SASL_PLAINTEXT sends the login to {far[0]} unencrypted: use SASL_SSL")
        return settings


def is_loopback(address: str) -> bool:
    """Tell whether a `host`, `host:port` or `[host]:port` is on this machine."""
    address = address.rpartition("://")[2]
    host = address[1 : address.index("]")] if address.startswith("[") else address.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _require_readable(path: Path, setting: str) -> None:
    try:
        path.open("rb").close()
    except OSError as exc:
        raise _unreadable(path, setting, exc) from exc


def _unreadable(path: Path, setting: str, exc: OSError) -> SecuritySettingError:
    return SecuritySettingError(f"{setting} {path}: cannot be read: {exc.strerror}")


@lru_cache
def _warn_once(text: str) -> None:
    log.warning("%s", text)
