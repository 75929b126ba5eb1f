"""A torch model, written as ONNX."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import ModelError, first_line
from engine.models.onnx_file import read_onnx, save_onnx
from engine.models.tools.comparison import compare_opened
from engine.models.tools.runnable import SessionModel
from engine.models.tools.torch_files import TorchModel, TorchSource, quiet
from engine.models.zoo.catalog import BATCH_AXIS
from engine.models.zoo.export import traceable

#: What the operators of today's classifiers are in, and every back end reads.
_OPSET = 17
#: The smallest opset that torch's newer exporter writes; it alone takes archives of `torch.export`.
_EXPORTED_OPSET = 18
#: The answers to two rows differ by less, as a part of the largest value, where the batch is truly open.
_SAME_ANSWER = 1e-3


def export_torch(source: TorchSource, path: Path) -> tuple[str, ...]:
    """Write a torch model as one ONNX file, with its own names for inputs and outputs.

    Args:
        source: What `read_torch` returned.
        path: The file to write.

    Returns:
        What was done that nobody asked for, a line each.

    Raises:
        ModelError: torch cannot export it.
    """
    notes = list(source.notes)
    try:
        if source.kind == "export":
            _write_program(source, source.program, path)
        elif not _write_trace(source, path):
            notes.append("the batch has a fixed size: the model, or its trace, takes no other")
    except ModelError:
        raise
    except Exception as exc:  # torch raises anything
        raise ModelError(f"{source.path} cannot be exported to ONNX: {first_line(exc)}") from exc
    return tuple(notes)


def _write_trace(source: TorchSource, path: Path) -> bool:
    """Write what a run of the model shows, and tell whether its batch is open."""
    is_open = source.inputs[0].shape[0] is None
    try:
        _trace(source, path, is_open=is_open)
    except Exception as exc:
        if source.kind != "torchscript":
            raise
        try:
            return _write_script(source, path)
        except Exception:  # noqa: BLE001 - the first reason is the one that the model's maker can mend
            raise exc from None
    if is_open and not _takes_two_rows(source, path):
        # A size that the trace has taken for constant.
        _trace(source, path, is_open=False)
        return False
    return is_open


def _write_script(source: TorchSource, path: Path) -> bool:
    """Write a TorchScript whose shapes the older exporter cannot follow, attention above all, with the newer one."""
    from torch._export.converter import TS2EPConverter

    entry = source.inputs[0]
    with quiet():
        program = TS2EPConverter(source.module, source.example(rows=2)).convert()
    _write_program(source, program, path)
    file = read_onnx(path)
    axes = file.graph.input[0].type.tensor_type.shape.dim
    for axis, size in zip(axes, entry.shape, strict=True):
        if size is not None:  # it has opened all of them
            axis.dim_value = size
    save_onnx(file, path)
    return bool(axes[0].dim_param)


def _trace(source: TorchSource, path: Path, *, is_open: bool) -> None:
    import torch

    names = [entry.name for entry in source.inputs]
    axes = {name: {0: BATCH_AXIS} for name in (*names, *source.outputs)} if is_open else None
    with traceable(), _without_its_log():
        torch.onnx.export(
            source.module,
            source.example(),
            str(path),
            dynamo=False,
            opset_version=_OPSET,
            input_names=names,
            output_names=list(source.outputs),
            dynamic_axes=axes,
        )


@contextmanager
def _without_its_log() -> Iterator[None]:
    """Keep the older exporter from printing the whole graph where it fails: it turns its log on by mistake."""
    import torch

    switch = torch._C._jit_set_onnx_log_enabled  # noqa: SLF001 - nothing public turns it off
    switch(False)  # noqa: FBT003 - its only argument; an export before this one may have left it on
    torch._C._jit_set_onnx_log_enabled = lambda _: None  # noqa: SLF001
    try:
        yield
    finally:
        torch._C._jit_set_onnx_log_enabled = switch  # noqa: SLF001


def _write_program(source: TorchSource, program: Any, path: Path) -> None:
    import torch

    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)  # it tells of its steps
    try:
        with quiet():
            torch.onnx.export(
                program,
                f=str(path),
                dynamo=True,
                verbose=False,
                external_data=False,
                opset_version=_EXPORTED_OPSET,
                input_names=[entry.name for entry in source.inputs],
                output_names=list(source.outputs),
            )
    finally:
        log.setLevel(level)


def _takes_two_rows(source: TorchSource, path: Path) -> bool:
    """Tell whether the file answers two rows as torch does."""
    entry = source.inputs[0]
    rows = np.random.default_rng(0).random((2, *(size or 1 for size in entry.shape[1:]))).astype(entry.dtype)
    try:
        with SessionModel(path) as exported:
            result = compare_opened(TorchModel(source), exported, inputs=[{entry.name: rows}])
    except ModelError:
        return False
    return result.max_relative_difference <= _SAME_ANSWER
