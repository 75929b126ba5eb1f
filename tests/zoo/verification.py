"""One classifier built, exported, and asked by ONNX Runtime and by torch."""

import os
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray

from engine.models.zoo.agreement import AGREEMENT_BOUND, Agreement, compare
from engine.models.zoo.building import ZooModel, build
from engine.models.zoo.catalog import CLASSES, DEFAULT_OPSET, Architecture
from engine.models.zoo.export import Export, export_onnx

Array = NDArray[np.float32]

#: Asked all at once, though exported with one; and then one alone.
PICTURES = 3


@dataclass(frozen=True)
class Verified:
    """What became of one classifier.

    Attributes:
        agreement: Of all answers at all batch sizes.
        closest: How far apart the answers to two pictures are at the least, as a part of the largest value.
        largest: The largest absolute value.
    """

    export: Export
    agreement: Agreement
    closest: float
    largest: float


def pictures(side_px: int, count: int = PICTURES, seed: int = 11) -> Array:
    """Return float32[count, 3, side, side] of standard normal noise."""
    return np.random.default_rng(seed).standard_normal((count, 3, side_px, side_px)).astype(np.float32)


def run(path: Path, *batches: Array) -> Array:
    """Return ONNX Runtime's answers to some batches, with as many threads as torch is given."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = int(os.environ.get("OMP_NUM_THREADS", "0"))
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    answers = np.concatenate([session.run(["output"], {"input": batch})[0] for batch in batches])
    assert answers.dtype == np.float32
    return answers


def closest(answers: Array) -> float:
    """Return how far apart the answers to two different pictures are at the least, as a part of the largest value."""
    distances = [np.abs(one - other).max() for one, other in combinations(answers, 2)]
    return float(min(distances) / np.abs(answers).max())


def verify(architecture: Architecture, path: Path, image_size_px: int | None = None) -> Verified:
    """Build a classifier with random weights, export it at its default opset, and ask both runtimes."""
    model = build(architecture, "random", image_size_px or architecture.image_size_px)
    batch = pictures(model.image_size_px)
    reference = model.answer(batch)
    export = export_onnx(model, path)
    check_file(export, model)
    answers = run(path, batch, batch[:1])
    agreement = compare(answers, np.concatenate([reference, reference[:1]]))
    return Verified(export, agreement, closest(reference), float(np.abs(reference).max()))


def check_file(export: Export, model: ZooModel) -> None:
    """Say that the file is what the export says: whole, one, of float32, with the names that compilers are told."""
    assert sorted(export.path.parent.iterdir()) == [export.path]
    onnx.checker.check_model(str(export.path))
    file = onnx.load(export.path)
    [imported] = [entry for entry in file.opset_import if entry.domain == ""]
    assert imported.version == export.opset == max(DEFAULT_OPSET, model.architecture.smallest_opset)
    assert bool(export.notes) == (export.opset != DEFAULT_OPSET)
    [given], [taken] = file.graph.input, file.graph.output
    side = model.image_size_px
    assert _axes(given) == ["batch_size", 3, side, side]
    assert _axes(taken) == ["batch_size", CLASSES]
    assert (given.name, taken.name) == ("input", "output")
    assert {tensor.data_type for tensor in file.graph.initializer} <= {onnx.TensorProto.FLOAT, onnx.TensorProto.INT64}


def assert_usable(verified: Verified) -> None:
    """Say that both runtimes agree, and that this means something: other pictures have other answers, of order 1."""
    assert verified.agreement.agrees, verified.agreement
    assert verified.export.has_dynamic_batch
    assert verified.closest > 30 * AGREEMENT_BOUND
    assert 0.5 < verified.largest < 50


def _axes(value: onnx.ValueInfoProto) -> list[int | str]:
    return [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
