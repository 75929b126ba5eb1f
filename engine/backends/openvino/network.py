"""A model that OpenVINO has compiled."""

import os
import re
import sys
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from engine.backends.base import BackendOptions
from engine.backends.network import Network, Outputs
from engine.backends.openvino.repair import repaired
from engine.backends.openvino.shapes import Shapes
from engine.errors import DeviceLostError, ModelError
from engine.models.graph import program_of, with_symbols
from engine.models.onnx_file import read_onnx
from engine.models.program import Program, Tensors, TensorSpec

#: Where in OpenVINO's source an error comes from; what it is stands below.
_NOISE = re.compile(r"^(Exception from |FrontEnd API failed|Check '|Summary:$)")
_CORES = len(os.sched_getaffinity(0))


class OpenVinoNetwork(Network):
    """A compiled copy of the model for each slot.

    With one copy and a stream for each slot, a batch that fails on its data spoils a stream: with shapes that do not
    fit, the CPU keeps them, and fails every later batch that comes to that stream.
    """

    def __init__(
        self, core: Any, path: Path, options: BackendOptions, device: str, slots: int, threads: int | None
    ) -> None:
        """Load the model.

        Args:
            core: `openvino.Core`.
            path: The ONNX file.
            options: How it is run.
            device: One that OpenVINO has.
            slots: How many batches are worked on at a time.
            threads: CPU threads of one inference; None to share the cores.
        """
        self.slots = slots
        # OpenVINO forgets the names of symbols.
        file = read_onnx(path)
        described = with_symbols(program_of(file, path), options.keywords, path)
        self._requests: SimpleQueue[Any] = SimpleQueue()
        try:
            self._model = core.read_model(repaired(file, path) or str(path))
            _reshape(self._model, described)
            self.program = _as_inferred(described, self._model)
            self._shapes = Shapes(self._model, is_checked=_CORES > 1 or device.startswith(("GPU", "NPU")))
            properties = _properties(core, device, options, _threads(threads, slots, self._shapes))
            self._compile = partial(core.compile_model, device_name=device, config=properties)
            for _ in range(slots):
                self._requests.put(self._compile(self._model).create_infer_request())
            name = core.get_property(device, "FULL_DEVICE_NAME")
        except Exception as exc:  # its bindings raise more than RuntimeError
            raise ModelError(f"OpenVINO cannot load {path} on {device}: {message(exc)}") from exc
        self.detail = f"openvino {sys.modules['openvino'].__version__.split('-')[0]}, {device} ({name})"

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Run a copy that is free; with more callers than slots, wait for one."""
        del rows
        try:
            self._shapes.check(inputs)
        except Exception as exc:
            raise RuntimeError(message(exc)) from exc
        requests = self._requests
        request = requests.get()
        try:
            # The results are copied out: the next run writes over them.
            results = request.infer(dict(inputs), share_inputs=True)
            return {output.name: results[number] for number, output in enumerate(self.program.outputs)}
        except Exception as exc:
            request = self._anew()
            raise RuntimeError(message(exc)) from exc
        finally:
            requests.put(request)

    def unload(self) -> None:
        """Let the compiled copies go; one that is stuck is held until it ends."""
        self._requests = SimpleQueue()

    def _anew(self) -> Any:
        """Return a copy that has not failed."""
        try:
            return self._compile(self._model).create_infer_request()
        except Exception as exc:
            raise DeviceLostError(f"OpenVINO cannot load the model again: {message(exc)}") from exc


def message(exc: BaseException) -> str:
    """Return what OpenVINO says in one line, without the places in its source that come before it."""
    lines = [line.strip() for line in str(exc).splitlines()]
    said = " ".join(line for line in lines if line and not _NOISE.match(line)) or " ".join(filter(None, lines))
    return said[:300] or type(exc).__name__


def _threads(wanted: int | None, slots: int, shapes: Shapes) -> int | None:
    """Return the CPU threads of one inference; None where the choice is OpenVINO's."""
    if shapes.may_depend_on_data:
        return max(2, wanted or _CORES // slots)
    return wanted or (max(1, _CORES // slots) if slots > 1 else None)


def _properties(core: Any, device: str, options: BackendOptions, threads: int | None) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "NUM_STREAMS": 1,
        # On its own a CPU computes in bfloat16 where it can, three digits where ONNX Runtime gives seven.
        "INFERENCE_PRECISION_HINT": "f16" if options.keywords.convert_to_fp16 else "f32",
        # Consumers that pin their threads all pin them to the same first cores.
        "ENABLE_CPU_PINNING": False,
    }
    if threads is not None:
        wanted["INFERENCE_NUM_THREADS"] = threads
    if device.startswith("NPU"):
        del wanted["INFERENCE_PRECISION_HINT"]  # it has fp16 alone
    if device == "AUTO":
        # It passes on none of these; its precision follows from the mode.
        return {} if options.keywords.convert_to_fp16 else {"EXECUTION_MODE_HINT": "ACCURACY"}
    known = core.get_property(device, "SUPPORTED_PROPERTIES")
    return {name: value for name, value in wanted.items() if name in known}


def _reshape(model: Any, program: Program) -> None:
    """Set the sizes that the file leaves open and the program does not."""
    ports = {name: port for port in model.inputs for name in port.get_names()}
    shapes = {
        spec.name: [-1 if size is None else size for size in spec.shape]
        for spec in program.inputs
        if spec.shape and spec.name in ports and ports[spec.name].partial_shape.is_dynamic
    }
    if shapes:
        model.reshape(shapes)


def _as_inferred(program: Program, model: Any) -> Program:
    """Return the program with the outputs' shapes as OpenVINO finds them: files say less."""
    outputs = []
    for spec, port in zip(program.outputs, model.outputs, strict=True):
        inferred = port.partial_shape
        if inferred.rank.is_dynamic:
            outputs.append(spec)
            continue
        shape = tuple(axis.get_length() if axis.is_static else None for axis in inferred)
        symbols = spec.symbols if len(spec.symbols) == len(shape) else (None,) * len(shape)
        outputs.append(TensorSpec(spec.name, shape, np.dtype(port.get_element_type().to_dtype()), symbols))
    return Program(program.inputs, tuple(outputs), program.metadata, program.ladder)
