"""Back ends whose software need not be there."""

import os
import shutil
from importlib.util import find_spec

import pytest

from engine.backends.base import Backend
from engine.backends.registry import make_backend

REQUIRE_TOOLS = "STREAMER_TESTS_REQUIRE_TOOLS"
#: What each needs, besides its package of the same name, on PATH.
_TOOLS = {"tinygrad": "clang"}


def need(backend: str) -> None:
    """Skip where its software is missing; fail where all tools are asked for."""
    tool = _TOOLS.get(backend)
    if find_spec(backend) is None:
        missing = f"the Python package {backend}"
    elif tool is not None and shutil.which(tool) is None:
        missing = tool
    elif backend == "openvino" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("with one CPU core OpenVINO refuses the model that fails on its data")
    else:
        return
    if os.environ.get(REQUIRE_TOOLS):
        pytest.fail(f"{missing} is missing, and {REQUIRE_TOOLS} is set")
    pytest.skip(f"{missing} is missing")


def make_optional(backend: str) -> Backend:
    """Make a back end, or skip."""
    need(backend)
    return make_backend(backend)
