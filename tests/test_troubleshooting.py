"""The README's troubleshooting table, row by row: the fault is made, and the log says what the table quotes."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
TABLE = README[README.index("## Troubleshooting") :]
CASE = {"event_mappings": [{"metric_name": "placed order", "event_type": "placed_order"}]}
UUID = [{"identifier_type": "uuid", "source_field": "external_id"}]
PHONE = [{"identifier_type": "phone_number", "source_field": "phone_number"}]

ROWS = [
    ("events", {"api_key": "pk_nobody"}, {}, "Klaviyo rejected the `api_key` (401)"),
    ("events", {"api_key": "AbC123"}, {}, "public key (six characters)"),
    ("events", {"api_key": "pk_only_profiles"}, {}, "lacks the scope events:read (403)"),
    ("subscription_changes", {"api_key": "pk_only_profiles"}, {}, "stream subscription_changes failed"),
    ("profiles", {}, {"api_key": "nobody"}, "Insider One refuses every request (status 403)"),
    ("profiles", {"initial_sync_lookback_hours": 1}, {}, "reading what happened since"),
    ("profiles", {"initial_sync_lookback_hours": 1}, {}, '"emitted":0'),
    ("profiles", {}, {"identifier_mappings": UUID}, '"no_identifier":'),
    ("profiles", {}, {"identifier_mappings": PHONE}, '"no_valid_identifier":'),
    (
        "events",
        {"event_metrics": ["placed order"]},
        {},
        "the account has no metric `placed order`; did you mean `Placed Order`?",
    ),
    ("events", {}, CASE, "'Placed Order' is not mapped, but 'placed order' is: names are case-sensitive"),
    ("events", {}, CASE, '"unmapped_metric":'),
    ("events", {}, {}, '"retention":'),
    ("profiles", {}, {}, '"property_left_out'),
    ("events", {"max_pages": 1}, {}, "stopped at max_pages, and there is more"),
    ("profiles", {}, {"identifier_mappings": PHONE, "max_rejects": 0}, "exit code 3"),
]


@pytest.mark.req("IN-22", "IN-36")
@pytest.mark.parametrize(("stream", "tap", "target", "said"), ROWS, ids=[f"{row[0]}: {row[3]}" for row in ROWS])
def test_log_matches_readme_table(new_pipe, sandbox, shop, stream, tap, target, said):
    """Log says what the table quotes. Somebody who searches the README for a line of the log must find it."""
    sandbox.add_key("pk_only_profiles", ["profiles:read"])
    person = shop.person(1, phone_number="12", properties={"address": {"street": "Main St."}})
    order = {"metric": "Placed Order", "profile_id": person, "properties": {"OrderId": "1", "$value": 1}}
    times = (shop.time(0), shop.time(1), shop.time(-60 * 24 * 800))
    sandbox.add_events([{**order, "datetime": time, "touch": False} for time in times])
    shop.at(minutes=120)
    pipe = new_pipe(tap={"events_page_size": 1, **tap}, target=target)

    passed = pipe.run(stream)

    assert said in passed.tap_log + passed.target_log
    assert said in TABLE
