"""ONNX Runtime on this machine's CPU."""

import re
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from engine.backends.base import Backend, BackendOptions, Health, Inference, Program, Tensors, TensorSpec
from engine.errors import DeviceNotFoundError, InferenceError, ModelError, ModelNotFoundError

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_FATAL_ONLY = 4
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed:)?")


class OnnxRuntimeBackend(Backend):
    """Runs ONNX files. `activations` inferences run at a time, each on `inference_threads` threads."""

    name = "onnxruntime"

    def __init__(self) -> None:
        self._session: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self._slots = 0
        self._program = Program((), ())

    def open(self, model: Path, options: BackendOptions) -> Program:
        """Load the ONNX file; see `Backend.open`."""
        if options.device != "cpu":
            raise DeviceNotFoundError(f"back end onnxruntime has no device {options.device!r}: it has cpu")
        if not model.is_file():
            raise ModelNotFoundError(f"no model file {model}: give the path of an .onnx file, or `workpiece`")
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.inference_threads
        settings.inter_op_num_threads = 1
        # Spinning threads take the core from decoding while they wait.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # What it logs it also raises.
        settings.log_severity_level = _FATAL_ONLY
        try:
            session = onnxruntime.InferenceSession(str(model), settings, providers=["CPUExecutionProvider"])
        except Exception as exc:  # onnxruntime's errors have no common root but this
            raise ModelError(
                f"ONNX Runtime cannot load {model}: {_first_line(exc)} (give a complete .onnx file that it supports)"
            ) from exc
        metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
        self._program = Program(
            inputs=tuple(_spec(node, model) for node in session.get_inputs()),
            outputs=tuple(_spec(node, model) for node in session.get_outputs()),
            metadata=dict(metadata),
        )
        self._session = session
        self._slots = options.activations
        self._pool = ThreadPoolExecutor(options.activations, thread_name_prefix="onnxruntime")
        return self._program

    @property
    def slots(self) -> int:
        """How many batches run at a time."""
        return self._slots

    def submit(self, inputs: Tensors, count: int) -> Future[Inference]:
        """Hand over a batch; see `Backend.submit`."""
        pool = self._pool  # another thread may close meanwhile
        if pool is None:
            raise InferenceError("the back end is closed")
        self._program.check(inputs, count)
        try:
            return pool.submit(self._run, inputs, count)
        except RuntimeError as exc:  # closed at this very moment
            raise InferenceError("the back end is closed") from exc

    def _run(self, inputs: Tensors, count: int) -> Inference:
        started_at_s = time.monotonic()
        try:
            names = [output.name for output in self._program.outputs]
            values = self._session.run(names, inputs)
            # A number of its own, without rows, is what it is.
            outputs = {name: value[:count] if value.ndim else value for name, value in zip(names, values, strict=True)}
        except Exception as exc:
            raise InferenceError(f"ONNX Runtime failed a batch of {count}: {_first_line(exc)}") from exc
        return Inference(outputs, started_at_s, time.monotonic())

    def health(self) -> Health:
        """Tell whether a model is open."""
        if self._pool is None:
            return Health(is_ready=False, detail="no model is open")
        return Health(is_ready=True, detail=f"onnxruntime {onnxruntime.__version__} on the CPU")

    def close(self) -> None:
        """Finish what was submitted, and let the model go."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)
            self._pool = None
            self._session = None


def _spec(node: Any, model: Path) -> TensorSpec:
    if node.type not in _DTYPES:
        raise ModelError(f"{model}: {node.name} has the type {node.type}, which is not supported")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    return TensorSpec(node.name, shape, np.dtype(_DTYPES[node.type]))


def _first_line(exc: BaseException) -> str:
    """Return what ONNX Runtime says, without the prefix that counts its own codes and names the file again."""
    lines = _PREFIX.sub("", str(exc).strip()).splitlines()
    return lines[0] if lines else type(exc).__name__
