"""For devices whose programs take no open sizes: a size for every symbol, and a name for what was prepared so."""

from dataclasses import dataclass
from pathlib import Path

from engine.backends.base import BackendOptions
from engine.errors import ModelError
from engine.models.files import combined_digest
from engine.models.graph import program_of, with_closed_symbols
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
    program = program_of(read_onnx(path), path)
    for spec in program.inputs:
        for axis, (size, symbol) in enumerate(zip(spec.shape, spec.symbols, strict=True)):
            if size is None and symbol is None:
                raise ModelError(
                    f"{path}: axis {axis} of {spec.name} has neither size nor name, and this device needs a size: "
                    f"`python -m onnxruntime.tools.make_dynamic_shape_fixed --input_name {spec.name} --input_shape "
                    "1,… IN.onnx OUT.onnx`"
                )
    keywords = with_closed_symbols(program, options.keywords, path, options.open_batch)
    first = program.inputs[0] if program.inputs else None
    fixed = first.shape[0] if first is not None and first.shape else 1
    if fixed is not None or first is None:
        return (Sized(fixed or 1, options.with_keywords(keywords)),)
    batch = first.symbols[0] or ""
    sizes = keywords.ladder[1] if keywords.ladder is not None else (keywords.symbols[batch],)
    others = {symbol: size for symbol, size in keywords.symbols.items() if symbol != batch}
    return tuple(Sized(size, _with_symbols(options, others | {batch: size})) for size in sizes)


def fingerprint(path: Path, *circumstances: object) -> str:
    """Return a name for what is prepared of a model under these circumstances: another of either has another name."""
    return combined_digest(files_of(path), map(repr, circumstances))[:16]


def _with_symbols(options: BackendOptions, symbols: dict[str, int]) -> BackendOptions:
    pairs = tuple(symbols.items())
    return options.with_keywords(options.keywords.model_copy(update={"onnx_define_symbol": pairs}))
