"""What is compiled: the symbols and metadata of a model's file, and a digest of all that a program depends on."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from engine.backends.qaic.command import INPUT_FILES
from engine.errors import ModelError, OptionsError
from engine.models.files import ModelFile, combined_digest, file_digest
from engine.models.graph import program_of
from engine.models.onnx_file import files_of, read_onnx
from engine.options import SessionOptions


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a model's file says.

    Attributes:
        files: All that it consists of, weights outside the file included.
        symbols: Those in the shapes of its inputs.
        batch_symbol: The one on the first axis of the first input.
        metadata: The file's key-value pairs, which a compiled program does not carry.
    """

    files: tuple[Path, ...]
    symbols: frozenset[str] = frozenset()
    batch_symbol: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def read_source(model: ModelFile) -> ModelSource:
    """Look into a model's file.

    Raises:
        ModelError: It is no ONNX file, though it should be.
    """
    if model.path.is_dir():
        return ModelSource(tuple(sorted(path for path in model.path.rglob("*") if path.is_file())))
    if model.kind != "onnx":
        return ModelSource((model.path,))
    program = program_of(read_onnx(model.path), model.path)
    symbols = [spec.symbols for spec in program.inputs]
    return ModelSource(
        files_of(model.path),
        frozenset(symbol for of_input in symbols for symbol in of_input if symbol is not None),
        symbols[0][0] if symbols and symbols[0] else None,
        dict(program.metadata),
    )


def digest_of(source: ModelSource, options: SessionOptions, others: Iterable[str]) -> str:
    """Return the SHA-256, in hexadecimal, of the contents that a compiled program is made from.

    Args:
        source: The model's files, which count by content and not by name.
        options: The files that its keywords name count by content as well.
        others: Flags, the compiler and its version.

    Raises:
        ModelError: A file of the model cannot be read.
        OptionsError: A file that a keyword names cannot be read.
    """
    named = {keyword: getattr(options, keyword) for keyword in INPUT_FILES}
    texts = list(others)
    for keyword, name in named.items():
        if name is not None:
            try:
                texts.append(f"{keyword} {file_digest(Path(name))}")
            except OSError as exc:
                raise OptionsError(f"{keyword}: {name} cannot be read: {exc.strerror}") from exc
    try:
        return combined_digest(source.files, texts)
    except OSError as exc:
        raise ModelError(f"the model's file {exc.filename} cannot be read: {exc.strerror}") from exc
