"""Classify camera frames over Apache Kafka with Qualcomm Cloud AI 100 cards.

The command is `streamer`; `streamer.compose` shows how the parts go together.
"""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.engines.async_batch import AsyncBatchInferenceEngine
    from engine.engines.distributed import DistributedInferenceEngine
    from engine.engines.streaming import StreamingInferenceEngine
    from engine.engines.synchronous import (
        BatchInferenceEngine,
        SyncDistributedInferenceEngine,
        SyncStreamingInferenceEngine,
    )
    from engine.engines.worker import WorkerServer
    from engine.errors import (
        BackendError,
        DeviceLostError,
        DeviceNotFoundError,
        EngineError,
        InferenceError,
        ModelError,
        OptionsError,
        PipelineError,
        QueueFullError,
    )
    from engine.models.tools.analysis import analyze_model
    from engine.models.tools.conversion import (
        convert_model,
        convert_onnx_to_tinygrad,
        convert_tflite_to_tinygrad,
        convert_torch_to_tinygrad,
    )
    from engine.models.tools.optimization import optimize_model
    from engine.models.tools.quantization import quantize_model
    from engine.models.tools.visualization import visualize_model_architecture, visualize_model_weights
    from engine.pipeline.model_step import GPURuntimeComponent, ModelStep, Warmup
    from engine.pipeline.pipeline import Pipeline
    from engine.pipeline.step import Step
    from engine.session import Session

__version__ = "0.1.0"
__all__ = [
    "AsyncBatchInferenceEngine",
    "BackendError",
    "BatchInferenceEngine",
    "DeviceLostError",
    "DeviceNotFoundError",
    "DistributedInferenceEngine",
    "EngineError",
    "GPURuntimeComponent",
    "InferenceError",
    "ModelError",
    "ModelStep",
    "OptionsError",
    "Pipeline",
    "PipelineError",
    "QueueFullError",
    "Session",
    "Step",
    "StreamingInferenceEngine",
    "SyncDistributedInferenceEngine",
    "SyncStreamingInferenceEngine",
    "Warmup",
    "WorkerServer",
    "__version__",
    "analyze_model",
    "convert_model",
    "convert_onnx_to_tinygrad",
    "convert_tflite_to_tinygrad",
    "convert_torch_to_tinygrad",
    "optimize_model",
    "quantize_model",
    "visualize_model_architecture",
    "visualize_model_weights",
]

#: What `from streamer import …` gives, and where it is; imported when it is asked for, so that the command starts fast.
_PUBLIC = {
    "Session": "engine.session",
    "Pipeline": "engine.pipeline.pipeline",
    "Step": "engine.pipeline.step",
    "ModelStep": "engine.pipeline.model_step",
    "GPURuntimeComponent": "engine.pipeline.model_step",
    "Warmup": "engine.pipeline.warm_up",
    "AsyncBatchInferenceEngine": "engine.engines.async_batch",
    "StreamingInferenceEngine": "engine.engines.streaming",
    "DistributedInferenceEngine": "engine.engines.distributed",
    "WorkerServer": "engine.engines.worker",
    "analyze_model": "engine.models.tools.analysis",
    "convert_model": "engine.models.tools.conversion",
    "convert_onnx_to_tinygrad": "engine.models.tools.conversion",
    "convert_tflite_to_tinygrad": "engine.models.tools.conversion",
    "convert_torch_to_tinygrad": "engine.models.tools.conversion",
    "optimize_model": "engine.models.tools.optimization",
    "quantize_model": "engine.models.tools.quantization",
    "visualize_model_architecture": "engine.models.tools.visualization",
    "visualize_model_weights": "engine.models.tools.visualization",
    **dict.fromkeys(
        ("BatchInferenceEngine", "SyncStreamingInferenceEngine", "SyncDistributedInferenceEngine"),
        "engine.engines.synchronous",
    ),
    **dict.fromkeys(
        (
            "BackendError",
            "DeviceLostError",
            "DeviceNotFoundError",
            "EngineError",
            "InferenceError",
            "ModelError",
            "OptionsError",
            "PipelineError",
            "QueueFullError",
        ),
        "engine.errors",
    ),
}

_HOME = Path(__file__).resolve().parent.parent


def _check_names() -> None:
    """Refuse to run where a file of the user's shadows one of this program's packages: the names are everyday ones.

    Raises:
        ImportError: It names the file in the way.
    """
    for name in ("producers", "consumers", "engine", "messaging", "config"):
        spec = find_spec(name)
        origin = Path(spec.origin).resolve() if spec is not None and spec.origin else None
        if origin != _HOME / name / "__init__.py":
            where = origin or (next(iter(spec.submodule_search_locations or ()), "nothing") if spec else "nothing")
            raise ImportError(
                f"streamer needs its own package `{name}`, but Python finds {where}: rename that file or folder, "
                "or run streamer from another directory"
            )


def __getattr__(name: str) -> object:
    """Import what is asked for.

    Raises:
        AttributeError: There is no such name.
    """
    if name not in _PUBLIC:
        raise AttributeError(f"module 'streamer' has no {name}")
    return getattr(import_module(_PUBLIC[name]), name)


def _is_command() -> bool:
    """Tell whether this is `streamer` or `python -m streamer`, and not a program that imports it."""
    program = sys.argv[0] if sys.argv else ""
    return program == "-m" or Path(program).name in ("streamer", "streamer.exe")


try:
    _check_names()
except ImportError as clash:
    if not _is_command() or "--debug" in sys.argv:
        raise
    print(f"streamer: {clash}", file=sys.stderr)  # noqa: T201 - the command says it in one line
    sys.exit(2)
