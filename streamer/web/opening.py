"""From settings to a server: where it listens, and who may come in."""

from typing import TYPE_CHECKING

from config.load import flag_name, variable_name
from config.secret_files import warn_of_open_file
from config.settings import DashboardSettings
from messaging.security import read_secret
from streamer.web.door import Door, check_address
from streamer.web.extra import check_extra

if TYPE_CHECKING:
    from streamer.web.server import WebServer

_TOKEN, _TOKEN_FILE = "dashboard.token", "dashboard.token_file"


def server_of(settings: DashboardSettings) -> "WebServer":
    """Put a server together; it does not listen yet.

    Raises:
        WebMissingError: The extra `dashboard` is not installed.
        WebSettingError: It would be open to others without a token.
        SecuritySettingError: The token's file cannot be read.
    """
    check_extra()
    token = _token_of(settings)
    check_address(settings.host, token, f"{variable_name(_TOKEN)} or {flag_name(_TOKEN_FILE)}")

    from streamer.web.server import WebServer  # it needs the extra

    return WebServer(settings.host, settings.port, Door(settings.host, settings.allowed_host, token), "streamer")


def _token_of(settings: DashboardSettings) -> str | None:
    if settings.token is not None:
        return settings.token.get_secret_value()
    if settings.token_file is None:
        return None
    token = read_secret(settings.token_file, flag_name(_TOKEN_FILE))
    warn_of_open_file(settings.token_file)
    return token


def address_line(what: str, address: str, settings: DashboardSettings) -> str:
    """Return the line that says where it is."""
    is_asked = settings.token is not None or settings.token_file is not None
    return f"the {what} is at {address}{'?token=… (the token)' if is_asked else ''}; Ctrl-C ends it"
