"""Reading the settings once, at the edge: flags win over the environment, that over the file, that over defaults."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from config.errors import ConfigError
from config.secret_files import warn_of_open_file
from config.settings import GIVEN_TWICE, SECTIONS, Settings
from config.types import format_duration

#: What pydantic calls a bound that is not kept, and what people call it.
_BOUNDS = {
    "greater_than_equal": "input should be at least",
    "greater_than": "input should be more than",
    "less_than_equal": "input should be at most",
    "less_than": "input should be less than",
}
ENVIRONMENT_PREFIX = "STREAMER_"
DEFAULT_FILE = Path("streamer.toml")
_FILE_VARIABLE = "STREAMER_CONFIG"
#: How alike an unknown name must be to a known one to be taken for a slip of the pen.
_SLIP_RATIO = 0.82
#: What Kubernetes sets for a service, here one whose name begins with `streamer`. Source: the Kubernetes
#: documentation, "Service", "Environment variables".
_OF_KUBERNETES = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
#: What it gives as the port of a service that is called like one of our sections, `streamer-dashboard`.
_PORT_OF_KUBERNETES = re.compile(r"(tcp|udp|sctp)://.*")


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
    in_environment = {
        name: os.environ[variable_name(name)] for name, _ in known_settings() if _is_ours(variable_name(name))
    }
    origins = {name: f"{name} in {path}" for name in in_file}
    origins |= {name: variable_name(name) for name in in_environment}
    origins |= {name: flag_name(name) for name in flags}
    try:
        return Loaded(_read(flags, in_environment, in_file), origins)
    except ValidationError as exc:
        raise ConfigError(_one_line(exc, origins)) from None


def _read(flags: Mapping[str, Any], in_environment: Mapping[str, Any], in_file: Mapping[str, Any]) -> Settings:
    """Let pydantic-settings merge the sources; imported late, it costs a quarter of a second."""
    from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

    class Loading(Settings, BaseSettings):
        """`Settings` as pydantic-settings reads them."""

        model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

        @classmethod
        def settings_customise_sources(  # type: ignore[override]  # the names are pydantic-settings'
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            **_: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            """Flags, then the environment, then the file.

            The environment is ours and not the library's, which would take other spellings too: lower case, the
            Python name of an alias, anything that begins like the name of a section.
            """
            return (
                init_settings,
                InitSettingsSource(settings_cls, _nested(in_environment)),
                InitSettingsSource(settings_cls, _nested(in_file)),
            )

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


def is_secret(info: FieldInfo) -> bool:
    """Tell whether a setting is a secret, and so no flag: every user of a machine can read its command lines."""
    return SecretStr in (info.annotation, *get_args(info.annotation))


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


def _is_ours(variable: str) -> bool:
    """Tell whether a variable is set, and meant for us."""
    value = os.environ.get(variable)
    return value is not None and not (variable.endswith("_PORT") and _PORT_OF_KUBERNETES.fullmatch(value))


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in values.items():
        section, _, name = path.rpartition(".")
        (nested.setdefault(section, {}) if section else nested)[name] = value
    return nested


def _read_file(path: Path) -> dict[str, Any]:
    """Read a TOML file as values by setting path; dashes in names are as good as underscores."""
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as exc:
        raise ConfigError(f"cannot read the settings file {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path} is no TOML file: {exc}") from exc
    known = [name for name, _ in known_settings()]
    values: dict[str, Any] = {}
    for name, value in _settings_in(content, path):
        if name not in known:
            raise ConfigError(f"unknown setting {name} in {path}{nearest(name, [*known, *SECTIONS])}")
        if name in values:
            raise ConfigError(f"{name} stands twice in {path}, with a dash and with an underscore")
        values[name] = value
    if any(is_secret(info) for name, info in known_settings() if name in values):
        warn_of_open_file(path)
    return values


def _settings_in(content: Mapping[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        section = name.replace("-", "_")
        if section not in SECTIONS:
            yield section, value
        elif isinstance(value, dict):
            yield from ((f"{section}.{key.replace('-', '_')}", inner) for key, inner in value.items())
        else:
            raise ConfigError(f"{section} in {path}: write its settings in a table, [{section}]")


def _refuse_slips(environ: Mapping[str, str]) -> None:
    """Refuse a variable that is nearly one of ours.

    Other `STREAMER_…` variables are let be: Kubernetes makes some for each service of that name.
    """
    known = {variable_name(name) for name, _ in known_settings()} | {_FILE_VARIABLE}
    for name in environ:
        if not name.startswith(ENVIRONMENT_PREFIX) or name in known or _OF_KUBERNETES.fullmatch(name):
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=_SLIP_RATIO)
        if close:
            raise ConfigError(f"unknown environment variable {name}: did you mean {close[0]}?")


def _one_line(exc: ValidationError, origins: Mapping[str, str]) -> str:
    """Say the first thing that is wrong: its origin, and what would be right; never the value."""
    error = exc.errors(include_url=False, include_context=True, include_input=False)[0]
    path = ".".join(str(part) for part in error["loc"] if isinstance(part, str))
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == GIVEN_TWICE:
        paths = (f"{path}.{name}" if path else name for name in error["ctx"].values())
        first, second = (origins.get(each, each) for each in paths)
        return f"{first} and {second} give the same secret: leave one of them out"
    name = next(iter(error.get("ctx", {})), "")
    info = next((info for known, info in known_settings() if known == path), None)
    bound = next((getattr(each, name) for each in info.metadata if hasattr(each, name)), None) if info else None
    if error["type"] == "int_parsing":
        message = "input should be a valid integer: write digits alone, such as 1000"
    if isinstance(bound, timedelta) and error["type"] in _BOUNDS:  # in Python's words otherwise
        message = f"{_BOUNDS[error['type']]} {format_duration(bound)}"
    if not path:  # several settings do not go together
        return message
    origin = next((origins[name] for name in (path, path.rpartition(".")[0]) if name in origins), path)
    return f"{origin}: {message[:1].lower()}{message[1:]}"
