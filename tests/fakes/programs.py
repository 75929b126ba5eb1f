"""Python in a process of its own, with this checkout and without the tester's settings."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_DEADLINE_S = 60


def environ(**changes: str) -> dict[str, str]:
    """The tester's environment without settings of streamer, OpenTelemetry and Python."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("STREAMER_", "OTEL_", "PYTHON"))}
    return kept | {"PYTHONPATH": str(ROOT)} | changes


def python(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run Python; its output is text, unless `stdout` says where it goes."""
    given: dict[str, Any] = {
        "env": environ(),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "timeout": _DEADLINE_S,
    }
    done: subprocess.CompletedProcess[str]
    done = subprocess.run([sys.executable, *arguments], check=False, text=True, **given | options)
    return done
