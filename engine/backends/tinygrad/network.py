"""A model that tinygrad has compiled."""

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np

from engine.backends.network import Network, Outputs
from engine.backends.tinygrad.runner import copied, depends_on_data, nodes, prepared, weights_of
from engine.backends.tinygrad.settings import settings
from engine.backends.tinygrad.worker import WORKER
from engine.errors import first_line
from engine.models.program import Program, Tensors

#: For so many shapes of inputs the compiled kernels are kept in the order of their calls; others are put together
#: every time, which takes some ten times as long for a small model.
_MAX_SHAPES = 16
#: The first run of a shape compiles, the second one records, the third one replays.
_RUNS_UNTIL_FAST = 2

_Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class TinygradNetwork(Network):
    """A model, its weights on the device, and a recording of its kernels for each shape of inputs."""

    def __init__(self, model: Any, program: Program, device: str, slots: int) -> None:
        """Load the model and try it; on tinygrad's thread.

        Args:
            model: An `onnx.ModelProto` with all its weights.
            program: What it takes and gives.
            device: One that tinygrad has opened.
            slots: How many batches may wait for their turn.

        Raises:
            Exception: tinygrad's, whatever it does not like.
        """
        self.program = program
        self.slots = slots
        self.detail = f"tinygrad {version('tinygrad')}, {device}"
        self._device = device
        self._tinygrad = import_module("tinygrad")
        self._recordings: dict[_Shapes, Any] = {}
        with settings(self._device):
            # Its import already asks for a device.
            self._onnx = import_module("tinygrad.nn.onnx")
            domains = frozenset(domain.value for domain in self._onnx.Domain)
            content = self._tinygrad.Tensor(prepared(model, domains | {""}), device="PYTHON")
            self._runner: Any = self._onnx.OnnxRunner(content)
            operators = sorted({node.op for node in nodes(self._runner)} - set(self._runner.onnx_ops))
            if operators:
                raise NotImplementedError(f"it has no operator {', '.join(operators)}")
            for value in weights_of(self._runner):
                if isinstance(value, self._tinygrad.Tensor):
                    value.realize()
            self._can_record = not depends_on_data(self._runner, self._onnx.required_input_python_consts)
            for inputs in _zeros(program):
                for _ in range(_RUNS_UNTIL_FAST):
                    self._compute(inputs)

    def infer(self, inputs: Tensors, rows: int | None) -> Outputs:
        """Wait for the turn, and compute."""
        del rows
        return WORKER.run(lambda: self._infer(inputs))

    def unload(self) -> None:
        """Let the recordings and the weights go, when it is their turn."""
        WORKER.post(self._forget)

    def _forget(self) -> None:
        self._recordings, self._runner = {}, None

    def _infer(self, inputs: Tensors) -> Outputs:
        try:
            with settings(self._device):
                return self._compute(inputs)
        except Exception as exc:  # noqa: BLE001 - raised below, without the tensors that its traceback holds
            said = first_line(exc)
        # These are let go on this thread alone.
        raise RuntimeError(said)

    def _compute(self, inputs: Tensors) -> Outputs:
        shapes = tuple((spec.name, inputs[spec.name].shape) for spec in self.program.inputs)
        run = self._recordings.get(shapes)
        if run is None:
            run = self._fresh(inputs)
            # A recording takes buffers, which values without an axis, or without an entry, have not.
            can_record = self._can_record and all(value.ndim and value.size for value in inputs.values())
            if can_record and len(self._recordings) < _MAX_SHAPES:
                run = self._recordings[shapes] = self._tinygrad.TinyJit(run)
        tensor = self._tinygrad.Tensor
        given = {
            name: tensor(np.ascontiguousarray(value).reshape(value.shape), device=self._device).realize()
            for name, value in inputs.items()
        }
        results = run(**given)
        # It copies them out: the next run writes over the results.
        return {spec.name: results[spec.name].numpy().astype(spec.dtype, copy=False) for spec in self.program.outputs}

    def _fresh(self, inputs: Tensors) -> Any:
        """Return a function that runs the graph; it shares the weights, and nothing that depends on the inputs."""
        runner = copied(self._runner, {name: value.shape for name, value in inputs.items()})

        def run(**inputs: Any) -> Mapping[str, Any]:
            # A copy of each: a recording has to end in a kernel of its own, and an input may be an output.
            return {name: value.clone() for name, value in runner(inputs).items()}

        return run


def _zeros(program: Program) -> list[dict[str, np.ndarray[Any, np.dtype[np.generic]]]]:
    """Return inputs to try a program with, for each size of its batch; one row where it takes any number.

    There are none where other axes than the batch's are open.
    """
    if any(not spec.shape or None in spec.shape[1:] for spec in program.inputs):
        return []
    return [
        {spec.name: np.zeros([spec.shape[0] or rows, *spec.shape[1:]], spec.dtype) for spec in program.inputs}
        for rows in program.batch_sizes or (1,)
    ]
