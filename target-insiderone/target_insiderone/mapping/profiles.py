"""Maps a Klaviyo profile to an Insider One user."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from singer_delivery.errors import Filtered
from singer_delivery.mapping.generated import compile_fill, compile_get
from singer_delivery.mapping.sources import NO_ITEM, Getter, Record
from singer_delivery.mapping.values import UnusableValueError, is_blank

from target_insiderone.mapping.consent import consent_source, consent_stamp
from target_insiderone.mapping.fits import compile_column, split_fixed
from target_insiderone.mapping.identifiers import compile_profile_identifiers
from target_insiderone.mapping.mapped import MappedProfile
from target_insiderone.mapping.properties import WILDCARD, compile_properties
from target_insiderone.mapping.vocabulary import ATTRIBUTES, CUSTOM_NAMES_LIMIT, IDENTIFIERS, OPT_INS, full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from singer_delivery.mapping.columns import Column, Note

    from target_insiderone.mapping.rows import AttributeMapping
    from target_insiderone.settings.settings import Settings

BAG = "properties"
KEPT = frozenset({*IDENTIFIERS, "gdpr_optin"})
"""Attributes that a null never clears, besides opt-ins: missing consent is no decision, identifiers cannot go."""


def compile_profiles(settings: Settings) -> Callable[[Record], MappedProfile]:
    """Compile the profile mapping.

    A value that its transform or its attribute cannot take is left out and noted; it never rejects the record. For any
    JSON object, the result raises only ``Rejected`` or ``Filtered``.
    """
    resolve = compile_profile_identifiers(settings)
    fixed_root, fixed_custom = split_fixed(settings.fixed_attributes, ATTRIBUTES)
    columns, optin_columns = _compile_columns(settings)
    fill = compile_fill(columns, BAG, with_item=False)
    optin_rows = [(column, compile_get(column.sources, BAG)) for column in optin_columns]
    fill_properties = compile_properties(settings)
    deletes = settings.null_handling == "delete"
    replaces = settings.array_mode == "replace"

    def map_profile(record: Record) -> MappedProfile:
        identifiers, notes = resolve(record)
        attributes: dict[str, Any] = {}
        custom: dict[str, Any] = {}
        null_properties: list[str] = []
        left_out = fill(record, NO_ITEM, attributes, custom)
        notes += left_out
        optins = _fill_optins(optin_rows, record, attributes, notes, has_number="phone_number" in identifiers)
        if fill_properties is not None:
            notes += fill_properties(record, custom, null_properties)
        if deletes:
            null_properties += sorted(_drop_empty_lists(attributes, custom) - {column.name for column in columns})
        delete = _deletion(columns, attributes, custom, left_out, null_properties) if deletes else {}
        attributes |= fixed_root
        custom |= fixed_custom
        if custom:
            attributes["custom"] = custom
            if len(custom) > CUSTOM_NAMES_LIMIT:
                notes.append(("too_many_custom_attributes", "attributes.custom"))
        user: dict[str, Any] = {"identifiers": identifiers}
        if attributes:
            user["attributes"] = attributes
        elif not delete:
            raise Filtered("no_attributes")
        if replaces:
            user["not_append"] = True
        return MappedProfile(user, identifiers, delete, optins, tuple(notes))

    return map_profile


def _compile_columns(settings: Settings) -> tuple[list[Column], list[Column]]:
    """Compile the columns; those of opt-ins are returned separately."""
    columns = [
        compile_column(row.attribute, row.sources, row.transforms, defaults=ATTRIBUTES)
        for row in _column_rows(settings)
    ]
    optins = [column for column in columns if column.name in OPT_INS and not column.custom]
    return [column for column in columns if column not in optins], optins


def _column_rows(settings: Settings) -> list[AttributeMapping]:
    """The rows that fill one attribute each; rows overridden by a fixed value are left out."""
    fixed = {full_name(row.name, ATTRIBUTES) for row in settings.fixed_attributes}
    rows = (
        row
        for row in settings.attribute_mappings
        if row.attribute != WILDCARD and full_name(row.attribute, ATTRIBUTES) not in fixed
    )
    return [_with_suppression(row) for row in rows]


def _with_suppression(row: AttributeMapping) -> AttributeMapping:
    """Pass the whole object of a channel to the transform ``consent``, even if the row names only the consent."""
    if not any(transform.partition(":")[0] == "consent" for transform in row.transforms):
        return row
    return replace(row, sources=tuple(consent_source(name) for name in row.sources))


def _fill_optins(
    rows: Iterable[tuple[Column, Getter]],
    record: Record,
    attributes: dict[str, Any],
    notes: list[Note],
    *,
    has_number: bool,
) -> dict[str, tuple[bool, str]]:
    """Write the opt-ins into *attributes*; returns each with a string that identifies the decision."""
    optins: dict[str, tuple[bool, str]] = {}
    for column, get in rows:
        name, given = column.name, get(record, NO_ITEM)
        if given is None and not column.fills_null:
            continue
        try:
            given, value = column.convert(given)
        except UnusableValueError as error:
            notes.append((error.code, column.source))
            continue
        if value is None:
            continue
        if value and name == "sms_optin" and not has_number:
            notes.append(("optin_without_phone_number", name))
            continue
        attributes[name] = value
        optins[name] = (value, consent_stamp(given))
    return optins


def _drop_empty_lists(attributes: dict[str, Any], custom: dict[str, Any]) -> set[str]:
    """Remove empty lists, which count as null; returns the custom names that had one."""
    names: set[str] = set()
    for written in (attributes, custom):
        names = {name for name, value in written.items() if type(value) is list and is_blank(value)}
        for name in names:
            del written[name]
    return names


def _deletion(
    columns: Iterable[Column],
    attributes: dict[str, Any],
    custom: dict[str, Any],
    notes: list[Note],
    null_properties: list[str],
) -> dict[str, Any]:
    """What attribute/delete is to clear: mapped attributes that are null or absent, but not merely unusable."""
    unusable = {source for _, source in notes}
    empty = [column for column in columns if column.source not in unusable]
    whole = [column.name for column in empty if not column.custom and column.name not in {*attributes, *KEPT}]
    custom_whole = [column.name for column in empty if column.custom and column.name not in custom] + null_properties
    return ({"whole": whole} if whole else {}) | ({"custom": {"whole": custom_whole}} if custom_whole else {})
