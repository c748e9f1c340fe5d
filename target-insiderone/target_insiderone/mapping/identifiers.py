"""Extracts the identifiers of a record."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from singer_delivery.errors import Filtered, Rejected
from singer_delivery.mapping.generated import compile_get
from singer_delivery.mapping.phone import compile_phone
from singer_delivery.mapping.placeholders import is_nobodys_email, stands_for_nobody
from singer_delivery.mapping.sources import NO_ITEM, Getter, Record
from singer_delivery.mapping.values import CONTAINERS, FORMAT_MARKS, UnusableValueError, is_blank, to_string, trim

from target_insiderone.mapping.transforms import compile_transforms
from target_insiderone.mapping.vocabulary import PROFILE_FIELDS

if TYPE_CHECKING:
    from singer_delivery.mapping.columns import Note
    from singer_delivery.mapping.transforms import Transform

    from target_insiderone.settings.settings import Settings

CUSTOM_PREFIX: Final = "custom."

EMAIL: Final = re.compile(r".+@.+\..+")
"""Insider One's own pattern, very loose; a value that does not match costs the whole user.

Matching time grows with the square of the length.
"""

LONGEST_EMAIL: Final = 320
"""No address is longer (64 characters before the ``@``, 255 after it)."""

Resolver = Callable[[Record], tuple[dict[str, Any], "list[Note]"]]
"""A record -> ``identifiers`` of the user, and notes.

In the order of the settings; of one type, the first value wins that is neither empty nor invalid. Raises ``Filtered``
if no identifier is present; ``Rejected`` if none of those present is valid, and, with ``on_invalid: skip_record``, if
one type has only invalid values. A blocked value counts as absent in both modes.
"""


class _Step(NamedTuple):
    identifier_type: str
    name: str
    custom: bool
    get: Getter
    check: Transform


def compile_profile_identifiers(settings: Settings) -> Resolver:
    """Compile the identifiers of a profile."""
    steps = _compile_steps(settings)
    skip_record = settings.on_invalid_identifier == "skip_record"

    def resolve(record: Record) -> tuple[dict[str, Any], list[Note]]:
        found: dict[str, Any] = {}
        custom: dict[str, Any] = {}
        notes: list[Note] = []
        for identifier_type, name, is_custom, get, check in steps:
            into = custom if is_custom else found
            if name in into:
                continue
            value = get(record, NO_ITEM)
            if value is None or (type(value) is str and not "!" <= value <= "~" and is_blank(value)):
                continue
            try:
                into[name] = check(value)
            except UnusableValueError as error:
                if type(value) in CONTAINERS and is_blank(value):
                    continue
                blocked = error.code == "identifier_blocked"
                notes.append(("identifier_blocked" if blocked else "identifier_skipped", identifier_type))
        if custom:
            found["custom"] = custom
        if notes:
            _refuse_invalid(found, custom, notes, skip_record=skip_record)
        elif not found:
            raise Filtered("no_identifier")
        return found, notes

    return resolve


def compile_event_identifiers(settings: Settings) -> Resolver:
    """Compile the identifiers of an event: sources are fields of its ``profile``, and ``id`` is its ``profile_id``.

    If the profile lacks the key of a mapped Klaviyo field, the tap does not fetch it: the field is noted, or, if there
    is no identifier, named in the hint.
    """
    resolve = compile_profile_identifiers(settings)
    sources = dict.fromkeys(name for row in settings.identifier_mappings for name in row.sources)
    fields = tuple(name for name in sources if name != "id")
    keys = set(fields)
    with_id = "id" in sources

    def resolve_event(record: Record) -> tuple[dict[str, Any], list[Note]]:
        profile = record.get("profile")
        person = profile if type(profile) is dict else NO_ITEM
        if with_id and (profile_id := record.get("profile_id")) is not None and not is_blank(profile_id):
            person = {**person, "id": profile_id}
        if type(profile) is not dict or profile.keys() >= keys:
            return resolve(person)
        missing = _missing_fields(profile, fields)
        try:
            identifiers, notes = resolve(person)
        except Filtered as error:
            raise Filtered(error.reason, _missing_hint(missing) if missing else "") from None
        return identifiers, notes + [("profile_field_missing", name) for name in missing]

    return resolve_event


def check_email(value: Any) -> str:
    """Trim an address, remove format characters within it, and match it with Insider One's pattern.

    Upper case is kept: ``transform: lower`` changes it.

    Raises:
        UnusableValueError: Not an address, or one built from placeholders.
    """
    address = trim(value) if type(value) is str else ""
    if not address.isascii():
        address = address.translate(FORMAT_MARKS)
    if len(address) <= LONGEST_EMAIL and EMAIL.fullmatch(address):
        if is_nobodys_email(address):
            raise UnusableValueError("identifier_blocked")
        return address
    raise UnusableValueError("identifier_blocked" if address and stands_for_nobody(address) else "identifier_skipped")


def check_key(value: Any) -> str:
    """Convert a uuid or a custom identifier to a string, as the API demands: numbers exactly, ``1001.0`` as ``1001``.

    Raises:
        UnusableValueError: Not a string or number, or a placeholder.
    """
    key = trim(value if type(value) is str else to_string(value))
    if not key or type(value) is bool:
        raise UnusableValueError("identifier_skipped")
    if stands_for_nobody(key):
        raise UnusableValueError("identifier_blocked")
    return key


def _missing_fields(profile: Record, fields: tuple[str, ...]) -> list[str]:
    properties = profile.get("properties")
    keys = profile.keys() | (properties.keys() if type(properties) is dict else set())
    return [
        name
        for name in fields
        if (head := name.partition(".")[0]) in PROFILE_FIELDS and name not in keys and head not in keys
    ]


def _missing_hint(missing: list[str]) -> str:
    return f"the event's profile carries no {', '.join(missing)}: add it to event_profile_fields of tap-klaviyo"


def _compile_steps(settings: Settings) -> tuple[_Step, ...]:
    """Compile one step for each source: a value that is invalid, or stands for nobody, leaves the word to the next."""
    checks: dict[str, Transform] = {
        "email": check_email,
        "phone_number": compile_phone(settings.default_country, normalize=settings.normalize_phone_numbers),
    }
    return tuple(
        _Step(
            row.identifier_type,
            row.identifier_type.removeprefix(CUSTOM_PREFIX),
            row.identifier_type.startswith(CUSTOM_PREFIX),
            compile_get([name], "properties"),
            _compile_check(row.transforms, checks.get(row.identifier_type, check_key)),
        )
        for row in settings.identifier_mappings
        for name in row.sources
    )


def _compile_check(transforms: tuple[str, ...], check: Transform) -> Transform:
    transform = compile_transforms(transforms)
    if transform is None:
        return check

    def check_transformed(value: Any) -> Any:
        return check(transform(value))

    return check_transformed


def _refuse_invalid(found: dict[str, Any], custom: dict[str, Any], notes: list[Note], *, skip_record: bool) -> None:
    """Refuse a record without a valid identifier, or with an invalid one if the settings say so.

    Raises:
        Rejected: With the identifier types concerned, never their values.
    """
    if not found:
        types = ", ".join(dict.fromkeys(identifier_type for _, identifier_type in notes))
        raise Rejected("no_valid_identifier", types)
    if not skip_record:
        return
    for code, identifier_type in notes:
        kept = custom if identifier_type.startswith(CUSTOM_PREFIX) else found
        if code == "identifier_skipped" and identifier_type.removeprefix(CUSTOM_PREFIX) not in kept:
            raise Rejected("invalid_identifier", identifier_type)
