"""Write docs/session-options.md: each keyword of `Session`, its flag, and what every back end does with it.

python tools/make_session_options.py
"""

from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen

from engine.backends.registry import backend_class, backend_names
from engine.options import Form, ModelInput, SessionOptions, flag_of
from engine.session_keywords import General

PATH = Path(__file__).resolve().parents[1] / "docs" / "session-options.md"

_HEAD = """# The options of a session

`Session(model_path, **keywords)` takes the 61 keywords of the vendor's `qaic` package, as spelt there; so does the YAML
file of `options_path`, and `streamer consume` and `streamer benchmark` take that file with `--options-path`. This page
is made from the code by `python tools/make_session_options.py`.

A flag marked * stands in no public source: it follows the vendor's own rule, underscore to dash. Several sizes of one
symbol (`onnx_define_symbol={"batch": [1, 4, 8]}`) make a ladder: the smallest batch that fits is used.

| keyword | value | what it does | compiler flag |
|---|---|---|---|
"""

_TREATMENTS = """
## What every back end does with them

**used**; ignored, with a notice; *refused*, with the reason.

"""

_REST = """
## What a session takes besides

| keyword | value | what it does |
|---|---|---|
| `backend` | a name above; `aic` is `qaic` | what computes; default: `qaic` with SDK and card, else `onnxruntime` |
| `options_path` | file | YAML with any of these keywords; those of the call win |
"""


def page() -> str:
    """Return the whole page."""
    backends = {name: backend_class(name) for name in backend_names()}
    lines = [_HEAD.rstrip("\n")]
    for name, info in SessionOptions.model_fields.items():
        default = "" if info.default in (None, False) else f" (default: {info.default})"
        lines.append(
            f"| `{name}` | {_value(info.annotation, info.metadata)} | {info.description}{default} | {_flag(name)} |"
        )
    lines += [_TREATMENTS.rstrip("\n"), "", f"| keyword | {' | '.join(backends)} |", "|---|" + "---|" * len(backends)]
    marks = {"used": "**used**", "ignored": "ignored", "refused": "*refused*"}
    for name in SessionOptions.model_fields:
        cells = " | ".join(marks[backend.treatment(name)] for backend in backends.values())
        lines.append(f"| `{name}` | {cells} |")
    refusals = [
        f"- `{name}` refuses `{keyword}`: {reason}."
        for name, backend in backends.items()
        for keyword, reason in backend.refuses.items()
    ]
    if refusals:
        lines += ["", *refusals]
    lines.append(_REST.rstrip("\n"))
    for keyword, info in General.model_fields.items():
        default = "" if info.default is None else f" (default: {info.default})"
        lines.append(f"| `{keyword}` | {_value(info.annotation, info.metadata)} | {info.description}{default} |")
    for name, backend in backends.items():
        for keyword, info in backend.Own.model_fields.items():
            value = _value(info.annotation, info.metadata)
            lines.append(f"| `{keyword}` | {value} | back end {name} alone: {info.description} |")
    return "\n".join(lines) + "\n"


def _flag(name: str) -> str:
    flag = flag_of(name)
    if flag is None:
        return "none: not the compiler's"
    text = {
        Form.VALUE: f"-{flag.name}=…",
        Form.BARE: f"-{flag.name}",
        Form.NUMBER: f"-{flag.name}=0, 1",
        Form.TRUTH: f"-{flag.name}=true, false",
        Form.LIST: f"-{flag.name}=a,b",
        Form.PAIRS: f"-{flag.name}=symbol,size",
        Form.MODEL_INPUTS: f"-{flag.name}=name,type,[shape]",
    }[flag.form]
    return f"`{text}`{' *' if flag.is_inferred else ''}"


def _value(annotation: Any, metadata: list[Any]) -> str:
    """Return a type and its range in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(arguments[0], [*metadata, *_flat(arguments[1:])])
    if origin in (Union, UnionType):
        inner = next(argument for argument in arguments if argument is not type(None))
        return _value(inner, metadata)
    if origin is Literal:
        return ", ".join(str(argument) for argument in arguments)
    if origin is tuple:
        longest = next((item.max_length for item in metadata if isinstance(item, MaxLen)), None)
        kind = "pairs or mapping" if get_origin(arguments[0]) is tuple else f"list of {_value(arguments[0], [])}"
        return f"{kind}, at most {longest}" if longest else kind
    words = {bool: "true, false", int: "integer", float: "number", str: "text", ModelInput: "dictionaries"}
    low = next((item.ge for item in metadata if isinstance(item, Ge)), None)
    high = next((item.le for item in metadata if isinstance(item, Le)), None)
    text = words.get(annotation, str(annotation))
    if low is not None:
        text += f" {low}–{high}" if high is not None else f" ≥ {low}"
    return text


def _flat(items: tuple[Any, ...]) -> list[Any]:
    return [inner for item in items for inner in (getattr(item, "metadata", None) or [item])]


if __name__ == "__main__":
    PATH.write_text(page(), encoding="utf-8")
    print(f"wrote {PATH}")
