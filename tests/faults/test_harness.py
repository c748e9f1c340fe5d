"""The harness itself: it must notice when the target breaks a promise, or a green suite would mean nothing."""

from __future__ import annotations

import pytest
from points import Strike


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
