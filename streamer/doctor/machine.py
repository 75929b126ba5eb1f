"""Checks of this machine and of what is installed on it."""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from messaging.broker.errors import BrokerError
from messaging.broker.java import find_java
from streamer.doctor.check import Finding

_LITTLE_MEMORY_BYTES = 512 * 1024 * 1024
_LITTLE_DISK_BYTES = 1024 * 1024 * 1024
_MEASURED_S = 0.2
_PICTURE_PX = 256
_PACKAGES = ("kafka-python", "onnxruntime", "simplejpeg")


def versions() -> Sequence[Finding]:
    """Say what is installed."""
    from streamer import __version__

    python = ".".join(str(part) for part in sys.version_info[:3])
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return [Finding("versions", "info", f"streamer {__version__}, Python {python}, {packages}")]


def checksums() -> Sequence[Finding]:
    """Look whether kafka-python found the C extension for its checksums."""
    from kafka.record import util

    if util.crc32c_c is None:
        found = "kafka-python computes checksums in Python: that costs more than everything else together"
        return [Finding("checksums", "warn", found, "pip install 'kafka-python[crc32c]'")]
    import crc32c

    kind = "by the processor" if crc32c.hardware_based else "in C, since the processor has no instruction for it"
    return [Finding("checksums", "ok", f"CRC32C is computed {kind}")]


def decoding() -> Sequence[Finding]:
    """Measure how many pictures one core decodes in a second, by its own CPU time."""
    import numpy as np
    import simplejpeg

    random = np.random.default_rng(0)
    coarse = random.integers(0, 256, (_PICTURE_PX // 8, _PICTURE_PX // 8, 3))
    pixels = np.kron(coarse, np.ones((8, 8, 1))) * 0.8 + random.integers(0, 40, (_PICTURE_PX, _PICTURE_PX, 1))
    picture = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels.astype(np.uint8)), quality=80)
    row = np.empty((_PICTURE_PX, _PICTURE_PX, 3), np.uint8)
    count, began_s, deadline_s = 0, time.thread_time(), time.monotonic() + 10 * _MEASURED_S
    while time.thread_time() - began_s < _MEASURED_S and time.monotonic() < deadline_s:
        simplejpeg.decode_jpeg(picture, "RGB", fastdct=True, fastupsample=True, buffer=row, strict=True)
        count += 1
    rate = count / max(time.thread_time() - began_s, 1e-6)
    size = f"{_PICTURE_PX}×{_PICTURE_PX} px of {len(picture) / 1024:.0f} KB"
    return [Finding("decoding", "info", f"{rate:,.0f} JPEGs/s a core ({size})")]


def resources() -> Sequence[Finding]:
    """Look at cores, memory and disk."""
    free_disk = shutil.disk_usage(tempfile.gettempdir()).free
    free_memory = _free_memory_bytes()
    memory = "?" if free_memory is None else f"{free_memory / 2**30:.1f}"
    found = (
        f"{len(os.sched_getaffinity(0))} cores, {memory} GiB of memory free, "
        f"{free_disk / 2**30:.1f} GiB of disk free in {tempfile.gettempdir()}"
    )
    if free_memory is not None and free_memory < _LITTLE_MEMORY_BYTES:
        mend = "end other programs, or lower --max-in-flight-bytes"
        return [Finding("machine", "warn", f"little memory: {found}", mend)]
    if free_disk < _LITTLE_DISK_BYTES:
        return [Finding("machine", "warn", f"little disk: {found}", "free some, or set TMPDIR")]
    return [Finding("machine", "ok", found)]


def embedded_broker() -> Sequence[Finding]:
    """Look whether `streamer broker` and `streamer demo` could run here; whoever has a Kafka needs neither."""
    name = "broker on this machine"
    if not os.environ.get("KAFKA_HOME") and find_spec("jgo") is None:
        found = "not installed; only `streamer broker` and `streamer demo` need it"
        return [Finding(name, "info", found, "pip install 'aic-streamer[broker]'")]
    try:
        java = find_java()
    except BrokerError as exc:
        return [Finding(name, "info", f"only `streamer broker` and `streamer demo` need it: {exc}")]
    return [Finding(name, "info", f"can run, on the Java of {java}")]


def _free_memory_bytes() -> int | None:
    """Return what can still be had, of the machine's memory and of the container's; None where nobody says."""
    known = [free for free in (_free_of_machine(), _free_of_container()) if free is not None]
    return min(known, default=None)


def _free_of_machine() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text("ascii").splitlines()
    except (OSError, ValueError):
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _free_of_container() -> int | None:
    """Return the free part of the control group's limit; its page cache counts as used."""
    group = Path("/sys/fs/cgroup")
    try:
        limit = (group / "memory.max").read_text("ascii").strip()
        used = (group / "memory.current").read_text("ascii")
        return None if limit == "max" else max(int(limit) - int(used), 0)
    except (OSError, ValueError):
        return None
