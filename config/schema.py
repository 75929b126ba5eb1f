"""The JSON schema of `streamer.toml`, made from the settings."""

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from config.settings import Settings
from config.types import format_duration


class _Generator(GenerateJsonSchema):
    """Writes the default of a duration as a user would: pydantic would write `PT0.02S`."""

    def encode_default(self, dft: Any) -> Any:
        return format_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def settings_schema() -> dict[str, Any]:
    """Return the schema that editors check `streamer.toml` by."""
    return Settings.model_json_schema(schema_generator=_Generator)
