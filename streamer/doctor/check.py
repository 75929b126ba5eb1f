"""What a check is, and running checks so that none can stop another or hang."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from threading import Thread
from typing import Literal

from messaging.errors import missing_right

#: `info` is no judgement: what was measured, or not looked at and why.
State = Literal["ok", "info", "warn", "fail"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        name: What was looked at.
        found: One line; it may quote what came from outside.
        mend: What to do about it; "" where there is nothing to do.
    """

    name: str
    state: State
    found: str
    mend: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One check.

    Attributes:
        name: What it looks at.
        run: Looks, on a thread of its own.
        timeout_s: After so long it has failed.
        needs: The check without whose success there is nothing to look at.
        mend: What to do where it fails with an error.
    """

    name: str
    run: Callable[[], Sequence[Finding]]
    timeout_s: float = 15.0
    needs: str = ""
    mend: str = ""


def run_checks(checks: Sequence[Check], on_start: Callable[[str], None] = lambda _: None) -> Iterator[Finding]:
    """Run the checks one after the other, since some measure; yield what they found as it is found.

    Args:
        checks: In this order.
        on_start: Told the name of each check as it begins.
    """
    failed: set[str] = set()
    for check in checks:
        on_start(check.name)
        if check.needs in failed:
            findings: Sequence[Finding] = [Finding(check.name, "info", f"not looked at without: {check.needs}")]
            failed.add(check.name)
        else:
            findings = _run(check)
        if any(finding.state == "fail" for finding in findings):
            failed.add(check.name)
        yield from findings


def _run(check: Check) -> Sequence[Finding]:
    """Run one check within its time."""
    findings: list[Finding] = []

    def work() -> None:
        try:
            findings.extend(check.run())
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is what the check found
            message = " ".join(str(exc).split())
            # Errors of ours say what to do after a colon.
            mend = getattr(exc, "mend", missing_right(message) or check.mend)
            text = message.removesuffix(f": {mend}") if hasattr(exc, "exit_code") else repr(exc)
            findings.append(Finding(check.name, "fail", text, mend))

    # A daemon, so that one that hangs in somebody's library does not keep the program from ending.
    thread = Thread(target=work, name=f"check {check.name}", daemon=True)
    thread.start()
    thread.join(check.timeout_s)
    if thread.is_alive():
        return [Finding(check.name, "fail", f"no answer within {check.timeout_s:.0f} s", check.mend)]
    return findings
