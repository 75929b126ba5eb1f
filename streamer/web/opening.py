"""From settings to a server: where it listens, and who may come in."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from config.load import flag_name, variable_name
from config.settings import PageSettings
from streamer.access_token import access_token
from streamer.web.door import Door, check_address
from streamer.web.extra import check_extra

if TYPE_CHECKING:
    from streamer.web.server import WebServer


def server_of(settings: PageSettings, section: str = "dashboard", file_paths: Collection[str] = ()) -> "WebServer":
    """Put a server together; it does not listen yet.

    Args:
        settings: Where it listens, and who may come in.
        section: The table that they stand in, for what is said of them.
        file_paths: Where files are sent to; these routes bound what they take themselves.

    Raises:
        WebMissingError: The extra `dashboard` is not installed.
        WebSettingError: It would be open to others without a token.
        SecuritySettingError: The token's file cannot be read.
    """
    check_extra()
    token_name, token_file = f"{section}.token", f"{section}.token_file"
    token = access_token(settings.token, settings.token_file, token_file)
    check_address(settings.host, token, f"{variable_name(token_name)} or {flag_name(token_file)}")

    from streamer.web.server import WebServer  # it needs the extra

    door = Door(settings.host, settings.allowed_host, token)
    return WebServer(settings.host, settings.port, door, "streamer", file_paths)


def address_line(what: str, address: str, settings: PageSettings) -> str:
    """Return the line that says where it is."""
    is_asked = settings.token is not None or settings.token_file is not None
    return f"the {what} is at {address}{'?token=… (the token)' if is_asked else ''}; Ctrl-C ends it"
