"""`model.json`: what the store notes of one model. Replaced as a whole, so a reader sees the old one or the new one."""

import os
import stat
from pathlib import Path
from typing import Final

import msgspec

from engine.errors import StoreError
from engine.models.store.records import Action, HistoryEntry, ModelVersion, StoredModel

SHEET_NAME = "model.json"
VERSIONS_FOLDER = "versions"
_FORMAT: Final = 1
_SUFFIXES: Final = frozenset({".onnx", ".npz", ".tflite", ".bin"})
_MAX_BYTES: Final = 64 * 1024**2
#: Entries of the history that are kept.
_MAX_HISTORY: Final = 1000


class VersionNote(msgspec.Struct, kw_only=True):
    """A version, as it is noted."""

    digest: str
    suffix: str
    size_bytes: int
    added_at: str
    origin: str
    original_name: str


class HistoryNote(msgspec.Struct, kw_only=True):
    """Something that was done, as it is noted."""

    at: str
    action: Action
    digest: str = ""
    detail: str = ""


class Sheet(msgspec.Struct, kw_only=True):
    """All that is noted of a model; versions and history oldest first."""

    current: str
    versions: list[VersionNote]
    history: list[HistoryNote]
    format: int = _FORMAT

    def note(self, at: str, action: Action, digest: str = "", detail: str = "") -> None:
        """Add to the history; what is too old for it is forgotten."""
        self.history = [*self.history, HistoryNote(at=at, action=action, digest=digest, detail=detail)][-_MAX_HISTORY:]

    def stored(self, folder: Path) -> StoredModel:
        """Return what the store tells of the model in this folder."""
        versions = {
            note.digest: ModelVersion(
                digest=note.digest,
                suffix=note.suffix,
                size_bytes=note.size_bytes,
                added_at=note.added_at,
                origin=note.origin,
                original_name=note.original_name,
                path=version_path(folder, note.digest, note.suffix),
            )
            for note in reversed(self.versions)
        }
        return StoredModel(
            name=folder.name,
            versions=tuple(versions.values()),
            current=versions[self.current],
            history=tuple(HistoryEntry(note.at, note.action, note.digest, note.detail) for note in self.history[::-1]),
        )


def version_path(folder: Path, digest: str, suffix: str) -> Path:
    """Return where a version of the model in this folder is kept."""
    return folder / VERSIONS_FOLDER / f"{digest}{suffix}"


def read_sheet(folder: Path) -> Sheet:
    """Read what is noted of the model in this folder.

    Raises:
        FileNotFoundError: There is no such model.
        StoreError: It cannot be read, or is no such note.
    """
    path = folder / SHEET_NAME
    try:
        # A pipe in its place would keep whoever opens it waiting for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ValueError("it is no plain file")
            sheet = msgspec.json.decode(file.read(_MAX_BYTES), type=Sheet)
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise FileNotFoundError(path) from exc
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}") from exc
    except (ValueError, RecursionError) as exc:
        raise StoreError(f"{path} is no note of the model store: {exc}: delete the model, and add it anew") from exc
    _check(sheet, path)
    return sheet


def write_sheet(folder: Path, sheet: Sheet) -> None:
    """Put the note in the place of the one before, all of it or nothing. The store's lock is held.

    Raises:
        OSError: It cannot be written.
    """
    draft = folder / f".{SHEET_NAME}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    with os.fdopen(descriptor, "wb") as file:
        file.write(msgspec.json.format(msgspec.json.encode(sheet), indent=1) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / SHEET_NAME)


def _check(sheet: Sheet, path: Path) -> None:
    """Refuse a note that names anything but files of its own folder."""
    if sheet.format != _FORMAT:
        raise StoreError(f"{path} has the format {sheet.format}, and this program reads {_FORMAT}")
    for note in sheet.versions:
        is_digest = len(note.digest) == 64 and set(note.digest) <= set("0123456789abcdef")
        if not is_digest or note.suffix not in _SUFFIXES:
            raise StoreError(f"{path} names a version {note.digest[:64]!r}{note.suffix[:10]!r}, which is none")
    if sheet.current not in {note.digest for note in sheet.versions}:
        raise StoreError(f"{path} says that {sheet.current[:64]!r} is current, and has no such version")
