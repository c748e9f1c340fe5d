"""Helpers that declare settings as JSON Schema, and the settings that every target on the engine has.

Numbers are integers throughout, because settings of type ``number`` cannot come from the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

LONGEST = {"seconds": 366 * 86_400, "hours": 700_000 * 24, "days": 700_000}
"""Units of time, with the most that sockets and the calendar support; more of it has the same effect."""


def row(required: Schema, optional: Schema | None = None) -> Schema:
    """Declare a row of a list: an object with exactly these keys."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def setting(title: str, schema: Schema, description: str, *, default: Any = None, unit: str = "") -> Schema:
    """Declare one optional setting; an explicit null means the default, as if the setting were absent."""
    kinds = schema.get("type", [])
    nullable = [*([kinds] if isinstance(kinds, str) else kinds), "null"]
    declared = {"title": title, "description": description, **schema, "type": nullable, "default": default}
    return declared | ({"unit": unit} if unit else {})


def count(
    title: str, description: str, *, default: int, unit: str, minimum: int = 1, maximum: int | None = None
) -> Schema:
    """Declare a whole number."""
    limits = {"minimum": minimum} | ({} if maximum is None else {"maximum": maximum})
    return setting(title, {"type": "integer", **limits}, description, default=default, unit=unit)


def flag(title: str, description: str, *, default: bool = False) -> Schema:
    """Declare a boolean."""
    return setting(title, {"type": "boolean"}, description, default=default)


def choice(title: str, description: str, *options: str) -> Schema:
    """Declare a choice; the first option is the default."""
    return setting(title, {"type": "string", "enum": [*options, None]}, description, default=options[0])


def rows(title: str, row: Schema, description: str) -> Schema:
    """Declare a list of rows."""
    return setting(title, {"type": "array", "items": row}, description, default=[])


def secret(schema: Schema) -> Schema:
    """Mark a setting as secret: its value is never shown."""
    return schema | {"writeOnly": True, "secret": True}


def delivery_properties(
    *,
    destination: str,
    plugin: str,
    integration_name: str,
    rows: str,
    most_rows: int,
    most_bytes: int,
    most_per_minute: int,
) -> dict[str, Schema]:
    """Declare the common settings of delivery, in order.

    Args:
        destination: Name of the destination in messages.
        plugin: Name of the command.
        integration_name: Default of the setting of this name.
        rows: Plural noun for the rows of a request.
        most_rows: The API's limit of rows per request.
        most_bytes: The API's limit of bytes per request body.
        most_per_minute: The API's limit of requests per minute.
    """
    return {
        "integration_name": setting(
            "Integration name",
            {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$"},
            "Unique name of this pipeline (letters, digits, dots, dashes, underscores): separates ledger, rejects and "
            "summaries of pipelines that share a data folder, and is part of every log line.",
            default=integration_name,
        ),
        **_request_properties(rows, most_rows=most_rows, most_bytes=most_bytes, most_per_minute=most_per_minute),
        **_storage_properties(plugin),
        **_outcome_properties(destination),
        "rejects_max_mb": count(
            "Size of the rejects file", "Above this size, the oldest rejects are removed.", default=512, unit="MB"
        ),
        "rejects_max_days": count(
            "Age of rejects", "Older rejects, run summaries and dry runs are removed.", default=90, unit="days"
        ),
        "dry_run": flag(
            "Dry run",
            "Write the requests to dry-run-<run>.jsonl in data_dir; send nothing, emit no STATE, do not change the "
            "ledger.",
        ),
    }


def _request_properties(rows: str, *, most_rows: int, most_bytes: int, most_per_minute: int) -> dict[str, Schema]:
    """Batches, concurrency, rate limit and retries."""
    return {
        "batch_size_rows": count(
            "Batch size in rows",
            f"Maximum number of {rows} per request.",
            default=most_rows,
            unit=rows,
            maximum=most_rows,
        ),
        "batch_size_bytes": count(
            "Batch size in bytes",
            "Maximum size of one request body.",
            default=most_bytes,
            unit="bytes",
            minimum=10_000,
            maximum=most_bytes,
        ),
        "max_parallel_requests": count(
            "Parallel requests",
            "Maximum number of concurrent requests; the actual number adapts to the API's response time. One person's "
            "writes keep their order.",
            default=16,
            unit="requests",
            maximum=64,
        ),
        "rate_limit_per_minute": count(
            "Rate limit",
            "Maximum number of requests per minute.",
            default=most_per_minute,
            unit="requests per minute",
            maximum=most_per_minute,
        ),
        "request_timeout_seconds": count(
            "Request timeout",
            "How long to wait for a connection, or for data. An answer that is incomplete after five times as long "
            "is abandoned, and the request retried.",
            default=60,
            unit="seconds",
        ),
        "max_retry_seconds": count(
            "Retry budget",
            "How long one request is retried before the run gives up.",
            default=900,
            unit="seconds",
            minimum=0,
        ),
    }


def _storage_properties(plugin: str) -> dict[str, Schema]:
    """The data folder and the ledger."""
    return {
        "data_dir": setting(
            "Data folder",
            {"type": "string", "minLength": 1},
            "Folder of rejects, ledger and run summaries (mode 0700).",
            default=f".{plugin}",
        ),
        "ledger_url": secret(
            setting(
                "Ledger URL",
                {"type": "string"},
                "SQLAlchemy URL of the ledger, such as PostgreSQL, for pipelines that share it; default: an SQLite "
                "file in data_dir.",
            ),
        ),
        "ledger_days": count(
            "Ledger memory",
            "How long the ledger remembers deliveries; 0 switches it off.",
            default=30,
            unit="days",
            minimum=0,
        ),
    }


def _outcome_properties(destination: str) -> dict[str, Schema]:
    """What is not sent, and when a run fails."""
    return {
        "optins_without_memory": choice(
            "Opt-ins without memory",
            "What to do with opt-ins (true) from before the ledger began, if there were earlier runs that it does not "
            f"know: withhold them, since people may have opted out inside {destination}, or send them.",
            "withhold",
            "send",
        ),
        "skip_unchanged": flag(
            "Skip unchanged profiles",
            "Do not send a profile again while its mapped content is unchanged.",
        ),
        "max_rejects": setting(
            "Rejects allowed",
            # "number", not "integer": the SDK would turn a value from the environment into an int, and fail on "10%".
            {"type": ["string", "number"]},
            "Number (N) or share (N%, above 100 rows) of rows that may be rejected before the run fails.",
            default="10%",
            unit="rows or percent",
        ),
        "on_nothing_delivered": choice(
            "Nothing delivered",
            "What to do if a stream delivered nothing, because no record had a mapped identifier or attribute, or all "
            "were rejected: fail (exit code 3, no STATE) or warn. With fewer than 100 records, none of them newly "
            "rejected, settings that delivered before only warn.",
            "fail",
            "warn",
        ),
    }


def values_of(config: Mapping[str, Any], properties: Mapping[str, Schema]) -> dict[str, Any]:
    """Every declared setting, or its default if it is absent or null.

    Objects are completed key by key; durations are shortened to `LONGEST`.
    """
    values = {name: _value(config.get(name), schema) for name, schema in properties.items()}
    return values | {"max_rejects": str(values["max_rejects"]).strip()}  # declared as a string or a number


def _value(given: Any, schema: Schema) -> Any:
    default = schema.get("default")
    if given is None:
        return default
    if longest := LONGEST.get(schema.get("unit", "")):
        return min(given, longest)
    if isinstance(default, dict):
        return default | {key: value for key, value in given.items() if value is not None}
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """The settings that the engine needs, with defaults applied; see `delivery_properties`."""

    integration_name: str
    stream_kinds: Mapping[str, str]
    batch_size_rows: int
    batch_size_bytes: int
    max_parallel_requests: int
    rate_limit_per_minute: int
    request_timeout_seconds: int
    max_retry_seconds: int
    data_dir: str
    ledger_url: str | None = field(repr=False)
    ledger_days: int
    optins_without_memory: Literal["withhold", "send"]
    skip_unchanged: bool
    max_rejects: str
    on_nothing_delivered: Literal["fail", "warn"]
    rejects_max_mb: int
    rejects_max_days: int
    dry_run: bool
    default_country: str | None = None

    @property
    def scope(self) -> str:
        """Separates the ledger keys of pipelines that share a database; override it to include the account's name."""
        return self.integration_name
