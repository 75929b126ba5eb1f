"""Debian's Chromium, driven by its own driver; it asks nobody on the network for anything."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

_BROWSER, _DRIVER = "chromium", "chromedriver"
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


def is_there() -> bool:
    """Tell whether both are installed."""
    return shutil.which(_BROWSER) is not None and shutil.which(_DRIVER) is not None


@contextmanager
def chromium() -> Iterator[Chrome]:
    """Start one with a profile of its own, which goes with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = Options()
        options.binary_location = shutil.which(_BROWSER) or _BROWSER
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        browser = Chrome(options=options, service=Service(shutil.which(_DRIVER)))
        try:
            yield browser
        finally:
            browser.quit()


def console_of(browser: Chrome) -> list[str]:
    """Return what its console has said since the last time."""
    return [entry["message"] for entry in browser.get_log("browser")]  # type: ignore[no-untyped-call]


def look_like(browser: Chrome, width_px: int, height_px: int, *, is_dark: bool = False, scale: float = 1.0) -> None:
    """Give its window a size, and the system a theme; a narrow one is a phone's.

    Nothing moves: a click at what is on its way hits what stands there by then.
    """
    metrics: dict[str, Any] = {"width": width_px, "height": height_px, "deviceScaleFactor": scale}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics | {"mobile": width_px < 600})
    theme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
    still = {"name": "prefers-reduced-motion", "value": "reduce"}
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme, still]})
