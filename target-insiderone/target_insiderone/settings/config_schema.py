"""Every setting of the target, declared once: type, title, default, unit, meaning.

The README's table, ``--about``, the defaults of :mod:`target_insiderone.settings.settings` and the checks of
:mod:`singer_delivery.settings.findings` all come from here. Numbers are integers throughout, because settings of type
``number`` cannot come from the environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from singer_delivery.settings.declarations import choice, count, delivery_properties, flag, row, rows, secret, setting

if TYPE_CHECKING:
    from singer_delivery.settings.declarations import Schema

USERS_PER_REQUEST = 1_000
"""The API's maximum. Source: Upsert User Data, https://academy.insiderone.com/docs/upsert-user-data-api."""

BYTES_PER_REQUEST = 5_000_000
"""The API's maximum, decimal, counted on the raw body. Source: API Status and Error Codes."""

REQUESTS_PER_MINUTE = 25_000
"""The API's maximum, shared by upsert and attribute/delete. Source: API Rate Limits."""

_TEXT: Schema = {"type": "string"}
_SOURCE: Schema = {"type": ["string", "array"], "items": _TEXT, "minItems": 1}
_TRANSFORM: Schema = {"type": ["string", "array", "null"], "items": _TEXT}
_FIXED_VALUE: Schema = {"type": ["string", "number", "boolean", "array"], "items": {"type": ["string", "number"]}}


_PARAMETER_MAPPING = row(
    {"source_field": _SOURCE, "parameter": _TEXT},
    {"transform": _TRANSFORM, "when": {"enum": ["each", "whole", None]}},
)
_FIXED_PARAMETER = row({"parameter": _TEXT, "value": _FIXED_VALUE})


_COMMON = delivery_properties(
    destination="Insider One",
    plugin="target-insiderone",
    integration_name="klaviyo",
    rows="users",
    most_rows=USERS_PER_REQUEST,
    most_bytes=BYTES_PER_REQUEST,
    most_per_minute=REQUESTS_PER_MINUTE,
)
"""The common settings of targets on the engine, with Insider One's limits."""

PROPERTIES: dict[str, Schema] = {
    "partner_name": {
        "type": "string",
        "title": "Partner name",
        "description": "Name of the Insider One account, lower case; sent as X-PARTNER-NAME.",
    },
    "api_key": secret(
        {
            "type": "string",
            "title": "API key",
            "description": "Insider One API key of type Unified Customer Database (UCD); sent as X-REQUEST-TOKEN.",
        },
    ),
    "integration_name": _COMMON.pop("integration_name"),
    "identifier_mappings": {
        "type": "array",
        "items": row({"identifier_type": _TEXT, "source_field": _SOURCE}, {"transform": _TRANSFORM}),
        "minItems": 1,
        "title": "Identifier mappings",
        "description": "List of {identifier_type, source_field, transform?}; the type is email, phone_number, uuid or "
        "custom.<name>. One type mapped twice: the first valid value wins.",
    },
    "attribute_mappings": rows(
        "Attribute mappings",
        row({"source_field": _SOURCE, "attribute": _TEXT}, {"transform": _TRANSFORM}),
        "List of {source_field, attribute, transform?}. Default attributes of Insider One are written at the root, all "
        "others become custom attributes.",
    ),
    "fixed_attributes": rows(
        "Fixed attributes",
        row({"attribute": _TEXT, "value": _FIXED_VALUE}),
        "List of {attribute, value}, written on every profile; a fixed value wins over a mapped column.",
    ),
    "event_mappings": rows(
        "Event mappings",
        row(
            {"metric_name": _TEXT, "event_type": _TEXT},
            {
                "for_each": {"type": ["string", "null"]},
                "parameter_mappings": {"type": ["array", "null"], "items": _PARAMETER_MAPPING},
                "fixed_parameters": {"type": ["array", "null"], "items": _FIXED_PARAMETER},
            },
        ),
        "List of {metric_name, event_type, for_each?, parameter_mappings?, fixed_parameters?}. Metrics not listed are "
        "filtered and counted. for_each names a list: each of its items makes one event.",
    ),
    "event_parameter_mappings": rows(
        "Event parameter mappings",
        _PARAMETER_MAPPING,
        "List of {source_field, parameter, transform?, when?} for every mapped event; a row of the event mapping for "
        "the same parameter wins.",
    ),
    "fixed_event_parameters": rows(
        "Fixed event parameters",
        _FIXED_PARAMETER,
        "List of {parameter, value}, written on every event; a fixed value wins over a mapped column.",
    ),
    "default_currency": setting(
        "Default currency",
        {"type": "string"},
        "ISO 4217 code for purchase-like events that carry no currency.",
    ),
    "skip_hook": flag(
        "Skip hook",
        "Send skip_hook: true with every request, so that no journey is started. Insider One must have enabled it for "
        "the account.",
    ),
    "skip_hook_older_than_hours": count(
        "Skip hook for old records",
        "Events that happened, and profiles that last changed, longer ago than this are sent in separate requests with "
        "skip_hook: true; 0 switches it off. Newer ones may start journeys: for a backfill that starts none at all, "
        "set skip_hook.",
        default=24,
        unit="hours",
        minimum=0,
    ),
    "phone_number_settings": setting(
        "Phone number settings",
        {
            "type": "object",
            "properties": {
                "normalize": {"type": ["boolean", "null"]},
                "default_country": {"type": ["string", "null"]},
            },
            "additionalProperties": False,
        },
        "normalize: strip separators and convert national numbers to E.164. default_country: region (TR) or calling "
        "code (+90) of national numbers.",
        default={"normalize": True, "default_country": None},
    ),
    "identifier_settings": setting(
        "Identifier settings",
        {
            "type": "object",
            "properties": {"on_invalid": {"enum": ["skip_identifier", "skip_record", None]}},
            "additionalProperties": False,
        },
        "on_invalid: leave an invalid identifier out (skip_identifier) or reject the whole record (skip_record).",
        default={"on_invalid": "skip_identifier"},
    ),
    "array_mode": choice(
        "Array mode",
        "Whether an array attribute replaces what Insider One holds, or is appended to it.",
        "replace",
        "append",
    ),
    "null_handling": choice(
        "Null handling",
        "omit: a null or absent attribute is left out of the request. delete: it is cleared in Insider One. Never "
        "applied to opt-ins.",
        "omit",
        "delete",
    ),
    "event_retention": choice(
        "Event retention",
        "Events older than Insider One keeps: skip (filtered and counted) or send (Insider One drops them).",
        "skip",
        "send",
    ),
    "custom_event_retention_days": count(
        "Retention of custom events",
        "How long Insider One keeps custom events of this account.",
        default=90,
        unit="days",
    ),
    "future_events": choice(
        "Future events", "Events dated after now: send or skip (filtered and counted).", "send", "skip"
    ),
    "stream_kinds": setting(
        "Stream kinds",
        {"type": "object", "additionalProperties": {"enum": ["profile", "event"]}},
        "Stream name -> profile or event. Names given here are added to the default; any other stream is an error.",
        default={"profiles": "profile", "subscription_changes": "profile", "events": "event"},
    ),
    **_COMMON,
    "error_callback_endpoint": secret(
        setting(
            "Error callback endpoint",
            {"type": "string"},
            "https URL to which Insider One reports failures after acceptance; sent with every upsert.",
        ),
    ),
    "api_url": setting(
        "API URL",
        {"type": "string", "minLength": 1},
        "Base URL of Insider One's unification API.",
        default="https://unification.useinsider.com",
    ),
}

CONFIG_JSONSCHEMA: Schema = {
    "type": "object",
    "properties": dict(PROPERTIES),  # a copy, because the SDK adds its own settings to it
    "required": ["partner_name", "api_key", "identifier_mappings"],
}
