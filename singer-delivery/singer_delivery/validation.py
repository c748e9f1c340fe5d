"""Records are held to the SCHEMA of their stream; an error names the field, and never the value."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn

import jsonschema_rs
from singer_sdk.exceptions import InvalidJSONSchema, InvalidRecord
from singer_sdk.sinks.core import BaseJSONSchemaValidator

from singer_delivery.disclosure import shown

Record = dict[str, Any]


class RecordValidator(BaseJSONSchemaValidator):
    """Compiled JSON Schema validation whose errors name the field and never the value.

    Beyond the schema: a declared date or date-time must be one (a blank instead of the ``T`` is accepted).
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__(schema)
        try:
            self._validator = jsonschema_rs.validator_for(schema, validate_formats=False, retriever=refuse_to_fetch)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise InvalidJSONSchema(
                f"its SCHEMA cannot be used{place_of(error)}: it is no JSON Schema, refers to another document "
                "(nothing is fetched), or is nested too deep; look at the tap"
            ) from None
        self._dates = [
            name
            for name, declared in schema.get("properties", {}).items()
            if isinstance(declared, dict) and declared.get("format") in {"date", "date-time"}
        ]

    def validate(self, record: Record) -> None:
        """Check one record.

        Raises:
            InvalidRecord: Its message is the path of the field at fault.
        """
        if not self._validator.is_valid(record):
            try:
                error = next(iter(self._validator.iter_errors(record)))
            except ValueError:  # the message of the error would quote a number too long for Python to write
                raise InvalidRecord("", record) from None
            raise InvalidRecord(".".join(map(str, error.instance_path)), record)
        for name in self._dates:
            value = record.get(name)
            if isinstance(value, str):
                try:
                    datetime.fromisoformat(value)
                except ValueError:
                    raise InvalidDateTimeError(name, record) from None


def refuse_to_fetch(_address: str) -> NoReturn:
    """Fetch nothing that a SCHEMA names, neither from the network nor from a file.

    Raises:
        ValueError: Always.
    """
    raise ValueError("a SCHEMA refers to another document")


def place_of(error: Exception) -> str:
    """Where in a SCHEMA its mistake stands, if the error says so: a path of names that are fit to be shown."""
    path = ".".join(shown(part) for part in getattr(error, "instance_path", ()))
    return f" at {path}" if path else ""


class InvalidDateTimeError(InvalidRecord):
    """A declared date-time that is none."""
