"""Why a connection to Kafka failed, in one line that says what to check."""

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import kafka.errors

from messaging.errors import MessagingError

# Source: X509_V_ERR_… of OpenSSL's x509_vfy.h.
_NOT_YET_VALID, _EXPIRED = 9, 10
_UNTRUSTED = (2, 18, 19, 20, 21)
_WRONG_NAME = (62, 64)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a connection failed.

    Attributes:
        text: One line.
        is_final: Whether another attempt would fail in the same way.
    """

    text: str
    is_final: bool


def refusal(error: BaseException, address: str, config: Mapping[str, Any], *, is_connected: bool) -> Refusal | None:
    """Explain why a connection failed; None where nobody answers, or for a reason of which nothing is known.

    Args:
        error: What kafka-python says.
        address: Who was connected to, `host:port`.
        config: The client's settings.
        is_connected: Whether the connection stood before it failed, with TLS where that is asked for.
    """
    for cause in _causes(error):
        found = _of(cause, address, config)
        if found is not None:
            return found
        if isinstance(cause, ConnectionError) and not is_connected and "SSL" in config["security_protocol"]:
            return Refusal(_no_tls(address), is_final=False)
    was_closed = is_connected and isinstance(error, kafka.errors.KafkaConnectionError)
    return Refusal(_closed(address, config), is_final=False) if was_closed else None


def _of(error: BaseException, address: str, config: Mapping[str, Any]) -> Refusal | None:
    """Explain an error that says itself what is wrong."""
    if isinstance(error, ssl.SSLError):
        return _of_tls(error, address)
    text = None
    if isinstance(error, MessagingError):  # of ours: a token that cannot be had
        text = str(error)
    elif isinstance(error, kafka.errors.SaslAuthenticationFailedError):
        text = _of_login(address, config)
    elif isinstance(error, kafka.errors.UnsupportedSaslMechanismError):
        mechanism = config["sasl_mechanism"]
        text = f"Kafka at {address} does not take {mechanism}: give a --sasl-mechanism that this listener has"
    elif isinstance(error, kafka.errors.IllegalSaslStateError):
        text = f"the listener of Kafka at {address} has no login: use the port of one that has"
    return Refusal(text, is_final=True) if text is not None else None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it wraps: kafka-python gives some as an argument, and some are the context."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        yield current
        waiting += [inner for inner in (*current.args, current.__cause__, current.__context__) if _is_error(inner)]


def _is_error(value: object) -> bool:
    return isinstance(value, BaseException)


def _of_tls(error: ssl.SSLError, address: str) -> Refusal:
    if isinstance(error, ssl.SSLCertVerificationError):
        return Refusal(_of_certificate(error, address), is_final=True)
    reason = error.reason or ""
    if "ALERT" in reason:
        text = (
            f"Kafka at {address} refuses our TLS ({reason.lower().replace('_', ' ')}): check --tls-certificate-file, "
            "and that the broker trusts who signed it"
        )
        return Refusal(text, is_final=True)
    is_final = reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
    return Refusal(_no_tls(address), is_final=is_final)


def _of_certificate(error: ssl.SSLCertVerificationError, address: str) -> str:
    host = address.rpartition(":")[0]
    code = error.verify_code
    if code in _WRONG_NAME:
        return (
            f"the certificate of Kafka at {address} is not for {host}: "
            "use a name that it has in --bootstrap-servers and in the broker's advertised.listeners"
        )
    if code in _UNTRUSTED:
        return (
            f"the certificate of Kafka at {address} is signed by none of the trusted authorities: check --tls-ca-file"
        )
    if code in (_NOT_YET_VALID, _EXPIRED):
        return (
            f"the certificate of Kafka at {address} {'has expired' if code == _EXPIRED else 'is not valid yet'}: "
            "renew it, or set this machine's clock"
        )
    return f"the certificate of Kafka at {address} cannot be trusted: {error.verify_message}"


def _of_login(address: str, config: Mapping[str, Any]) -> str:
    if config["sasl_mechanism"] == "OAUTHBEARER":
        return f"Kafka at {address} refuses the token: check its issuer, audience and end, and the broker's clock"
    return (
        f"Kafka at {address} refuses user {config['sasl_plain_username']} with {config['sasl_mechanism']}: "
        "check --sasl-username and the password, and that the user exists for this mechanism"
    )


def _no_tls(address: str) -> str:
    return f"nobody speaks TLS at {address}: check the port, or --security-protocol"


def _closed(address: str, config: Mapping[str, Any]) -> str:
    protocol = config["security_protocol"]
    wants = {
        "PLAINTEXT": "it may want TLS or a login: --security-protocol, --sasl-mechanism",
        "SASL_PLAINTEXT": "it may want TLS: --security-protocol SASL_SSL",
        "SSL": "it may want a certificate or a login: --tls-certificate-file, --sasl-mechanism",
        "SASL_SSL": "it may want a certificate, too: --tls-certificate-file",
    }
    return f"Kafka at {address} closes the connection before it answers: {wants[protocol]}"
