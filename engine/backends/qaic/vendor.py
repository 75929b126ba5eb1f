"""The vendor's Python modules, and one way to call them: a status and an exception are both failures."""

import importlib
import importlib.machinery
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.backends.qaic.sdk import Sdk
from engine.errors import BackendError, first_line

RUNTIME = "qaicrt"
MESSAGES = "QAicApi_pb2"
#: Names and numbers of `QStatus`. Source: quic/software-kit-for-qualcomm-cloud-ai-100
#: inc/qaic-openrt-api-hpp/qaic-api-common/QAicTypes.h.
_STATUS_NAMES = {
    0: "QS_SUCCESS",
    1: "QS_PERM",
    2: "QS_AGAIN",
    3: "QS_NOMEM",
    4: "QS_BUSY",
    5: "QS_NODEV",
    6: "QS_INVAL",
    7: "QS_NOSPC",
    8: "QS_BADFD",
    9: "QS_TIMEDOUT",
    10: "QS_PROTOCOL",
    11: "QS_UNSUPPORTED",
    12: "QS_DATA_CRC_ERROR",
    300: "QS_DEV_ERROR",
    500: "QS_ERROR",
}
#: After these the card, or the way to it, is broken, and not one batch alone.
_DEVICE_STATUSES = frozenset({"QS_NODEV", "QS_BADFD", "QS_TIMEDOUT", "QS_PROTOCOL", "QS_DEV_ERROR"})


class VendorError(Exception):
    """A call of the vendor's failed; it never leaves this package.

    Attributes:
        step: The call.
        is_of_device: Whether the card is broken, and not what it was given.
    """

    def __init__(self, step: str, problem: str, *, is_of_device: bool = False) -> None:
        super().__init__(f"{step} {problem}")
        self.step = step
        self.is_of_device = is_of_device


@dataclass(frozen=True, slots=True)
class Vendor:
    """The two modules.

    Attributes:
        rt: `qaicrt`.
        api: `QAicApi_pb2`, the protobuf messages that describe inputs and outputs.
    """

    rt: Any
    api: Any

    def make(self, step: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call something that gives an object.

        Raises:
            VendorError: It raised.
        """
        try:
            return call(*arguments)
        except Exception as exc:  # noqa: BLE001 - C++ factories throw std::exception, and pybind11 makes anything of it
            problem = first_line(exc)
        # Outside of the handler, so that no traceback keeps the vendor's objects alive: none may be left at the end.
        raise VendorError(step, f"failed: {problem}")

    def do(self, step: str, call: Callable[..., Any], *arguments: Any) -> None:
        """Call something that gives a status.

        Raises:
            VendorError: The status is not that of success, or it raised.
        """
        self.check(step, self.make(step, call, *arguments))

    def get(self, step: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Call something that gives a status and a value, and return the value.

        Raises:
            VendorError: The status is not that of success, or it raised.
        """
        answer = self.make(step, call, *arguments)
        if not isinstance(answer, tuple | list) or len(answer) != 2:
            raise VendorError(step, "gave no status and value")
        self.check(step, answer[0])
        return answer[1]

    def check(self, step: str, status: Any) -> None:
        """Raise what a status says.

        Raises:
            VendorError: It is not that of success.
        """
        if status != self.rt.QStatus.QS_SUCCESS:
            name = _status_name(status)
            raise VendorError(step, f"gave {name}", is_of_device=name in _DEVICE_STATUSES)


def _status_name(status: Any) -> str:
    name = getattr(status, "name", None)
    if isinstance(name, str):
        return name
    try:
        return _STATUS_NAMES.get(int(status), f"status {int(status)}")
    except (TypeError, ValueError):
        return f"status {status}"


def load_vendor(sdk: Sdk) -> Vendor:
    """Import the vendor's modules: as they are installed, else from the SDK's own folders.

    Source: quic/efficient-transformers QEfficient/generation/cloud_infer.py.

    Raises:
        BackendError: One is missing or does not load; it says which Python runs and what may be wrong.
    """
    return Vendor(_load(RUNTIME, runtime_folder(sdk)), _load(MESSAGES, sdk.root / "dev" / "python"))


def runtime_folder(sdk: Sdk) -> Path:
    """Return where the SDK keeps `qaicrt`."""
    return sdk.root / "dev" / "lib" / platform.machine()


def why_no_runtime(sdk: Sdk) -> str | None:
    """Return why `qaicrt` is not for this Python, in a few words and without importing it; None where it is.

    An extension module carries the Python that it was built for in its file's name, so another one does not find it.
    """
    if RUNTIME in sys.modules or find_spec(RUNTIME) is not None:
        return None
    folder = runtime_folder(sdk)
    if importlib.machinery.PathFinder.find_spec(RUNTIME, [str(folder)]) is not None:
        return None
    others = sorted(path.name for path in folder.glob(f"{RUNTIME}*"))
    running = f"Python {platform.python_version()}"
    return f"{others[0]} in {folder} is not for {running}" if others else f"{folder} has no {RUNTIME} for {running}"


def _load(name: str, folder: Path) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name != name:
            raise _broken(name, exc) from exc
    except Exception as exc:  # a shared library or a protobuf of another version raises anything
        raise _broken(name, exc) from exc
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
        importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as exc:
        if exc.name == name:
            raise BackendError(
                f"back end qaic needs the vendor's Python module {name}, and neither Python's path nor {folder} has it "
                f"for Python {platform.python_version()}: install the Apps and Platform SDKs of Cloud AI 100, "
                "and run the Python version that they are built for"
            ) from exc
        raise _broken(name, exc) from exc
    except Exception as exc:
        raise _broken(name, exc) from exc


def _broken(name: str, exc: Exception) -> BackendError:
    causes = (
        "the installed protobuf may be of another version than the SDK's"
        if name == MESSAGES
        else "it may be built for another Python version, or LD_LIBRARY_PATH may lack the SDK's dev/lib"
    )
    return BackendError(
        f"the vendor's Python module {name} does not load in Python {platform.python_version()}: {first_line(exc)} "
        f"({causes})"
    )
