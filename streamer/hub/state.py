"""The jobs of a run, remembered in a file, so that a run that was interrupted submits none of them again."""

import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import msgspec

from engine.backends.qai_hub.errors import StoppedError
from streamer.hub.errors import StateError

JobKind = Literal["compile", "inference"]
_VERSION = 1
_MEND = "delete it, or give another one with --state"


@dataclass(frozen=True, slots=True)
class JobNote:
    """What is known of a job. It is written before the job is submitted, and again whenever more is known.

    Attributes:
        model: The model's id.
        device: The device's name.
        name: The job's own name, unlike any other's: it finds a job whose id was never heard.
        since_s: When it was first written, s since 1970.
        job: The job's id; None until AI Hub has said it.
        target: The compiled model's id, of a compile job that is done.
        is_done: Whether the job is.
        failure: Why there is nothing more to come of it.
    """

    kind: JobKind
    model: str
    device: str
    name: str
    since_s: float
    job: str | None = None
    target: str | None = None
    is_done: bool = False
    failure: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether the job may be running at this moment."""
        return not (self.is_done or self.failure)


class JobState:
    """Notes of jobs by a key that says what the job is for. Any thread may use it.

    Without a file they are forgotten with the object.
    """

    def __init__(self, path: Path | None = None, notes: dict[str, JobNote] | None = None) -> None:
        """Take what is known already."""
        self.path = path
        self._notes = notes or {}
        self._lock = Lock()
        self._is_closed = False

    def get(self, key: str) -> JobNote | None:
        """Return a note."""
        with self._lock:
            return self._notes.get(key)

    def put(self, key: str, note: JobNote, **changes: Any) -> JobNote:
        """Write a note, with changes, and return it; the file holds the old notes or the new ones, never half of them.

        Raises:
            StateError: The file cannot be written.
            StoppedError: It is closed.
        """
        note = replace(note, **changes)
        with self._lock:
            self._notes[key] = note
            self._write()
        return note

    def forget(self, key: str) -> None:
        """Forget a job.

        Raises:
            StateError: The file cannot be written.
            StoppedError: It is closed.
        """
        with self._lock:
            self._notes.pop(key, None)
            self._write()

    def forget_failures(self) -> None:
        """Forget the jobs that failed, so that they are submitted again.

        Raises:
            StateError: The file cannot be written.
            StoppedError: It is closed.
        """
        with self._lock:
            self._notes = {key: note for key, note in self._notes.items() if not note.failure}
            self._write()

    def open_models(self) -> set[str]:
        """Return the models of which a job may be running."""
        with self._lock:
            return {note.model for note in self._notes.values() if note.is_open}

    def close(self) -> None:
        """Write the file no more: from now on it may be another run's, while a thread of this one is still at work."""
        with self._lock:
            self._is_closed = True

    def _write(self) -> None:
        if self._is_closed:
            raise StoppedError(f"the run is over: nothing more is written into {self.path}")
        if self.path is None:
            return
        # Each note is encoded by itself, for a person to read; without an indent it is many times as fast.
        jobs = ",\n".join(f"{json.dumps(key)}: {json.dumps(asdict(note))}" for key, note in self._notes.items())
        draft: str | None = None
        try:
            descriptor, draft = tempfile.mkstemp(prefix=f".{self.path.name}-", dir=self.path.parent)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(f'{{"version": {_VERSION}, "jobs": {{\n{jobs}\n}}}}\n')
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(self.path)
        except OSError as exc:
            if draft is not None:
                Path(draft).unlink(missing_ok=True)
            raise StateError(f"{self.path} cannot be written: {exc.strerror}: give another file with --state") from exc


@contextmanager
def job_state(path: Path) -> Iterator[JobState]:
    """Read the jobs of a file, which need not be there; nobody else may use it meanwhile.

    Raises:
        StateError: It cannot be used, or another run has it.
    """
    if path.is_dir():
        raise StateError(f"{path} is a directory: give a file with --state")
    with _held(path.with_name(f".{path.name}.lock"), path):
        state = JobState(path, _read(path))
        try:
            yield state
        finally:
            state.close()


class _Content(msgspec.Struct):
    """What is in the file."""

    version: int
    jobs: msgspec.Raw


def _read(path: Path) -> dict[str, JobNote]:
    try:
        content = msgspec.json.decode(path.read_bytes(), type=_Content)
        if content.version != _VERSION:
            raise StateError(f"{path} is of another version of streamer: {_MEND}")
        return msgspec.json.decode(content.jobs, type=dict[str, JobNote])
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise StateError(f"{path} cannot be read: {exc.strerror}: {_MEND}") from exc
    except (ValueError, RecursionError) as exc:
        raise StateError(f"{path} does not hold the jobs of a run: {_MEND}") from exc


@contextmanager
def _held(lock: Path, path: Path) -> Iterator[None]:
    """Hold a lock, which the kernel takes back from a process however it ends."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as exc:
        raise StateError(f"{path} cannot be written: {exc.strerror}: give another file with --state") from exc
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_ours = lock.stat().st_ino == os.fstat(descriptor).st_ino  # and not one that was just taken away
        except OSError:
            is_ours = False
        if not is_ours:
            raise StateError(f"{path} is in use by another run: wait for it, or give another file with --state")
        yield
        lock.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
