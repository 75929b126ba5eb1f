"""ONNX Runtime: this machine's CPU, and NVIDIA's GPUs where its CUDA build is installed."""

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import onnxruntime

from engine.backends.base import BackendOptions, Company, HostOptions
from engine.backends.network import Network, Outputs
from engine.backends.threaded import ThreadedBackend
from engine.errors import CompileError, DeviceNotFoundError, ModelError, first_line
from engine.models.files import ModelFile
from engine.models.graph import program_of, with_symbols
from engine.models.onnx_file import read_onnx
from engine.models.program import Program, Tensors, TensorSpec

_DTYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(uint16)": np.uint16,
    "tensor(int16)": np.int16,
    "tensor(uint32)": np.uint32,
    "tensor(int32)": np.int32,
    "tensor(uint64)": np.uint64,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
}
_FATAL_ONLY = 4
_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (Load model from .* failed:)?")
_CPU = "CPUExecutionProvider"
_CUDA = re.compile(r"^cuda(?::(\d+))?$")


class OnnxRuntimeBackend(ThreadedBackend):
    """Runs ONNX files. `num_activations` × `set_size` inferences run at a time.

    With `output_dir`, `compile` keeps there what ONNX Runtime has made of the graph, its symbols open, and that runs.
    """

    name = "onnxruntime"
    uses = frozenset({"dev_id", "num_activations", "set_size", "onnx_define_symbol", "output_dir"})
    default_device = "cpu"
    Own = HostOptions
    # Two inferences at a time fill each other's gaps. Decoding needs the cores as well, so there each has one thread.
    defaults: ClassVar[Mapping[Company, Mapping[str, int]]] = {
        "inferences": {"num_activations": 2},
        "decoding": {"num_activations": 2, "inference_threads": 1},
    }

    @classmethod
    def has_device_name(cls, name: str) -> bool:
        """Tell whether it is `cpu` or a `cuda:N`."""
        return name.lower() == "cpu" or _CUDA.match(name.lower()) is not None

    def compile(self, model: ModelFile, options: BackendOptions) -> ModelFile:
        """Optimise the model, and keep that in `output_dir`; without one it is done when the model is loaded."""
        self.check_model(model)
        if options.keywords.output_dir is None:
            return model
        return _optimised(model, options, Path(options.keywords.output_dir))

    def load(self, model: ModelFile, options: BackendOptions) -> Network:
        """Load the ONNX file; see `Backend.open`."""
        own = options.own_of(HostOptions)
        activations, set_size = self.concurrency(options)
        return OnnxRuntimeNetwork(model, options, _provider(options), activations * set_size, own.inference_threads)


class SessionNetwork(Network):
    """A session of ONNX Runtime, whatever provider it has."""

    def __init__(self, session: Any, program: Program, slots: int, detail: str) -> None:
        """Take an opened session."""
        self._session = session
        self.program = program
        self.slots = slots
        self.detail = detail
        self._outputs = [output.name for output in program.outputs]

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Run the session."""
        del rows
        return self._run(self._session, inputs)

    def _run(self, session: Any, inputs: Tensors) -> Outputs:
        try:
            return dict(zip(self._outputs, session.run(self._outputs, inputs), strict=True))
        except Exception as exc:
            raise RuntimeError(message(exc)) from exc

    def unload(self) -> None:
        """Let the session go."""
        self._session = None


class OnnxRuntimeNetwork(SessionNetwork):
    """A session on the CPU, or on an NVIDIA GPU."""

    def __init__(
        self,
        model: ModelFile,
        options: BackendOptions,
        provider: tuple[str, Mapping[str, str]],
        slots: int,
        threads: int | None,
    ) -> None:
        if options.keywords.onnx_define_symbol:
            # A session does not tell which symbols there were before they had sizes.
            with_symbols(program_of(read_onnx(model.path), model.path), options.keywords, model.path)
        session = _session(model, session_settings(options, threads), provider)
        if provider[0] not in session.get_providers():
            raise DeviceNotFoundError(f"ONNX Runtime cannot use {provider[0]} here: its driver or device is missing")
        detail = f"onnxruntime {onnxruntime.__version__}, {provider[0].removesuffix('ExecutionProvider')}"
        super().__init__(session, program_of_session(session, model, options), slots, detail)
        self._lock, self._running, self._was_shared = Lock(), 0, False
        # An inference that is alone has all cores. Those that run together have their share of them each: to hand the
        # parts of several to one crowd of threads costs more (mobilenet_v2, 2 cores: 0.93 of the rate).
        self._narrow = session
        if slots > 1 and threads is None and provider[0] == _CPU:
            share = max(len(os.sched_getaffinity(0)) // slots, 1)
            self._narrow = _session(model, session_settings(options, share), provider)

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Run the session; the one with fewer threads where another inference is under way."""
        del rows
        with self._lock:
            is_shared = self._running > 0
            session = self._narrow if is_shared or self._was_shared else self._session
            self._was_shared = is_shared
            self._running += 1
        try:
            return self._run(session, inputs)
        finally:
            with self._lock:
                self._running -= 1

    def unload(self) -> None:
        """Let both sessions go."""
        super().unload()
        self._narrow = None


def _session(model: ModelFile, settings: Any, provider: tuple[str, Mapping[str, str]]) -> Any:
    try:
        return onnxruntime.InferenceSession(str(model.path), settings, providers=[provider])
    except Exception as exc:  # onnxruntime's errors have no common root but this
        raise ModelError(
            f"ONNX Runtime cannot load {model.path}: {message(exc)} (give a complete .onnx file that it supports)"
        ) from exc


def _optimised(model: ModelFile, options: BackendOptions, folder: Path) -> ModelFile:
    """Write the model as ONNX Runtime has optimised it, without what is for this machine's processor alone."""
    settings: Any = onnxruntime.SessionOptions()
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    settings.log_severity_level = _FATAL_ONLY
    target = folder / f"{model.path.stem}.optimised.onnx"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=folder) as work:
            made = Path(work) / target.name
            settings.optimized_model_filepath = str(made)
            _session(model, settings, _provider(options))
            made.replace(target)
    except OSError as exc:
        raise CompileError(
            f"{model.path} cannot be optimised into {folder}: {exc.strerror} (give another output_dir)"
        ) from exc
    return ModelFile(target, "onnx")


def session_settings(options: BackendOptions, threads: int | None) -> Any:
    """Return ONNX Runtime's settings: threads, quiet, and the sizes of symbols.

    Args:
        options: Whose symbols are set.
        threads: CPU threads of one inference; None for the physical cores, as ONNX Runtime has it.
    """
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads or 0
    settings.inter_op_num_threads = 1
    if threads is None:
        # All cores are the inference's: its threads spin from one operator to the next, but not when it is over.
        settings.add_session_config_entry("session.force_spinning_stop", "1")
    else:
        # Spinning threads take the core from decoding, and from other inferences, while they wait.
        settings.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # What it logs it also raises.
    settings.log_severity_level = _FATAL_ONLY
    ladder = options.keywords.ladder
    for symbol, size in options.keywords.symbols.items():
        if ladder is None or symbol != ladder[0]:
            settings.add_free_dimension_override_by_name(symbol, size)
    return settings


def program_of_session(session: Any, model: ModelFile, options: BackendOptions) -> Program:
    """Describe what a session takes and gives.

    Raises:
        ModelError: It has types that are not supported.
    """
    inputs = tuple(_spec(node, model) for node in session.get_inputs())
    outputs = tuple(_spec(node, model) for node in session.get_outputs())
    metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    ladder = options.keywords.ladder
    return Program(inputs, outputs, dict(metadata), ladder[1] if ladder is not None else ())


def message(exc: BaseException) -> str:
    """Return what ONNX Runtime says, without the prefix that counts its own codes and names the file again."""
    return first_line(RuntimeError(_PREFIX.sub("", str(exc).strip()))) if str(exc).strip() else type(exc).__name__


def _provider(options: BackendOptions) -> tuple[str, Mapping[str, str]]:
    device = OnnxRuntimeBackend.device_of(options).lower()
    if device == "cpu":
        return (_CPU, {})
    match = _CUDA.match(device)
    if match is None:
        raise DeviceNotFoundError(f"back end onnxruntime has no device {options.device!r}: it has cpu, cuda:0 …")
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise DeviceNotFoundError(
            f"the onnxruntime that is installed has no CUDA, so no {device}: "
            "pip uninstall onnxruntime && pip install onnxruntime-gpu"
        )
    return ("CUDAExecutionProvider", {"device_id": match.group(1) or str(options.keywords.dev_id)})


def _spec(node: Any, model: ModelFile) -> TensorSpec:
    if node.type not in _DTYPES:
        raise ModelError(f"{model.path}: {node.name} has the type {node.type}, which is not supported")
    shape = tuple(size if isinstance(size, int) and size > 0 else None for size in node.shape)
    symbols = tuple(size if isinstance(size, str) else None for size in node.shape)
    return TensorSpec(node.name, shape, np.dtype(_DTYPES[node.type]), symbols)
