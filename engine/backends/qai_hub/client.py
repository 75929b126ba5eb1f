"""AI Hub's own client: configured, quiet, and with errors of ours."""

import logging
import re
import time
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any, TypeVar

from engine.backends.qai_hub.options import QaiHubOwn
from engine.backends.software import require
from engine.errors import BackendError, DeviceLostError, DeviceNotFoundError, EngineError

log = logging.getLogger(__name__)

Result = TypeVar("Result")
#: Makes the client of a profile; None for the one that the client finds itself.
Connect = Callable[[str | None], Any]

#: Loggers of the client whose lines hold addresses with signatures in them, and what they may still say.
_TALKATIVE = {
    "urllib3.connectionpool": logging.INFO,
    "public_rest_api": logging.WARNING,
    "api_utils": logging.WARNING,
    "s3_transfer": logging.WARNING,
    "LogRetry": logging.WARNING,
    "backoff": logging.CRITICAL,
}
_BOX = re.compile(r"[┌┐└┘─|]+")
_QUERY = re.compile(r"(https?://[^\s?]+|url: /[^\s?]+)\?\S+")
#: The client itself has tried a refused call for half a minute before it gives up.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 60.0
_LISTING = "`qai-hub list-devices` lists them all"


class Hub:
    """A connection to AI Hub.

    Attributes:
        client: The vendor's.
    """

    def __init__(self, connect: Connect, own: QaiHubOwn) -> None:
        """Read the configuration; nothing is sent yet.

        Raises:
            BackendError: There is no token.
        """
        for name, level in _TALKATIVE.items():
            logging.getLogger(name).setLevel(level)
        try:
            self.client = connect(own.profile)
            # Its progress goes to standard output otherwise.
            self.client.set_verbose(False)
        except Exception as exc:  # whatever a broken configuration file makes it raise
            raise BackendError(
                f"back end qai_hub has no AI Hub token: {plain(exc)}: `qai-hub configure --api_token TOKEN`"
            ) from exc
        self._package: Any = require("qai_hub.client", "qai_hub", "pip install qai_hub")

    def find_device(self, name: str | None, own: QaiHubOwn) -> Any:
        """Return the device of that name.

        Raises:
            DeviceNotFoundError: There is none, or none was named.
            BackendError: AI Hub refuses the token.
            DeviceLostError: It cannot be reached.
        """
        if not name:
            raise DeviceNotFoundError(
                f"back end qai_hub needs a device: name one, such as 'Samsung Galaxy S24 (Family)'; {_LISTING}"
            )
        wanted = (name, own.device_os, list(own.device_attributes))
        try:
            if self.client.get_devices(*wanted):
                return self._package.Device(*wanted)
            known = sorted({device.name for device in self.client.get_devices()})
        except self._package.UserError as exc:
            if "authenticate" in str(exc):
                raise BackendError(
                    "AI Hub does not accept the token: `qai-hub configure --api_token TOKEN` with the one of your "
                    "account page"
                ) from exc
            raise DeviceNotFoundError(f"AI Hub cannot look for device {name!r}: {plain(exc)}") from exc
        except Exception as exc:  # requests, and what the client makes of it
            raise DeviceLostError(f"AI Hub cannot be asked for its devices: {plain(exc)}") from exc
        if name in known:
            raise DeviceNotFoundError(
                f"AI Hub has {name!r}, but none with device_os {own.device_os or 'any'} and device_attributes "
                f"{', '.join(own.device_attributes) or 'any'}; {_LISTING}"
            )
        near = get_close_matches(name, known, n=3)
        raise DeviceNotFoundError(f"AI Hub has no device {name!r}: {_or(near)}{_LISTING}")

    def call(
        self, what: str, failure: type[EngineError], call: Callable[[], Result], deadline_s: float, *, again: bool
    ) -> Result:
        """Ask AI Hub for something; where it says to come again later, do.

        Args:
            what: What is asked, for messages.
            failure: What a refusal is.
            call: The call of the client.
            deadline_s: Until when it is asked again, `time.monotonic`.
            again: Whether it may be asked again after a failure that leaves open whether it was heard.

        Raises:
            DeviceLostError: AI Hub cannot be reached, or is broken.
            EngineError: A `failure`: it refused.
        """
        wait_s = _FIRST_WAIT_S
        while True:
            try:
                return call()
            except EngineError:
                raise
            except (self._package.UserError, ValueError, AssertionError) as exc:
                raise failure(f"AI Hub refuses {what}: {plain(exc)}") from exc
            except Exception as exc:
                is_busy = isinstance(exc, self._package.RateLimitedError)
                if not (is_busy or again) or time.monotonic() + wait_s > deadline_s:
                    if is_busy:
                        raise failure(f"AI Hub is too busy for {what}: {plain(exc)}") from exc
                    raise DeviceLostError(f"AI Hub does not answer as it should to {what}: {plain(exc)}") from exc
                log.warning("AI Hub: %s: %s; asked again in %.0f s", what, plain(exc), wait_s)
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def default_connect(profile: str | None) -> Any:
    """Make the client as `qai-hub configure` set it up."""
    package = require("qai_hub", "qai_hub", "pip install qai_hub")
    return package.Client(profile=profile)


def plain(exc: BaseException) -> str:
    """Return what the client says in one line, without its box and without the signature of an address."""
    text = " ".join(_BOX.sub(" ", str(exc)).split())
    return _QUERY.sub(r"\1?…", text).rstrip(".") or type(exc).__name__


def _or(names: Iterable[str]) -> str:
    listed = " or ".join(repr(name) for name in names)
    return f"did you mean {listed}? " if listed else ""
