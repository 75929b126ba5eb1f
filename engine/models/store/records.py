"""What the store knows of a model: its versions, which one is current, and what was done to it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import ModelNotFoundError, StoreError

#: Letters of a digest that people are shown, and the fewest that they may give.
SHORT_DIGEST = 12
_FEWEST_LETTERS = 6

Action = Literal["added", "current", "renamed", "deleted"]


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One content of a model.

    Attributes:
        digest: SHA-256 of the file, in hexadecimal.
        suffix: What kind it is: `.onnx`, `.npz`, `.tflite` or `.bin` (a QPC).
        added_at: ISO 8601, UTC.
        origin: Where it came from: `upload`, or the command that made it.
        original_name: What the file was called there; "" where nobody said.
    """

    digest: str
    suffix: str
    size_bytes: int
    added_at: str
    origin: str
    original_name: str
    path: Path

    @property
    def short_digest(self) -> str:
        """The digest as people are shown it."""
        return self.digest[:SHORT_DIGEST]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "digest": self.digest,
            "suffix": self.suffix,
            "size_bytes": self.size_bytes,
            "added_at": self.added_at,
            "origin": self.origin,
            "original_name": self.original_name,
            "path": str(self.path),
        }


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """Something that was done to a model.

    Attributes:
        at: When, ISO 8601, UTC.
        action: `added`, made `current`, `renamed` or `deleted` (a version).
        digest: The version; "" where it is about all of them.
        detail: The origin of what was added, or the name before.
    """

    at: str
    action: Action
    digest: str
    detail: str

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {"at": self.at, "action": self.action, "digest": self.digest, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class StoredModel:
    """A model of the store.

    Attributes:
        versions: Newest first.
        current: The one that is meant by the name alone.
        history: Newest first.
    """

    name: str
    versions: tuple[ModelVersion, ...]
    current: ModelVersion
    history: tuple[HistoryEntry, ...]

    def version(self, digest: str) -> ModelVersion:
        """Return the version of a digest; its first letters are enough where only one has them.

        Raises:
            ModelNotFoundError: There is none.
            StoreError: Several are meant.
        """
        wanted = digest.removeprefix("sha256:").lower()
        found = [version for version in self.versions if version.digest.startswith(wanted)]
        if len(wanted) < _FEWEST_LETTERS or not found:
            has = ", ".join(version.short_digest for version in self.versions)
            raise ModelNotFoundError(f"model {self.name} has no version {digest[:64]!r}: it has {has}")
        if len(found) > 1:
            raise StoreError(f"{len(found)} versions of model {self.name} begin with {wanted}: give more of the digest")
        return found[0]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return {
            "name": self.name,
            "current": self.current.digest,
            "versions": [version.as_json() for version in self.versions],
            "history": [entry.as_json() for entry in self.history],
        }


@dataclass(frozen=True, slots=True)
class Added:
    """A file that was put into the store.

    Attributes:
        model: What it is a version of, as it is afterwards.
        version: The version that was added, or was there already.
        is_new: Whether it was not.
    """

    model: StoredModel
    version: ModelVersion
    is_new: bool
