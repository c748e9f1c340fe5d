"""What each read endpoint serves, as functions of the account and the checked parameters.

Each returns the JSON:API document and the number of rows in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from klaviyo_insiderone_sandbox.clock import MICROSECONDS
from klaviyo_insiderone_sandbox.klaviyo import endpoints as table
from klaviyo_insiderone_sandbox.klaviyo.attributions import attribution_texts
from klaviyo_insiderone_sandbox.klaviyo.cursors import (
    bad_cursor,
    read_anchor_cursor,
    read_event_cursor,
    read_keyset_cursor,
    write_anchor_cursor,
    write_event_cursor,
    write_keyset_cursor,
)
from klaviyo_insiderone_sandbox.klaviyo.errors import invalid, not_found
from klaviyo_insiderone_sandbox.klaviyo.families.profiles import (
    EventWriter,
    ProfileWriter,
    account_text,
    list_text,
    metric_text,
    profile_selection,
)
from klaviyo_insiderone_sandbox.klaviyo.pages import by_id_page, page, single
from klaviyo_insiderone_sandbox.klaviyo.profiles import SORT_KEYS, page_of
from klaviyo_insiderone_sandbox.klaviyo.settings import SPELLINGS

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.exchange import Call
    from klaviyo_insiderone_sandbox.klaviyo.events import Event, Metric
    from klaviyo_insiderone_sandbox.klaviyo.parameters import Parameters
    from klaviyo_insiderone_sandbox.klaviyo.profiles import Profile, SortKey
    from klaviyo_insiderone_sandbox.klaviyo.state import Account, MailingList


def read_profiles(account: Account, call: Call, parameters: Parameters, _: str) -> tuple[bytes, int]:
    """GET /api/profiles."""
    sort = parameters.sort or "id"
    cursor = None if parameters.cursor is None else place_behind(account, parameters.cursor, sort)
    try:
        walk = account.profiles.walk(
            parameters.conditions, sort, cursor, descending=parameters.descending, grain=account.settings.grain
        )
        rows, more = page_of(walk, parameters.size)
    except TypeError:
        raise bad_cursor() from None
    writer = profile_writer(account, call, parameters)
    following = cursor_at(account, rows[-1], sort) if more else None
    included: list[str] | None = None if parameters.includes is None else []
    body = page(map(writer.write, rows), included, call, parameters, following)
    if rows and sort == "updated":
        account.stir(rows[-1])
    return body, len(rows)


def place_behind(account: Account, cursor: str, sort: str) -> SortKey:
    """Return the sort key behind which a page of profiles begins.

    An anchor stands where its profile stands now: behind the window that it was read in, once it has been touched.

    Raises:
        KlaviyoError: The cursor is none of ours, or the profile that it names is gone.
    """
    if account.settings.cursor == "keyset":
        return read_keyset_cursor(cursor, sort)
    anchor = account.profiles.by_id.get(read_anchor_cursor(cursor))
    if anchor is None:
        raise bad_cursor()
    return SORT_KEYS[sort](anchor)


def cursor_at(account: Account, last: Profile, sort: str) -> str:
    """Write the cursor of the page that follows a profile."""
    if account.settings.cursor == "keyset":
        return write_keyset_cursor(sort, SORT_KEYS[sort](last))
    return write_anchor_cursor(last.id)


def read_profile(account: Account, call: Call, parameters: Parameters, profile_id: str) -> tuple[bytes, int]:
    """GET /api/profiles/{id}."""
    profile = account.profiles.by_id.get(profile_id)
    if profile is None:
        raise not_found(f"A profile with id {profile_id} does not exist.")
    included: list[str] | None = None if parameters.includes is None else []
    return single(profile_writer(account, call, parameters).write(profile), included), 1


def profile_writer(account: Account, call: Call, parameters: Parameters) -> ProfileWriter:
    """Prepare to write profiles as a call asks for them."""
    shown = profile_selection(parameters.fields.get("profile"), parameters.additional)
    return ProfileWriter(call.base_url, shown, parameters.includes or (), spelt=SPELLINGS[account.settings.spelling])


def read_events(account: Account, call: Call, parameters: Parameters, _: str) -> tuple[bytes, int]:
    """GET /api/events."""
    check_metric_filter(account, parameters)
    wanted = {condition.field for condition in parameters.conditions if condition.operator == "has"}
    present = account.profiles.by_id
    rows, more = account.events.page(
        parameters.conditions,
        None if parameters.cursor is None else read_event_cursor(parameters.cursor),
        parameters.size,
        account.clock.now(),
        (lambda event: event.profile_id in present) if "profile" in wanted else None,
        descending=parameters.descending,
    )
    following = write_event_cursor(*rows[-1].place) if more else None
    body = page(
        event_texts(account, call, parameters, rows),
        included_of(account, call, parameters, rows),
        call,
        parameters,
        following,
    )
    return body, len(rows)


def check_metric_filter(account: Account, parameters: Parameters) -> None:
    """Refuse to filter events by a custom metric, which the API does not support."""
    for condition in parameters.conditions:
        metric = account.metrics_by_id.get(condition.value) if condition.field == "metric_id" else None
        if metric is not None and metric.integration is None:
            raise invalid("filter", "Custom metrics are not supported in the metric_id filter.")


def read_event(account: Account, call: Call, parameters: Parameters, event_id: str) -> tuple[bytes, int]:
    """GET /api/events/{id}; a malformed id is a 400."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", event_id):
        raise invalid("id", "Invalid event id.")
    event = account.events.by_id.get(event_id)
    hidden_until = event.visible_after if event else None
    if event is None or (hidden_until is not None and hidden_until > account.clock.now()):
        raise not_found(f"An event with id {event_id} does not exist.")
    (text,) = event_texts(account, call, parameters, [event])
    return single(text, included_of(account, call, parameters, [event])), 1


def event_texts(account: Account, call: Call, parameters: Parameters, rows: list[Event]) -> list[str]:
    """Write events as a call asks for them."""
    includes = parameters.includes or ()
    writer = EventWriter(
        call.base_url,
        parameters.fields.get("event"),
        attributions="attributions" in includes,
        spelt=SPELLINGS[account.settings.spelling],
    )
    present = account.profiles.by_id
    return [writer.write(event, orphan=event.profile_id not in present) for event in rows]


def included_of(account: Account, call: Call, parameters: Parameters, rows: list[Event]) -> list[str] | None:
    """Write what a page of events includes: metrics first, then profiles, then attributions, each once."""
    if parameters.includes is None:
        return None
    included: list[str] = []
    if "metric" in parameters.includes:
        metrics: dict[str, Metric] = {event.metric.id: event.metric for event in rows}
        included += [metric_text(call.base_url, metric, parameters.fields.get("metric")) for metric in metrics.values()]
    if "profile" in parameters.includes:
        shown = profile_selection(parameters.fields.get("profile"), frozenset())
        writer = ProfileWriter(call.base_url, shown, spelt=SPELLINGS[account.settings.spelling])
        present = account.profiles.by_id
        owners = dict.fromkeys(event.profile_id for event in rows)
        included += [writer.write(present[owner]) for owner in owners if owner in present]
    if "attributions" in parameters.includes:
        included += [
            text
            for event in rows
            if event.attributions
            for text in attribution_texts(call.base_url, event.place[1], event.attributions)
        ]
    return included


def read_metrics(account: Account, call: Call, parameters: Parameters, _: str) -> tuple[bytes, int]:
    """GET /api/metrics: 200 a page, always."""
    wanted = {condition.field: condition.value for condition in parameters.conditions}
    found = [
        metric
        for metric in sorted(account.metrics_by_id.values(), key=lambda metric: metric.id)
        if wanted.get("integration.name", metric.integration) == metric.integration
    ]
    rows, following = by_id_page(found, parameters, table.METRICS_PER_PAGE)
    includes = parameters.includes or ()
    texts = [metric_text(call.base_url, metric, parameters.fields.get("metric"), includes) for metric in rows]
    return page(texts, None if parameters.includes is None else [], call, parameters, following), len(rows)


def read_metric(account: Account, call: Call, parameters: Parameters, metric_id: str) -> tuple[bytes, int]:
    """GET /api/metrics/{id}."""
    metric = account.metrics_by_id.get(metric_id)
    if metric is None:
        raise not_found(f"A metric with id {metric_id} does not exist.")
    included: list[str] | None = None if parameters.includes is None else []
    return single(
        metric_text(call.base_url, metric, parameters.fields.get("metric"), parameters.includes or ()), included
    ), 1


def read_accounts(_: Account, call: Call, parameters: Parameters, __: str) -> tuple[bytes, int]:
    """GET /api/accounts."""
    return page([account_text(call.base_url, parameters.fields.get("account"))], None, call, parameters, None), 1


def read_account(_: Account, call: Call, parameters: Parameters, account_id: str) -> tuple[bytes, int]:
    """GET /api/accounts/{id}."""
    if account_id != "SANDBX":
        raise not_found(f"An account with id {account_id} does not exist.")
    return single(account_text(call.base_url, parameters.fields.get("account")), None), 1


def read_lists(account: Account, call: Call, parameters: Parameters, _: str) -> tuple[bytes, int]:
    """GET /api/lists."""
    sort = parameters.sort or "id"
    found = [
        one for one in account.lists.values() if all(list_meets(one, condition) for condition in parameters.conditions)
    ]
    found.sort(key=lambda one: (getattr(one, sort), one.id), reverse=parameters.descending)
    rows, following = by_id_page(found, parameters, parameters.size, sort)
    texts = [write_list(call, parameters, one) for one in rows]
    return page(texts, None if parameters.includes is None else [], call, parameters, following), len(rows)


def list_meets(one: MailingList, condition: Any) -> bool:
    """Tell whether a list meets one condition."""
    value = getattr(one, condition.field)
    match condition.operator:
        case "any":
            return value in condition.value
        case "greater-than":
            return bool(value // MICROSECONDS * MICROSECONDS > condition.value)
    return bool(value == condition.value)


def read_list(account: Account, call: Call, parameters: Parameters, list_id: str) -> tuple[bytes, int]:
    """GET /api/lists/{id}."""
    one = account.lists.get(list_id)
    if one is None:
        raise not_found(f"A list with id {list_id} does not exist.")
    return single(write_list(call, parameters, one), None if parameters.includes is None else []), 1


def write_list(call: Call, parameters: Parameters, one: MailingList) -> str:
    """Write one list as a call asks for it."""
    return list_text(
        call.base_url, one, parameters.fields.get("list"), parameters.includes or (), parameters.additional
    )
