"""The token that a server of ours wants to be told: from a setting, or from a file."""

from pathlib import Path

from pydantic import SecretStr

from config.load import flag_name
from config.secret_files import warn_of_open_file
from messaging.security import read_secret


def access_token(token: SecretStr | None, token_file: Path | None, setting: str) -> str | None:
    """Return the token; None where there is none.

    Args:
        token: What was set.
        token_file: A file with it.
        setting: The path of the setting that names the file.

    Raises:
        SecuritySettingError: The file cannot be read.
    """
    if token is not None:
        return token.get_secret_value()
    if token_file is None:
        return None
    found = read_secret(token_file, flag_name(setting))
    warn_of_open_file(token_file)
    return found
