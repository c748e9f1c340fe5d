"""Checks SCHEMA messages; errors name the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from singer_sdk.exceptions import InvalidJSONSchema

from singer_delivery.disclosure import shown
from singer_delivery.errors import Finding, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAPPING_SETTINGS = ("stream_maps", "flattening_enabled")


def check_schema_message(message: Mapping[str, Any]) -> None:
    """Refuse a SCHEMA message that does not describe its stream's records.

    Raises:
        InvalidJSONSchema: It does not.
    """
    schema, keys = message.get("schema"), message.get("key_properties")
    if not isinstance(schema, dict):
        wrong = "its SCHEMA is not an object"
    elif not isinstance(schema.get("properties"), dict):
        wrong = "its SCHEMA has no properties"
    elif keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        wrong = "key_properties of its SCHEMA is not a list of names"
    else:
        return
    raise InvalidJSONSchema(f"stream {shown(message['stream'])}: {wrong}; check the tap")


def unusable_maps(stream: str, error: Exception, config: Mapping[str, Any]) -> Exception:
    """The error for a SCHEMA that cannot be processed: blames the settings that change it, else the SCHEMA itself."""
    used = [name for name in MAPPING_SETTINGS if config.get(name)]
    if used:
        why = f"cannot be applied to the SCHEMA of stream {shown(stream)} ({type(error).__name__})"
        return SettingsError([Finding(" and ".join(used), why, "correct it, or leave it out")])
    return InvalidJSONSchema(
        f"stream {shown(stream)}: its SCHEMA cannot be used ({type(error).__name__}); check the tap"
    )
