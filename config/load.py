"""Reading the settings once, at the edge: flags win over the environment, that over the file, that over defaults."""

import difflib
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from config.errors import ConfigError
from config.settings import SECTIONS, Settings

ENVIRONMENT_PREFIX = "STREAMER_"
DEFAULT_FILE = Path("streamer.toml")
_FILE_VARIABLE = "STREAMER_CONFIG"
#: How alike an unknown name must be to a known one to be taken for a slip of the pen.
_SLIP_RATIO = 0.8


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and where each value that is not a default came from.

    Attributes:
        origins: For a setting's path (`batch_size`, `broker.port`) the flag, variable or file that set it.
    """

    settings: Settings
    origins: Mapping[str, str]


def load(flags: Mapping[str, Any], *, file: Path | None = None) -> Loaded:
    """Read the settings.

    Args:
        flags: Values given on the command line, by setting path.
        file: The TOML file; else the one that `STREAMER_CONFIG` names; else `streamer.toml` where it is.

    Raises:
        ConfigError: A name is unknown or a value is bad; one line that names it and its origin.
    """
    path = file or (Path(os.environ[_FILE_VARIABLE]) if os.environ.get(_FILE_VARIABLE) else None)
    if path is None and DEFAULT_FILE.is_file():
        path = DEFAULT_FILE
    in_file = _read_file(path) if path else {}
    _refuse_slips(os.environ)
    origins: dict[str, str] = {}
    for name, _ in known_settings():
        if name in flags:
            origins[name] = flag_name(name)
        elif variable_name(name) in os.environ:
            origins[name] = variable_name(name)
        elif _lookup(in_file, name):
            origins[name] = f"{name} in {path}"
    try:
        return Loaded(_read(flags, in_file), origins)
    except ValidationError as exc:
        raise ConfigError(_one_line(exc, origins, path)) from None


def _read(flags: Mapping[str, Any], in_file: dict[str, Any]) -> Settings:
    """Let pydantic-settings merge the sources; imported late, it costs a quarter of a second."""
    from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

    class Loading(Settings, BaseSettings):
        """`Settings` as pydantic-settings reads them."""

        model_config = SettingsConfigDict(
            frozen=True,
            extra="forbid",
            hide_input_in_errors=True,
            env_prefix=ENVIRONMENT_PREFIX,
            env_prefix_target="all",
            env_nested_delimiter="_",
            env_nested_max_split=1,
            enable_decoding=False,
        )

        @classmethod
        def settings_customise_sources(  # type: ignore[override]  # the names are pydantic-settings'
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            **_: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Flags, then the environment, then the file."""
            return (init_settings, env_settings, InitSettingsSource(settings_cls, in_file))

    return Loading(**_nested(flags))


def setting_name(name: str, info: FieldInfo) -> str:
    """Return what users call the field `name`: its alias where Python could not have the word."""
    return info.alias or name


def known_settings() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every setting's path (`batch_size`, `broker.port`) and its definition."""
    for name, info in Settings.model_fields.items():
        if name not in SECTIONS:
            yield setting_name(name, info), info
    for section, group in SECTIONS.items():
        for name, info in group.model_fields.items():
            yield f"{section}.{setting_name(name, info)}", info


def value_of(settings: Settings, path: str) -> Any:
    """Return the value of the setting at `path`."""
    section, _, name = path.rpartition(".")
    group: BaseModel = getattr(settings, section) if section else settings
    fields = type(group).model_fields
    field = next(field for field, info in fields.items() if setting_name(field, info) == name)
    return getattr(group, field)


def flag_name(path: str) -> str:
    """Return the flag of a setting."""
    return "--" + path.rpartition(".")[2].replace("_", "-")


def variable_name(path: str) -> str:
    """Return the environment variable of a setting."""
    return ENVIRONMENT_PREFIX + path.replace(".", "_").upper()


def nearest(name: str, known: Iterable[str]) -> str:
    """Return `: did you mean X?` for the known name that is most like `name`, or nothing."""
    close = difflib.get_close_matches(name, list(known), n=1)
    return f": did you mean {close[0]}?" if close else ""


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    return nested


def _lookup(in_file: Mapping[str, Any], path: str) -> bool:
    section, _, name = path.rpartition(".")
    table = in_file.get(section, {}) if section else in_file
    return isinstance(table, dict) and name in table


def _read_file(path: Path) -> dict[str, Any]:
    """Read a TOML file; dashes in names are as good as underscores."""
    try:
        with path.open("rb") as file:
            values = tomllib.load(file)
    except OSError as exc:
        raise ConfigError(f"cannot read the settings file {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is no TOML file: {exc}") from exc
    return _with_underscores(values)


def _with_underscores(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name.replace("-", "_"): _with_underscores(value) if isinstance(value, dict) else value
        for name, value in table.items()
    }


def _refuse_slips(environ: Mapping[str, str]) -> None:
    """Refuse a variable that is nearly one of ours.

    Other `STREAMER_…` variables are let be: Kubernetes makes some for each service of that name.
    """
    known = {variable_name(name) for name, _ in known_settings()} | {_FILE_VARIABLE}
    for name in environ:
        if not name.startswith(ENVIRONMENT_PREFIX) or name in known:
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=_SLIP_RATIO)
        if close:
            raise ConfigError(f"unknown environment variable {name}: did you mean {close[0]}?")


def _one_line(exc: ValidationError, origins: Mapping[str, str], file: Path | None) -> str:
    """Say the first thing that is wrong: its origin, and what would be right."""
    error = exc.errors(include_url=False, include_context=True, include_input=False)[0]
    path = ".".join(str(part) for part in error["loc"] if isinstance(part, str))
    if error["type"] == "extra_forbidden":
        known = [name for name, _ in known_settings()]
        return f"unknown setting {path} in {file}{nearest(path, known)}"
    message = error["msg"].removeprefix("Value error, ")
    origin = next((origins[name] for name in (path, path.rpartition(".")[0]) if name in origins), path)
    return f"{origin}: {message[:1].lower()}{message[1:]}"
