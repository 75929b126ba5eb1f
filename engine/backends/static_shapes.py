"""For devices whose programs take no open sizes: a size for every symbol, and a name for what was prepared so."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from engine.backends.base import BackendOptions
from engine.errors import ModelError, OptionsError
from engine.models.files import combined_digest
from engine.models.graph import program_of
from engine.models.onnx_file import files_of, read_onnx


@dataclass(frozen=True, slots=True)
class Sized:
    """One batch size of a model.

    Attributes:
        batch: Rows of the first input.
        options: The options, with one size for every symbol of the inputs.
    """

    batch: int
    options: BackendOptions


def sized(path: Path, options: BackendOptions) -> tuple[Sized, ...]:
    """Return every batch size that the options ask for, ascending: several for a ladder, 1 where nobody says one.

    Raises:
        ModelError: It is no ONNX file, or an open axis has no name that a size could be given to.
        OptionsError: A symbol that is not the batch's has no size, or several.
    """
    axes = tuple(_axes(path))
    batch = axes[0].size if axes and axes[0].is_batch else 1
    ladder = options.keywords.ladder
    if ladder is not None and batch != ladder[0]:
        raise OptionsError(
            f"onnx_define_symbol gives several sizes to {ladder[0]}, which is not the first axis of "
            f"{axes[0].tensor if axes else 'an input'} in {path}"
        )
    symbols = options.keywords.symbols
    for axis in axes:
        if isinstance(axis.size, str) and axis.size not in symbols:
            if axis.size != batch:
                raise OptionsError(
                    f"{path}: axis {axis.number} of {axis.tensor} has no size, and this device needs one: "
                    f"give onnx_define_symbol={{{axis.size!r}: N}}"
                )
            symbols[axis.size] = options.open_batch
    if isinstance(batch, int):
        return (Sized(batch, _with_symbols(options, symbols)),)
    sizes = ladder[1] if ladder is not None else (symbols[batch],)
    return tuple(Sized(size, _with_symbols(options, symbols | {batch: size})) for size in sizes)


def fingerprint(path: Path, *circumstances: object) -> str:
    """Return a name for what is prepared of a model under these circumstances: another of either has another name."""
    return combined_digest(files_of(path), map(repr, circumstances))[:16]


@dataclass(frozen=True, slots=True)
class _Axis:
    tensor: str
    number: int
    size: int | str
    is_batch: bool


def _axes(path: Path) -> Iterator[_Axis]:
    """Give the axes of the inputs, the batch's first."""
    program = program_of(read_onnx(path), path)
    for spec in program.inputs:
        for number, (known, symbol) in enumerate(zip(spec.shape, spec.symbols, strict=True)):
            size = known or symbol
            if size is None:
                raise ModelError(
                    f"{path}: axis {number} of {spec.name} has neither size nor name, and this device needs a size: "
                    f"`python -m onnxruntime.tools.make_dynamic_shape_fixed --input_name {spec.name} --input_shape "
                    "1,… IN.onnx OUT.onnx`"
                )
            yield _Axis(spec.name, number, size, is_batch=number == 0 and spec is program.inputs[0])


def _with_symbols(options: BackendOptions, symbols: dict[str, int]) -> BackendOptions:
    pairs = tuple(symbols.items()) or None
    return replace(options, keywords=options.keywords.model_copy(update={"onnx_define_symbol": pairs}))
