"""Whether the extra that the pages need is installed."""

from importlib.util import find_spec

from streamer.web.errors import WebMissingError


def check_extra() -> None:
    """Say how to install the extra, where it is missing.

    Raises:
        WebMissingError: It is.
    """
    if find_spec("nicegui") is None:
        raise WebMissingError("pages in the browser need NiceGUI: run pip install 'aic-streamer[dashboard]'")
