"""What is compiled: the symbols and metadata of a model's file, and a digest of all that a program depends on."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.backends.qaic.command import INPUT_FILES
from engine.errors import ModelError, OptionsError
from engine.models.files import ModelFile
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
    import onnx  # a fifth of a second

    try:
        loaded: Any = onnx.load(model.path, load_external_data=False)
    except Exception as exc:  # onnx and protobuf raise anything on what is no ONNX file
        first = next(iter(str(exc).splitlines()), type(exc).__name__)
        raise ModelError(f"{model.path} is no complete ONNX file: {first}") from exc
    if not loaded.graph.output:  # an empty file is a model without anything
        raise ModelError(f"{model.path} is no complete ONNX file: it has no graph")
    constants = {tensor.name for tensor in loaded.graph.initializer}
    shapes = [
        [axis.dim_param or None for axis in value.type.tensor_type.shape.dim]
        for value in loaded.graph.input
        if value.name not in constants
    ]
    weights = sorted(set(_external_files(loaded.graph, onnx.TensorProto.EXTERNAL)))
    return ModelSource(
        (model.path, *(model.path.parent / name for name in weights)),
        frozenset(symbol for shape in shapes for symbol in shape if symbol is not None),
        shapes[0][0] if shapes and shapes[0] else None,
        {entry.key: entry.value for entry in loaded.metadata_props},
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
    total = hashlib.sha256()
    for text in others:
        total.update(hashlib.sha256(text.encode()).digest())
    for path in source.files:
        try:
            total.update(_digest(path))
        except OSError as exc:
            raise ModelError(f"the model's file {path} cannot be read: {exc.strerror}") from exc
    for keyword in INPUT_FILES:
        name = getattr(options, keyword)
        if name is None:
            continue
        try:
            total.update(keyword.encode() + _digest(Path(name)))
        except OSError as exc:
            raise OptionsError(f"{keyword}: {name} cannot be read: {exc.strerror}") from exc
    return total.hexdigest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _external_files(graph: Any, external: int) -> Iterator[str]:
    """Give the files with weights of a graph and of the graphs within its nodes."""
    for tensor in graph.initializer:
        if tensor.data_location == external:
            yield from (entry.value for entry in tensor.external_data if entry.key == "location")
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
                yield from _external_files(inner, external)
