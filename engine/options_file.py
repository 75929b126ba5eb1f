"""Session keywords in a YAML file, as the vendor's `options_path`."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from os import PathLike, fspath
from pathlib import Path
from typing import Any

import yaml

from engine.errors import OptionsError, first_line
from engine.options import nearest

#: Sixty-one keywords take a few KiB. YAML in Python takes seconds for what is much larger, or nested deeply.
_MAX_BYTES = 64 * 1024
_MAX_DEPTH = 16


@dataclass(frozen=True, slots=True)
class OptionsFile:
    """What a file says, and in which line it says it."""

    path: Path | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)

    def check_names(self, known: Collection[str]) -> None:
        """Refuse a keyword that there is not.

        Raises:
            OptionsError: It names file, line, and the nearest one.
        """
        for name, line in self.lines.items():
            if name not in known:
                raise OptionsError(f"{self.path}, line {line}: there is no option {name}{nearest(name, known)}")


def read_options(path: str | PathLike[str]) -> OptionsFile:
    """Read keywords and their values.

    Args:
        path: A YAML file: one mapping of keywords, plain values alone.

    Raises:
        OptionsError: The file cannot be read, is no such mapping, has a repeated key, a tag, or an alias. The message
            has the line.
    """
    try:
        file = Path(fspath(path)).expanduser()
        with file.open("rb") as opened:
            content = opened.read(_MAX_BYTES + 1)
    except (OSError, RuntimeError, TypeError, ValueError) as exc:  # no home, no path, a byte that no path has
        raise OptionsError(f"cannot read the options in {path!s}: {getattr(exc, 'strerror', None) or exc}") from exc
    if len(content) > _MAX_BYTES:
        raise OptionsError(f"{file} has over {_MAX_BYTES} bytes: that is no options file")
    try:
        _check_events(file, content)
        root = yaml.compose(content, Loader=yaml.SafeLoader)
        if root is None:
            return OptionsFile(file)
        if not isinstance(root, yaml.MappingNode):
            raise OptionsError(f"{file} is no mapping of option names to values, such as `num_activations: 2`")
        lines = _lines(file, root)
        values: dict[str, Any] = yaml.load(content, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise OptionsError(f"{file}{where}: {exc.problem or 'no YAML'}: write plain values alone") from exc
    except OptionsError:
        raise
    except Exception as exc:  # YAML in Python raises anything on what is none
        raise OptionsError(f"{file} is no YAML: {first_line(exc)}") from exc
    return OptionsFile(file, values, lines)


def _check_events(file: Path, content: bytes) -> None:
    depth = 0
    for event in yaml.parse(content, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark is not None else "?"
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH:
            raise OptionsError(f"{file}, line {line}: nested over {_MAX_DEPTH} levels deep: no option is")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise OptionsError(f"{file}, line {line}: the tag {tag} is not read: write plain values alone")
        # An alias of an alias of an alias grows without end in whoever walks the values.
        if isinstance(event, yaml.AliasEvent):
            raise OptionsError(f"{file}, line {line}: aliases are not read: write the value itself")


def _lines(file: Path, root: yaml.MappingNode) -> dict[str, int]:
    lines: dict[str, int] = {}
    for key, _ in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            raise OptionsError(f"{file}, line {line}: a key is no name")
        if key.value in lines:
            raise OptionsError(f"{file}, line {line}: {key.value} is given twice")
        lines[key.value] = line
    return lines
