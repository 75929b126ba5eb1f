"""A pipeline's description in TOML: from tables to frozen values. Pure; no file but by its name in messages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, cast

from engine.backends.registry import backend_names
from engine.errors import PipelineError
from engine.options import nearest
from engine.pipeline.step import BATCH_TIMEOUT_S
from engine.pipeline.warm_up import Warmup

Use = Literal["decode", "model", "labels", "python"]

_USES: Final = ("decode", "model", "labels")
_ROOT_KEYS: Final = ("step", "max_in_flight")
_COMMON_KEYS: Final = ("name", "use", "parallel_steps", "after")
_KEYS: Final[Mapping[Use, tuple[str, ...]]] = {
    "decode": _COMMON_KEYS,
    "model": (*_COMMON_KEYS, "model", "max_batch_size", "batch_timeout", "warmup", "backend", "session"),
    "labels": (*_COMMON_KEYS, "top"),
    "python": (*_COMMON_KEYS, "python", "max_batch_size", "batch_timeout"),
}
_ALL_KEYS: Final = tuple(dict.fromkeys(key for keys in _KEYS.values() for key in keys))
_UNITS_S: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(us|ms|s)", re.ASCII)
_FUNCTION: Final = re.compile(r"[^\W\d][\w.]*:[^\W\d][\w.]*")
_TOP: Final = 5


@dataclass(frozen=True, slots=True)
class StepDescription:
    """One `[[step]]` table.

    Attributes:
        use: What the step does.
        parallel_steps: None for the step's own default.
        max_batch_size: 0 for the size that the model was made for.
        model: Of a model step: a built-in name or a path.
        function: Of a step with code of the user's own: `package.module:function`.
        top: Of a `labels` step: how many classes are named.
        backend: Of a model step: None for the default.
        session: Of a model step: keywords of `Session`, such as `num_activations`.
    """

    name: str
    use: Use
    after: tuple[str, ...] | None = None
    parallel_steps: int | None = None
    max_batch_size: int | None = None
    batch_timeout_s: float = BATCH_TIMEOUT_S
    model: str = ""
    warmup: Warmup = Warmup.RANDOM_DATA
    backend: str | None = None
    session: Mapping[str, Any] = field(default_factory=dict)
    function: str = ""
    top: int = _TOP


@dataclass(frozen=True, slots=True)
class PipelineDescription:
    """A whole file.

    Attributes:
        origin: The file's name, for messages.
    """

    origin: str
    steps: tuple[StepDescription, ...]
    max_in_flight: int | None = None


def parse_pipeline(values: Mapping[str, Any], origin: str) -> PipelineDescription:
    """Read what a TOML file says.

    Raises:
        PipelineError: One line with the file, the step, the key, and what to write.
    """
    for key in values:
        if key not in _ROOT_KEYS:
            raise PipelineError(
                f"{origin}: unknown key {key}{nearest(key, _ROOT_KEYS) or ': steps are [[step]] tables'}"
            )
    tables = values.get("step")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise PipelineError(f"{origin}: a pipeline needs at least one [[step]] table")
    return PipelineDescription(
        origin,
        tuple(_step(_Table(table, f"{origin}: step {number}"), origin) for number, table in enumerate(tables, 1)),
        _Table(values, origin).count("max_in_flight", 1),
    )


class _Table:
    """Values by key, taken out with their types checked."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def wrong(self, key: str, expected: str) -> PipelineError:
        return PipelineError(f"{self.where}: {key} is {self.values.get(key)!r}: give {expected}")

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, str) or not value):
            raise self.wrong(key, "some text")
        return value

    def count(self, key: str, least: int) -> int | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
            raise self.wrong(key, f"a whole number from {least}")
        return value

    def choice(self, key: str, choices: tuple[str, ...]) -> str | None:
        value = self.text(key)
        if value is not None and value not in choices:
            raise PipelineError(
                f"{self.where}: {key} is {value!r}{nearest(value, choices) or ': there are ' + ', '.join(choices)}"
            )
        return value

    def duration_s(self, key: str) -> float | None:
        value = self.text(key)
        match = _DURATION.fullmatch(value.strip()) if value is not None else None
        if value is not None and match is None:
            raise self.wrong(key, 'a time with its unit, such as "20ms"')
        return float(match[1]) * _UNITS_S[match[2]] if match is not None else None

    def table(self, key: str) -> Mapping[str, Any]:
        value = self.values.get(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "a table of Session keywords, such as { num_activations = 2 }")
        return value

    def names(self, key: str) -> tuple[str, ...] | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, list) or not all(isinstance(name, str) for name in value)):
            raise self.wrong(key, 'a list of steps, such as ["decode"]')
        return None if value is None else tuple(value)


def _step(table: _Table, origin: str) -> StepDescription:
    name = table.text("name")
    if name is None:
        raise PipelineError(f'{table.where} has no name: write name = "…"')
    table.where = f"{origin}: step {name}"
    use = _use(table)
    for key in table.values:
        if key not in _KEYS[use]:
            elsewhere = f": that is not for a step with use = {use!r}" if key in _ALL_KEYS else nearest(key, _KEYS[use])
            raise PipelineError(f"{table.where}: unknown key {key}{elsewhere}")
    function = table.text("python") or ""
    if use == "python" and _FUNCTION.fullmatch(function) is None:
        raise table.wrong("python", '"package.module:function"')
    timeout_s = table.duration_s("batch_timeout")
    return StepDescription(
        name,
        use,
        table.names("after"),
        table.count("parallel_steps", 0 if use != "model" else 1),
        table.count("max_batch_size", 0 if use == "model" else 1),
        BATCH_TIMEOUT_S if timeout_s is None else timeout_s,
        table.text("model") or "",
        Warmup(table.choice("warmup", tuple(kind.value for kind in Warmup)) or Warmup.RANDOM_DATA),
        table.choice("backend", (*backend_names(), "aic")),
        table.table("session"),
        function,
        table.count("top", 1) or _TOP,
    )


def _use(table: _Table) -> Use:
    """Return what a step does: what it says, or what its other keys imply."""
    implied = [key for key in ("model", "python") if key in table.values]
    said = table.choice("use", _USES)
    if len(implied) > 1 or (implied and said not in (None, implied[0])):
        said_keys = [f"use = {said!r}"] if said is not None else []
        keys = " and ".join([*said_keys, *(f"{key} = …" for key in implied)])
        raise PipelineError(f"{table.where} has {keys}: a step does one thing")
    use = said or (implied[0] if implied else None)
    if use is None:
        raise PipelineError(
            f'{table.where} does nothing: write use = "decode" or "labels", model = "…", or python = "module:function"'
        )
    if use == "model" and "model" not in table.values:
        raise PipelineError(f'{table.where}: which model? Write model = "…": a built-in name or a path')
    return cast("Use", use)
