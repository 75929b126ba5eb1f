"""Clocks: whether this machine's is kept right, and whether cameras and workers agree with it."""

import ctypes
import ctypes.util
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from streamer.doctor.check import Finding

#: Statuses travel for less than this; what is further off is a clock.
_AHEAD_US = 2_000_000
_BEHIND_US = 10_000_000

# Source: Linux, include/uapi/linux/timex.h.
_STA_UNSYNC: Final = 0x0040


class Report(NamedTuple):
    """Somebody's status: who, and when it was made by their clock, µs since 1970."""

    subject: str
    made_at_us: int


def clock_offsets(reports: Sequence[Report], now_us: int) -> Mapping[str, int]:
    """Return who disagrees with us about the time, µs, above zero where they are ahead.

    A status from the future was made by a clock that is ahead. One that is older than what others had said before
    it was made by a clock that is behind: the topic keeps the order of arrival.

    Args:
        reports: The newest statuses in the order of arrival.
        now_us: Our time after they were read, µs since 1970.
    """
    offsets: dict[str, int] = {}
    latest: dict[str, int] = {}
    for report in reports:
        offsets.pop(report.subject, None)
        ahead = report.made_at_us - now_us
        if ahead > _AHEAD_US:
            offsets[report.subject] = ahead
            continue
        others = max((made for subject, made in latest.items() if subject != report.subject), default=None)
        if others is not None and others - report.made_at_us > _BEHIND_US:
            offsets[report.subject] = report.made_at_us - others
            continue
        latest[report.subject] = report.made_at_us
    return offsets


def offset_finding(offsets: Mapping[str, int], subjects: int) -> Finding:
    """Say who disagrees."""
    name = "clocks of cameras and workers"
    if not subjects:
        return Finding(name, "info", "nobody has said anything on the status topic yet")
    if not offsets:
        return Finding(name, "ok", f"{subjects} agree with this machine's")
    parts = [
        f"{subject} is {abs(offset) / 1e6:.0f} s {'ahead' if offset > 0 else 'behind'}"
        for subject, offset in sorted(offsets.items(), key=lambda item: -abs(item[1]))
    ]
    more = f" and {len(parts) - 3} more" if len(parts) > 3 else ""
    mend = "let a time service (chrony, systemd-timesyncd) run there, or here: latencies are wrong by as much"
    return Finding(name, "warn", ", ".join(parts[:3]) + more, mend)


class _Timex(ctypes.Structure):
    """Linux's `struct timex`, as far as its status."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_char * 256),
    )


def kernel_clock() -> Finding:
    """Ask the kernel whether something keeps its clock right. It changes nothing and needs no rights."""
    library = ctypes.CDLL(None, use_errno=True)
    timex = _Timex()
    adjtimex = getattr(library, "adjtimex", None)
    if adjtimex is None or adjtimex(ctypes.byref(timex)) < 0:
        return Finding("clock", "info", "this machine does not say whether its clock is kept right")
    return clock_finding(timex.status, timex.maxerror)


def clock_finding(status: int, max_error_us: int) -> Finding:
    """Judge what the kernel says: `timex.status`, and the most that the clock may be off, µs."""
    if status & _STA_UNSYNC:
        return Finding(
            "clock",
            "warn",
            "the kernel knows of nothing that keeps it right: latencies between machines are not to be trusted",
            "let a time service run, such as chrony or systemd-timesyncd; in a container, on its host",
        )
    return Finding("clock", "ok", f"kept right, to {max_error_us / 1000:.0f} ms at worst")
