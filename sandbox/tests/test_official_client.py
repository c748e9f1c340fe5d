"""The vendor's own Python client, driving every Klaviyo endpoint that the tap uses.

Its typed models raise where an answer is not what the vendor documents.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY, KLAVIYO_KEY_THREE_FLOWS

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the client's own deprecations
    import openapi_client
    from klaviyo_api import KlaviyoAPI

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.testing import Sandbox

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning", "ignore::ResourceWarning")


def client(sandbox: Sandbox, key: str = KLAVIYO_KEY) -> KlaviyoAPI:
    return KlaviyoAPI(key, max_delay=0, max_retries=0, test_host=sandbox.klaviyo_url)


def seeded(sandbox: Sandbox) -> KlaviyoAPI:
    sandbox.quotas(None)
    sandbox.seed(profiles=150, events=600, hostile=False)
    return client(sandbox)


def cursor_in(link: str | None) -> str | None:
    """Take the cursor out of a link, as the client itself does for ``https`` links only."""
    return parse_qs(urlsplit(link).query)["page[cursor]"][0] if link else None


def test_profiles_load_with_subscriptions(sandbox: Sandbox) -> None:
    """The consent object is the core of the subscription flow."""
    api = seeded(sandbox)

    answer = api.Profiles.get_profiles(additional_fields_profile=["subscriptions"], page_size=100, sort="updated")

    assert len(answer.data) == 100
    assert {row.attributes.subscriptions.email.marketing.consent for row in answer.data} >= {
        "SUBSCRIBED",
        "UNSUBSCRIBED",
    }


def test_profiles_load_with_predictive_analytics(sandbox: Sandbox) -> None:
    api = client(sandbox)
    sandbox.add_profiles([{"id": "P1", "attributes": {"predictive_analytics": {"historic_clv": 93.87}}}])

    answer = api.Profiles.get_profiles(additional_fields_profile=["predictive_analytics"])

    assert answer.data[0].attributes.predictive_analytics.historic_clv == 93.87


def test_profiles_load_by_cursor(sandbox: Sandbox) -> None:
    """Profiles walk to the end by cursor. Every profile comes once when the client follows ``links.next``."""
    api = seeded(sandbox)
    ids: list[str] = []
    cursor = None

    while True:
        answer = api.Profiles.get_profiles(page_size=40, sort="updated", page_cursor=cursor)
        ids += [row.id for row in answer.data]
        cursor = cursor_in(answer.links.next)
        if not cursor:
            break

    assert len(ids) == len(set(ids)) == 150


def test_profiles_filter_by_ids(sandbox: Sandbox) -> None:
    """Bulk re-reads take this form."""
    api = client(sandbox)
    sandbox.add_profiles([{"id": f"P{n}", "attributes": {}} for n in range(5)])

    answer = api.Profiles.get_profiles(filter='any(id,["P1","P3","gone"])')

    assert [row.id for row in answer.data] == ["P1", "P3"]


def test_one_profile_loads(sandbox: Sandbox) -> None:
    api = client(sandbox)
    sandbox.add_profiles([{"id": "P1", "attributes": {"email": "ada@example.org"}}])

    assert api.Profiles.get_profile("P1").data.attributes.email == "ada@example.org"


def test_events_load_with_includes(sandbox: Sandbox) -> None:
    """Events load with metric and profile.

    Rows arrive as the client's own types, included resources as plain dictionaries.
    """
    api = seeded(sandbox)

    answer = api.Events.get_events(include=["metric", "profile"], page_size=500, sort="datetime")

    assert len(answer.data) == 500
    assert {one["type"] for one in answer.included} == {"metric", "profile"}


def test_events_load_with_sparse_profiles(sandbox: Sandbox) -> None:
    """With sparse fields the client hands out plain dictionaries."""
    api = seeded(sandbox)

    answer = api.Events.get_events(include=["profile"], fields_profile=["email", "location.city"], page_size=10)

    assert all(set(one["attributes"]) == {"email", "location"} for one in answer["included"])


def test_events_load_with_attributions(sandbox: Sandbox) -> None:
    """A few orders of made-up data are credited to an e-mail."""
    api = seeded(sandbox)

    answer = api.Events.get_events(include=["attributions"], page_size=1000)

    referred = [one.id for row in answer.data for one in row.relationships.attributions.data]
    assert 0 < len(referred) < len(answer.data) / 20
    assert [one["id"] for one in answer.included] == referred


def test_events_filter_metric_and_time(sandbox: Sandbox) -> None:
    """Events filter by metric and time. This is the request that the events flow makes."""
    api = client(sandbox)
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    sandbox.add_events(
        [
            {"id": f"E{hour}", "metric": "Placed Order", "profile_id": "P1", "datetime": f"2026-01-01T0{hour}:00:00Z"}
            for hour in range(4)
        ]
    )
    metric_id = api.Metrics.get_metrics().data[0].id

    answer = api.Events.get_events(
        filter=f'equals(metric_id,"{metric_id}"),greater-or-equal(datetime,2026-01-01T01:00:00Z),'
        "less-than(datetime,2026-01-01T03:00:00Z)"
    )

    assert [row.id for row in answer.data] == ["E1", "E2"]


def test_events_load_by_cursor(sandbox: Sandbox) -> None:
    """Events walk to the end by cursor."""
    api = seeded(sandbox)
    ids: list[str] = []
    cursor = None

    while True:
        answer = api.Events.get_events(page_size=170, sort="-datetime", page_cursor=cursor)
        ids += [row.id for row in answer.data]
        cursor = cursor_in(answer.links.next)
        if not cursor:
            break

    assert len(ids) == len(set(ids)) == 600


def test_single_resources_load(sandbox: Sandbox) -> None:
    """One event and one metric load."""
    api = client(sandbox)
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    sandbox.add_events([{"id": "E1", "metric": "Placed Order", "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z"}])

    event = api.Events.get_event("E1", include=["metric"]).data

    assert event.attributes.timestamp == 1767225600
    assert api.Metrics.get_metric(event.relationships.metric.data.id).data.attributes.name == "Placed Order"


def test_event_without_profile_loads(sandbox: Sandbox) -> None:
    """An event of an erased profile loads. The relationship has no usable target, which the client's model permits."""
    api = client(sandbox)
    sandbox.add_profiles([{"id": "P1", "attributes": {}}])
    sandbox.add_events([{"metric": "Placed Order", "profile_id": "P1", "datetime": "2026-01-01T00:00:00Z"}])
    sandbox.erase(["P1"])

    answer = api.Events.get_events(include=["profile"])

    assert answer.data[0].relationships.profile.data is None


def test_metrics_filter_by_integration(sandbox: Sandbox) -> None:
    api = seeded(sandbox)

    answer = api.Metrics.get_metrics(filter='equals(integration.name,"Klaviyo")')

    assert {row.attributes.integration["name"] for row in answer.data} == {"Klaviyo"}


def test_accounts_and_lists_load(sandbox: Sandbox) -> None:
    """Accounts is how a key is tested."""
    api = seeded(sandbox)

    assert api.Accounts.get_accounts().data[0].attributes.preferred_currency == "EUR"
    assert api.Accounts.get_account("SANDBX").data.id == "SANDBX"
    lists = api.Lists.get_lists().data
    assert {row.attributes.name for row in lists} == {"Newsletter", "SMS club"}
    assert api.Lists.get_list(lists[0].id).data.id == lists[0].id


def test_tags_load_with_their_groups(sandbox: Sandbox) -> None:
    """By collection, by id and by relationship."""
    api = seeded(sandbox)

    tags = api.Tags.get_tags(include=["tag-group"], sort="name")
    groups = {one.id: one.attributes.name for one in api.Tags.get_tag_groups().data}

    assert [row.attributes.name for row in tags.data] == ["summer", "vip", "winter"]
    assert {one.id for one in tags.included} == set(groups)
    vip = tags.data[1]
    assert groups[vip.relationships.tag_group.data.id] == "Default Tag Group"
    assert api.Tags.get_tag(vip.id).data.attributes.name == "vip"
    assert api.Tags.get_tag_group_for_tag(vip.id).data.attributes.default
    assert [row.id for row in api.Tags.get_tags_for_tag_group(vip.relationships.tag_group.data.id).data] == [vip.id]


def test_segments_load_with_their_tags(sandbox: Sandbox) -> None:
    """The definition takes the client's own types."""
    api = seeded(sandbox)

    segments = api.Segments.get_segments(include=["tags"], filter="equals(is_active,true)", sort="name")

    assert [row.attributes.name for row in segments.data] == ["Newsletter subscribers", "On no list"]
    assert [len(row.attributes.definition.condition_groups) for row in segments.data] == [1, 2]
    tagged, untagged = segments.data
    assert [one.id for one in tagged.relationships.tags.data] == [one["id"] for one in segments.included]
    assert api.Segments.get_tag_ids_for_segment(untagged.id).data == []
    assert api.Segments.get_segment(tagged.id, additional_fields_segment=["profile_count"]).data.id == tagged.id


@pytest.mark.parametrize(
    ("key", "call", "status"),
    [
        pytest.param("pk_unknown", lambda api: api.Profiles.get_profiles(), 401, id="unknown key"),
        pytest.param(KLAVIYO_KEY_THREE_FLOWS, lambda api: api.Metrics.get_metrics(), 403, id="missing scope"),
        pytest.param(
            KLAVIYO_KEY,
            lambda api: api.Profiles.get_profiles(filter="greater-or-equal(updated,2026-01-01)"),
            400,
            id="operator",
        ),
        pytest.param(KLAVIYO_KEY, lambda api: api.Profiles.get_profile("nobody"), 404, id="unknown profile"),
    ],
)
def test_refusals_reach_the_client(sandbox: Sandbox, key: str, call: object, status: int) -> None:
    """The client raises by status, and its body is the JSON:API error document."""
    with pytest.raises(openapi_client.ApiException) as caught:
        call(client(sandbox, key))  # type: ignore[operator]  # a lambda of the table above

    assert caught.value.status == status
    assert '"errors":[{' in str(caught.value.body)


def test_client_waits_after_429(sandbox: Sandbox) -> None:
    """The client waits as the 429 says and gets through.

    ``Retry-After`` is true: whoever waits that long is served. Three calls span two windows at most.
    """
    api = client(sandbox)
    sandbox.quotas(limits={"GET /api/accounts": "1;w=1, 15;w=86400"})

    answers = [api.Accounts.get_accounts() for _ in range(3)]

    assert [one.data[0].id for one in answers] == ["SANDBX"] * 3
    assert 429 in [entry["status"] for entry in sandbox.journal()]
