"""Consent when memory, clocks and answers fail: no opt-in undoes an opt-out that it does not know of."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest
from singer_delivery.memory import consent_memory
from singer_delivery.memory.consent_memory import ConsentMemory
from singer_delivery.memory.database import Database
from singer_delivery.memory.ledger import Ledger
from singer_delivery.memory.version_ledger import ReadProfile
from singer_messages import profile, record, schema, state
from test_consent import consent, sent_optins

YES, NO, LATER = "SUBSCRIBED", "UNSUBSCRIBED", "2026-05-03T10:00:00+00:00"
BOOKMARK = state({"profiles": {"replication_key_value": "2026-06-01T00:00:00Z"}})


def person(word, at="2026-05-01T10:00:00+00:00", read_at="2026-06-01T10:00:00Z", stream="profiles", **fields):
    """A stream with one profile of that consent."""
    return [schema(stream), record(stream, profile(1, subscriptions=consent(word, at), **fields), read_at)]


def from_now(**distance: float) -> str:
    """A moment after now."""
    return (datetime.now(tz=UTC) + timedelta(**distance)).isoformat()


def held(sandbox):
    """The opt-in that Insider One holds."""
    return sandbox.users()[0]["attributes"].get("email_optin")


# -- a lost memory


@pytest.mark.req("CO-05")
@pytest.mark.parametrize("place", [0, 1], ids=["before the SCHEMA", "after it"])
def test_lost_memory_withholds_optins(load, sandbox, place):
    """After a loss of memory, earlier opt-ins are withheld.

    Ada opted out inside Insider One; nobody knows that any more, and her profile changes.
    """
    messages = person(YES)
    messages.insert(place, BOOKMARK)

    first = load(messages)
    second = load(person(YES, first_name="Changed"))

    assert sent_optins(sandbox) == [None, None]
    assert "optins_without_memory" in first.logs
    assert second.summary["streams"]["profiles"]["notes"]["optin_withheld email_optin"] == 1
    assert "person1@" not in first.logs


@pytest.mark.req("CO-05")
def test_lost_memory_sends_later_decisions(load, sandbox):
    """With a lost memory opt-outs and later opt-ins go.

    What was decided after the memory began cannot have been delivered before.
    """
    load([BOOKMARK, *person(YES)])
    load(person(NO, LATER))
    load(person(YES, from_now(seconds=30)))

    assert sent_optins(sandbox) == [None, False, True]


@pytest.mark.req("CO-05")
def test_setting_sends_withheld_optins(load, sandbox):
    """A setting sends what was withheld. Who knows that nobody opts out over there may say so, also afterwards."""
    load([BOOKMARK, *person(YES)])

    load([BOOKMARK, *person(YES)], optins_without_memory="send", skip_unchanged=True)

    assert sent_optins(sandbox) == [None, True]


@pytest.mark.req("CO-05")
@pytest.mark.parametrize(
    "first",
    [state({}), state({"events": {"replication_key_value": "2026"}}), state({"profiles": {}}), None],
    ids=["empty", "of another stream", "empty for the stream", "none"],
)
def test_first_sync_sends_optins(load, sandbox, first):
    """A first sync sends opt-ins. Also in later runs, whose STATE is not new."""
    load([*([first] if first else []), *person(YES)])

    load([BOOKMARK, schema("profiles"), record("profiles", profile(2, subscriptions=consent(YES)))])

    assert sent_optins(sandbox) == [True, True]


@pytest.mark.req("CO-05")
@pytest.mark.parametrize("nobody", [None, profile(9, email=None)], ids=["no record", "a record without identifier"])
def test_empty_first_sync_withholds_nothing(load, sandbox, nobody):
    """A first sync without people withholds nothing.

    Its own bookmark was taken for that of an earlier run, and every opt-in of before was withheld for ever.
    """
    records = [record("profiles", nobody)] if nobody else []
    load([schema("profiles"), *records, BOOKMARK], on_nothing_delivered="warn")

    load([BOOKMARK, *person(YES)])

    assert sent_optins(sandbox) == [True]


@pytest.mark.req("CO-05")
def test_lost_ledger_is_noticed(load, sandbox, config):
    """A lost ledger is missed whatever the name of the stream.

    Summaries hold names as they may be shown, and were asked for others; the log showed the name itself.
    """
    stream = "clients 05321234567"
    messages = [message | {"stream": stream} for message in person(YES)]
    load(messages, stream_kinds={stream: "profile"})
    for path in Path(config["data_dir"]).glob("*/ledger.sqlite*"):
        path.unlink()
    messages[1]["record"]["first_name"] = "Changed"

    second = load(messages, stream_kinds={stream: "profile"})

    assert sent_optins(sandbox) == [True, None]
    assert "there were earlier runs" in second.logs
    assert "05321234567" not in second.logs


@pytest.mark.req("CO-05")
def test_lost_ledger_without_state(load, sandbox, config):
    """A lost ledger is noticed without a STATE. Other files in the data_dir show earlier runs."""
    load(person(YES))
    Path(config["data_dir"], "klaviyo", "ledger.sqlite").unlink()

    load(person(YES, first_name="Changed"))

    assert sent_optins(sandbox) == [True, None]


@pytest.mark.req("CO-05")
@pytest.mark.parametrize("hours", [2, 0], ids=["an older copy", "the newest"])
@pytest.mark.parametrize("before", [YES, NO], ids=["opted in before", "opted out before"])
def test_older_copy_is_recognised(load, sandbox, config, hours, before):
    """A restored data_dir does not know the opt-in delivered since.

    It sent that once more, over the opt-out that was made inside Insider One.
    """
    load(person(before))
    ledger = Path(config["data_dir"], "klaviyo", "ledger.sqlite")
    with closing(sqlite3.connect(ledger)) as database:
        database.execute("UPDATE insiderone_facts SET value = ? WHERE value LIKE '20%'", [from_now(hours=-hours)])
        database.commit()

    resumed = state({"profiles": {"replication_key_value": from_now(minutes=-1)}})
    first = load([resumed, *person(YES, LATER, first_name="Changed")])
    load([resumed, *person(YES, from_now(seconds=30), first_name="Again")])

    assert sent_optins(sandbox) == [before == YES, None if hours else True, True]
    assert ("older copy" in first.logs) is bool(hours)


@pytest.mark.req("CO-05")
def test_long_run_is_no_older_copy(monkeypatch):
    """A run that passes STATEs is noted again with them.

    The bookmark of a run of hours was ahead of its start, and the next run took the data_dir for an older copy.
    """
    noted = []
    ledger = SimpleNamespace(note_run=lambda key, at: noted.append((key, at)), remembers_since=lambda _key: "")
    memory = ConsentMemory(ledger, lambda *parts: parts, Path(), withholds=True, destination="it")
    now = iter([1_000.0, 1_000.0, 1_059.0, 1_061.0, 1_061.0])
    monkeypatch.setattr(consent_memory.time, "monotonic", lambda: next(now))
    memory.note_state({"bookmarks": {}}, {})

    memory.begin("profiles", "profiles")
    for _ in range(3):
        memory.note_progress()

    assert [key for key, _ in noted] == [("last run", "profiles")] * 3
    assert [at for _, at in noted] == sorted(at for _, at in noted)


@pytest.mark.req("CO-05")
def test_dry_run_is_no_run(load, sandbox):
    """A dry run is no earlier run. Trying it out before the first sync must not keep the opt-ins back."""
    load(person(YES), dry_run=True)

    load(person(YES))

    assert sent_optins(sandbox) == [True]


@pytest.mark.req("CO-05", "CO-01")
def test_unknown_consent_warns_once(load):
    """Words that are no consent are counted and said once. Neither the word nor the person is shown."""
    messages = [*person("OPTED_OUT"), record("profiles", profile(2, subscriptions=consent("OPTED_OUT")))]

    ended = load(messages)

    assert ended.summary["streams"]["profiles"]["notes"] == {"unknown_consent subscriptions.email.marketing": 2}
    assert ended.logs.count("words that mean neither yes nor no") == 1
    assert "OPTED_OUT" not in ended.logs


@pytest.mark.req("CO-05")
def test_replayed_optin_is_withheld(load, sandbox, config, tmp_path, target_command):
    """An opt-in replayed with a lost ledger is withheld. A reject also shows earlier runs."""
    load(person(YES, email="none", first_name="Ada"))
    shutil.copy(tmp_path / "config.json", tmp_path / "lost.json")
    Path(config["data_dir"], "klaviyo", "ledger.sqlite").unlink()
    rejects = Path(config["data_dir"], "klaviyo", "rejects.jsonl")
    rejects.write_text(rejects.read_text().replace('"none"', '"person1@shop.example"'))

    subprocess.run([target_command, "replay", "--config", tmp_path / "lost.json", "--all"], check=True)

    assert sent_optins(sandbox) == [None]


# -- versions in doubt, and clocks


@pytest.mark.req("CO-06")
def test_uncertain_version_blocks_no_optout(load, sandbox):
    """A version in doubt makes no opt-out a duplicate.

    The newer version's run got no answer; it may never come again, and the opt-out's STATE passes.
    """
    sandbox.fault("insiderone", kind="status", status=500, times=None)
    load(person(YES, read_at="2026-06-01T10:05:00Z"), max_retry_seconds=1)
    sandbox.clear_faults()

    load(person(NO, LATER, stream="subscription_changes"))

    assert held(sandbox) is False


@pytest.mark.req("CO-06")
def test_uncertain_optout_resists_older_optin(load, sandbox):
    """An older opt-in does not undo an opt-out in doubt. It has arrived, though no answer said so."""
    sandbox.fault("insiderone", kind="answer_lost", times=None)
    load(person(NO, LATER, read_at="2026-06-01T10:05:00Z"), max_retry_seconds=1)
    sandbox.clear_faults()

    load(person(YES, stream="subscription_changes", first_name="Older"))

    assert held(sandbox) is False
    assert sandbox.users()[0]["attributes"]["name"] == "Older"


@pytest.mark.req("CO-06")
@pytest.mark.parametrize("ahead", [{"days": 3650}, {"minutes": 30}], ids=["years", "half an hour"])
def test_future_read_blocks_nobody(load, sandbox, ahead):
    """A read time in the future blocks nobody.

    All later opt-outs were older than it, and dropped without a word.
    """
    first = load(person(YES, read_at=from_now(**ahead)))

    load(person(NO, LATER, read_at=from_now()))

    assert sent_optins(sandbox) == [True, False]
    assert first.summary["streams"]["profiles"]["notes"]["read_time_ahead"] == 1
    assert "ahead of this machine's clock" in first.logs


@pytest.mark.req("CO-06")
def test_future_ledger_blocks_nobody(load, sandbox, config):
    """A ledger whose times lie ahead freezes nobody.

    The clock was wrong when they were written, and has jumped back since.
    """
    load(person(YES))
    database = Database(f"sqlite:///{config['data_dir']}/klaviyo/ledger.sqlite", "insiderone")
    with database.transaction() as connection:
        connection.exec_driver_sql("UPDATE insiderone_profiles SET read_at = '2036-01-01T00:00:00.000000+00:00'")
    database.close()

    ended = load(person(NO, LATER, read_at=from_now()))
    load(person(YES, read_at=from_now(hours=-1)))

    assert sent_optins(sandbox) == [True, False]
    assert "read later than now" in ended.logs


@pytest.mark.req("CO-06")
@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "in two runs"])
def test_clock_jump_keeps_optout(load, sandbox, together):
    """An opt-out is not dropped for a clock that jumped back.

    It was decided later than the opt-in, whatever the clocks say of the readings; nothing else of it goes.
    """
    first = person(YES, read_at="2026-06-01T10:00:30Z", first_name="First")
    second = person(NO, LATER, read_at="2026-06-01T10:00:00Z", first_name="Second")

    for messages in [[*first, second[1]]] if together else [first, second]:
        ended = load(messages)

    assert sent_optins(sandbox) == [True, False]
    assert sandbox.users()[0]["attributes"]["name"] == "First"
    assert ended.summary["streams"]["profiles"]["notes"]["late_optout email_optin"] == 1
    load(person(YES, "2026-05-04T10:00:00+00:00", read_at="2026-06-01T10:05:00Z"))
    assert sent_optins(sandbox) == [True, False, True]


@pytest.mark.req("CO-05", "CO-06")
@pytest.mark.parametrize("at", ["2026-05-01T10:00:00+00:00", None], ids=["older", "without a time"])
def test_stale_copy_keeps_optout(load, sandbox, at):
    """A stale copy in one batch undoes no opt-out. The version read last superseded the opt-out, which never went."""
    stale = person(YES, at, read_at="2026-06-01T10:07:00Z", first_name="Stale")[1]

    load([*person(NO, LATER, read_at="2026-06-01T10:05:00Z"), stale])

    assert held(sandbox) is False
    assert True not in sent_optins(sandbox)
    assert sandbox.users()[0]["attributes"]["name"] == "Stale"


@pytest.mark.req("CO-06")
def test_withdrawn_optout_stays_duplicate(load, sandbox):
    """An older opt-out that was taken back stays a duplicate. The newer reading knows a later decision."""
    load(person(YES, LATER, read_at="2026-06-01T10:05:00Z"))

    late = load(person(NO))

    assert late.counts("profiles") == {"read": 1, "duplicate": 1}
    assert held(sandbox) is True


# -- overlapping requests of two processes


@pytest.fixture
def insider_one():
    """A stand-in that applies the requests in the order in which they end; ``during`` is called within the first."""

    class StandIn:
        bodies: list[dict] = []  # noqa: RUF012  (one class a test)
        status = 200
        during = staticmethod(lambda: None)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            during, StandIn.during = StandIn.during, staticmethod(lambda: None)
            status, StandIn.status = StandIn.status, 200
            during()
            if status == 200:
                StandIn.bodies.append(body)
            answer = json.dumps({"data": {"successful": {"count": len(body["users"])}, "fail": {}}}).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    StandIn.url = f"http://127.0.0.1:{server.server_port}"
    yield StandIn
    server.shutdown()
    thread.join()
    server.server_close()


def optins_at(stand_in):
    """The opt-ins in the order in which they arrived."""
    return [body["users"][0]["attributes"].get("email_optin") for body in stand_in.bodies]


OLDER = person(YES, read_at="2026-06-01T10:00:00Z")
NEWER = person(NO, LATER, read_at="2026-06-01T10:05:00Z", stream="subscription_changes")


@pytest.mark.req("CO-06")
@pytest.mark.parametrize(
    ("first", "second", "arrived"),
    [
        pytest.param(OLDER, NEWER, [False, True, False], id="the opt-in arrives last"),
        pytest.param(NEWER, OLDER, [None, False, False], id="the opt-out arrives last"),
    ],
)
def test_overlapping_requests_keep_optout(load, insider_one, first, second, arrived):
    """Of two overlapping requests the opt-out stands.

    Each looks once more after its answer; the second runs as a whole while the first waits for its answer.
    """
    insider_one.during = staticmethod(lambda: load(second, api_url=insider_one.url))

    ended = load(first, api_url=insider_one.url)

    assert optins_at(insider_one) == arrived
    assert ended.code == 0


@pytest.mark.req("CO-06")
def test_retry_checks_for_newer_version(load, insider_one):
    """A retry looks whether a newer version was delivered meanwhile.

    The first attempt came to nothing, and the other flow delivered in between: the second must not go (CO-06).
    """
    insider_one.status = 503
    insider_one.during = staticmethod(lambda: load(NEWER, api_url=insider_one.url))

    ended = load(OLDER, api_url=insider_one.url)

    assert optins_at(insider_one) == [False]
    assert ended.counts("profiles") == {"read": 1, "duplicate": 1}


# -- the file


def test_committed_survives_deleted_is_overwritten(tmp_path):
    """What is committed outlives a crash and what is deleted is overwritten.

    Bytes of events are personal data, and their outcome must not be forgotten after a power failure.
    """
    database = Database(f"sqlite:///{tmp_path}/ledger.sqlite", "insiderone")
    with database.transaction() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("synchronous", "secure_delete", "journal_mode")
        }
    database.close()

    assert pragmas == {"synchronous": 1, "secure_delete": 1, "journal_mode": "wal"}


def test_settled_event_bytes_are_erased(tmp_path):
    """Bytes of events are gone from the file once their outcome is known.

    What SQLite deletes it leaves in the file, unless it is told to overwrite it.
    """
    ledger = Ledger(f"sqlite:///{tmp_path}/ledger.sqlite", "insiderone")
    ledger.events.intend([(bytes([number]) * 16, b"c" * 16, b"canary" * 500) for number in range(20)])
    ledger.events.settle([bytes([number]) * 16 for number in range(20)], [])
    ledger.profiles.claim({b"p" * 16: ReadProfile("2026-06-01", {})})

    ledger.close()

    assert [path.name for path in tmp_path.iterdir() if b"canary" in path.read_bytes()] == []
