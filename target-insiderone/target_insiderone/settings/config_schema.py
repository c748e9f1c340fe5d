"""Every setting of the target, declared once: type, title, default, unit, meaning.

The README's table, ``--about``, the defaults of :mod:`target_insiderone.settings.settings` and the checks of
:mod:`singer_delivery.settings.findings` all come from here. Numbers are integers throughout, because settings of type
``number`` cannot come from the environment.
"""

from __future__ import annotations

from typing import Any

USERS_PER_REQUEST = 1_000
"""The API's maximum. Source: Upsert User Data, https://academy.insiderone.com/docs/upsert-user-data-api."""

BYTES_PER_REQUEST = 5_000_000
"""The API's maximum, decimal, counted on the raw body. Source: API Status and Error Codes."""

REQUESTS_PER_MINUTE = 25_000
"""The API's maximum, shared by upsert and attribute/delete. Source: API Rate Limits."""

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_SOURCE: Schema = {"type": ["string", "array"], "items": _TEXT, "minItems": 1}
_TRANSFORM: Schema = {"type": ["string", "array", "null"], "items": _TEXT}
_FIXED_VALUE: Schema = {"type": ["string", "number", "boolean", "array"], "items": {"type": ["string", "number"]}}


def _row(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


_PARAMETER_MAPPING = _row(
    {"source_field": _SOURCE, "parameter": _TEXT},
    {"transform": _TRANSFORM, "when": {"enum": ["each", "whole", None]}},
)
_FIXED_PARAMETER = _row({"parameter": _TEXT, "value": _FIXED_VALUE})


def _setting(title: str, schema: Schema, description: str, *, default: Any = None, unit: str = "") -> Schema:
    """Declare one optional setting; an explicit null means the default, as where the setting is absent."""
    kinds = schema.get("type", [])
    nullable = [*([kinds] if isinstance(kinds, str) else kinds), "null"]
    declared = {"title": title, "description": description, **schema, "type": nullable, "default": default}
    return declared | ({"unit": unit} if unit else {})


def _count(
    title: str, description: str, *, default: int, unit: str, minimum: int = 1, maximum: int | None = None
) -> Schema:
    limits = {"minimum": minimum} | ({} if maximum is None else {"maximum": maximum})
    return _setting(title, {"type": "integer", **limits}, description, default=default, unit=unit)


def _flag(title: str, description: str, *, default: bool = False) -> Schema:
    return _setting(title, {"type": "boolean"}, description, default=default)


def _choice(title: str, description: str, *options: str) -> Schema:
    return _setting(title, {"type": "string", "enum": [*options, None]}, description, default=options[0])


def _rows(title: str, row: Schema, description: str) -> Schema:
    return _setting(title, {"type": "array", "items": row}, description, default=[])


def _secret(schema: Schema) -> Schema:
    return schema | {"writeOnly": True, "secret": True}


PROPERTIES: dict[str, Schema] = {
    "partner_name": {
        "type": "string",
        "title": "Partner name",
        "description": "Name of the Insider One account, lower case; sent as X-PARTNER-NAME.",
    },
    "api_key": _secret(
        {
            "type": "string",
            "title": "API key",
            "description": "Insider One API key of type Unified Customer Database (UCD); sent as X-REQUEST-TOKEN.",
        },
    ),
    "integration_name": _setting(
        "Integration name",
        {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$"},
        "Unique name of this pipeline (letters, digits, dots, dashes, underscores): separates ledger, rejects and "
        "summaries of pipelines that share a data folder, and stands in every log line.",
        default="klaviyo",
    ),
    "identifier_mappings": {
        "type": "array",
        "items": _row({"identifier_type": _TEXT, "source_field": _SOURCE}, {"transform": _TRANSFORM}),
        "minItems": 1,
        "title": "Identifier mappings",
        "description": "List of {identifier_type, source_field, transform?}; the type is email, phone_number, uuid or "
        "custom.<name>. One type mapped twice: the first valid value wins.",
    },
    "attribute_mappings": _rows(
        "Attribute mappings",
        _row({"source_field": _SOURCE, "attribute": _TEXT}, {"transform": _TRANSFORM}),
        "List of {source_field, attribute, transform?}. Default attributes of Insider One stand at the root, all "
        "others become custom attributes.",
    ),
    "fixed_attributes": _rows(
        "Fixed attributes",
        _row({"attribute": _TEXT, "value": _FIXED_VALUE}),
        "List of {attribute, value}, written on every profile; a fixed value wins over a mapped column.",
    ),
    "event_mappings": _rows(
        "Event mappings",
        _row(
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
    "event_parameter_mappings": _rows(
        "Event parameter mappings",
        _PARAMETER_MAPPING,
        "List of {source_field, parameter, transform?, when?} for every mapped event; a row of the event mapping for "
        "the same parameter wins.",
    ),
    "fixed_event_parameters": _rows(
        "Fixed event parameters",
        _FIXED_PARAMETER,
        "List of {parameter, value}, written on every event; a fixed value wins over a mapped column.",
    ),
    "default_currency": _setting(
        "Default currency",
        {"type": "string"},
        "ISO 4217 code for purchase-like events that carry no currency.",
    ),
    "skip_hook": _flag(
        "Skip hook",
        "Send skip_hook: true with every request, so that nothing starts a journey. Insider One must have enabled it "
        "for the account.",
    ),
    "skip_hook_older_than_hours": _count(
        "Skip hook for what is old",
        "Events that happened, and profiles that last changed, longer ago than this go in requests of their own with "
        "skip_hook: true; 0 switches it off. What is younger may start journeys: for a backfill that starts none at "
        "all, set skip_hook.",
        default=24,
        unit="hours",
        minimum=0,
    ),
    "phone_number_settings": _setting(
        "Phone number settings",
        {
            "type": "object",
            "properties": {
                "normalize": {"type": ["boolean", "null"]},
                "default_country": {"type": ["string", "null"]},
            },
            "additionalProperties": False,
        },
        "normalize: strip separators and bring national numbers to E.164. default_country: region (TR) or calling code "
        "(+90) of national numbers.",
        default={"normalize": True, "default_country": None},
    ),
    "identifier_settings": _setting(
        "Identifier settings",
        {
            "type": "object",
            "properties": {"on_invalid": {"enum": ["skip_identifier", "skip_record", None]}},
            "additionalProperties": False,
        },
        "on_invalid: leave an invalid identifier out (skip_identifier) or reject the whole record (skip_record).",
        default={"on_invalid": "skip_identifier"},
    ),
    "array_mode": _choice(
        "Array mode",
        "Whether an array attribute replaces what Insider One holds, or is appended to it.",
        "replace",
        "append",
    ),
    "null_handling": _choice(
        "Null handling",
        "omit: a null or absent attribute is left out of the request. delete: it is cleared in Insider One. Never "
        "applied to opt-ins.",
        "omit",
        "delete",
    ),
    "event_retention": _choice(
        "Event retention",
        "Events older than Insider One keeps: skip (filtered and counted) or send (Insider One drops them).",
        "skip",
        "send",
    ),
    "custom_event_retention_days": _count(
        "Retention of custom events",
        "How long Insider One keeps custom events of this account.",
        default=90,
        unit="days",
    ),
    "future_events": _choice(
        "Future events", "Events dated after now: send or skip (filtered and counted).", "send", "skip"
    ),
    "stream_kinds": _setting(
        "Stream kinds",
        {"type": "object", "additionalProperties": {"enum": ["profile", "event"]}},
        "Stream name -> profile or event. Names given here are added to the default; any other stream is an error.",
        default={"profiles": "profile", "subscription_changes": "profile", "events": "event"},
    ),
    "batch_size_rows": _count(
        "Batch size in rows",
        "Most users in one request.",
        default=USERS_PER_REQUEST,
        unit="users",
        maximum=USERS_PER_REQUEST,
    ),
    "batch_size_bytes": _count(
        "Batch size in bytes",
        "Most bytes in one request body.",
        default=BYTES_PER_REQUEST,
        unit="bytes",
        minimum=10_000,
        maximum=BYTES_PER_REQUEST,
    ),
    "max_parallel_requests": _count(
        "Parallel requests",
        "Most requests under way at once; one person's writes keep their order.",
        default=4,
        unit="requests",
        maximum=64,
    ),
    "rate_limit_per_minute": _count(
        "Rate limit",
        "Most requests a minute.",
        default=REQUESTS_PER_MINUTE,
        unit="requests per minute",
        maximum=REQUESTS_PER_MINUTE,
    ),
    "request_timeout_seconds": _count(
        "Request timeout",
        "How long to wait for a connection, or for data. An answer that is not whole after five times as long is given "
        "up, and the request tried again.",
        default=60,
        unit="seconds",
    ),
    "max_retry_seconds": _count(
        "Retry budget",
        "How long one request is tried again before the run gives up.",
        default=900,
        unit="seconds",
        minimum=0,
    ),
    "data_dir": _setting(
        "Data folder",
        {"type": "string", "minLength": 1},
        "Folder of rejects, ledger and run summaries (mode 0700).",
        default=".target-insiderone",
    ),
    "ledger_url": _secret(
        _setting(
            "Ledger URL",
            {"type": "string"},
            "SQLAlchemy URL of the ledger, such as PostgreSQL, for pipelines that share it; default: an SQLite file in "
            "data_dir.",
        ),
    ),
    "ledger_days": _count(
        "Ledger memory",
        "How long the ledger remembers what was delivered; 0 switches it off.",
        default=30,
        unit="days",
        minimum=0,
    ),
    "optins_without_memory": _choice(
        "Opt-ins without memory",
        "What to do with opt-ins (true) of before the ledger began, where there were earlier runs that it does not "
        "know: withhold them, since people may have opted out inside Insider One, or send them.",
        "withhold",
        "send",
    ),
    "skip_unchanged": _flag(
        "Skip unchanged profiles",
        "Do not send a profile whose mapped content was delivered before.",
    ),
    "max_rejects": _setting(
        "Rejects allowed",
        # "number", not "integer": the SDK would turn a value from the environment into an int, and fail on "10%".
        {"type": ["string", "number"]},
        "Rows (N) or share of the rows (N%, above 100 rows) that may be rejected before the run fails.",
        default="10%",
        unit="rows or percent",
    ),
    "on_nothing_delivered": _choice(
        "Nothing delivered",
        "What becomes of a run of which nothing was delivered in a stream, because no record had a mapped identifier "
        "or attribute, or all were rejected: fail (exit code 3, no STATE) or warn. Where fewer than 100 records came, "
        "none newly rejected, settings that delivered before only warn.",
        "fail",
        "warn",
    ),
    "rejects_max_mb": _count("Size of the rejects file", "The oldest go first.", default=512, unit="MB"),
    "rejects_max_days": _count(
        "Age of rejects", "Older rejects, run summaries and dry runs go.", default=90, unit="days"
    ),
    "dry_run": _flag(
        "Dry run",
        "Write the requests to dry-run-<run>.jsonl in data_dir; send nothing, emit no STATE, leave the ledger alone.",
    ),
    "error_callback_endpoint": _secret(
        _setting(
            "Error callback endpoint",
            {"type": "string"},
            "https URL to which Insider One reports what fails after it was accepted; sent along with every upsert.",
        ),
    ),
    "api_url": _setting(
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
