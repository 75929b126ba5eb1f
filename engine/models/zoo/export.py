"""Exporting a classifier to one ONNX file of float32."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ModelError, OptionsError, first_line
from engine.models.onnx_file import nodes_of, read_onnx, save_onnx
from engine.models.zoo.building import ZooModel
from engine.models.zoo.catalog import BATCH_AXIS, CHANNELS, DEFAULT_OPSET, INPUT_NAME, OUTPUT_NAME, Architecture

#: The largest opset of torch's tracing exporter, which alone keeps to the opset that it is asked for: the newer one
#: writes 18 whatever one says below it. Source: pytorch/pytorch, torch/onnx/_constants.py.
LARGEST_OPSET = 20

_FLOAT16_MAX = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class Export:
    """An ONNX file: `input`, float32[batch_size, 3, side, side], to `output`, logits, float32[batch_size, 1000].

    Attributes:
        path: The one file; no weights are kept outside it.
        opset: That of the file, whatever was asked for.
        has_dynamic_batch: Whether it takes batches of any size; else of the size that it was exported with.
        notes: What was done that nobody asked for, a line each.
    """

    path: Path
    opset: int
    has_dynamic_batch: bool
    notes: tuple[str, ...]


def export_onnx(model: ZooModel, path: Path, *, opset: int = DEFAULT_OPSET, batch_size: int = 1) -> Export:
    """Write a classifier as ONNX.

    Constants that float16 cannot hold are clipped to its range, as the vendor's script does: the card computes in it.

    Args:
        model: What `build` returned.
        path: The file to write.
        opset: The ONNX opset. One too small for the network is raised, with a note.
        batch_size: The pictures of the example that is traced.

    Raises:
        OptionsError: There is no such opset, or no such batch.
        ModelError: torch cannot export it, or the file cannot be written.
    """
    name, smallest = model.architecture.name, model.architecture.smallest_opset
    check_opset(model.architecture, opset)
    if batch_size < 1:
        raise OptionsError(f"batch size {batch_size}: a batch has 1 picture or more")
    _trace(model, path, max(opset, smallest), batch_size)
    file = read_onnx(path)
    actual = next(entry.version for entry in file.opset_import if entry.domain in ("", "ai.onnx"))
    notes = []
    if actual != opset:
        notes.append(f"opset {opset} has not all operators of {name}: the file has opset {actual}")
    if clipped := _clip(file):
        notes.append(f"{len(clipped)} constants beyond float16 are clipped to ±{_FLOAT16_MAX:g}: {', '.join(clipped)}")
        _write(path, file)
    return Export(path, actual, _is_open(file.graph.input[0]) and _is_open(file.graph.output[0]), tuple(notes))


def check_opset(architecture: Architecture, opset: int) -> None:
    """Refuse an opset that torch does not export; before torch is loaded, as that takes seconds.

    Raises:
        OptionsError: There is no such opset.
    """
    if not 1 <= opset <= LARGEST_OPSET:
        raise OptionsError(
            f"opset {opset}: torch exports {architecture.name} with {architecture.smallest_opset} to {LARGEST_OPSET}"
        )


def _trace(model: ZooModel, path: Path, opset: int, batch_size: int) -> None:
    import torch

    side_px = model.image_size_px
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with traceable():
            torch.onnx.export(
                model.module,
                (torch.zeros(batch_size, CHANNELS, side_px, side_px),),
                str(path),
                dynamo=False,
                opset_version=opset,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_axes={INPUT_NAME: {0: BATCH_AXIS}, OUTPUT_NAME: {0: BATCH_AXIS}},
            )
    except Exception as exc:  # torch raises anything
        raise ModelError(
            f"{model.architecture.name} cannot be exported to {path} with opset {opset} and {side_px} pixels: "
            f"{first_line(exc)}"
        ) from exc


@contextmanager
def traceable() -> Iterator[None]:
    """Let torch compute attention step by step, for it has a way in one that ONNX lacks; and let it keep silent.

    It would warn that the exporter is the older one, and of checks in Python that the trace leaves out.
    """
    import torch

    was_fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(value=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(value=was_fast)


def _clip(file: Any) -> list[str]:
    """Clip the float32 constants of a `ModelProto` to float16's range, and return the names of those that changed."""
    from onnx import TensorProto, numpy_helper

    constants = list(file.graph.initializer)
    constants += [entry.t for node in nodes_of(file.graph) for entry in node.attribute if entry.HasField("t")]
    clipped = []
    for constant in constants:
        if constant.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(constant)
        if values.size and (values.max() > _FLOAT16_MAX or values.min() < -_FLOAT16_MAX):
            bounded = values.clip(-_FLOAT16_MAX, _FLOAT16_MAX)
            constant.CopyFrom(numpy_helper.from_array(bounded, constant.name))
            clipped.append(constant.name or "an unnamed one")
    return clipped


def _write(path: Path, file: Any) -> None:
    try:
        save_onnx(file, path)
    except OSError as exc:
        raise ModelError(f"the model {path} cannot be written: {exc.strerror}") from exc


def _is_open(value: Any) -> bool:
    """Tell whether the first axis of an input or output has a name and not a size."""
    axes = value.type.tensor_type.shape.dim
    return bool(axes) and bool(axes[0].dim_param)
