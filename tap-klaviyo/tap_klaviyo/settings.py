"""The settings: declaration, checks, and typed form; no message shows a value."""

from __future__ import annotations

import hashlib
import json
import os
import re
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec
from klaviyo_http.addresses import mistake_in
from klaviyo_http.endpoints import EVENTS
from klaviyo_http.moments import parse_moment
from singer_sdk import typing as th
from singer_sdk.plugin_base import JSONSchemaValidator

from tap_klaviyo import __version__
from tap_klaviyo.disclosure import shown
from tap_klaviyo.metrics import CONSENT_METRICS
from tap_klaviyo.sdk_checks import check_sdk_settings
from tap_klaviyo.variables import where_to_give

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SECRETS = ("api_key",)
PROFILE_FIELDS: Sequence[str] = (
    "anonymous_id",
    "created",
    "email",
    "external_id",
    "first_name",
    "image",
    "last_event_date",
    "last_name",
    "locale",
    "location",
    "organization",
    "phone_number",
    "properties",
    "title",
    "updated",
    "whatsapp_bsuid",
)
"""What GET /api/events offers as ``fields[profile]``; subscriptions are not among them."""

LONGEST_SECONDS = 366 * 86_400
"""Longer waits are pointless, and sockets do not support them."""

NOT_OFFERED: Mapping[str, str] = {
    "batch_config": "BATCH files know no bookmark of this tap",
    "emit_activate_version_messages": "an incremental read must not end with the removal of other rows",
}
"""Settings that the SDK would read although this tap does not offer them -> why."""


def _number(
    name: str, default: int | None, title: str, description: str, *, lowest: int, highest: int | None = None
) -> th.Property[int]:
    integer = th.IntegerType(minimum=lowest, maximum=highest)
    return th.Property(name, integer, default=default, title=title, description=description)


def _text(name: str, default: str | None, title: str, description: str) -> th.Property[str]:
    return th.Property(name, th.StringType, default=default, title=title, description=description)


def _names(name: str, default: Sequence[str] | None, title: str, description: str) -> th.Property[list[str]]:
    names = th.ArrayType(th.StringType(min_length=1))
    return th.Property(name, names, default=list(default) if default else None, title=title, description=description)


SETTINGS = th.PropertiesList(
    th.Property(
        "api_key",
        th.StringType(nullable=False),
        required=True,
        secret=True,
        title="API key",
        description="Private API key (`pk_…`). The scopes profiles:read and events:read are enough; metrics:read "
        "saves requests where metrics are filtered.",
    ),
    _text(
        "start_date",
        None,
        "Start date",
        "First run only: read what happened from then on (`2026-01-31` or a date-time; UTC where no offset is given). "
        "Excludes `initial_sync_lookback_hours`.",
    ),
    _number(
        "initial_sync_lookback_hours",
        None,
        "Initial sync look-back",
        "First run only: hours to look back; 0 reads everything, as does leaving out both this and `start_date`.",
        lowest=0,
    ),
    _text("end_date", None, "End date", "Read what happened before then (exclusive), for backfills in slices."),
    _number(
        "max_pages",
        None,
        "Page limit",
        "Most pages per stream and run; then the run stops cleanly, and the next one goes on. Only pages that bring a "
        "new record count. On `subscription_changes`, pages of consent events.",
        lowest=1,
    ),
    _number(
        "overlap_seconds",
        60,
        "Overlap",
        "Seconds before the bookmark that are read again for late arrivals; what was emitted there is remembered in "
        "the state and not repeated.",
        lowest=0,
    ),
    _number(
        "lookback_window_days",
        0,
        "Look-back window",
        "Days before the bookmark that `events` and `subscription_changes` read again, for events that arrive late. "
        "Events are emitted again (their ids stay the same); profiles are not read again for a known consent event.",
        lowest=0,
    ),
    _names(
        "event_metrics",
        None,
        "Metrics of events",
        "Metrics that `events` reads, as exact names, ids, or `Name (Integration)` where a name stands twice. "
        "All metrics if left out.",
    ),
    _names(
        "event_profile_fields",
        ("email", "phone_number", "external_id", "first_name", "last_name"),
        "Profile fields of events",
        "Fields of the profile that every event carries; `properties` may be one.",
    ),
    _names(
        "subscription_metrics",
        CONSENT_METRICS,
        "Consent metrics",
        "Metrics that mark a subscription change, by exact name, id, or `Name (Integration)`. Klaviyo's own, in their "
        "present and former names, if left out.",
    ),
    th.Property(
        "fetch_predictive_analytics",
        th.BooleanType,
        default=False,
        title="Predictive analytics",
        description="Whether `profiles` carries `predictive_analytics` (predicted value, orders, churn). It cuts the "
        "quota of profiles to a fifth; where the API fails under it, the run goes on without the field.",
    ),
    _number(
        "max_concurrency",
        16,
        "Concurrency",
        "Maximum number of concurrent requests, 1 to 64. As many are used only if answers take long, and within the "
        "quota.",
        lowest=1,
        highest=64,
    ),
    _number(
        "rate_limit_percent",
        100,
        "Share of the quota",
        "Percent of the account's documented quota to use. Pipelines that run at once share the quota: their percents "
        "should sum to at most 90.",
        lowest=1,
        highest=100,
    ),
    _number(
        "events_page_size",
        EVENTS.page.most,
        "Events per page",
        "Events per request; 200 is used by itself where the API refuses more.",
        lowest=1,
        highest=EVENTS.page.most,
    ),
    _number(
        "request_timeout_seconds",
        60,
        "Request timeout",
        "Seconds to wait for a connection, or for data; an answer that is not whole after five times as long is given "
        "up, and asked for again.",
        lowest=1,
    ),
    _number(
        "max_retry_seconds",
        900,
        "Retry budget",
        "Seconds for which a failing request is repeated. A `Retry-After` beyond it ends the stream with its bookmark.",
        lowest=0,
    ),
    _text("api_url", "https://a.klaviyo.com", "API URL", "Address of the API."),
    _text("revision", "2026-07-15", "API revision", "Revision of the API (`YYYY-MM-DD`) that requests ask for."),
    _text("user_agent", None, "User agent", "`User-Agent` of requests; package and version if left out."),
).to_dict()


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of a run, typed; see `SETTINGS` for what each means."""

    api_key: str
    start: datetime | None
    initial_sync_lookback_hours: int | None
    end: datetime | None
    max_pages: int | None
    overlap_seconds: int
    lookback_window_days: int
    event_metrics: tuple[str, ...] | None
    event_profile_fields: tuple[str, ...]
    subscription_metrics: tuple[str, ...]
    fetch_predictive_analytics: bool
    max_concurrency: int
    rate_limit_percent: int
    events_page_size: int
    request_timeout_seconds: int
    max_retry_seconds: int
    api_url: str
    revision: str
    user_agent: str
    fingerprint: str
    """A hash of the settings without secrets: runs with the same hash had equal settings."""


def typed(config: Mapping[str, Any]) -> Settings:
    """Convert the checked settings to their types."""
    defaults = {name: declared.get("default") for name, declared in SETTINGS["properties"].items()}
    values = {name: default if config.get(name) is None else config[name] for name, default in defaults.items()}
    start, end = values.pop("start_date"), values.pop("end_date")
    values["start"] = parse_moment(start) if start else None
    values["end"] = parse_moment(end) if end else None
    for name in ("request_timeout_seconds", "max_retry_seconds"):
        values[name] = min(values[name], LONGEST_SECONDS)
    values["user_agent"] = values["user_agent"] or f"tap-klaviyo/{__version__}"
    return msgspec.convert({**values, "fingerprint": fingerprint(config)}, Settings)


def fingerprint(config: Mapping[str, Any]) -> str:
    """Hash the settings, secrets apart."""
    public = {name: value for name, value in config.items() if name not in SECRETS}
    return hashlib.sha256(json.dumps(public, sort_keys=True, default=str).encode()).hexdigest()[:12]


def problems(config: Mapping[str, Any], schema: Mapping[str, Any], now: datetime | None = None) -> list[str]:
    """Describe what is wrong with the settings: path, mistake, remedy, and never a value."""
    mistakes = [f"`{found.path}` {found.message}; {found.suggestion}" for found in check_sdk_settings(config)]
    if mistakes:  # the SDK's own schema fails on some of them
        return mistakes
    mistakes = [_mistake(error) for error in JSONSchemaValidator(schema).iter_errors(config)]
    mistakes += _unknown_settings(config, schema["properties"])
    if mistakes:
        return mistakes
    return [
        *(f"`{name}` is not offered: {why}; remove it" for name, why in NOT_OFFERED.items() if config.get(name)),
        *_key_problems(config["api_key"]),
        *_period_problems(config, now or datetime.now(UTC)),
        *_field_problems(config.get("event_profile_fields") or ()),
        *_address_problems(config),
    ]


def _mistake(error: Any) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path).lstrip(".")
    if error.validator == "required":
        missing = sorted(set(error.validator_value) - set(error.instance))
        return f"`{'`, `'.join(missing)}` is required; {where_to_give(os.environ, 'TAP_KLAVIYO_', missing[0])}"
    if error.validator == "type":
        kinds = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
        return f"`{path}` must be of type {' or '.join(kind for kind in kinds if kind != 'null')}"
    if error.validator == "minLength":
        return f"`{path}` must not be empty"
    bounds = {"minimum": "at least", "maximum": "at most"}
    if error.validator in bounds:
        return f"`{path}` must be {bounds[error.validator]} {error.validator_value}"
    return f"`{path}` does not satisfy `{error.validator}`"


def _unknown_settings(config: Mapping[str, Any], known: Iterable[str]) -> list[str]:
    names = sorted(known)
    return [
        f"`{shown(name)}` is not a setting of this tap{_suggestion(name, names) or '; remove it'}"
        for name in sorted(set(config) - set(names) - set(NOT_OFFERED))
        if config[name] is not None
    ]


def _key_problems(key: str) -> list[str]:
    if re.fullmatch(r"[A-Za-z0-9]{6}", key):
        return ["`api_key` is a public key (six characters), which cannot read data; create a private one (pk_…)"]
    if not key.strip():
        return ["`api_key` is empty; where it comes from a variable, is that set?"]
    if not re.fullmatch(r"[\x21-\x7e]+", key):
        return ["`api_key` holds spaces or other characters that no key has; was it copied whole, and alone?"]
    return []


def _period_problems(config: Mapping[str, Any], now: datetime) -> list[str]:
    found: list[str] = []
    moments: dict[str, datetime] = {}
    for name in ("start_date", "end_date"):
        if config.get(name) is not None:
            try:
                moments[name] = parse_moment(config[name])
            except (ValueError, OverflowError):
                found.append(f"`{name}` must be a date (YYYY-MM-DD) or a date-time (YYYY-MM-DDThh:mm:ssZ)")
    start, end = moments.get("start_date"), moments.get("end_date")
    if start and start > now:
        found.append("`start_date` lies in the future; nothing could be read")
    if start and end and start >= end:
        found.append("`start_date` must lie before `end_date`")
    if config.get("start_date") is not None and config.get("initial_sync_lookback_hours") is not None:
        found.append("`start_date` and `initial_sync_lookback_hours` exclude each other; remove one")
    return found


def _field_problems(fields: Sequence[str]) -> list[str]:
    found = []
    for index, name in enumerate(fields):
        if name == "subscriptions":
            found.append(
                f"`event_profile_fields[{index}]`: Klaviyo gives no subscriptions with events; read `profiles` or "
                "`subscription_changes` for them"
            )
        elif name not in PROFILE_FIELDS:
            found.append(
                f"`event_profile_fields[{index}]` is not a field of profiles{_suggestion(name, PROFILE_FIELDS)}"
            )
    return found


def _address_problems(config: Mapping[str, Any]) -> list[str]:
    found = []
    api_url, revision = config.get("api_url"), config.get("revision")
    if api_url == "":
        found.append("`api_url` is empty; where it comes from a variable, is that set?")
    elif api_url is not None and (mistake := mistake_in(api_url)):
        found.append(f"`api_url` {mistake}")
    if revision is not None and not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(\.pre)?", revision):
        found.append("`revision` must be a date, YYYY-MM-DD")
    if not re.fullmatch(r"[\x20-\x7e\xa0-\xff]*", config.get("user_agent") or ""):
        found.append("`user_agent` holds line breaks or other characters that no header has; write it in plain letters")
    return found


def _suggestion(name: str, known: Sequence[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""
