"""The file of `streamer produce --cameras`: a `[[camera]]` table for each camera."""

import tomllib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.errors import ConfigError
from config.load import nearest
from config.settings import CameraSettings, Settings


def read_cameras(path: Path, defaults: Settings) -> list[CameraSettings]:
    """Read the cameras of a file; what a table leaves out is as in `defaults`.

        [[camera]]
        name = "line-1"
        source = "rtsp://10.0.0.7/stream"
        fps = 10

    Raises:
        ConfigError: The file or a table cannot be used; one line that names the camera.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except OSError as exc:
        raise ConfigError(f"--cameras {path}: {exc.strerror}") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"--cameras {path} is no TOML file: {exc}") from exc
    tables = content.pop("camera", [])
    if content or not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        stray = next(iter(content), "camera")
        raise ConfigError(f"--cameras {path}: {stray} is not expected: write a [[camera]] table for each camera")
    if not tables:
        raise ConfigError(f"--cameras {path} has no camera: write a [[camera]] table with name and source for each")
    cameras = [_read_camera(table, number, path, defaults) for number, table in enumerate(tables, 1)]
    names = [camera.camera for camera in cameras]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--cameras {path}: camera {name} stands there twice: each needs a name of its own")
    return cameras


def _read_camera(table: dict[str, Any], number: int, path: Path, defaults: Settings) -> CameraSettings:
    values = {key.replace("-", "_"): value for key, value in table.items()}
    name = values.pop("name" if "name" in values else "camera", None)  # the flag's word is as good
    where = f"--cameras {path}: camera {name or number}"
    for required, value in (("name", name), ("source", values.get("source"))):
        if value is None:
            raise ConfigError(f"{where} has no {required}")
    known = set(CameraSettings.model_fields) - {"camera"}
    for key in values:
        if key not in known:
            raise ConfigError(f"{where}: unknown setting {key}{nearest(key, known | {'name'})}")
    inherited = {key: getattr(defaults, key) for key in known - {"source"}}
    try:
        return CameraSettings(camera=name, **inherited | values)
    except ValidationError as exc:
        error = exc.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in error["loc"]).replace("camera", "name")
        raise ConfigError(f"{where}: {field}: {error['msg'].removeprefix('Value error, ')}") from None
