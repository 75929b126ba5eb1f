"""What a job gets of the server's environment: what programs and libraries need, and no settings, tokens or keys."""

from collections.abc import Mapping
from typing import Final

_NAMES: Final = frozenset(
    {
        # Where things are, and whose they are.
        *("PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME"),
        *("LANG", "LANGUAGE", "TZ"),
        # The interpreter and its libraries.
        *("PYTHONHOME", "PYTHONPATH", "PYTHONUSERBASE", "PYTHONNOUSERSITE", "PYTHONUTF8"),
        *("VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "LD_PRELOAD"),
        # The C compiler that tinygrad starts, and tinygrad itself.
        *("CC", "CPATH", "C_INCLUDE_PATH", "LIBRARY_PATH", "DEV", "CACHEDB"),
        # What back ends look for.
        *("QNN_SDK_ROOT", "ADSP_LIBRARY_PATH"),
    }
)
_PREFIXES: Final = (
    "LC_",
    # How many threads, and how memory is had.
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "MALLOC_"),
    *("QAIC_", "CUDA_", "ROCM_", "HIP_", "HSA_"),
)


def job_environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return what a job gets of `ours`; a process with bounded files writes no bytecode."""
    kept = {name: value for name, value in ours.items() if name in _NAMES or name.startswith(_PREFIXES)}
    return kept | {"PYTHONDONTWRITEBYTECODE": "1"}
