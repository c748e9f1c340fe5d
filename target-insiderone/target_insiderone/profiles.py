"""Klaviyo profile -> Insider One user."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from target_insiderone.columns import Column, compile_column, fill, split_fixed
from target_insiderone.consent import consent_source, consent_stamp
from target_insiderone.errors import Filtered
from target_insiderone.identifiers import compile_profile_identifiers
from target_insiderone.mapped import MappedProfile
from target_insiderone.properties import WILDCARD, compile_properties
from target_insiderone.sources import NO_ITEM, Getter, Record, compile_source
from target_insiderone.vocabulary import ATTRIBUTES, CUSTOM_NAMES_LIMIT, IDENTIFIERS, OPT_INS, full_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from target_insiderone.mapped import Note
    from target_insiderone.settings import AttributeMapping, Settings

BAG = "properties"
KEPT = frozenset({*IDENTIFIERS, *OPT_INS, "gdpr_optin"})
"""Attributes that a null never clears: a missing consent is no decision, and identifiers cannot be deleted."""


def compile_profiles(settings: Settings) -> Callable[[Record], MappedProfile]:
    """Compile the profile mapping.

    A value that its transform or its attribute cannot take is left out and noted; it never costs the record. The result
    raises ``Rejected`` or ``Filtered``, and nothing else, whatever JSON object it is given.
    """
    resolve = compile_profile_identifiers(settings)
    fixed_root, fixed_custom = split_fixed(settings.fixed_attributes, ATTRIBUTES)
    rows = _column_rows(settings)
    columns = [compile_column(row.attribute, row.sources, row.transforms, bag=BAG, defaults=ATTRIBUTES) for row in rows]
    stamped = [(row.attribute, compile_source(row.sources, BAG)) for row in rows if row.attribute in OPT_INS]
    fill_properties = compile_properties(settings)
    deletes = settings.null_handling == "delete"
    flags = {"not_append": True} if settings.array_mode == "replace" else {}

    def map_profile(record: Record) -> MappedProfile:
        identifiers, notes = resolve(record)
        attributes: dict[str, Any] = {}
        custom: dict[str, Any] = {}
        notes += fill(columns, record, NO_ITEM, attributes, custom)
        null_properties: list[str] = []
        delete = _nulls(columns, attributes, custom, notes) if deletes else {}
        if fill_properties is not None:
            notes += fill_properties(record, custom, null_properties)
        if attributes.get("sms_optin") is True and "phone_number" not in identifiers:
            del attributes["sms_optin"]
            notes.append(("optin_without_phone_number", "sms_optin"))
        optins = _optins(stamped, record, attributes)
        attributes |= fixed_root
        custom |= fixed_custom
        if custom:
            attributes["custom"] = custom
            if len(custom) > CUSTOM_NAMES_LIMIT:
                notes.append(("too_many_custom_attributes", "attributes.custom"))
        if deletes and null_properties:
            delete.setdefault("custom", {}).setdefault("whole", []).extend(null_properties)
        if not attributes and not delete:
            raise Filtered("no_attributes")
        user = {"identifiers": identifiers, **({"attributes": attributes} if attributes else {}), **flags}
        return MappedProfile(user, identifiers, delete, optins, tuple(notes))

    return map_profile


def _column_rows(settings: Settings) -> list[AttributeMapping]:
    """List the rows that fill one attribute each; those under a fixed value have no effect and are left out."""
    fixed = {full_name(row.name, ATTRIBUTES) for row in settings.fixed_attributes}
    rows = (
        row
        for row in settings.attribute_mappings
        if row.attribute != WILDCARD and full_name(row.attribute, ATTRIBUTES) not in fixed
    )
    return [_with_suppression(row) for row in rows]


def _with_suppression(row: AttributeMapping) -> AttributeMapping:
    """Let the transform ``consent`` see the whole object of a channel, even where the row names the consent alone."""
    if not any(transform.partition(":")[0] == "consent" for transform in row.transforms):
        return row
    return replace(row, sources=tuple(consent_source(name) for name in row.sources))


def _optins(
    stamped: Iterable[tuple[str, Getter]], record: Record, attributes: dict[str, Any]
) -> dict[str, tuple[bool, str]]:
    return {
        name: (attributes[name], consent_stamp(get(record, NO_ITEM))) for name, get in stamped if name in attributes
    }


def _nulls(
    columns: Iterable[Column], attributes: dict[str, Any], custom: dict[str, Any], notes: list[Note]
) -> dict[str, Any]:
    """List what attribute/delete clears: mapped, but null or absent, and not merely unusable."""
    unusable = {source for _, source in notes}
    empty = [column for column in columns if column.source not in unusable]
    whole = [
        column.name
        for column in empty
        if not column.custom and column.name not in attributes and column.name not in KEPT
    ]
    custom_whole = [column.name for column in empty if column.custom and column.name not in custom]
    return ({"whole": whole} if whole else {}) | ({"custom": {"whole": custom_whole}} if custom_whole else {})
