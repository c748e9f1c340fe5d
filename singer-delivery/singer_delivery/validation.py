"""Validates records against the SCHEMA of their stream; errors name the field, never the value."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NoReturn

import jsonschema_rs
from singer_sdk.exceptions import InvalidJSONSchema, InvalidRecord
from singer_sdk.sinks.core import BaseJSONSchemaValidator

from singer_delivery.disclosure import shown

Record = dict[str, Any]


class RecordValidator(BaseJSONSchemaValidator):
    """Compiled JSON Schema validation.

    In addition, a value declared as date or date-time must be one (a space instead of the ``T`` is accepted).
    """

    def __init__(self, schema: dict[str, Any]) -> None:
        super().__init__(schema)
        try:
            self._validator = jsonschema_rs.validator_for(schema, validate_formats=False, retriever=refuse_to_fetch)
        except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
            raise InvalidJSONSchema(
                f"its SCHEMA cannot be used{place_of(error)}: it is not a JSON Schema, refers to another document "
                "(nothing is fetched), or is nested too deeply; check the tap"
            ) from None
        self._dates = [
            name
            for name, declared in schema.get("properties", {}).items()
            if isinstance(declared, dict) and declared.get("format") in {"date", "date-time"}
        ]

    def validate(self, record: Record) -> None:
        """Check one record.

        Raises:
            InvalidRecord: The message is the path of the invalid field.
        """
        if not self._validator.is_valid(record):
            try:
                error = next(iter(self._validator.iter_errors(record)))
            except ValueError:  # the error would quote a number that is too long for Python to format
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
    """Refuse to fetch other documents that a SCHEMA refers to, from the network or from files.

    Raises:
        ValueError: Always.
    """
    raise ValueError("a SCHEMA refers to another document")


def place_of(error: Exception) -> str:
    """The path of the mistake in the SCHEMA, if the error has one, with redacted names."""
    path = ".".join(shown(part) for part in getattr(error, "instance_path", ()))
    return f" at {path}" if path else ""


class InvalidDateTimeError(InvalidRecord):
    """A value that is declared as date or date-time, but is not one."""
