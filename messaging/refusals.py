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
        found: What is wrong.
        mend: What to check.
        is_final: Whether another attempt would fail in the same way.
    """

    found: str
    mend: str
    is_final: bool = True


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
            return _no_tls(address, is_final=False)
    was_closed = is_connected and isinstance(error, kafka.errors.KafkaConnectionError)
    return _closed(address, config["security_protocol"]) if was_closed else None


def _of(error: BaseException, address: str, config: Mapping[str, Any]) -> Refusal | None:
    """Explain an error that says itself what is wrong."""
    if isinstance(error, MessagingError):  # of ours: a token that cannot be had
        return Refusal(str(error), "")
    return _of_tls(error, address) if isinstance(error, ssl.SSLError) else _of_kafka(error, address, config)


def _of_kafka(error: BaseException, address: str, config: Mapping[str, Any]) -> Refusal | None:
    name = f"Kafka at {address}"
    if isinstance(error, kafka.errors.SaslAuthenticationFailedError):
        return _of_login(name, config)
    if isinstance(error, kafka.errors.UnsupportedSaslMechanismError):
        return Refusal(f"{name} does not take {config['sasl_mechanism']}", "give a --sasl-mechanism that it takes")
    if isinstance(error, kafka.errors.IllegalSaslStateError):
        return Refusal(f"this listener of {name} has no login", "use the port of one that has")
    if isinstance(error, kafka.errors.InvalidReceiveError):
        found = f"what answers at {address} is no Kafka, or wants TLS"
        return Refusal(found, "check the port, or --security-protocol")
    return None


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
        return _of_certificate(error, address)
    reason = error.reason or ""
    if "ALERT" in reason:
        found = f"Kafka at {address} refuses our TLS ({reason.lower().replace('_', ' ')})"
        return Refusal(found, "check --tls-certificate-file, and that the broker trusts who signed it")
    is_final = reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")
    return _no_tls(address, is_final=is_final)


def _of_certificate(error: ssl.SSLCertVerificationError, address: str) -> Refusal:
    whose = f"the certificate of Kafka at {address}"
    if error.verify_code in _WRONG_NAME:
        host = address.rpartition(":")[0]
        names = "use a name that it has in --bootstrap-servers and in the broker's advertised.listeners"
        return Refusal(f"{whose} is not for {host}", names)
    if error.verify_code in _UNTRUSTED:
        return Refusal(f"{whose} is signed by none of the trusted authorities", "check --tls-ca-file")
    if error.verify_code in (_NOT_YET_VALID, _EXPIRED):
        when = "has expired" if error.verify_code == _EXPIRED else "is not valid yet"
        return Refusal(f"{whose} {when}", "renew it, or set this machine's clock")
    return Refusal(f"{whose} cannot be trusted ({error.verify_message})", "check --tls-ca-file")


def _of_login(name: str, config: Mapping[str, Any]) -> Refusal:
    if config["sasl_mechanism"] == "OAUTHBEARER":
        mend = "check its issuer, audience and end, and the clocks of the two machines"
        return Refusal(f"{name} refuses the token", mend)
    found = f"{name} refuses user {config['sasl_plain_username']} with {config['sasl_mechanism']}"
    return Refusal(found, "check --sasl-username and the password, and that the user exists for this mechanism")


def _no_tls(address: str, *, is_final: bool) -> Refusal:
    return Refusal(f"nobody speaks TLS at {address}", "check the port, or --security-protocol", is_final)


def _closed(address: str, protocol: str) -> Refusal:
    """A listener hangs up without a word where it wants more than it is given; a broker that starts does so, too."""
    wants = {
        "PLAINTEXT": "TLS or a login (--security-protocol, --sasl-mechanism)",
        "SASL_PLAINTEXT": "TLS (--security-protocol SASL_SSL)",
        "SSL": "a certificate or a login (--tls-certificate-file, --sasl-mechanism)",
        "SASL_SSL": "a certificate, too (--tls-certificate-file)",
    }
    found = f"Kafka at {address} closes the connection before it answers"
    return Refusal(found, f"it may want {wants[protocol]}", is_final=False)
