"""From settings to the security of the connection to Kafka."""

from pathlib import Path

from pydantic import SecretStr

from config.load import flag_name, variable_name
from config.secret_files import warn_of_open_file
from config.settings import KafkaSettings
from messaging.errors import SecuritySettingError
from messaging.security import Sasl, Security, Tls, read_secret
from messaging.tokens import ClientCredentials, TokenFile


def security_of(settings: KafkaSettings) -> Security:
    """Return TLS and login of the connection to Kafka.

    Raises:
        SecuritySettingError: A secret cannot be read, or the settings do not go together.
    """
    key_password = _secret(settings, "tls_key_password")
    files = (settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file, key_password)
    key_file = settings.tls_key_file or settings.tls_certificate_file
    if key_file is not None:
        warn_of_open_file(key_file)
    tls = None
    if settings.tls_skip_hostname_check or any(given is not None for given in files):
        tls = Tls(
            ca_file=settings.tls_ca_file,
            certificate_file=settings.tls_certificate_file,
            key_file=settings.tls_key_file,
            key_password=key_password,
            is_host_name_checked=not settings.tls_skip_hostname_check,
        )
    return Security(protocol=settings.security_protocol, tls=tls, sasl=_sasl_of(settings))


def _sasl_of(settings: KafkaSettings) -> Sasl | None:
    password = _secret(settings, "sasl_password")
    tokens = _tokens_of(settings)
    if settings.sasl_mechanism is None:
        given = _first_given(settings, "sasl_password", "sasl_password_file", "sasl_username")
        if given:
            raise SecuritySettingError(f"{given} is set, so --sasl-mechanism is needed, such as SCRAM-SHA-512")
        given = _first_given(settings, "sasl_oauth_token_file", "sasl_oauth_token_url")
        if given:
            raise SecuritySettingError(f"{given} is set, so --sasl-mechanism OAUTHBEARER is needed")
        return None
    return Sasl(mechanism=settings.sasl_mechanism, username=settings.sasl_username, password=password, tokens=tokens)


def _tokens_of(settings: KafkaSettings) -> TokenFile | ClientCredentials | None:
    secret = _secret(settings, "sasl_oauth_client_secret")
    if settings.sasl_oauth_token_url is not None:
        if settings.sasl_oauth_token_file is not None:
            raise SecuritySettingError("give --sasl-oauth-token-file or --sasl-oauth-token-url, not both")
        return ClientCredentials(
            settings.sasl_oauth_token_url,
            settings.sasl_oauth_client_id or "",
            secret or "",
            settings.sasl_oauth_scope or "",
        )
    names = ("client_id", "client_secret", "client_secret_file", "scope")
    given = _first_given(settings, *(f"sasl_oauth_{name}" for name in names))
    if given:
        raise SecuritySettingError(f"{given} is set, so --sasl-oauth-token-url is needed: whom to ask for a token")
    if settings.sasl_oauth_token_file is None:
        return None
    warn_of_open_file(settings.sasl_oauth_token_file)
    return TokenFile(settings.sasl_oauth_token_file)


def _secret(settings: KafkaSettings, name: str) -> str | None:
    """Return the secret of this name, or what stands in its file."""
    value: SecretStr | None = getattr(settings, name)
    if value is not None:
        return value.get_secret_value()
    path: Path | None = getattr(settings, f"{name}_file")
    if path is None:
        return None
    secret = read_secret(path, flag_name(f"{name}_file"))
    warn_of_open_file(path)
    return secret


def _first_given(settings: KafkaSettings, *names: str) -> str:
    """Name the first of these that is set, as users set it; "" where none is. A secret is no flag."""
    for name in names:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            return f"{variable_name(name)} (or {name} in the settings file)"
        if value is not None:
            return flag_name(name)
    return ""
