"""What the ledger promises of events: whose they are, which line is which, and who may read it."""

from __future__ import annotations

import sqlite3

import pytest
from singer_delivery.sending.items import EventLine
from singer_messages import order, record, schema, state


def items(*prices: float):
    """The lines of an order."""
    return [{"ItemPrice": price, "Quantity": 1} for price in prices]


def bought(*prices: float, email: str = "person1@shop.example"):
    """An order with such lines; always the same one."""
    fields = order(1, datetime="2026-06-01T11:00:00+00:00", profile={"email": email})
    fields["event_properties"]["Items"] = items(*prices)
    return [schema("events"), record("events", fields), state({"n": 1})]


def prices_of(sandbox):
    """The prices of all events that Insider One has."""
    return sorted(
        event["event_params"]["unit_sale_price"] for user in sandbox.users() for event in user.get("events", ())
    )


def lose_the_answer(load, sandbox, messages):
    """Load; the events are stored, but no answer comes."""
    sandbox.fault("insiderone", kind="answer_lost", times=None)
    ended = load(messages, max_retry_seconds=1)
    sandbox.clear_faults()
    assert ended.code == 1


def test_uncertain_event_keeps_identifiers(load, sandbox):
    """An event with an unknown outcome is sent again with its user's identifiers.

    Its person's address has changed since: with the new one, the event would stand with two users.
    """
    lose_the_answer(load, sandbox, bought(10, 20))

    ended = load(bought(10, 20, email="new@shop.example"))

    first, *others = sandbox.journal("insiderone")
    assert all(request["body"] == first["body"] for request in others)
    assert ended.summary["streams"]["events"]["notes"]["uncertain purchase"] == 2
    assert ended.counts("events") == {"read": 1, "delivered": 1}
    assert [user["identifiers"] for user in sandbox.users()] == [{"email": "person1@shop.example"}]
    assert prices_of(sandbox) == [10, 20]


def test_only_uncertain_events_are_resent(load, sandbox):
    """Only events with an unknown outcome are sent again unchanged.

    What its record has besides goes to the user that it names now, and what was delivered goes to nobody.
    """
    load(bought(10))
    lose_the_answer(load, sandbox, bought(10, 20))
    before = len(sandbox.journal("insiderone"))

    load(bought(10, 20, 30, email="new@shop.example"))

    (request,) = sandbox.journal("insiderone")[before:]
    sent = {
        user["identifiers"]["email"]: [event["event_params"]["unit_sale_price"] for event in user["events"]]
        for user in request["body"]["users"]
    }
    assert sent == {"person1@shop.example": [20], "new@shop.example": [30]}


def test_old_intent_bytes_are_resent():
    """Bytes stored by version 0.1.0 are sent again for the present user. It stored no identifiers."""
    event = EventLine(b"key", b"content", b'{"now":1}', "purchase", 1)

    event.go_again(b'{"then":1}')

    assert (event.body, event.identifiers) == (b'{"then":1}', None)


@pytest.mark.parametrize(
    ("before", "after", "held", "outcomes"),
    [
        pytest.param([10, 20], [20, 30], [10, 20], {"duplicate": 2}, id="moved up"),
        pytest.param([10, 20], [5, 10, 20], [10, 20], {"duplicate": 3}, id="one put before them"),
        pytest.param([10, 20], [20, 10], [10, 20], {"duplicate": 2}, id="exchanged"),
        pytest.param([10, 20], [10, 20, 30], [10, 20, 30], {"duplicate": 2, "delivered": 1}, id="one more"),
        pytest.param([10, 20], [10, 20, 20], [10, 20, 20], {"duplicate": 2, "delivered": 1}, id="one more alike"),
        pytest.param([10, 20], [5, 10, 20, 30], [10, 20, 30], {"duplicate": 3, "delivered": 1}, id="before and after"),
        pytest.param([10, 20], [10], [10, 20], {"duplicate": 1}, id="one less"),
    ],
)
def test_line_is_sent_once(load, sandbox, before, after, held, outcomes):
    """A line is known by its number and never goes twice.

    A line that moved to a number not yet used was sent as another event: A, B, then X, A, B made A, B, B.
    """
    load(bought(*before))

    ended = load(bought(*after))

    assert prices_of(sandbox) == held
    assert {name: count for name, count in ended.summary["streams"]["events"]["events"].items() if count} == outcomes


def test_moved_uncertain_lines_sent_once(load, sandbox):
    """Moved lines in doubt do not go twice either. They go again as they were, each under its number."""
    lose_the_answer(load, sandbox, bought(10, 20))

    load(bought(5, 10, 20))

    assert prices_of(sandbox) == [10, 20]


def test_newer_ledger_is_refused(load, config, sandbox):
    """A ledger of a newer version is refused.

    What stands in it can only be guessed, and what is not recognised would be sent twice.
    """
    load(bought(10))
    path = f"{config['data_dir']}/klaviyo/ledger.sqlite"
    with sqlite3.connect(path) as ledger:
        ledger.execute("UPDATE insiderone_facts SET value = '3' WHERE key = ?", (b"format",))

    ended = load(bought(20))

    assert (ended.code, ended.states) == (2, [])
    assert "newer version of target-insiderone" in ended.logs
    assert "unforeseen" not in ended.logs
    assert prices_of(sandbox) == [10]


def test_compound_keys_are_distinct(load):
    """Keys of several values are distinguished.

    `a|b` and `c` made the same key as `a` and `b|c`: the second event was a duplicate of a stranger's.
    """
    declared = schema("events") | {"key_properties": ["id", "profile_id"]}
    events = [order(1, id="a|b", profile_id="c"), order(2, id="a", profile_id="b|c")]

    ended = load([declared, *(record("events", event) for event in events)])

    assert ended.counts("events") == {"read": 2, "delivered": 2}
