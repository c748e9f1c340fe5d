"""A 400 that concerns a row and names none: what it costs to find the row."""

from __future__ import annotations

import json
from math import ceil, log2

import pytest
from recording import SCHEMAS
from singer_delivery.testing.recording import Record, Recording

ROWS = 1_000
BAD_ROWS = {1: [437], 3: [0, 500, 999], 50: range(7, ROWS, 20)}


@pytest.mark.req("IN-58", "IN-60")
@pytest.mark.parametrize("bad", BAD_ROWS.values(), ids=[f"{count} bad rows" for count in BAD_ROWS])
def test_bad_rows_cost_few_requests(begin, sandbox, bad):
    """Each bad row costs itself and few requests.

    At most 2 * ceil(log2 n) + 1 requests more for each bad row of n; the others arrive in the same run.
    """
    ordeal = begin(shop_with(bad), batch_size_rows=ROWS, max_parallel_requests=1)
    for number in bad:  # in words of its own: twenty rows with one text would be taken for the request's fault
        refusal = json.dumps({"error": f"row {number} cannot be stored"})
        sandbox.fault("insiderone", kind="status", status=400, body=refusal, query=address(number, True), times=None)

    ended = ordeal.run()

    figures = ended.summary["streams"]["profiles"]
    extra = len(sandbox.journal("insiderone")) - 1
    assert ended.codes == (0,), ended.log
    assert (figures["delivered"], figures["rejected"]) == (ROWS - len(bad), len(bad))
    assert ordeal.rejected() == {("profiles", f"P{number:04}") for number in bad}
    assert len(sandbox.users()) == ROWS - len(bad)
    assert 0 < extra <= len(bad) * (2 * ceil(log2(ROWS)) + 1)


def shop_with(bad) -> Recording:
    """A thousand profiles, some of them bad."""
    people: list[tuple[str, Record]] = [
        ("profiles", {"id": f"P{number:04}", "email": address(number, number in bad), "first_name": "Ada"})
        for number in range(ROWS)
    ]
    return Recording(people, SCHEMAS, frozenset(("profiles", f"P{number:04}") for number in bad), state_every=ROWS)


def address(number: int, is_bad: bool) -> str:
    """The address that the sandbox knows a bad row by."""
    return f"{'odd' if is_bad else 'person'}{number}@shop.example"
