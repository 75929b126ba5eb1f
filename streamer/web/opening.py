"""From settings to a server: where it listens, and who may come in."""

from typing import TYPE_CHECKING

from config.load import flag_name, variable_name
from config.settings import DashboardSettings
from streamer.access_token import access_token
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
    token = access_token(settings.token, settings.token_file, _TOKEN_FILE)
    check_address(settings.host, token, f"{variable_name(_TOKEN)} or {flag_name(_TOKEN_FILE)}")

    from streamer.web.server import WebServer  # it needs the extra

    return WebServer(settings.host, settings.port, Door(settings.host, settings.allowed_host, token), "streamer")


def address_line(what: str, address: str, settings: DashboardSettings) -> str:
    """Return the line that says where it is."""
    is_asked = settings.token is not None or settings.token_file is not None
    return f"the {what} is at {address}{'?token=… (the token)' if is_asked else ''}; Ctrl-C ends it"
