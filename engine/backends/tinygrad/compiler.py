"""The C compiler with which tinygrad makes programs for the CPU."""

import os
import shutil


def compiler() -> str:
    """Return the compiler's name or path: tinygrad calls whatever `CC` names."""
    return os.environ.get("CC", "clang")


def has_compiler() -> bool:
    """Tell whether this machine has it."""
    return shutil.which(compiler()) is not None
