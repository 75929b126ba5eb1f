"""AI Hub's own client: configured, quiet, and with errors of ours."""

import logging
import re
import time
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from http import HTTPStatus
from threading import Event
from typing import Any, Literal, TypeVar

from engine.backends.qai_hub.errors import NotYetError, RefusedError, StoppedError, UnreachableError
from engine.backends.qai_hub.options import QaiHubOwn
from engine.backends.software import require
from engine.errors import BackendError, DeviceLostError, DeviceNotFoundError, EngineError

log = logging.getLogger(__name__)

Result = TypeVar("Result")
#: Makes the client of a profile; None for the one that the client finds itself.
Connect = Callable[[str | None], Any]

#: Loggers of the client whose lines hold addresses with signatures in them, and what they may still say.
_TALKATIVE = {
    "urllib3.connectionpool": logging.ERROR,
    "public_rest_api": logging.WARNING,
    "api_utils": logging.WARNING,
    "s3_transfer": logging.WARNING,
    "LogRetry": logging.WARNING,
    "backoff": logging.CRITICAL,
}
_BOX = re.compile(r"[┌┐└┘─|]+")
#: What is after the path of an address, which may be a signature.
_QUERY = re.compile(r"(//[^\s?]+|url: [^\s?]+)\?\S+", re.IGNORECASE)
#: What is left of one that a blank has cut. Source: AWS, "Authenticating requests: using query parameters".
_SECRET = re.compile(r"((?:X-Amz-[\w-]+|Signature|AWSAccessKeyId|Policy)=)[^\s&]+", re.IGNORECASE)
#: The client itself has tried a refused call for half a minute before it gives up.
_FIRST_WAIT_S, _LONGEST_WAIT_S = 5.0, 60.0
#: When something is asked again, until its deadline. `always`: after all but a refusal, for what may be asked twice.
#: `busy`: where AI Hub is too busy, for what somebody waits for. `unheard`: where it is too busy and has surely done
#: nothing, for jobs.
Again = Literal["always", "busy", "unheard"]
#: In the cause of what the client raises where it asked again and again itself; the call may have had several parts.
#: Source: urllib3, `ResponseError.SPECIFIC_ERROR`.
_GAVE_UP_BUSY = "too many 429 error responses"
#: For what somebody waits at a terminal: devices, models.
_LOOK_UP_S = 120.0
_LISTING = "`qai-hub list-devices` lists them all"


class Hub:
    """A connection to AI Hub. Any thread may use it.

    Attributes:
        client: The vendor's.
        own: The keywords.
        stop: Breaks every wait off, and begins no call more, for good, once it is set.
    """

    def __init__(self, connect: Connect, own: QaiHubOwn, stop: Event | None = None) -> None:
        """Read the configuration; nothing is sent yet.

        Raises:
            BackendError: There is no token.
        """
        for name, level in _TALKATIVE.items():
            logging.getLogger(name).setLevel(level)
        self.own = own
        self.stop = stop or Event()
        try:
            self.client = connect(own.profile)
            # Its progress goes to standard output otherwise.
            self.client.set_verbose(False)
        except EngineError:
            raise
        except Exception as exc:  # noqa: BLE001 - whatever a broken configuration file makes it raise
            raise BackendError(
                f"there is no token for AI Hub: {plain(exc)}: `qai-hub configure --api_token TOKEN`"
            ) from None
        self.package: Any = require("qai_hub.client", "qai_hub", "pip install qai_hub")

    def find_device(self, name: str | None) -> Any:
        """Return the device of that name.

        Raises:
            DeviceNotFoundError: There is none, or none was named.
            BackendError: AI Hub refuses the token.
            DeviceLostError: It cannot be reached.
        """
        if not name:
            raise DeviceNotFoundError(
                f"AI Hub needs a device: name one, such as 'Samsung Galaxy S24 (Family)'; {_LISTING}"
            )
        own = self.own
        wanted = (name, own.device_os, list(own.device_attributes))
        try:
            if self.devices(*wanted):
                return self.package.Device(*wanted)
            known = sorted({device.name for device in self.devices()})
        except RefusedError as exc:
            raise DeviceNotFoundError(f"AI Hub cannot look for device {name!r}: {exc}") from exc
        except (UnreachableError, NotYetError) as exc:
            raise DeviceLostError(f"AI Hub cannot be asked for its devices: {exc}") from exc
        if name in known:
            raise DeviceNotFoundError(
                f"AI Hub has {name!r}, but none with device_os {own.device_os or 'any'} and device_attributes "
                f"{', '.join(own.device_attributes) or 'any'}; {_LISTING}"
            )
        near = get_close_matches(name, known, n=3)
        raise DeviceNotFoundError(f"AI Hub has no device {name!r}: {_or(near)}{_LISTING}")

    def devices(self, *wanted: Any) -> list[Any]:
        """Return the devices of a name, system and attributes; all of them without any.

        Raises:
            BackendError, HubError: As for `ask`.
        """
        return self.look_up("its devices", lambda: list(self.client.get_devices(*wanted)))

    def look_up(self, what: str, call: Callable[[], Result], *, again: Again = "busy") -> Result:
        """Ask for something that takes no job, for two minutes at the most.

        Args:
            what: What is asked, for messages.
            call: The call of the client.
            again: When it is asked again.

        Raises:
            BackendError, HubError: As for `ask`.
        """
        return self.ask(what, call, time.monotonic() + _LOOK_UP_S, again=again)

    def ask(self, what: str, call: Callable[[], Result], deadline_s: float, *, again: Again) -> Result:
        """Ask AI Hub for something; where it says to come again later, do.

        Args:
            what: What is asked, for messages.
            call: The call of the client.
            deadline_s: Until when it is asked again, `time.monotonic`.
            again: When it is.

        Raises:
            BackendError: AI Hub does not accept the token.
            RefusedError: It refuses.
            NotYetError: It is too busy until the deadline.
            UnreachableError: It cannot be reached, or is broken.
            StoppedError: `stop` was set.
        """
        wait_s = _FIRST_WAIT_S
        while True:
            self.pause(0)  # nothing is begun after the end
            try:
                return call()
            except EngineError:
                raise
            except (self.package.UserError, ValueError, AssertionError) as exc:
                raise _refusal(what, exc) from None  # what caused it holds addresses with signatures
            except Exception as exc:  # noqa: BLE001 - whatever the client raises becomes one of ours
                is_unheard = isinstance(exc, self.package.RateLimitedError)
                is_busy = is_unheard or (again != "unheard" and _GAVE_UP_BUSY in str(exc.__cause__))
                if not (is_busy or again == "always") or time.monotonic() + wait_s > deadline_s:
                    if is_busy:
                        raise NotYetError(f"AI Hub is too busy for {what}: {plain(exc)}") from None
                    raise UnreachableError(
                        f"AI Hub does not answer as it should when asked for {what}: {plain(exc)}"
                    ) from None
                log.warning("AI Hub: %s: %s; asked again in %.0f s", what, plain(exc), wait_s)
                self.pause(wait_s)
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def pause(self, seconds: float) -> None:
        """Wait.

        Raises:
            StoppedError: `stop` was set.
        """
        if self.stop.wait(seconds):
            raise StoppedError("stopped before AI Hub had answered")


def _refusal(what: str, exc: BaseException) -> EngineError:
    """Say what was refused; the client hides the status of the answer behind its own error."""
    status = getattr(exc.__context__, "status_code", None)
    if status == HTTPStatus.UNAUTHORIZED:
        return BackendError(
            "AI Hub does not accept the token: `qai-hub configure --api_token TOKEN` with the one of your account page"
        )
    if status == HTTPStatus.FORBIDDEN:
        return RefusedError(
            f"AI Hub does not give this account {what}: {plain(exc)}: ask the owner, or your administrator, to allow it"
        )
    return RefusedError(f"AI Hub refuses {what}: {plain(exc)}")


def default_connect(profile: str | None) -> Any:
    """Make the client as `qai-hub configure` set it up."""
    package = require("qai_hub", "qai_hub", "pip install qai_hub")
    return package.Client(profile=profile)


def plain(said: BaseException | str) -> str:
    """Return what the client or AI Hub says in one line, without its box and without the signature of an address."""
    text = " ".join(_BOX.sub(" ", str(said)).split())
    return _SECRET.sub(r"\1…", _QUERY.sub(r"\1?…", text)).rstrip(".") or type(said).__name__


def _or(names: Iterable[str]) -> str:
    listed = " or ".join(repr(name) for name in names)
    return f"did you mean {listed}? " if listed else ""
