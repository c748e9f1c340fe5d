"""Finds mistakes in the mappings of identifiers and attributes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from singer_delivery.errors import Finding
from singer_delivery.mapping.columns import FITS
from singer_delivery.mapping.transforms import TransformError
from singer_delivery.mapping.values import UnusableValueError, check_numbers
from singer_delivery.settings.raw_settings import Row, rows, string, strings
from singer_delivery.settings.suggestions import did_you_mean, same_letters, similar

from target_insiderone.mapping.properties import WILDCARD, WILDCARD_SOURCE, snake_case
from target_insiderone.mapping.transforms import compile_transforms
from target_insiderone.mapping.vocabulary import (
    ATTRIBUTES,
    CUSTOM_NAMES_LIMIT,
    IDENTIFIERS,
    OPT_INS,
    custom_name,
    full_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from singer_delivery.mapping.columns import ValueType

IDENTIFIER_ALIASES: Final[Mapping[str, str]] = {
    "phone": "phone_number",
    "mobile": "phone_number",
    "gsm": "phone_number",
    "mail": "email",
    "e-mail": "email",
    "id": "uuid",
    "user_id": "uuid",
    "external_id": "uuid",
}
ATTRIBUTE_ALIASES: Final[Mapping[str, str]] = {
    "first_name": "name",
    "last_name": "surname",
    "locale": "language",
    "birth_date": "birthday",
    "birthdate": "birthday",
    "date_of_birth": "birthday",
    "sex": "gender",
    "gdpr": "gdpr_optin",
    "list_id": "static_segment_id",
}
"""Names that other systems use -> Insider One's own."""

_CONSENT_SOURCE = re.compile(r"subscriptions\.\w+\.\w+(\.consent)?")
_CUSTOM_NAME = re.compile(r"[a-z0-9][a-z0-9_]*")


def check_mappings(config: Mapping[str, Any]) -> Iterator[Finding]:
    """Find mistakes in ``identifier_mappings``, ``attribute_mappings`` and ``fixed_attributes``."""
    yield from _check_identifiers(config)
    yield from _check_columns(config)
    yield from _check_fixed(config)
    names = {
        string(row, "attribute") for name in ("attribute_mappings", "fixed_attributes") for _, row in rows(config, name)
    }
    if len([name for name in names if custom_name(name, ATTRIBUTES)]) > CUSTOM_NAMES_LIMIT:
        yield Finding(
            "attribute_mappings",
            f"maps more than {CUSTOM_NAMES_LIMIT} custom attributes, Insider One's default limit",
            "ask Insider One to raise it, or map fewer",
            "warning",
        )


def check_transforms(path: str, row: Row) -> Iterator[Finding]:
    """Find unknown transforms and wrong arguments."""
    for spec in strings(row, "transform"):
        if not spec.strip():
            continue
        try:
            compile_transforms([spec])
        except TransformError as error:
            yield Finding(f"{path}.transform", str(error), error.suggestion)


def check_name(
    path: str, name: str, defaults: Mapping[str, ValueType], aliases: Mapping[str, str], what: str
) -> Iterator[Finding]:
    """Find names that are nearly one of Insider One's own, or that its panel would not accept."""
    custom = custom_name(name, defaults)
    if custom is None or not custom.strip():
        return
    if name == custom:
        wanted = f"or `custom.{name}` if a custom {what} is meant"
        if slip := same_letters(name, defaults):
            yield Finding(path, f"'{name}' is a misspelt default {what}", f"write `{slip}`, {wanted}")
            return
        if near := aliases.get(name) or similar(name, defaults):
            message = f"'{name}' will be a custom {what}"
            yield Finding(path, message, f"did you mean the default `{near}`? If not, `custom.{name}`", "warning")
    if not _CUSTOM_NAME.fullmatch(custom):
        suggestion = f"write `{snake_case(custom)}`" if snake_case(custom) else "use a-z, 0-9 and _"
        yield Finding(path, f"the custom {what} is not written in snake_case", suggestion, "warning")
    elif custom.startswith("c_"):
        message = f"'{custom}' has the prefix that Insider One adds itself"
        yield Finding(path, message, f"write `{custom.removeprefix('c_')}`", "warning")


def check_fixed_value(path: str, name: str, value: Any, defaults: Mapping[str, ValueType]) -> Iterator[Finding]:
    """Find fixed values that Insider One would not accept unchanged."""
    try:
        check_numbers([value])
    except UnusableValueError:
        yield Finding(f"{path}.value", "the number is outside the range of a double", "write a smaller one")
        return
    if name not in defaults or not isinstance(value, str | int | float | list):
        return
    kind = defaults[name]
    try:
        fitted = FITS[kind](value)
    except UnusableValueError as error:
        yield Finding(f"{path}.value", f"`{name}` cannot take it: {error.code}", f"it takes: {kind}")
    else:
        if fitted != value or type(fitted) is not type(value):
            yield Finding(f"{path}.value", f"`{name}` takes another form", f"write {fitted!r}")


def _check_identifiers(config: Mapping[str, Any]) -> Iterator[Finding]:
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for path, row in rows(config, "identifier_mappings"):
        identifier_type = string(row, "identifier_type")
        yield from check_transforms(path, row)
        yield from _check_identifier_type(f"{path}.identifier_type", identifier_type)
        key = (identifier_type, tuple(strings(row, "source_field")))
        if all(key) and key in seen:
            yield Finding(path, f"'{identifier_type}' is mapped from the same field twice", "remove one of the rows")
        seen.add(key)


def _check_identifier_type(path: str, identifier_type: str) -> Iterator[Finding]:
    if not identifier_type.strip() or identifier_type in IDENTIFIERS:
        return
    prefix, dot, name = identifier_type.partition(".")
    if dot and prefix == "custom":
        if not name.strip():
            yield Finding(path, "names no custom identifier", "write `custom.<name>`, as configured in Insider One")
        return
    alias = IDENTIFIER_ALIASES.get(identifier_type.lower())
    otherwise = f"one of {', '.join(IDENTIFIERS)}, or `custom.{identifier_type}`"
    yield Finding(
        path,
        f"'{identifier_type}' is not an identifier type",
        f"did you mean `{alias}`?" if alias else did_you_mean(identifier_type, IDENTIFIERS, otherwise),
    )


def _check_columns(config: Mapping[str, Any]) -> Iterator[Finding]:
    identifier_types = {string(row, "identifier_type") for _, row in rows(config, "identifier_mappings")}
    fixed = {full_name(string(row, "attribute"), ATTRIBUTES) for _, row in rows(config, "fixed_attributes")}
    seen: dict[str, str] = {}
    for path, row in rows(config, "attribute_mappings"):
        attribute = string(row, "attribute")
        yield from check_transforms(path, row)
        if not attribute.strip():
            continue
        name = full_name(attribute, ATTRIBUTES)
        if name in seen:
            yield Finding(
                f"{path}.attribute",
                f"'{attribute}' is mapped by two rows, see {seen[name]}",
                "remove one, or list both sources in the source_field of one row: the first that is not null wins",
            )
        seen.setdefault(name, path)
        if name in fixed:
            message = f"'{attribute}' also has a fixed value, which wins"
            yield Finding(f"{path}.attribute", message, "remove the row, or the fixed attribute", "warning")
        yield from _check_wildcard(path, attribute, strings(row, "source_field"))
        if attribute == WILDCARD:
            continue
        yield from check_name(f"{path}.attribute", attribute, ATTRIBUTES, ATTRIBUTE_ALIASES, "attribute")
        yield from _check_identifier_attribute(f"{path}.attribute", attribute, identifier_types)
        yield from _check_consent(path, attribute, row)


def _check_wildcard(path: str, attribute: str, sources: list[str]) -> Iterator[Finding]:
    is_wildcard = WILDCARD_SOURCE in sources
    if attribute == WILDCARD and sources != [WILDCARD_SOURCE]:
        yield Finding(f"{path}.source_field", "the attribute `*` takes all properties", f"write `{WILDCARD_SOURCE}`")
    elif is_wildcard and attribute != WILDCARD:
        yield Finding(f"{path}.attribute", f"`{WILDCARD_SOURCE}` does not fit into one attribute", "write `*`")


def _check_identifier_attribute(path: str, attribute: str, identifier_types: set[str]) -> Iterator[Finding]:
    if attribute in IDENTIFIERS and attribute in identifier_types:
        message = f"'{attribute}' is an identifier, which Insider One does not accept as an attribute, too"
        yield Finding(path, message, f"remove the row, or write `custom.{attribute}`")


def _check_consent(path: str, attribute: str, row: Row) -> Iterator[Finding]:
    """Check that opt-ins come from consent (CO-01, CO-02), and that ``gdpr_optin`` does not (CO-04)."""
    sources = strings(row, "source_field")
    transforms = [spec.partition(":")[0] for spec in strings(row, "transform")]
    consents = any(_CONSENT_SOURCE.fullmatch(source) for source in sources) or "consent" in transforms
    reachable = any(".can_receive" in source or source.startswith("can_receive") for source in sources)
    if attribute in (*OPT_INS, "gdpr_optin") and reachable:
        suggestion = "map `subscriptions.<channel>.marketing` with `transform: consent`"
        yield Finding(f"{path}.source_field", "can_receive_... says whom Klaviyo can reach, not who agreed", suggestion)
    elif attribute == "gdpr_optin":
        what = "is derived from consent: false would stop every channel" if consents else "is mapped from a field"
        suggestion = "remove the row, or use a fixed attribute"
        yield Finding(f"{path}.attribute", f"gdpr_optin {what}", suggestion, "error" if consents else "warning")
    elif attribute in OPT_INS and consents and "consent" not in transforms:
        yield Finding(
            f"{path}.transform", "consent is a word, but an opt-in is true or false", "write `transform: consent`"
        )


def _check_fixed(config: Mapping[str, Any]) -> Iterator[Finding]:
    identifier_types = {string(row, "identifier_type") for _, row in rows(config, "identifier_mappings")}
    seen: set[str] = set()
    for path, row in rows(config, "fixed_attributes"):
        attribute = string(row, "attribute")
        name = full_name(attribute, ATTRIBUTES)
        if attribute and name in seen:
            yield Finding(f"{path}.attribute", f"'{attribute}' is fixed twice", "remove one")
        seen.add(name)
        if attribute == WILDCARD:
            yield Finding(f"{path}.attribute", "`*` is not an attribute", "name one")
            continue
        yield from check_name(f"{path}.attribute", attribute, ATTRIBUTES, ATTRIBUTE_ALIASES, "attribute")
        yield from _check_identifier_attribute(f"{path}.attribute", attribute, identifier_types)
        yield from check_fixed_value(path, attribute, row.get("value"), ATTRIBUTES)
        if attribute in OPT_INS and row.get("value") is True:
            yield Finding(f"{path}.value", f"opts every person in to {attribute}", "map Klaviyo's consent", "warning")
