"""Where a tool writes its result: whole, or not at all, and never over its source."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.errors import ModelError, ModelNotFoundError, OptionsError
from engine.models.files import BUILT_IN, replacing


def model_path(source: str | Path) -> Path:
    """Return the path of a model; a built-in one is known by its name."""
    return BUILT_IN.get(str(source), Path(source))


@contextmanager
def written(source: Path, target: Path, suffixes: Collection[str]) -> Iterator[Path]:
    """Give a path to write to, of the same name; what is there at the end takes the target's place in one step.

    Where the block raises, the target is left as it was.

    Args:
        source: What is read.
        target: What is made.
        suffixes: What the target's name may end in.

    Raises:
        ModelNotFoundError: There is no such source.
        OptionsError: The target cannot be meant.
        ModelError: The target cannot be written.
    """
    if not source.is_file():
        raise ModelNotFoundError(f"no model file {source}")
    if target.suffix.lower() not in suffixes:
        raise OptionsError(f"{target}: what is made of {source.name} ends in {' or '.join(sorted(suffixes))}")
    if target.exists() and target.samefile(source):
        raise OptionsError(f"{target} is the model itself: give another name for the result")
    if target.is_dir() or not target.parent.is_dir():
        what = "is a directory" if target.is_dir() else f"cannot be written: there is no directory {target.parent}"
        raise OptionsError(f"{target} {what}: give the path of a file")
    try:
        with replacing(target) as made:
            try:
                yield made
            except ModelError as exc:
                if str(made) not in str(exc):
                    raise
                raise ModelError(str(exc).replace(str(made), str(target))) from exc
    except OSError as exc:
        raise ModelError(f"{target} cannot be written: {exc.strerror or exc}") from exc
