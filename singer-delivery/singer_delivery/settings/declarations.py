"""Settings as they are declared: type, title, default, unit, meaning; and those that every target of the engine has.

Numbers are integers throughout, because settings of type ``number`` cannot come from the environment.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]


def row(required: Schema, optional: Schema | None = None) -> Schema:
    """Declare a row of a list: an object with these keys and no others."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": list(required),
        "additionalProperties": False,
    }


def setting(title: str, schema: Schema, description: str, *, default: Any = None, unit: str = "") -> Schema:
    """Declare one optional setting; an explicit null means the default, as where the setting is absent."""
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
    """Declare a flag."""
    return setting(title, {"type": "boolean"}, description, default=default)


def choice(title: str, description: str, *options: str) -> Schema:
    """Declare a choice; the first option is the default."""
    return setting(title, {"type": "string", "enum": [*options, None]}, description, default=options[0])


def rows(title: str, row: Schema, description: str) -> Schema:
    """Declare a list of rows."""
    return setting(title, {"type": "array", "items": row}, description, default=[])


def secret(schema: Schema) -> Schema:
    """Mark a setting whose value is never shown."""
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
    """Declare the settings of delivery, in their order.

    Args:
        destination: What messages call it.
        plugin: The name of the command.
        integration_name: Default of the setting of this name.
        rows: What the rows of a request are called.
        most_rows: The API's limit for one request.
        most_bytes: The API's limit for one body.
        most_per_minute: The API's limit of requests a minute.
    """
    return {
        "integration_name": setting(
            "Integration name",
            {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]*$"},
            "Unique name of this pipeline (letters, digits, dots, dashes, underscores): separates ledger, rejects and "
            "summaries of pipelines that share a data folder, and stands in every log line.",
            default=integration_name,
        ),
        "batch_size_rows": count(
            "Batch size in rows",
            f"Most {rows} in one request.",
            default=most_rows,
            unit=rows,
            maximum=most_rows,
        ),
        "batch_size_bytes": count(
            "Batch size in bytes",
            "Most bytes in one request body.",
            default=most_bytes,
            unit="bytes",
            minimum=10_000,
            maximum=most_bytes,
        ),
        "max_parallel_requests": count(
            "Parallel requests",
            "Most requests under way at once; how many there are follows how long the answers take. One person's "
            "writes keep their order.",
            default=16,
            unit="requests",
            maximum=64,
        ),
        "rate_limit_per_minute": count(
            "Rate limit",
            "Most requests a minute.",
            default=most_per_minute,
            unit="requests per minute",
            maximum=most_per_minute,
        ),
        "request_timeout_seconds": count(
            "Request timeout",
            "How long to wait for a connection, or for data. An answer that is not whole after five times as long "
            "is given up, and the request tried again.",
            default=60,
            unit="seconds",
        ),
        "max_retry_seconds": count(
            "Retry budget",
            "How long one request is tried again before the run gives up.",
            default=900,
            unit="seconds",
            minimum=0,
        ),
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
            "How long the ledger remembers what was delivered; 0 switches it off.",
            default=30,
            unit="days",
            minimum=0,
        ),
        "optins_without_memory": choice(
            "Opt-ins without memory",
            "What to do with opt-ins (true) of before the ledger began, where there were earlier runs that it does not "
            f"know: withhold them, since people may have opted out inside {destination}, or send them.",
            "withhold",
            "send",
        ),
        "skip_unchanged": flag(
            "Skip unchanged profiles",
            "Do not send a profile whose mapped content was delivered before.",
        ),
        "max_rejects": setting(
            "Rejects allowed",
            # "number", not "integer": the SDK would turn a value from the environment into an int, and fail on "10%".
            {"type": ["string", "number"]},
            "Rows (N) or share of the rows (N%, above 100 rows) that may be rejected before the run fails.",
            default="10%",
            unit="rows or percent",
        ),
        "on_nothing_delivered": choice(
            "Nothing delivered",
            "What becomes of a run of which nothing was delivered in a stream, because no record had a mapped "
            "identifier or attribute, or all were rejected: fail (exit code 3, no STATE) or warn. Where fewer than "
            "100 records came, none newly rejected, settings that delivered before only warn.",
            "fail",
            "warn",
        ),
        "rejects_max_mb": count("Size of the rejects file", "The oldest go first.", default=512, unit="MB"),
        "rejects_max_days": count(
            "Age of rejects", "Older rejects, run summaries and dry runs go.", default=90, unit="days"
        ),
        "dry_run": flag(
            "Dry run",
            "Write the requests to dry-run-<run>.jsonl in data_dir; send nothing, emit no STATE, leave the ledger "
            "alone.",
        ),
    }


def values_of(config: Mapping[str, Any], properties: Mapping[str, Schema]) -> dict[str, Any]:
    """Every declared setting, or its default where it is absent or null; objects are completed key by key."""
    values = {name: _value(config.get(name), schema.get("default")) for name, schema in properties.items()}
    return values | {"max_rejects": str(values["max_rejects"]).strip()}  # declared as a text or a number


def _value(given: Any, default: Any) -> Any:
    if given is None:
        return default
    if isinstance(default, dict):
        return default | {key: value for key, value in given.items() if value is not None}
    return given


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySettings:
    """What the engine needs of the settings, with their defaults applied; see `delivery_properties`."""

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
        """What keeps the ledger's keys of pipelines apart that share a database; name the account, too, if you can."""
        return self.integration_name
