"""Where the vendor's software is installed, and how a call of it is kept from blocking for ever."""

import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import TypeVar

#: Source: quic/cloud-ai-sdk-pages docs/Getting-Started/Installation/Pre-requisites/pre-requisites.md.
DEFAULT_ROOT = Path("/opt/qti-aic")
#: A variable of this program, for an SDK that is installed elsewhere; the vendor's own tools do not read it.
ROOT_VARIABLE = "QAIC_SDK_ROOT"
#: In the order of preference. Source: quic/efficient-transformers docs/source/release_docs.md: qaic-exec is
#: deprecated since SDK 1.22 for qaic-compile.
COMPILERS = ("qaic-compile", "qaic-exec")
_UTILITY = "qaic-util"
_RUNNER = "qaic-runner"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Sdk:
    """The Apps and Platform SDKs below one folder.

    Attributes:
        root: Where they are installed; it need not exist.
    """

    root: Path

    @property
    def is_installed(self) -> bool:
        """Whether anything of it is on this machine."""
        return self.root.is_dir() or self.compiler is not None or self.utility is not None

    @property
    def compiler(self) -> Path | None:
        """The newest compiler that is there."""
        found = (self._tool("exec", name) for name in COMPILERS)
        return next((path for path in found if path is not None), None)

    @property
    def runner(self) -> Path | None:
        """`qaic-runner`, which runs a compiled program and profiles it."""
        return self._tool("exec", _RUNNER)

    @property
    def utility(self) -> Path | None:
        """`qaic-util`, which knows the cards."""
        return self._tool("tools", _UTILITY)

    @property
    def versions(self) -> str:
        """What the SDK says of its own version, for a digest: another compiler makes another program."""
        try:
            return (self.root / "versions" / "apps.xml").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def _tool(self, folder: str, name: str) -> Path | None:
        path = self.root / folder / name
        if path.is_file():
            return path
        found = shutil.which(name)
        return Path(found) if found is not None else None


def find_sdk() -> Sdk:
    """Return the SDK of this machine, installed or not."""
    return Sdk(Path(os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT))


def within(
    limit_s: float, what: str, call: Callable[[], Result], late: Callable[[Result], object] | None = None
) -> Result:
    """Call the vendor's software in a daemon thread, and wait for it only so long: a wedged card blocks its callers.

    Source: qualcomm/vllm-qaic ci_scripts/scheduler.py, which does the same with its device queries.

    Args:
        limit_s: How long is waited.
        what: Who is waited for, for the message.
        call: It goes on in its thread when nobody waits any more.
        late: Takes the result that came after that.

    Raises:
        TimeoutError: It is not done within the limit.
        BaseException: Whatever the call raised.
    """
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as exc:  # noqa: BLE001 - the caller's thread raises it
            future.set_exception(exc)

    def take_back(done: Future[Result]) -> None:
        if late is not None and done.exception() is None:
            late(done.result())

    Thread(target=run, name="qaic-call", daemon=True).start()
    try:
        return future.result(limit_s)
    except TimeoutError as exc:
        if future.done() and future.exception() is exc:
            raise  # it is the call's own
        future.add_done_callback(take_back)
        raise TimeoutError(f"{what} gave no answer within {limit_s:g} s") from None
    except KeyboardInterrupt:
        future.add_done_callback(take_back)
        raise
