"""Tap and target in a shell pipe against the sandbox: what is moved, and what is not moved twice."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import timedelta

import pytest

STREAMS = ("profiles", "events", "subscription_changes")


def balanced(figures):
    return figures["read"] == sum(
        figures.get(outcome, 0) for outcome in ("delivered", "unchanged", "duplicate", "filtered", "rejected")
    )


@pytest.mark.req("IN-01", "IN-02", "IN-48", "C-11", "C-14")
def test_hostile_account_is_copied(pipe, sandbox):
    """A hostile account is moved and never written.

    All three flows with the default mapping: every record accounted for, every person with an address arrives.
    """
    sandbox.seed(profiles=400, events=800, seed=3, hostile=True)
    pipe.tap["api_key"] = sandbox.KLAVIYO_KEY_THREE_FLOWS

    passed = pipe.run()

    assert passed.codes == (0, 0)
    assert {entry["method"] for entry in sandbox.journal("klaviyo")} == {"GET"}
    assert all(balanced(passed.figures(stream)) and passed.figures(stream)["read"] for stream in STREAMS)
    assert passed.figures("profiles")["reasons"]["filtered"]["no_identifier"] > 0
    assert passed.tap_log.count("lacks the scope metrics:read") == 1
    sent = passed.figures("events")["events"]["delivered"]
    assert sum(len(user["events"]) for user in sandbox.users()) == sent > 0


@pytest.mark.req("IN-49", "IN-47", "C-25")
def test_second_run_moves_changes_only(pipe, sandbox, shop):
    """A run begins a little before the bookmark; what it sees there again does not reach Insider One."""
    people = [shop.person(number) for number in range(5)]
    first_view = shop.view(people[0], minutes=9.9)
    shop.at(minutes=10)
    pipe.run()
    shop.at(minutes=10.1)
    sandbox.touch([people[1]], {"first_name": "Ada"})
    second_view = shop.view(people[1], minutes=10.1)
    shop.at(minutes=30)
    sandbox.clear_journal()

    passed = pipe.run()

    queries = [entry["query"] for entry in sandbox.journal("klaviyo")]
    bounds = [
        bound for query in queries for bound in re.findall(r"greater-[a-z-]+\((?:updated|datetime),([^)]+)\)", query)
    ]
    assert passed.figures("profiles")["delivered"] == passed.figures("profiles")["read"] == 1
    assert passed.figures("events")["delivered"] == passed.figures("events")["read"] == 1
    assert sorted(shop.delivered_ids()) == sorted([first_view, second_view])
    assert bounds
    assert all(bound.endswith("Z") and shop.time(8) <= bound < shop.time(9.9) for bound in bounds)


@pytest.mark.req("IN-47")
def test_overlap_event_arrives_once(pipe, shop):
    """Event inside the overlap arrives once.

    Overlap without memory would repeat, memory without overlap would lose: this event needs both.
    """
    person = shop.person(1)
    seen = shop.view(person, minutes=9.5)
    shop.at(minutes=10)
    pipe.run("events")
    shop.at(minutes=11)
    late = shop.view(person, minutes=9.5, product="P-2")

    passed = pipe.run("events")

    assert passed.figures("events")["read"] == 1
    assert shop.delivered_ids() == [seen, late]


@pytest.mark.req("C-5", "BX-10")
def test_shared_second_is_complete(pipe, sandbox, shop):
    """Second shared by many is neither lost nor repeated.

    Klaviyo's times are whole seconds and its filter is strict: the boundary second needs ids in the state.
    """
    people = [shop.person(number) for number in range(150)]
    shop.at(minutes=5)
    sandbox.touch(people[:120], at=shop.time(4))
    pipe.run("profiles")
    sandbox.touch(people[120:], at=shop.time(4))
    shop.at(minutes=6)

    passed = pipe.run("profiles")

    assert passed.figures("profiles")["read"] == 30
    assert len(sandbox.users()) == 150


@pytest.mark.req("C-3", "CS-03", "IN-47")
def test_late_event_arrives_once(new_pipe, shop):
    """Event three days late arrives exactly once.

    The tap reads seven days again, the ledger drops what was delivered: without the former the event is lost.
    """
    pipe = new_pipe(tap={"lookback_window_days": 7})
    person = shop.person(1)
    first = shop.view(person, minutes=1)
    shop.at(minutes=10)
    pipe.run("events")
    late = shop.view(person, minutes=-timedelta(days=3).total_seconds() / 60)
    shop.at(minutes=20)
    second_run = pipe.run("events")

    third_run = pipe.run("events")

    assert second_run.figures("events")["delivered"] == 1
    assert third_run.figures("events")["delivered"] == 0
    assert third_run.figures("events")["duplicate"] == 2
    assert sorted(shop.delivered_ids()) == sorted([first, late])


@pytest.mark.req("CS-03")
def test_late_event_needs_lookback(pipe, shop):
    """Without look-back a late event stays away.

    The counterpart: the look-back is what brings late events, at the price of reading again.
    """
    person = shop.person(1)
    shop.at(minutes=10)
    pipe.run("events")
    shop.view(person, minutes=-timedelta(days=3).total_seconds() / 60)
    shop.at(minutes=20)

    passed = pipe.run("events")

    assert passed.figures("events")["read"] == 0


@pytest.mark.req("C-1", "C-2", "BX-11")
def test_future_event_is_kept(pipe, shop):
    """Future event neither blocks the flow nor is lost.

    A cursor that follows a future-dated event finds nothing for days; ours stays behind the run's start.
    """
    person = shop.person(1)
    future = shop.view(person, minutes=60)
    shop.at(minutes=10)
    first_run = pipe.run("events")
    present = shop.view(person, minutes=11)
    shop.at(minutes=20)
    pipe.run("events")
    in_between = shop.delivered_ids()
    shop.at(minutes=61)

    pipe.run("events")

    assert first_run.states[-1]["bookmarks"]["events"]["replication_key_value"] <= shop.time(10)
    assert in_between == [present]
    assert sorted(shop.delivered_ids()) == sorted([present, future])


@pytest.mark.req("IN-45", "CO-01")
def test_withdrawn_consent_reaches_insider_one(pipe, sandbox, shop):
    """Two changes of one person make one re-read, and the latest state counts."""
    person = shop.person(1)
    shop.at(minutes=10)
    pipe.run("subscription_changes")
    shop.at(minutes=11)
    sandbox.consent(person, "email", "SUBSCRIBED")
    shop.at(minutes=12)
    sandbox.consent(person, "email", "UNSUBSCRIBED")
    shop.at(minutes=20)

    passed = pipe.run("subscription_changes")

    assert passed.figures("subscription_changes")["delivered"] == passed.figures("subscription_changes")["read"] == 1
    assert [user["attributes"]["email_optin"] for user in sandbox.users()] == [False]


@pytest.mark.req("IN-50")
def test_empty_account_leaves_bookmark(pipe, shop):
    """Empty account succeeds and leaves a bookmark.

    All flows may be scheduled before there is data; the bookmark spares the next run the beginning.
    """
    shop.at(minutes=10)

    passed = pipe.run()

    assert passed.codes == (0, 0)
    assert {stream: figures["read"] for stream, figures in passed.summary["streams"].items()} == dict.fromkeys(
        STREAMS, 0
    )
    assert set(passed.states[-1]["bookmarks"]) == set(STREAMS)


@pytest.mark.req("IN-16", "IN-17", "IN-18")
def test_guide_example_works(new_pipe, sandbox, shop):
    """Guides example of a fixed attribute works verbatim.

    ``data_source`` = ``klaviyo`` on every profile, under ``custom``; also where Klaviyo holds something else.
    """
    pipe = new_pipe(target={"fixed_attributes": [{"attribute": "data_source", "value": "klaviyo"}]})
    shop.person(1)
    shop.person(2, properties={"data_source": "import"})
    shop.at(minutes=10)

    pipe.run("profiles")

    assert [user["attributes"]["custom"]["data_source"] for user in sandbox.users()] == ["klaviyo", "klaviyo"]


@pytest.mark.req("IN-06")
def test_data_folder_is_shared_safely(new_pipe, shop, tmp_path):
    """Integrations of one data folder share nothing.

    Two names, two pipelines: the second delivers what the first delivered, and keeps its own rejects.
    """
    shop.view(shop.person(1), minutes=1)
    shop.at(minutes=10)
    one, other = (new_pipe(name, target={"integration_name": name}) for name in ("shop_tr", "shop_us"))

    passed = {name: pipe.run("events") for name, pipe in (("shop_tr", one), ("shop_us", other))}

    assert [run.figures("events")["delivered"] for run in passed.values()] == [1, 1]
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["shop_tr", "shop_us"]
    for name, run in passed.items():
        assert all(f"[{name}]" in line for line in run.target_log.splitlines())


@pytest.mark.req("IN-04", "C-32")
@pytest.mark.parametrize("side", ["klaviyo", "insiderone", None], ids=["klaviyo refuses", "insider refuses", "passes"])
def test_secrets_stay_out(new_pipe, shop, side):
    """Keys and addresses stay out of logs and state.

    Whatever happens, neither a key nor a person stands where operators, tickets and monitoring read.
    """
    keys = {"klaviyo": "pk_canary_of_klaviyo", "insiderone": "canary-of-insider-one"}
    pipe = new_pipe(
        tap={"api_key": keys["klaviyo"]} if side == "klaviyo" else {},
        target={"api_key": keys["insiderone"]} if side == "insiderone" else {},
    )
    shop.person(1, email="canary@shop.example", phone_number="0532 canary", first_name="Canaria")
    shop.at(minutes=10)

    passed = pipe.run()

    everything = passed.tap_log + passed.target_log + json.dumps(passed.states)
    assert (passed.codes == (0, 0)) == (side is None)
    assert "canary" not in everything.lower()
    assert "canaria" not in everything.lower()
    assert pipe.tap["api_key"] not in everything
    assert pipe.target["api_key"] not in everything


@pytest.mark.req("IN-35", "IN-36")
def test_page_limit_is_continued(new_pipe, sandbox, shop):
    """A page limit stops cleanly and the next run continues.

    250 people, two pages of 100: the rest comes next time, nobody twice.
    """
    pipe = new_pipe(tap={"max_pages": 2})
    sandbox.seed(profiles=250, events=0, seed=5, hostile=False)
    shop.at(minutes=10)

    first, second = pipe.run("profiles"), pipe.run("profiles")

    assert (first.codes, second.codes) == ((0, 0), (0, 0))
    assert (first.figures("profiles")["read"], second.figures("profiles")["read"]) == (200, 50)
    assert "max_pages" in first.tap_log
    assert "max_pages" not in second.tap_log


@pytest.mark.req("IN-46", "C-24")
def test_failing_events_spare_the_profiles(new_pipe, sandbox, shop):
    """One broken endpoint must not keep the other flow from running, and the exit code says that something failed."""
    pipe = new_pipe(tap={"max_retry_seconds": 0})
    shop.view(shop.person(1), minutes=1)
    shop.at(minutes=10)
    sandbox.fault("klaviyo", path="/api/events*", kind="status", status=500, times=None)

    passed = pipe.run()

    assert passed.codes == (4, 0)
    assert passed.figures("profiles")["delivered"] == 1
    assert set(passed.states[-1]["bookmarks"]) >= {"profiles"}
    assert "replication_key_value" not in passed.states[-1]["bookmarks"].get("events", {})
    assert "events" in passed.tap_log.splitlines()[-1]


@pytest.mark.req("IN-26", "IN-28", "IN-29", "C-8")
def test_orders_become_line_purchases(pipe, sandbox, shop):
    """Orders become purchases one a line.

    The default mapping on an order of two lines: two purchases of one order, with price, currency and quantity.
    """
    person = shop.person(1)
    lines = [{"ProductID": "A", "ItemPrice": 10.5, "Quantity": 2}, {"ProductID": "B", "ItemPrice": 0, "Quantity": 1}]
    properties = {"OrderId": "O-1", "Items": lines, "$value": 21, "$value_currency": "EUR"}
    order = {"metric": "Placed Order", "profile_id": person, "datetime": shop.time(1), "properties": properties}
    sandbox.add_events([order])
    shop.at(minutes=10)

    pipe.run("events")

    (user,) = sandbox.users()
    found = [
        (
            event["event_name"],
            params["event_group_id"],
            params["product_id"],
            params["unit_sale_price"],
            params["currency"],
        )
        for event in user["events"]
        for params in [event["event_params"]]
    ]
    assert Counter(found) == Counter([("purchase", "O-1", "A", 10.5, "EUR"), ("purchase", "O-1", "B", 0, "EUR")])
    assert {event["event_params"]["custom"]["order_value"] for event in user["events"]} == {21}


@pytest.mark.req("IN-31", "IN-34")
def test_state_outranks_initial_lookback(new_pipe, shop):
    """State survives and outranks the initial look-back.

    The look-back is for the very first run: with a bookmark, neither a longer nor a shorter one changes anything.
    """
    pipe = new_pipe(tap={"initial_sync_lookback_hours": 1})
    person = shop.person(1)
    shop.view(person, minutes=-120)
    recent = shop.view(person, minutes=1)
    shop.at(minutes=10)
    first = pipe.run("events")
    pipe.tap |= {"initial_sync_lookback_hours": 0, "lookback_window_days": 0}
    shop.at(minutes=20)

    second = pipe.run("events")

    assert first.figures("events")["delivered"] == 1
    assert "WARNING" in next(line for line in first.tap_log.splitlines() if "holds no bookmark" in line)
    assert second.figures("events")["read"] == 0
    assert "holds no bookmark" not in second.tap_log
    assert shop.delivered_ids() == [recent]
