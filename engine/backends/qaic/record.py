"""The note beside a compiled program that says that it is ours, and what it was made from."""

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path

from engine.errors import CompileError
from engine.models.files import QPC_FILE_NAME, file_digest

RECORD_NAME = "streamer-qpc.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a program that this program had compiled.

    Attributes:
        digest: Of the model, the flags and the compiler.
        cores: AI cores of one activation.
        command: The compiler's command line, for the reader.
        metadata: The key-value pairs of the ONNX file.
        files: All that stood in the directory then, each with the SHA-256 of its content; what came later, or has
            changed since, is somebody else's.
    """

    digest: str
    model: str
    cores: int
    command: tuple[str, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


def read_record(directory: Path) -> Record | None:
    """Return the note in a directory; None where there is none of ours."""
    try:
        values = json.loads((directory / RECORD_NAME).read_text(encoding="utf-8"))
        if values.pop("format") != _FORMAT:
            return None
        record = Record(**{**values, "command": tuple(values["command"]), "files": dict(values["files"])})
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return record


def write_record(directory: Path, record: Record) -> None:
    """Write the note, with what stands in the directory."""
    text = json.dumps({"format": _FORMAT, **asdict(record), "files": _contents(directory)}, indent=1)
    (directory / RECORD_NAME).write_text(text, encoding="utf-8")


def is_current(directory: Path, digest: str) -> bool:
    """Tell whether a directory holds the program of this digest, whole and unchanged."""
    record = read_record(directory)
    if record is None or record.digest != digest:
        return False
    try:
        return record.files.get(QPC_FILE_NAME) == file_digest(directory / QPC_FILE_NAME)
    except OSError:
        return False


def check_replaceable(directory: Path) -> None:
    """Refuse a directory with anything in it that this program has not made.

    Raises:
        CompileError: It names what is in the way.
    """
    if not directory.exists() and not directory.is_symlink():
        return
    advice = "give an output_dir that is new, or one that an earlier compilation made"
    if directory.is_symlink() or not directory.is_dir():
        raise CompileError(f"output_dir {directory} is no directory, and it is not replaced: {advice}")
    contents = _contents(directory)
    record = read_record(directory)
    if record is None and contents:
        raise CompileError(f"output_dir {directory} has files that are not ours, such as {min(contents)}: {advice}")
    # The program itself may be damaged: that is why it is made again.
    ours = {**record.files, RECORD_NAME: "", QPC_FILE_NAME: ""} if record is not None else {}
    strange = [name for name, digest in contents.items() if ours.get(name) not in ("", digest)]
    if strange:
        raise CompileError(f"output_dir {directory} has files that came later, such as {min(strange)}: {advice}")


def put_in_place(made: Path, target: Path) -> None:
    """Move a new directory to its place; one of ours that is there goes away.

    Raises:
        CompileError: Somebody else's is there.
        OSError: It cannot be moved.
    """
    check_replaceable(target)
    if not target.exists():
        made.rename(target)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent)) / target.name
    target.rename(aside)
    try:
        made.rename(target)
    except OSError:
        aside.rename(target)
        raise
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)


def _contents(directory: Path) -> dict[str, str]:
    """Return the name of everything in a directory, folders too, and the digest of every file but the note."""
    return {
        str(path.relative_to(directory)): file_digest(path) if path.is_file() and path.name != RECORD_NAME else "folder"
        for path in sorted(directory.rglob("*"))
    }
