"""The model store on disk: `DIR/NAME/versions/<digest>.<suffix>`, and `DIR/NAME/model.json` with what is known of them.

Whoever changes it holds the lock of the store while files get their places. A model is copied and looked at before.
Readers need none: `model.json` is replaced as a whole, and a version's content never changes.
"""

import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from engine.errors import ModelNotFoundError, StoreError
from engine.models.files import file_digest
from engine.models.store.content import checked_suffix
from engine.models.store.incoming import Incoming, clear_left
from engine.models.store.lock import locked
from engine.models.store.names import check_name, is_store_name, store_name
from engine.models.store.records import Added, StoredModel
from engine.models.store.sheet import (
    SHEET_NAME,
    VERSIONS_FOLDER,
    Sheet,
    VersionNote,
    read_sheet,
    version_path,
    write_sheet,
)

log = logging.getLogger(__name__)

_LOCK: Final = ".lock"
#: What is being taken away; it can be no model's name.
_LEAVING: Final = ".leaving"
#: A change takes milliseconds; only the deletion of many large files takes seconds.
_LOCK_TIMEOUT_S: Final = 30.0
#: What is said about a version is a line, not a book.
_MAX_TEXT: Final = 500
#: Of a SHA-256 in hexadecimal, as a version's file is called.
_DIGEST_LETTERS: Final = 64


class ModelStore:
    """The models in a directory. Several processes may use one."""

    def __init__(self, directory: Path, lock_timeout_s: float = _LOCK_TIMEOUT_S) -> None:
        """Name the directory; it is made when the first model is added.

        Args:
            directory: The store's.
            lock_timeout_s: For how long a change waits for those of others.
        """
        self.directory = directory
        self._lock_timeout_s = lock_timeout_s

    def models(self) -> list[StoredModel]:
        """Return all models, by name; one whose note cannot be read is left out, with a warning.

        Raises:
            StoreError: The directory cannot be read.
        """
        try:
            names = sorted(entry.name for entry in os.scandir(self.directory) if entry.is_dir(follow_symlinks=False))
        except FileNotFoundError:
            return []
        except OSError as exc:
            raise self._trouble(exc) from exc
        found = []
        for name in filter(is_store_name, names):
            try:
                found.append(read_sheet(self.directory / name).stored(self.directory / name))
            except FileNotFoundError:
                continue  # deleted meanwhile
            except StoreError as exc:
                log.warning("model %s is left out: %s", name, exc)
        return found

    def get(self, name: str) -> StoredModel:
        """Return a model.

        Raises:
            ModelNotFoundError: There is none of that name; it says which there are.
            StoreError: Its note cannot be read.
        """
        folder = self.directory / name
        try:
            if not is_store_name(name) or not stat.S_ISDIR(folder.lstat().st_mode):
                raise FileNotFoundError(name)
            return read_sheet(folder).stored(folder)
        except FileNotFoundError as exc:
            raise self._unknown(name) from exc
        except OSError as exc:
            raise self._trouble(exc) from exc

    def path_of(self, name: str, digest: str | None = None) -> Path:
        """Return the file of a version, the current one by default, after a look at its content.

        Raises:
            ModelNotFoundError: There is no such model or version.
            StoreError: The file is gone, is a link, or is not what was added.
        """
        stored = self.get(name)
        version = stored.current if digest is None else stored.version(digest)
        mend = f"add that file to the model {name} anew"
        try:
            is_plain = stat.S_ISREG(version.path.lstat().st_mode) and not version.path.parent.is_symlink()
            is_whole = is_plain and file_digest(version.path) == version.digest
        except OSError as exc:
            raise StoreError(f"{version.path} cannot be read: {exc.strerror}: {mend}") from exc
        if not is_whole:
            raise StoreError(f"{version.path} is not what was added to the model store: {mend}")
        return version.path

    def add(
        self, file: Path, name: str | None = None, *, origin: str, original_name: str = "", use: bool = False
    ) -> Added:
        """Copy a model's file into the store: as a version of its name, and as the current one where it is the first.

        The same content is the same version: only its file is written anew.

        Args:
            file: It is checked by its content, and left as it is.
            name: Of the model; None makes one of the file's name.
            origin: Where it comes from, in a line: `upload`, or the command that made it.
            original_name: What it was called there, by default as the file is.
            use: Make it the current version, whether it is new or not.

        Raises:
            StoreError: The name or the file is refused, it cannot be written, or another process keeps the lock.
        """
        original = _line(original_name or file.name)
        name = store_name(original) if name is None else check_name(name)
        with self._changing():
            incoming = Incoming(self.directory)
        with self._in_a_line(), incoming:
            digest = incoming.copy(file)
            suffix = checked_suffix(incoming.path, original)
            with self._changing():
                return self._place(
                    incoming.path,
                    name,
                    VersionNote(
                        digest=digest,
                        suffix=suffix,
                        size_bytes=incoming.path.stat().st_size,
                        added_at=_now(),
                        origin=_line(origin),
                        original_name=original,
                    ),
                    use=use,
                )

    def _place(self, file: Path, name: str, note: VersionNote, *, use: bool) -> Added:
        """Move a file that was looked at to its place, and note what is new."""
        folder = self._folder(name) or self.directory / name
        sheet = _sheet_or_none(folder) or Sheet(current=note.digest, versions=[], history=[])
        is_new = all(known.digest != note.digest for known in sheet.versions)
        (folder / VERSIONS_FOLDER).mkdir(parents=True, exist_ok=True)
        file.replace(version_path(folder, note.digest, note.suffix))
        if is_new:
            sheet.versions.append(note)
            sheet.note(note.added_at, "added", note.digest, note.origin)
        is_used = use and sheet.current != note.digest
        if is_used:
            sheet.current = note.digest
            sheet.note(note.added_at, "current", note.digest)
        if is_new or is_used:
            write_sheet(folder, sheet)
        stored = sheet.stored(folder)
        return Added(stored, stored.version(note.digest), is_new)

    def use(self, name: str, digest: str) -> StoredModel:
        """Make a version the current one; consumers that follow the name take it, and try anew where they failed to.

        Raises:
            ModelNotFoundError: There is no such model or version.
            StoreError: Its file is not what was added.
        """
        version = self.get(name).version(digest)
        self.path_of(name, version.digest)  # reads all of it, which the lock need not wait for
        with self._changing():
            version = self.get(name).version(version.digest)
            sheet = read_sheet(self.directory / name)
            sheet.current = version.digest
            sheet.note(_now(), "current", version.digest)
            write_sheet(self.directory / name, sheet)
        return self.get(name)

    def rename(self, old: str, new: str) -> StoredModel:
        """Give a model another name; consumers that follow the old one stay at what they have.

        Raises:
            ModelNotFoundError: There is no such model.
            StoreError: The new name is none, or is taken.
        """
        check_name(new)
        with self._changing():
            self.get(old)
            if (self.directory / new).exists() or (self.directory / new).is_symlink():
                raise StoreError(f"the model store has a model {new} already: give another name, or delete that one")
            sheet = read_sheet(self.directory / old)
            sheet.note(_now(), "renamed", detail=f"from {old}")
            (self.directory / old).rename(self.directory / new)
            write_sheet(self.directory / new, sheet)
        return self.get(new)

    def delete(self, name: str, digest: str | None = None) -> int:
        """Delete a version, or a model with all of them; return how many versions that were.

        Raises:
            ModelNotFoundError: There is no such model or version.
            StoreError: The version is the current one.
        """
        with self._changing():
            if digest is None:
                folder = self._folder(name)
                if folder is None:
                    raise self._unknown(name)
                leaving = self.directory / _LEAVING
                folder.rename(leaving)  # gone at once, not file by file
                count = sum(1 for _ in (leaving / VERSIONS_FOLDER).glob("?" * _DIGEST_LETTERS + ".*"))
                shutil.rmtree(leaving)
                return count
            stored = self.get(name)
            version = stored.version(digest)
            if version.digest == stored.current.digest:
                raise StoreError(
                    f"version {version.short_digest} is the current one of model {name}: "
                    "make another one current first, or delete the model"
                )
            sheet = read_sheet(self.directory / name)
            sheet.versions = [note for note in sheet.versions if note.digest != version.digest]
            sheet.note(_now(), "deleted", version.digest)
            write_sheet(self.directory / name, sheet)
            version.path.unlink(missing_ok=True)
            return 1

    def sheet_of(self, name: str) -> Path:
        """Return the file that is replaced whenever something about a model changes."""
        return self.directory / name / SHEET_NAME

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """Keep others from changing the store meanwhile, and clear away what somebody who was killed left."""
        with self._in_a_line():
            self.directory.mkdir(parents=True, exist_ok=True)
            with locked(self.directory / _LOCK, self._lock_timeout_s):
                clear_left(self.directory)
                shutil.rmtree(self.directory / _LEAVING, ignore_errors=True)
                yield

    @contextmanager
    def _in_a_line(self) -> Iterator[None]:
        """Say what the system refuses as the store's error."""
        try:
            yield
        except OSError as exc:
            raise self._trouble(exc) from exc

    def _folder(self, name: str) -> Path | None:
        """Return a model's folder; None where there is none.

        Raises:
            StoreError: Something else is in its place.
        """
        folder = self.directory / name
        if not is_store_name(name):
            return None
        try:
            mode = folder.lstat().st_mode
        except FileNotFoundError:
            return None
        if not stat.S_ISDIR(mode) or (folder / VERSIONS_FOLDER).is_symlink():
            raise StoreError(f"{folder} is no folder of the model store, or holds a link: move it away")
        return folder

    def _unknown(self, name: str) -> ModelNotFoundError:
        names = ", ".join(stored.name for stored in self.models())
        return ModelNotFoundError(
            f"the model store {self.directory} has no model {name[:100]!r}: it has {names or 'none'}"
        )

    def _trouble(self, exc: OSError) -> StoreError:
        return StoreError(
            f"the model store {self.directory} cannot be used: {exc.strerror or exc}: give another --model-store"
        )


def _sheet_or_none(folder: Path) -> Sheet | None:
    try:
        return read_sheet(folder)
    except FileNotFoundError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _line(text: str) -> str:
    """Return a text as one line of bounded length."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:_MAX_TEXT]
