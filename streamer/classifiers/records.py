"""What a run leaves behind about what it exported and compiled, for those that only run it again."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path, PurePath
from typing import Literal, TypeVar

import msgspec

from engine.models.files import file_digest
from engine.models.zoo.export import Export
from streamer.classifiers.errors import NothingCompiledError
from streamer.classifiers.plan import RunPlan
from streamer.classifiers.work_directory import WorkDirectory

Record = TypeVar("Record")
_AGAIN = "run it without --run-only"


@dataclass(frozen=True, slots=True)
class Exported:
    """What `model/model.onnx` is.

    Attributes:
        asked_opset: The one that was asked for; `opset` is that of the file.
        batch_size: The one that the file is made for; None where it leaves the batch open.
        notes: What the export did that nobody asked for, a line each.
        digest: SHA-256 of the file.
    """

    model: str
    weights: Literal["pretrained", "random"]
    image_size_px: int
    asked_opset: int
    opset: int
    batch_size: int | None
    notes: tuple[str, ...]
    digest: str

    @classmethod
    def of(cls, plan: RunPlan, weights: Literal["pretrained", "random"], export: Export, file: Path) -> "Exported":
        """Describe what was exported."""
        batch_size = None if export.has_dynamic_batch else plan.batch_size
        return cls(
            plan.model,
            weights,
            plan.image_size_px,
            plan.opset,
            export.opset,
            batch_size,
            export.notes,
            file_digest(file),
        )

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


@dataclass(frozen=True, slots=True)
class Compiled:
    """What is in `compiled-bin*/`.

    Attributes:
        program: The file that is run, as it is called from the working directory.
        digest: SHA-256 of the ONNX file that it was made of.
    """

    backend: str
    program: str
    digest: str

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(asdict(self), indent=1) + "\n"


def read_exported(directory: WorkDirectory, plan: RunPlan, weights: str | None) -> Exported:
    """Read what was exported before.

    Args:
        directory: Where.
        plan: What it has to be good for.
        weights: Which it has to have; None for any.

    Raises:
        NothingCompiledError: There is nothing, or it is another.
    """
    exported = _read(directory.export_record, directory.root, Exported)
    wanted = {
        "weights": weights or exported.weights,
        "image_size_px": plan.image_size_px,
        "asked_opset": plan.opset if plan.origins.get("opset") == "flag" else exported.asked_opset,
        "batch_size": plan.batch_size if exported.batch_size is not None else None,
    }
    for name, value in wanted.items():
        if (was := getattr(exported, name)) != value:
            said = name.removesuffix("_px").replace("_", " ")
            raise NothingCompiledError(f"{directory.model} was exported with {said} {was}, and not {value}: {_AGAIN}")
    return exported


def read_compiled(directory: WorkDirectory, exported: Exported, backend: str) -> Compiled:
    """Read what was compiled of an exported model before.

    Raises:
        NothingCompiledError: There is nothing, or it was made of another file.
    """
    compiled = _read(directory.compile_record, directory.root, Compiled)
    program = PurePath(compiled.program)
    if program.is_absolute() or ".." in program.parts:
        raise NothingCompiledError(f"{directory.compile_record} names a program elsewhere, {str(program)!r}: {_AGAIN}")
    needed = (directory.model, directory.root / compiled.program, directory.input, directory.reference)
    for path in needed:
        if not path.is_file():
            raise NothingCompiledError(f"{path} is missing: {_AGAIN}")
    if compiled.backend != backend or compiled.digest != exported.digest:
        raise NothingCompiledError(f"{directory.compiled} was made of another {directory.model.name}: {_AGAIN}")
    if file_digest(directory.model) != exported.digest:
        raise NothingCompiledError(f"{directory.model} has changed since it was exported: {_AGAIN}")
    return compiled


def _read(path: Path, root: Path, kind: type[Record]) -> Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError as exc:
        raise NothingCompiledError(
            f"nothing was compiled in {root} for this, there is no {path.name}: {_AGAIN}"
        ) from exc
    except msgspec.ValidationError as exc:
        raise NothingCompiledError(f"{path} is none of this version's: {exc}: {_AGAIN}") from exc
    except (OSError, ValueError, RecursionError) as exc:
        raise NothingCompiledError(f"{path} cannot be read: {exc}: {_AGAIN}") from exc
