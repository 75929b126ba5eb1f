"""int8 for ONNX models, with ONNX Runtime's quantiser."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.errors import ModelError, first_line
from engine.models.onnx_file import read_onnx, save_onnx
from engine.models.tools.onnx_optimization import model_operators, optimize_onnx
from engine.models.tools.runnable import Arrays

#: The first operator set in which a scale may have one value for each channel.
_FIRST_OPSET = 13
#: The operators that level 3 of optimisation leaves: in the order of values that suits one kind of processor.
_BLOCKED_LAYOUT = "com.microsoft.nchwc."
_QUANTIZED = {"QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"}


def quantize_onnx(source: Path, target: Path, batches: Sequence[Arrays]) -> list[str]:
    """Write an ONNX file whose weights, and whose arithmetic, are int8.

    Args:
        source: The file.
        target: What is made, one file.
        batches: What the ranges of values are measured on; without any they are found anew at each run.

    Returns:
        What was done, in words.

    Raises:
        ModelError: The model is quantised already, was made for one kind of processor, or the quantiser refuses it.
    """
    original = read_onnx(source)
    if found := sorted(model_operators(original) & _QUANTIZED):
        raise ModelError(f"{source} is quantised already: it has {', '.join(found)}")
    if any(name.startswith(_BLOCKED_LAYOUT) for name in model_operators(original)):
        raise ModelError(
            f"{source} was optimised for one kind of processor, as level 3 does: quantise the model before that, or "
            "optimise it at level 2"
        )
    prepared = target.with_suffix(".prepared.onnx")
    optimize_onnx(source, prepared, 2)
    notes, per_channel = _prepare(prepared)
    try:
        with _quiet():
            notes += _static(prepared, target, batches, per_channel) if batches else _dynamic(prepared, target)
    except Exception as exc:  # the quantiser raises anything on what it does not know
        raise ModelError(f"ONNX Runtime cannot quantise {source}: {first_line(exc)}") from exc
    made = read_onnx(target, with_external_data=True)
    del made.metadata_props[:]
    made.metadata_props.extend(original.metadata_props)
    save_onnx(made, target)
    if not model_operators(made) & _QUANTIZED:
        raise ModelError(f"{source} has nothing that can be quantised: no convolution or matrix product with weights")
    return notes


def _static(prepared: Path, target: Path, batches: Sequence[Arrays], per_channel: bool) -> list[str]:
    from onnxruntime import quantization

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Gives one batch after another, then None."""

        def __init__(self) -> None:
            self._left = iter(batches)

        def get_next(self) -> Arrays | None:
            return next(self._left, None)

    quantization.quantize_static(
        prepared,
        target,
        Reader(),
        quant_format=quantization.QuantFormat.QDQ,
        per_channel=per_channel,
        activation_type=quantization.QuantType.QInt8,
        weight_type=quantization.QuantType.QInt8,
    )
    return [f"static: int8 weights{' per channel' if per_channel else ''} and values, as QuantizeLinear pairs (QDQ)"]


def _dynamic(prepared: Path, target: Path) -> list[str]:
    from onnxruntime import quantization

    # Signed weights of convolutions take ONNX Runtime six times as long.
    quantization.quantize_dynamic(prepared, target, per_channel=True, weight_type=quantization.QuantType.QUInt8)
    return ["dynamic, for want of calibration data: 8-bit weights per channel, and the range of values at each run"]


def _prepare(path: Path) -> tuple[list[str], bool]:
    """Bring a file to an operator set with scales for each channel, and say every shape.

    Returns:
        What was done, and whether there may be a scale for each channel.
    """
    import onnx

    model = read_onnx(path)
    version = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)
    notes = []
    if version < _FIRST_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, _FIRST_OPSET)
            notes.append(f"brought from operator set {version} to {_FIRST_OPSET}")
            version = _FIRST_OPSET
        except Exception as exc:  # noqa: BLE001 - it raises anything on operators that it cannot convert
            notes.append(f"one scale for a whole tensor, since operator set {version} has no other: {first_line(exc)}")
    try:
        model = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except Exception as exc:  # noqa: BLE001 - the quantiser needs shapes for a few operators alone
        notes.append(f"shapes are not known throughout: {first_line(exc)}")
    save_onnx(model, path)
    return notes, version >= _FIRST_OPSET


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser from advising, through the root logger, what was done already."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.WARNING))
    try:
        yield
    finally:
        logging.disable(before)
