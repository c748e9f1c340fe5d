"""The README's target in the harness: killed at every named point, disturbed by every fault, resumed from its STATE."""

from __future__ import annotations

import signal

import pytest
from singer_delivery.testing.ordeals import TargetOrdeal
from singer_delivery.testing.points import POINTS, Strike
from singer_delivery.testing.recording import Recording
from singer_delivery.testing.stand_in import FAULTS, StandIn
from toybox import SCHEMAS, Toybox, ToyboxAccount, record_toys

RECORDING = record_toys()

ORDEALS = [
    [Strike("reading_input", 100), Strike("intent_noted", 3, signal.SIGTERM), Strike("rejects_written", 1)],
    [Strike("before_intent", 4), Strike("answer_waiting", 5), Strike("state_half_written", 1)],
    [Strike("request_half_sent", 6), Strike("outcome_noted", 4), Strike("before_state", 1)],
    [Strike("ledger_uncommitted", 8), Strike("answer_half_read", 5), Strike("rejects_half_written", 1)],
    [Strike("answer_read", 6), Strike("part_answered", 2)],
]


def test_every_point_is_struck():
    """The parameters of the test below, which asserts that its kills took place."""
    assert {strike.point for strikes in ORDEALS for strike in strikes} == set(POINTS)


@pytest.fixture(scope="module")
def ideal(target_file, tmp_path_factory):
    """What the recording brings when nothing happens on the way."""
    toybox = Toybox()
    with StandIn(toybox.respond) as api:
        undisturbed = TargetOrdeal(
            ToyboxAccount(toybox, api, target_file), tmp_path_factory.mktemp("ideal") / "run", RECORDING
        )
        undisturbed.run_to_success()
        return undisturbed.ideal()


@pytest.fixture
def ordeal(toybox, api, target_file, tmp_path):
    return TargetOrdeal(ToyboxAccount(toybox, api, target_file), tmp_path / "ordeal", RECORDING)


@pytest.mark.parametrize("strikes", ORDEALS, ids=lambda strikes: "-".join(strike.point for strike in strikes))
def test_killed_runs_end_undisturbed(ordeal, ideal, strikes):
    """Killed runs end like undisturbed ones.

    Nothing lost, nothing delivered twice but with the same bytes, accounts balanced, every STATE true.
    """
    ordeal.run_to_success(strikes)

    assert ordeal.struck() == strikes
    assert ordeal.verdict(ideal).broken == {}


def test_faulty_runs_end_undisturbed(ordeal, api, ideal):
    """Runs with faults of every kind end like undisturbed ones. One fault after the other, in a single run."""
    for place, fault in enumerate(FAULTS.values()):
        api.fault(**fault, skip=2 * place)

    ended = ordeal.run()

    assert {seen.fault for seen in api.journal} >= {fault["kind"] for fault in FAULTS.values()}
    assert ended.succeeded, ended.log
    assert ordeal.verdict(ideal).broken == {}


def test_harness_notices_missing_ledger(toybox, api, target_file, tmp_path, ideal):
    """Kill of an order that was taken is noticed where the ledger is off.

    The harness itself: without its ledger the target repeats what was delivered, and says nothing of it.

    Orders alone: so the first STATE that is due has some before it, however the batches fall.
    """
    orders = [made for made in RECORDING.records if made[0] == "orders"]
    recording = Recording(orders, SCHEMAS, RECORDING.bad, state_every=40)
    ordeal = TargetOrdeal(ToyboxAccount(toybox, api, target_file), tmp_path / "ordeal", recording)
    ordeal.configure(ledger_days=0)

    ordeal.run_to_success([Strike("before_state", 1)])

    assert "uncounted" in ordeal.verdict(ideal).broken
