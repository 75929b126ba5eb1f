"""From settings to the security of the connection to Kafka."""

from pathlib import Path

from pydantic import SecretStr

from config.settings import KafkaSettings
from messaging.errors import SecuritySettingError
from messaging.security import Sasl, Security, Tls, read_secret
from messaging.tokens import ClientCredentials, TokenFile


def security_of(settings: KafkaSettings) -> Security:
    """Return TLS and login of the connection to Kafka.

    Raises:
        SecuritySettingError: A secret cannot be read, or the settings do not go together.
    """
    key_password = _secret(settings.tls_key_password, settings.tls_key_password_file)
    files = (settings.tls_ca_file, settings.tls_certificate_file, settings.tls_key_file, key_password)
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
    password = _secret(settings.sasl_password, settings.sasl_password_file)
    tokens = _tokens_of(settings)
    if settings.sasl_mechanism is None:
        if settings.sasl_username is not None or password is not None or tokens is not None:
            raise SecuritySettingError("--sasl-mechanism is missing, such as SCRAM-SHA-512 or OAUTHBEARER")
        return None
    return Sasl(mechanism=settings.sasl_mechanism, username=settings.sasl_username, password=password, tokens=tokens)


def _tokens_of(settings: KafkaSettings) -> TokenFile | ClientCredentials | None:
    secret = _secret(settings.sasl_oauth_client_secret, settings.sasl_oauth_client_secret_file)
    if settings.sasl_oauth_token_url is not None:
        if settings.sasl_oauth_token_file is not None:
            raise SecuritySettingError("give --sasl-oauth-token-file or --sasl-oauth-token-url, not both")
        return ClientCredentials(
            settings.sasl_oauth_token_url,
            settings.sasl_oauth_client_id or "",
            secret or "",
            settings.sasl_oauth_scope or "",
        )
    if settings.sasl_oauth_client_id is not None or secret is not None or settings.sasl_oauth_scope is not None:
        raise SecuritySettingError("--sasl-oauth-token-url is missing: whom to ask for a token")
    return TokenFile(settings.sasl_oauth_token_file) if settings.sasl_oauth_token_file is not None else None


def _secret(value: SecretStr | None, path: Path | None) -> str | None:
    if value is not None:
        return value.get_secret_value()
    return read_secret(path) if path is not None else None
