"""A STATE is written when every record before it is settled: for any order in which records settle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from singer_delivery.accounts.checkpoints import Checkpoints

RECORD, STATE = "record", "state"


@pytest.mark.req("IN-61")
@given(st.lists(st.sampled_from([RECORD, STATE]), max_size=40), st.randoms(use_true_random=False))
def test_state_waits_for_open_records(steps, random):
    """No state passes an open record and the last one comes.

    Whatever settles first: at each moment the newest STATE written has no open record before it.
    """
    written: list[int] = []
    checkpoints = Checkpoints(lambda value: written.append(value["n"]))
    opened = []
    for place, step in enumerate(steps):
        if step == RECORD:
            opened.append((place, checkpoints.open()))
        else:
            checkpoints.add_state({"n": place})
    random.shuffle(opened)

    while opened:
        _, segment = opened.pop()
        checkpoints.settle([segment])
        assert all(n < place for n in written[-1:] for place, _ in opened)

    states = [place for place, step in enumerate(steps) if step == STATE]
    assert written[-1:] == states[-1:]
    assert written == sorted(written)
