"""Target alone: killed at every named point, disturbed by faults, run again from its last STATE until it succeeds."""

from __future__ import annotations

from collections import Counter

import mishaps
import pytest
from recording import WHOLE_BATCHES
from singer_delivery.testing.plans import HITS, deal, dice
from singer_delivery.testing.points import Strike

PLANS = deal(seed=3, reach=WHOLE_BATCHES)


def test_every_point_is_struck():
    """Every point is struck often enough.

    The parameters of the test below; each of them asserts that its kills took place.
    """
    struck = Counter(strike.point for plan in PLANS for strike in plan.strikes)

    assert len(struck) >= 8
    assert set(struck.values()) == {HITS}
    assert sum(len(plan.strikes) + 1 for plan in PLANS) >= 30


@pytest.mark.req("IN-61")
@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.name)
def test_disturbed_runs_end_undisturbed(begin, sandbox, recording, ideal_of, plan):
    """Killed and disturbed runs end like undisturbed ones.

    5,250 records in over 50 requests: nothing lost, nothing stored or delivered twice, every STATE true.
    """
    ideal = ideal_of(recording)
    ordeal = begin(recording)
    mishaps.arm(sandbox, dice(plan.seed), insiderone=3)

    ordeal.run_to_success(plan.strikes)

    assert ordeal.struck() == list(plan.strikes)
    assert ordeal.verdict(ideal).broken == {}
    assert len(recording.records) >= 5_000
    assert ideal.requests >= 20


@pytest.mark.parametrize("nth", [40, 45, 50, 55, 60])
def test_kill_between_bisected_halves(begin, unstorable_recording, ideal_of, nth):
    """Killed between the halves of a bisected batch.

    A half that was answered is delivered, whatever becomes of the other one.
    """
    ideal = ideal_of(unstorable_recording)
    ordeal = begin(unstorable_recording)
    strike = Strike("part_answered", nth)

    ordeal.run_to_success([strike])

    assert ordeal.struck() == [strike]
    assert ordeal.verdict(ideal).broken == {}


def test_requests_in_flight_repeat_bytes(begin, recording):
    """Requests in flight are sent again with the same bytes.

    A mapping that was changed in between makes other bytes, which Insider One would store beside the first ones.
    """
    ordeal = begin(recording)
    ordeal.run(Strike("answer_waiting", 30))
    before = ordeal.account.deliveries()
    ordeal.configure(fixed_event_parameters=[{"parameter": "added_later", "value": "yes"}])

    ordeal.run_to_success()

    after = ordeal.account.deliveries()
    again = after.repeated(2)
    assert 0 < len(again) <= 4 * 3 * 100  # four lanes, 100 records of at most three lines
    assert [key for key in again if after.by_event[key][-1].text != before.by_event[key][0].text] == []
    assert any("added_later" in found[-1].text for found in after.by_event.values())


@pytest.mark.parametrize("fault", mishaps.ANSWER_LOST.values(), ids=mishaps.ANSWER_LOST.keys())
def test_resent_events_count_as_uncertain(begin, sandbox, recording, fault):
    """Events sent again after a lost answer are counted uncertain.

    The operator is told of every event that may have arrived twice.
    """
    ordeal = begin(recording)
    sandbox.fault("insiderone", query='"events"', times=2, **fault)

    ended = ordeal.run()

    again = ordeal.account.deliveries().repeated_within(1)
    assert len(again) > 0
    assert noted_uncertain(ended) == len(again)


def noted_uncertain(ended):
    """What the summary says of events that went again."""
    notes = ended.summary["streams"]["events"].get("notes", {})
    return sum(count for name, count in notes.items() if name.startswith("uncertain "))
