"""What was not read of a metric is not claimed: each is read from where it was last read."""

from __future__ import annotations

import signal
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY_THREE_FLOWS
from tap_klaviyo.errors import UnreadableStateError
from tap_klaviyo.reading.bookmarks import SavedBookmark, before, read_state, span
from tap_klaviyo.reading.coverage import EVERY, Coverage, coverage_of

NOON = "2026-06-01T12:00:00Z"
LATER = ("2026-06-02T12:00:00Z", "2026-06-03T12:00:00Z", "2026-06-04T12:00:00Z")
STREAMS = {
    "events": ("event_metrics", ["Placed Order", "Viewed Product"]),
    "subscription_changes": ("subscription_metrics", ["Left the club", "Joined the club"]),
}


@pytest.fixture
def account(sandbox):
    """One event of each of four metrics every day, each of another person; the clock stands at noon of the first."""
    sandbox.clock(frozen=NOON)
    names = [name for _, metrics in STREAMS.values() for name in metrics]
    people = [f"{name[0]}{name[-4]}{day:02}" for name in names for day in range(10, 32)]
    sandbox.add_profiles([{"id": key, "attributes": {"updated": "2026-01-01T00:00:00Z"}} for key in people])
    sandbox.add_events([one for name in names for one in daily(name, range(10, 32))])
    return sandbox


def daily(metric, days, month=5):
    """One event of a metric for each day."""
    return [
        {
            "id": f"{metric[0]}{metric[-4]}{month}-{day:02}",
            "metric": metric,
            "profile_id": f"{metric[0]}{metric[-4]}{day:02}",
            "datetime": f"2026-{month:02}-{day:02}T10:00:00Z",
            "touch": False,
        }
        for day in days
    ]


def runs(tap, account, stream, *settings, **common):
    """Run once with each of *settings*, a day apart, with the state of the run before; return the outcomes."""
    outcomes, state = [], None
    for clock, given in zip((NOON, *LATER), settings, strict=False):
        account.clock(frozen=clock)
        outcomes.append(tap(streams=[stream], state=state, **common, **given))
        assert outcomes[-1].code == 0
        state = outcomes[-1].state
    return outcomes


def metrics_of(outcome, stream):
    """How many records of each metric came."""
    names = [r["metric_name"] if stream == "events" else r["changed_by"][0] for r in outcome.records(stream)]
    return dict(Counter(names))


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize("key", [{}, {"api_key": KLAVIYO_KEY_THREE_FLOWS}], ids=["all scopes", "no metrics:read"])
def test_corrected_metric_is_read_completely(tap, account, stream, key):
    """Unknown metric that is corrected is read from the beginning.

    The bookmark moved although nothing of it was read; with that state nothing of it ever came.
    """
    setting, (name, _) = STREAMS[stream]
    first, second, third = runs(
        tap, account, stream, {setting: [f"Whatever is not {name}"]}, {setting: [name]}, {setting: [name]}, **key
    )

    assert first.records(stream) == []
    assert metrics_of(second, stream) == {name: 22}
    assert third.records(stream) == []


def test_metrics_of_one_name_share_line(tap, sandbox):
    """Several metrics of one name are reported in one line.

    Each has a bookmark of its own, so the same line came once for each.
    """
    (person,) = sandbox.add_profiles([{"attributes": {"email": "ada@example.org"}}])
    for name, integration in [("Viewed Product", None), ("Placed Order", "Shopify"), ("Placed Order", None)]:
        event = {"metric": name, "integration": integration, "profile_id": person, "datetime": "2026-05-01T00:00:00Z"}
        sandbox.add_events([event])
    first = tap(streams=["events"], event_metrics=["Viewed Product"])

    second = tap(streams=["events"], state=first.state, event_metrics=["Viewed Product", "Placed Order"])

    assert len(second.records("events")) == 2
    assert len([line for line in second.warnings() if "`Placed Order` was not read before" in line]) == 1


@pytest.mark.parametrize("stream", STREAMS)
@pytest.mark.parametrize(
    ("added", "key"),
    [(False, {}), (True, {"api_key": KLAVIYO_KEY_THREE_FLOWS})],
    ids=["misspelt among others", "added later, no metrics:read"],
)
def test_added_metric_starts_at_bound(tap, account, stream, key, added):
    """Metric beside others is read from the first bound.

    Those that were read go on at their bookmark; the new one begins where the first run did. Nothing comes twice.
    """
    setting, (name, other) = STREAMS[stream]
    before_it = [name] if added else [name, other.upper()]
    first, second, third = runs(
        tap,
        account,
        stream,
        {setting: before_it},
        {setting: [name, other]},
        {setting: [name, other]},
        start_date="2026-05-20",
        **key,
    )

    assert metrics_of(first, stream) == {name: 12}
    assert metrics_of(second, stream) == {other: 12}
    assert third.records(stream) == []
    assert any("was not read before; it is read since 2026-05-20T00:00:00Z" in line for line in second.warnings())
    assert not any("was not read before" in line for line in [*first.warnings(), *third.warnings()])


def test_absent_metric_warns_once(tap, account):
    """Metric that a shop does not have is a warning once.

    The shipped list names more than most shops have: each was a WARNING in every run, every 15 minutes.
    """
    shipped = {"event_metrics": ["Placed Order", "Refunded Order", "Viewed Collection"]}
    misspelt = {"event_metrics": ["Placed Order", "viewed product"]}
    first, second, third = runs(tap, account, "events", shipped, shipped, misspelt)

    def told(outcome):
        return [line for line in outcome.warnings() if "has no metric" in line]

    assert len(told(first)) == 2
    assert told(second) == []
    (near,) = told(third)
    assert "did you mean `Viewed Product`" in near


def test_unknown_metrics_always_warn(tap, account):
    """Settings that name nothing known are a warning in every run. Nothing is read then, which must not go unseen."""
    nothing = {"event_metrics": ["Refunded Order"]}

    for outcome in runs(tap, account, "events", nothing, nothing):
        assert any("has no metric `Refunded Order`" in line for line in outcome.warnings())


def test_first_bound_survives_empty_run(tap, account):
    """First bound is that of the first run although it read nothing.

    `initial_sync_lookback_hours` counts from the run that was misconfigured, not from the one that is right.
    """
    outcomes = runs(
        tap,
        account,
        "events",
        {"event_metrics": ["Orders of people"]},
        {"event_metrics": ["Placed Order"]},
        initial_sync_lookback_hours=72,
    )

    assert outcomes[1].ids("events") == ["Pr5-30", "Pr5-31"]


ALL: dict[str, list[str]] = {}
"""Settings that name no metric: all are read."""


@pytest.mark.parametrize("key", [{}, {"api_key": KLAVIYO_KEY_THREE_FLOWS}], ids=["all scopes", "no metrics:read"])
@pytest.mark.parametrize(
    "settings",
    [
        ({"event_metrics": ["Placed Order"]}, ALL, {"event_metrics": ["Placed Order"]}, ALL),
        (ALL, {"event_metrics": ["Placed Order"]}, {"event_metrics": ["Joined the club", "Placed Order"]}, ALL),
        ({"event_metrics": ["Placed Order", "Viewed Product"]}, {"event_metrics": ["Viewed Product"]}, ALL, ALL),
    ],
    ids=["one, all, one, all", "all, one, two, all", "two, one, all, all"],
)
def test_changing_settings_lose_no_event(tap, account, settings, key):
    """Whatever the settings named in the end every event came once.

    A metric that is left out for a while goes on where it stopped; so do custom ones, which are read with others.
    """
    account.add_events(
        [one for name in ("Placed Order", "Joined the club") for one in daily(name, range(1, 4), month=6)]
    )
    outcomes = runs(tap, account, "events", *settings, **key)

    ids = [key for outcome in outcomes for key in outcome.ids("events")]
    assert sorted(ids) == sorted(row["resource"]["id"] for row in account.klaviyo_events())
    bookmarks = [outcome.bookmark("events") for outcome in outcomes]
    assert bookmarks == sorted(bookmarks)
    assert outcomes[-1].state["bookmarks"]["events"]["metrics"] == [["*", bookmarks[-1]]]


@pytest.mark.parametrize("stream", STREAMS)
def test_catching_up_can_stop_anywhere(tap, account, stream):
    """Catching up may stop at any page.

    The state tells how far the new metric has come; the bookmark of the others stays where it is meanwhile.
    """
    setting, names = STREAMS[stream]
    (state,) = (outcome.state for outcome in runs(tap, account, stream, {setting: names[:1]}))
    bookmarks, ids = [], []
    for _ in range(8):
        outcome = tap(streams=[stream], state=state, max_pages=1, events_page_size=5, **{setting: names})
        state = outcome.state
        bookmarks.append(outcome.bookmark(stream))
        ids += outcome.ids(stream)
        if outcome.summary(stream)["outcome"] == "complete":
            break

    assert len(bookmarks) > 4
    assert set(bookmarks) == {"2026-06-01T11:59:55Z"}
    assert len(set(ids)) == len(ids) == 22


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGKILL])
def test_killed_catching_up_is_continued(tap, interrupted, account, signum):
    """A run that is killed while catching up is continued. Nothing is lost; repeated events followed the last STATE."""
    (first,) = runs(tap, account, "events", {"event_metrics": ["Placed Order"]})
    options = {"streams": ["events"], "event_metrics": ["Placed Order", "Viewed Product"], "events_page_size": 5}
    killed = interrupted(6, signum, state=first.state, **options)
    states = [first.state, *killed.states]
    last = max((n for n, message in enumerate(killed.messages) if message["type"] == "STATE"), default=-1)
    settled = [message["record"]["id"] for message in killed.messages[: last + 1] if message["type"] == "RECORD"]
    resumed = tap(state=states[-1], **options)

    assert sorted(settled + resumed.ids("events")) == sorted(
        one["id"] for one in daily("Viewed Product", range(10, 32))
    )


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("stream", STREAMS)
def test_stopped_metric_repeats_nothing(tap, stream):
    """Metric that stopped half way repeats nothing after runs of others.

    What was seen before its mark was forgotten by the run of another metric, and came again.
    """
    setting, (name, other) = STREAMS[stream]
    options = {"streams": [stream], "events_page_size": 5, "overlap_seconds": 90_000}
    ids, state = [], None
    for settings in (
        {setting: [name], "max_pages": 2},
        {setting: [other]},
        {setting: [other]},
        {setting: [name], "max_pages": 1},
        {setting: [name, other]},
    ):
        outcome = tap(state=state, **options, **settings)
        state = outcome.state
        ids += outcome.ids(stream)

    assert len(set(ids)) == len(ids) == 44
    assert state["bookmarks"][stream]["left_out"] == []


@pytest.mark.parametrize("stream", STREAMS)
def test_early_slice_forgets_nothing(tap, account, stream):
    """Slice before the bookmark forgets nothing.

    A backfill with `end_date` and the state of the flow: what the next run reads again is remembered still.
    """
    setting, (name, _) = STREAMS[stream]
    common = {setting: [name], "overlap_seconds": 172_800, "streams": [stream]}
    account.clock(frozen="2026-05-31T11:00:00Z")
    first = tap(**common)
    backfill = tap(state=first.state, end_date="2026-05-12", **common)
    later = tap(state=backfill.state, **common)

    assert len(first.ids(stream)) == 22
    assert (backfill.ids(stream), later.ids(stream)) == ([], [])


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("stream", ["profiles", *STREAMS])
def test_stopped_first_run_claims_nothing(interrupted, stream):
    """First run that is stopped before it has read anything claims nothing.

    A bookmark there would pass what nobody read, and `since` would tell a target of an earlier run.
    """
    settings = dict(STREAMS.values())
    stopped = interrupted(1, signal.SIGTERM, streams=[stream], **settings)

    assert stopped.code == 143
    assert [message["type"] for message in stopped.messages if message["type"] == "RECORD"] == []
    assert all(state["bookmarks"].get(stream, {}) == {} for state in stopped.states)


@pytest.mark.usefixtures("account")
def test_first_version_state_continues(tap):
    """A state of the first version continues at its bookmark.

    It does not say which metrics had been read: all of them, then; what is added later begins there.
    """
    seen = {"replication_key": "datetime", "replication_key_value": "2026-05-25T00:00:00Z", "seen": []}
    first = tap(streams=["events"], state={"bookmarks": {"events": seen}}, event_metrics=["Placed Order", "nothing"])
    second = tap(streams=["events"], state=first.state, event_metrics=["Placed Order", "Viewed Product"])

    assert metrics_of(first, "events") == {"Placed Order": 7}
    assert metrics_of(second, "events") == {"Viewed Product": 7}


@pytest.mark.parametrize("bound", [{"start_date": "2026-05-28"}, {"initial_sync_lookback_hours": 108}])
@pytest.mark.parametrize("stream", STREAMS)
def test_lookback_respects_first_bound(tap, account, stream, bound):
    """Lookback never undercuts the first bound.

    Seven days before the bookmark lie days that the first run was told to leave alone, hours later as well.
    """
    setting, (name, _) = STREAMS[stream]
    first, second = runs(tap, account, stream, {setting: [name]}, {setting: [name]}, lookback_window_days=7, **bound)

    came = [f"{name[0]}{name[-4]}" + (f"5-{day}" if stream == "events" else f"{day}") for day in range(28, 32)]
    assert first.ids(stream) == came
    assert second.ids(stream) == (came if stream == "events" else [])
    assert second.summary(stream).get("consent_events", 0) == 0


@pytest.mark.usefixtures("account")
def test_boundless_state_respects_start_date(tap):
    """State without a first bound is held to `start_date`.

    One of version 0.1.0, or of another tap; the setting is still there.
    """
    saved = {"replication_key": "datetime", "replication_key_value": "2026-05-31T00:00:00Z"}
    outcome = tap(
        streams=["events"], state={"bookmarks": {"events": saved}}, start_date="2026-05-30", lookback_window_days=7
    )

    assert min(record["datetime"] for record in outcome.records("events")) == "2026-05-30T10:00:00Z"


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize(
    ("value", "settings"),
    [
        ("0001-01-01T00:00:00Z", {}),
        ("0001-01-01T00:00:00+05:00", {"lookback_window_days": 7}),
        (NOON, {"lookback_window_days": 9_999_999}),
        (NOON, {"overlap_seconds": 99_999_999_999}),
    ],
    ids=["year 1", "year 0, in UTC", "look-back", "overlap"],
)
def test_lookback_beyond_calendar_reads_everything(tap, queries, value, settings):
    """Reach beyond the calendar reads everything. No bound is better than one that the API refuses, or an overflow."""
    saved = {"replication_key": "datetime", "replication_key_value": value}
    outcome = tap(streams=["events"], state={"bookmarks": {"events": saved}}, **settings)

    assert outcome.code == 0
    assert len(outcome.ids("events")) == 88
    assert not [query for query in queries("/api/events") if "datetime,0" in query or "datetime,1-" in query]


def test_inverted_first_run_claims_nothing(tap, account):
    """First run that ends before it begins says so and claims nothing else.

    `end_date` before the look-back of the first run: the next one begins where that would have begun.
    """
    settings = [{"end_date": "2026-05-15"}, {}]
    first, second = runs(tap, account, "events", *settings, initial_sync_lookback_hours=72)

    assert first.records("events") == []
    assert any("nothing to read: `end_date`" in line for line in first.warnings())
    assert {record["datetime"][:10] for record in second.records("events")} == {"2026-05-30", "2026-05-31"}


MOMENT = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("reach", "since", "bound"),
    [
        (timedelta(days=7), None, datetime(2026, 5, 25, tzinfo=UTC)),
        (timedelta(days=7), datetime(2026, 5, 30, tzinfo=UTC), datetime(2026, 5, 30, tzinfo=UTC)),
        (timedelta(days=7), datetime(2026, 6, 2, tzinfo=UTC), datetime(2026, 5, 25, tzinfo=UTC)),
        (span(days=10**12), None, None),
        (span(days=10**12), datetime(2026, 5, 30, tzinfo=UTC), datetime(2026, 5, 30, tzinfo=UTC)),
    ],
    ids=["plain", "held", "since later than the bookmark", "beyond the calendar", "held beyond it"],
)
def test_bound_before_a_bookmark(reach, since, bound):
    """Held to the first run's, and to the calendar."""
    assert before(MOMENT, reach, since) == bound


def test_marks_move_only_when_read():
    """Marks move only where they were read from.

    A metric that the run does not read keeps its mark; one without a mark takes that of every metric.
    """
    saved = SavedBookmark(MOMENT, {}, None, tells_since=True, metrics={EVERY: MOMENT - timedelta(days=9), "A": MOMENT})
    coverage = coverage_of(saved, None, timedelta(0))
    coverage.advance(["B"], "2026-05-30T00:00:00")
    coverage.advance(["A"], "2026-05-30T00:00:00")

    assert coverage.to_state()["metrics"] == [
        ["*", "2026-05-23T00:00:00Z"],
        ["A", "2026-06-01T00:00:00Z"],
        ["B", "2026-05-30T00:00:00Z"],
    ]
    assert Coverage({}, None, timedelta(0)).position(["A"]) == ""


@pytest.mark.parametrize(
    "broken",
    [
        {"since": 17},
        {"since": "soon"},
        {"metrics": "all"},
        {"metrics": [["A"]]},
        {"metrics": [[1, NOON]]},
        {"metrics": [["A", None]]},
        {"seen": "A"},
        {"seen": [None]},
        {"seen": [["A", None]]},
        {"seen": [["A", 5]]},
        {"left_out": [[NOON, None]]},
        {"left_out": [[NOON, [["A"]]]]},
    ],
    ids=str,
)
def test_unintelligible_state_is_refused(broken):
    """State that cannot be understood is refused.

    Beginning anew instead would bring everything again; and so would an error after records had been written.
    """
    with pytest.raises(UnreadableStateError):
        read_state({"replication_key_value": NOON, **broken}, "datetime")
