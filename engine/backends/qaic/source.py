"""What is compiled: the symbols and metadata of a model's file, and a digest of all that a program depends on."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.backends.qaic.command import INPUT_FILES
from engine.errors import ModelError, OptionsError
from engine.models.files import ModelFile, combined_digest, file_digest
from engine.models.graph import program_of
from engine.models.onnx_file import files_of, read_onnx
from engine.models.program import Program
from engine.options import SessionOptions


@dataclass(frozen=True, slots=True)
class ModelSource:
    """What a model's file says.

    Attributes:
        files: All that it consists of, weights outside the file included.
        program: What an ONNX file takes and gives; its key-value pairs are not carried by a compiled program.
    """

    files: tuple[Path, ...]
    program: Program | None = None


def read_source(model: ModelFile) -> ModelSource:
    """Look into a model's file.

    Raises:
        ModelError: It is no ONNX file, though it should be.
    """
    if model.path.is_dir():
        return ModelSource(tuple(sorted(path for path in model.path.rglob("*") if path.is_file())))
    if model.kind != "onnx":
        return ModelSource((model.path,))
    return ModelSource(files_of(model.path), program_of(read_onnx(model.path), model.path))


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
