"""A simulated card for suites that name no row and no batch size."""

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np

from engine.backends.base import Around, BackendOptions, Inference
from engine.backends.simulator.backend import SimulatorBackend, SimulatorOwn
from engine.models.files import ModelFile
from engine.models.program import Program, Tensors, TensorSpec

#: Two activations with batches of four: `tiny` takes 0.2 ms for one, `slow` 50 ms.
TINY_TABLE = Path(__file__).with_name("tiny_card.csv")


class TinyCard(SimulatorBackend):
    """It goes by the row `tiny`. To whoever names no batch size it takes any number of rows, up to four, and pads."""

    def __init__(self, batch: int | None) -> None:
        super().__init__(TINY_TABLE)
        self._batch = batch
        self._program: Program | None = None

    def open(self, model: ModelFile | None, options: BackendOptions) -> Program:
        compiled = super().open(model, replace(options, own=SimulatorOwn(row="tiny")))
        self._program = compiled if self._batch is not None else _open_batch(compiled)
        return self._program

    def submit(self, inputs: Tensors, count: int | None = None, around: Around | None = None) -> Future[Inference]:
        if self._batch is None and self._program is not None and count is not None:
            self._program.check(inputs, count)
            inputs = {
                name: np.pad(rows, [(0, 4 - count), *[(0, 0)] * (rows.ndim - 1)]) for name, rows in inputs.items()
            }
        return super().submit(inputs, count, around)


def _open_batch(program: Program) -> Program:
    def opened(spec: TensorSpec) -> TensorSpec:
        return replace(spec, shape=(None, *spec.shape[1:]))

    return replace(
        program,
        inputs=tuple(opened(spec) for spec in program.inputs),
        outputs=tuple(opened(spec) for spec in program.outputs),
    )
