"""Which opt-ins go, decided by the times of the decisions: version after version of one profile, without a run."""

from __future__ import annotations

from typing import Any

import pytest
from singer_delivery.memory.optins import choose_optins, doubtful, overdue_optouts
from singer_delivery.memory.version_ledger import KnownProfile, ReadProfile, in_doubt
from target_insiderone.mapping.consent import compile_consent, consent_stamp

T1, T2, T3 = (f"2026-05-0{day}T10:00:00+00:00" for day in (1, 2, 3))
AHEAD = "2099-01-01T00:00:00+00:00"
READ = "2026-06-01T10:0{}:00.000000+00:00"


def yes(at: Any = T1, **more: Any) -> dict[str, Any]:
    """A person who agreed."""
    return {"consent": "SUBSCRIBED", "consent_timestamp": at, **more}


def no(at: Any = T2, **more: Any) -> dict[str, Any]:
    """A person who does not."""
    return {"consent": "UNSUBSCRIBED", "consent_timestamp": at, **more}


def suppressed(at: str) -> list[dict[str, str]]:
    """A suppression of that time."""
    return [{"reason": "HARD_BOUNCE", "timestamp": at}]


def optins(given: Any) -> dict[str, tuple[Any, str]]:
    """What the mapping makes of a channel's marketing object, or of another value that stands for it."""
    return {"email_optin": (compile_consent(never_is_false=True)(given), consent_stamp(given))}


def sent(*versions: Any, known: str = "", since: str = "") -> list[bool | None]:
    """What is sent of each version, read one minute after the other; *known*: the ledger's token before."""
    last, last_read_at = ({"email_optin": known}, READ.format(0)) if known else ({}, "")
    told = []
    for minute, version in enumerate(versions, 1):
        choice = choose_optins(optins(version), READ.format(minute), last, last_read_at, since)
        told.append(choice.sent.get("email_optin"))
        last, last_read_at = {**last, **choice.noted}, READ.format(minute)
    return told


@pytest.mark.req("CO-05")
@pytest.mark.parametrize(
    "again",
    [
        pytest.param(yes("2026-05-01T10:00:00Z"), id="Z"),
        pytest.param(yes("2026-05-01T10:00:00.000000+00:00"), id="microseconds"),
        pytest.param(yes("2026-05-01T13:00:00+03:00"), id="another offset"),
        pytest.param(yes("2026-05-01 10:00:00"), id="a blank, and no offset"),
        pytest.param(yes("2026-05-01T10:00:00.734+00:00"), id="a fraction that was cut off before"),
        pytest.param(yes(1777629600), id="a number"),
        pytest.param(yes(T1, consent="subscribed"), id="lower case"),
        pytest.param(yes(None), id="null"),
        pytest.param(yes("yesterday"), id="no time"),
        pytest.param({"consent": "SUBSCRIBED", "timestamp": T3}, id="another member"),
        pytest.param(yes(AHEAD), id="ahead of now"),
        pytest.param("SUBSCRIBED", id="another source"),
    ],
)
def test_optin_needs_later_decision(again):
    """An opt-in is sent again only for a later decision.

    The text of its time was compared, so that one decision, spelt in two ways, opted a person in twice.
    """
    assert sent(yes(T1), again, yes(T2)) == [True, None, True]


@pytest.mark.req("CO-05")
@pytest.mark.parametrize("known", ["SUBSCRIBED 2026-05-01T10:00:00Z", "SUBSCRIBED None", "yes", "digest 0f"])
def test_respelt_optin_is_not_sent(known):
    """An opt-in that the ledger knows in another spelling is not sent.

    Earlier versions noted the time as it came; where there is none, the decision is as late as its reading.
    """
    assert sent(yes(T1), yes("2026-06-01T10:01:30Z"), known=f"true {known}") == [None, True]


@pytest.mark.req("CO-05")
@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param([no(T2), yes(T1)], [False, None], id="a stale copy"),
        pytest.param([no(T2), yes(T1), yes(T3)], [False, None, True], id="a stale copy, then a later decision"),
        pytest.param([yes(T1), no(T2), yes(T1)], [True, False, None], id="a stale copy of what was delivered"),
        pytest.param([no(T2), yes(T2)], [False, None], id="the same moment"),
        pytest.param([no(T2), yes(None)], [False, None], id="no time any more"),
        pytest.param([no(T2), yes(AHEAD)], [False, None], id="ahead of now"),
        pytest.param([no(None), yes(T1)], [False, None], id="an opt-out without a time: decided before its reading"),
        pytest.param([no(None), yes("2026-06-01T10:01:30Z")], [False, True], id="decided after its reading"),
        pytest.param([no(AHEAD), yes("2026-06-01T10:01:30Z")], [False, True], id="an opt-out ahead of now"),
        pytest.param([no(T1, suppression=suppressed(T3)), yes(T2)], [False, None], id="suppressed since"),
        pytest.param([yes(T1, suppression=suppressed(T2)), yes(T1)], [False, True], id="a suppression lifted"),
        pytest.param([yes(None, suppression=suppressed(T2)), yes(None)], [False, True], id="lifted, without a time"),
        pytest.param([{"consent": "NEVER_SUBSCRIBED"}, yes(T1)], [False, True], id="imported with its old time"),
        pytest.param([False, True], [False, True], id="no times at all: the order of the readings"),
    ],
)
def test_optin_keeps_later_optout(versions, expected):
    """An opt-in undoes no later opt-out.

    The reading alone decided, and a stale copy that was read last opted a person in.
    """
    assert sent(*versions) == expected


@pytest.mark.req("CO-05")
@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        pytest.param([yes(AHEAD)], [None], id="ahead of now"),
        pytest.param([yes(T1), yes("2026-05-01T10:00:00Z")], [None, None], id="another spelling"),
        pytest.param([yes(T1), yes(T2)], [None, None], id="a later decision, before the memory began"),
        pytest.param([yes(T1), yes(None)], [None, None], id="no time any more"),
        pytest.param([yes(T1), yes("2026-06-01T10:01:30Z")], [None, True], id="decided since"),
    ],
)
def test_lost_memory_needs_later_time(versions, expected):
    """Without memory, an opt-in needs a time after the ledger began. A time in the future counted as later, too."""
    assert sent(*versions, since=READ.format(0)) == expected


@pytest.mark.req("CO-06")
@pytest.mark.parametrize(
    ("opted_in", "is_sent"), [(AHEAD, True), (T1, True), (T3, False)], ids=["ahead of now", "earlier", "later"]
)
def test_earlier_optout_is_sent(opted_in, is_sent):
    """An opt-out read before an opt-in goes unless that is later.

    A time ahead of now made every real opt-out an older one.
    """
    known = {"email_optin": f"true SUBSCRIBED {opted_in}"}

    assert bool(overdue_optouts(optins(no(T2)), READ.format(1), known, READ.format(9)).sent) is is_sent


@pytest.mark.req("CO-05", "CO-06")
@pytest.mark.parametrize("known", [f"true SUBSCRIBED {T1}", f"false UNSUBSCRIBED {T2}"], ids=["opt-in", "opt-out"])
def test_unsent_optin_is_certain(known):
    """An opt-in that did not go is not in doubt.

    A request without an answer carried the rest of the profile only; the next run would have sent the opt-in.
    """
    before = KnownProfile(READ.format(1), b"c" * 16, None, None, {"email_optin": known})
    version = ReadProfile(READ.format(2), {"email_optin": "true SUBSCRIBED 2026-05-01T10:00:00Z"})

    assert in_doubt(before, version).optins == {"email_optin": known}
    assert doubtful(known, READ.format(1), f"true SUBSCRIBED {T3}", READ.format(2)).startswith("? ")
