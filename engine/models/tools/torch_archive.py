"""Torch's files from outside: of what kind one is, and whether it may be opened. Torch is not imported here.

A file of torch's can be a program. A pickle runs what it likes as it is read; so does a `torch.export` archive, for
`torch.export.load` unpickles weights where the archive says so, evaluates the expressions of open axes, looks up the
functions of its graph by any name below `torch`, writes names of its graph and its guards into Python source that it
runs, and loads compiled libraries. TorchScript is confined to torch's operators, two of which read and write files.
What is let pass here has none of that, as far as we know: it is a sieve and no sandbox.

Torch finds the directory of an archive in another way than Python does, so it is never given the file that was looked
at, but a copy of what was seen of it.
"""

import json
import re
import zipfile
from collections.abc import Iterator
from keyword import iskeyword
from pathlib import Path
from typing import Any, Literal

from engine.errors import ModelError, ModelNotFoundError
from engine.models.files import MAX_PROTOBUF_BYTES, PICKLE_MAGIC

TorchKind = Literal["torchscript", "export", "weights"]

#: More than this no ONNX file holds, so nothing larger can be converted.
_MAX_BYTES = MAX_PROTOBUF_BYTES
#: Of a graph, or of all code, unpacked; as objects it takes some thirty times that.
_MAX_GRAPH_BYTES = 32 * 1024**2
_MAX_MEMBERS = 100_000
#: The operators that read or write files, however TorchScript's code comes by them, and what runs as it is loaded.
_FILE_WORD = re.compile(rb"\b(?:from_file|save|__setstate__|read_file|write_file)\b")
#: Operators of other libraries than torch's own: what they do depends on what this process has imported.
_FOREIGN_OPERATOR = re.compile(rb"\bops\.(?!(?:aten|prims?|quantized|torchvision)\.)")
#: The one form in which torch itself writes it: for submodules that are called by a number.
_GETATTR = re.compile(rb"\bgetattr\b")
_PLAIN_GETATTR = re.compile(rb'\bgetattr\([\w.]+, "\w+"\)')
#: What a `torch.export` archive has. Compiled libraries, under data/aotinductor, are not among it.
#: Source: pytorch/pytorch, torch/export/pt2_archive/constants.py.
_EXPORT_MEMBER = re.compile(
    r"(?:models/model\.json|data/(?:weights|constants)/(?:weight_|tensor_|model_)\w+(?:\.json)?"
    r"|data/sample_inputs/model\.pt|archive_format|archive_version|byteorder|\.data/\w+|version|\.format_version"
    r"|\.storage_alignment)"
)
#: The functions that a graph may call, and what the size of an axis may be written with.
_TARGET = re.compile(
    r"torch\.ops\.(?:aten|prims|quantized|torchvision)\.(?!from_file|save)\w+(?:\.\w+)?|torch\.sym_\w+"
    r"|_operator\.(?:getitem|add|sub|mul|floordiv|truediv|mod|pow|neg|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.(?:ceil|floor|trunc)"
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_SYMBOL = re.compile(r"[a-z]{1,3}\d+")
_NAMED_SYMBOL = re.compile(r"Symbol\('([a-z]{1,3}\d+)'(?:, \w+=(?:True|False))*\)")
_EXPRESSION = re.compile(r"[\w\s+\-*/(),<>=!&|~%]*")
_FUNCTIONS = frozenset({
    "Add", "Mul", "Pow", "Rational", "Max", "Min", "Mod", "PythonMod", "FloorDiv", "CleanDiv", "CeilDiv", "TrueDiv",
    "IntTrueDiv", "floor", "ceiling", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "StrictLessThan",
    "LessThan", "StrictGreaterThan", "GreaterThan", "Equality", "Unequality", "true", "false", "True", "False",
    "Integer",
})  # fmt: skip


def torch_kind(path: Path) -> TorchKind:
    """Tell what a file of torch's is, having refused what must not be opened.

    `weights` is any pickle: torch's own reader of weights, which makes no other objects, decides further.

    Raises:
        ModelError: It is none of torch's, too large, or would run code of its own.
        ModelNotFoundError: There is no such file.
    """
    try:
        if not zipfile.is_zipfile(path):
            with path.open("rb") as file:
                is_pickle = file.read(1) == PICKLE_MAGIC
            if not is_pickle:
                raise ModelError(f"{path} is no file of torch's: it is neither a whole archive nor a pickle")
            return "weights"  # the older form, one pickle after the other
        with zipfile.ZipFile(path) as archive:
            return _checked(archive, path)
    except FileNotFoundError as exc:
        raise ModelNotFoundError(f"no model file {path}") from exc
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as exc:
        raise ModelError(f"{path} is no file of torch's: {exc}") from exc


def _checked(archive: zipfile.ZipFile, path: Path) -> TorchKind:
    entries = archive.infolist()
    size = sum(entry.file_size for entry in entries)
    if len(entries) > _MAX_MEMBERS or size > _MAX_BYTES:
        raise ModelError(f"{path} unpacks to {size:,} bytes in {len(entries):,} members: an ONNX file holds 2 GiB")
    # Torch looks members up without regard to case.
    names = [entry.filename.lower() for entry in entries]
    if len(set(names)) < len(names):
        raise ModelError(f"{path} has two members of one name: save it again")
    inner = {entry.filename.partition("/")[2]: entry for entry in entries}
    if len(inner) < len(entries):
        raise ModelError(f"{path} is no file of torch's: its members are not below one folder")
    if "models/model.json" in inner or "archive_format" in inner:
        _check_export(archive, inner, path)
        return "export"
    if "serialized_exported_program.json" in inner:
        raise ModelError(f"{path} is of an older torch.export, which keeps pickles: save it again with a newer torch")
    if "constants.pkl" in inner:
        _check_script(archive, inner, path)
        return "torchscript"
    if "data.pkl" in inner:
        return "weights"
    raise ModelError(f"{path} is no file of torch's: it holds neither weights nor a graph")


def copy_seen(path: Path, copy: Path) -> None:
    """Write an archive anew, from what Python sees of it: torch sees the same of the copy, and of that alone.

    Raises:
        ModelError: It cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive, zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as plain:
            for entry in archive.infolist():
                plain.writestr(entry.filename, archive.read(entry))
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError) as exc:
        raise ModelError(f"{path} is no file of torch's: {exc}") from exc


def _check_script(archive: zipfile.ZipFile, inner: dict[str, zipfile.ZipInfo], path: Path) -> None:
    """Refuse TorchScript that may read or write files."""
    code = {name: entry for name, entry in inner.items() if name.lower().endswith(".py")}
    if sum(entry.file_size for entry in code.values()) > _MAX_GRAPH_BYTES:
        raise ModelError(f"{path} has more than {_MAX_GRAPH_BYTES:,} bytes of code: it is not opened")
    for name, entry in code.items():
        if _may_touch_files(archive.read(entry)):
            raise ModelError(f"{path} reads or writes files as it runs ({name}): it is not opened")


def _may_touch_files(code: bytes) -> bool:
    plain = len(_PLAIN_GETATTR.findall(code))
    is_suspicious = _FILE_WORD.search(code) is not None or _FOREIGN_OPERATOR.search(code) is not None
    return is_suspicious or len(_GETATTR.findall(code)) > plain


def _check_export(archive: zipfile.ZipFile, inner: dict[str, zipfile.ZipInfo], path: Path) -> None:
    """Refuse an archive of `torch.export` with anything in it that runs as it is opened."""
    for name, entry in inner.items():
        if not _EXPORT_MEMBER.fullmatch(name):
            raise ModelError(f"{path} holds {name!r}, which torch.export.save would not write: it is not opened")
        if not name.endswith(".json"):
            continue
        if entry.file_size > _MAX_GRAPH_BYTES:
            raise ModelError(f"{path}: its {name} takes {entry.file_size:,} bytes: it is not opened")
        for key, value in _pairs(json.loads(archive.read(entry))):
            if key == "use_pickle" and value:
                raise ModelError(f"{path} keeps weights as pickles: make them plain tensors and save it again")
            if key == "target" and isinstance(value, str) and not _TARGET.fullmatch(value):
                raise ModelError(f"{path} calls {value[:80]!r}, which is no operator of torch's: it is not opened")
            if not _has_plain_names(key, value):
                raise ModelError(f"{path} has a name in its {key} that is none: it is not opened")
            if key == "expr_str" and not _is_expression(value):
                raise ModelError(f"{path} has the size {str(value)[:80]!r}, which is no expression: it is not opened")


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    """Give every key with its value, however deep."""
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict):
            yield from current.items()
            waiting.extend(current.values())
        elif isinstance(current, list):
            waiting.extend(current)


def _has_plain_names(key: str, value: Any) -> bool:
    """Tell whether what torch writes into Python source under this key are words, and nothing that would run."""
    if key in ("name", "as_name") and isinstance(value, str):
        return not value or _is_word(value)
    if key == "forward_arg_names":
        return isinstance(value, list) and all(map(_is_word, value))
    if key.endswith("_values") and isinstance(value, dict):
        return all(map(_is_word, value))
    if key in ("in_spec", "out_spec"):
        return isinstance(value, str) and _is_tree(json.loads(value))
    return True


def _is_word(text: object) -> bool:
    return isinstance(text, str) and text.isascii() and text.isidentifier() and not iskeyword(text)


def _is_tree(spec: Any) -> bool:
    """Tell whether inputs or outputs are tuples, lists and dicts of tensors, with words for keys."""
    for key, value in _pairs(spec):
        if key == "type" and value not in (None, "builtins.tuple", "builtins.list", "builtins.dict"):
            return False
        if key == "context" and value not in (None, "null", "[]"):
            keys = json.loads(value) if isinstance(value, str) else value
            if not isinstance(keys, list) or not all(map(_is_word, keys)):
                return False
    return True


def _is_expression(text: object) -> bool:
    """Tell whether it is arithmetic of sizes alone: torch has it evaluated as Python."""
    if not isinstance(text, str):
        return False
    plain = _NAMED_SYMBOL.sub(r"\1", text)
    words = _WORD.findall(plain)
    return _EXPRESSION.fullmatch(plain) is not None and all(
        _SYMBOL.fullmatch(word) or word in _FUNCTIONS for word in words
    )
