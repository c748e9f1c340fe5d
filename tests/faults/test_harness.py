"""The harness itself: it must notice when the target breaks a promise, or a green suite would mean nothing."""

from __future__ import annotations

import signal

import pytest
from singer_delivery.testing.points import Strike
from singer_delivery.testing.verdict import Ended, crashed


@pytest.mark.parametrize(
    ("sabotage", "strike", "noticed"),
    [
        pytest.param("states at once", Strike("answer_waiting", 30), {"lost", "early_states"}, id="states at once"),
        pytest.param("no intent", Strike("answer_waiting", 30), {"uncounted"}, id="no intent"),
        pytest.param("no outcome", Strike("answer_waiting", 30), {"delivered_twice"}, id="no outcome"),
        pytest.param("rejects unwritten", Strike("before_state", 2), {"lost", "early_states"}, id="rejects unwritten"),
    ],
)
def test_broken_promise_is_noticed(begin, recording, ideal_of, sabotage, strike, noticed):
    """Each sabotage switches one safeguard of the target off."""
    ideal = ideal_of(recording)
    ordeal = begin(recording)

    ordeal.run_to_success([strike], sabotage=sabotage)

    assert noticed <= set(ordeal.verdict(ideal).broken)


KILLED = Strike("answer_waiting", 1, signal.SIGKILL)
TRACEBACK = "ERROR | target\nTraceback (most recent call last):\n  File …"


@pytest.mark.parametrize(
    ("codes", "struck", "log", "told"),
    [
        pytest.param((0, -signal.SIGSEGV), None, "", ["run 1: exit code -11"], id="segmentation fault"),
        pytest.param(
            (-signal.SIGABRT, 0), KILLED, "", ["run 1: exit code -6"], id="struck, but died of something else"
        ),
        pytest.param((1,), None, TRACEBACK, ["run 1: traceback"], id="traceback"),
        pytest.param((143, -signal.SIGKILL), KILLED, "INFO | done", [], id="killed as ordered"),
        pytest.param((1, 1), None, "ERROR | given up after 3 attempts", [], id="failed in order"),
    ],
)
def test_crash_is_noticed(codes, struck, log, told):
    """A process that ends by itself is no kill of the harness."""
    assert crashed(Ended(1, codes, [], struck, None, log)) == told
