"""Exports the whole Klaviyo account, for comparison with the delivered data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.clock import shown_exactly
from klaviyo_insiderone_sandbox.exact_json import join_object, quoted
from klaviyo_insiderone_sandbox.klaviyo.attributions import attributions_text
from klaviyo_insiderone_sandbox.klaviyo.families.events import EventWriter
from klaviyo_insiderone_sandbox.klaviyo.families.profiles import ProfileWriter, profile_selection

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.klaviyo.events import Event
    from klaviyo_insiderone_sandbox.klaviyo.state import Account


def profiles_text(account: Account) -> bytes:
    """Write every profile as the API shows it, with subscriptions: ``{"profiles": [...]}``."""
    writer = ProfileWriter("", profile_selection(None, frozenset({"subscriptions"})))
    rows = (writer.write(profile) for profile in account.profiles.by_id.values())
    return f'{{"profiles":[{",".join(rows)}]}}'.encode()


def events_text(account: Account) -> bytes:
    """Write every event as the API shows it, with its metric and when it becomes visible: ``{"events": [...]}``."""
    writer = EventWriter("", None, attributions=False)
    rows = (event_text(account, writer, event) for event in account.events.all())
    return f'{{"events":[{",".join(rows)}]}}'.encode()


def event_text(account: Account, writer: EventWriter, event: Event) -> str:
    """Write one event, including data that the API does not show."""
    return join_object(
        {
            "metric_name": quoted(event.metric.name),
            "integration": "null" if event.metric.integration is None else quoted(event.metric.integration),
            "profile_id": quoted(event.profile_id),
            "attributions": attributions_text(event.attributions),
            "visible_after": "null" if event.visible_after is None else quoted(shown_exactly(event.visible_after)),
            "resource": writer.write(event, orphan=event.profile_id not in account.profiles.by_id),
        }
    )
