"""The ledger's promises: what it remembers, for how long, and beside whom."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from singer_delivery.memory.database import LedgerError
from singer_delivery.memory.digests import Digester
from singer_delivery.memory.ledger import Ledger
from singer_delivery.memory.once_ledger import KnownEvent
from singer_delivery.memory.version_ledger import NEVER_DELIVERED, UNKNOWN, KnownProfile, ReadProfile, in_doubt
from singer_messages import order, profile, record, schema

CONTENT = b"0123456789abcdef"

OPEN_AND_WRITE = """
import sys
from singer_delivery.memory import once_ledger as event_ledger
from singer_delivery.memory import version_ledger as profile_ledger
from singer_delivery.memory.digests import Digester
from singer_delivery.memory.ledger import Ledger
event_ledger.MERGE_AFTER_EVENTS = profile_ledger.MERGE_AFTER_PROFILES = 10
ledger = Ledger(sys.argv[1], "insiderone")
read_at = f"2026-06-0{sys.argv[2]}"
digest = Digester("scope")
for place in range(20):
    key = digest("event", sys.argv[2], str(place))
    ledger.events.intend([(key, key, b"{}")])
    ledger.events.settle([key], [])
    shared = [digest("profile", str(number)) for number in range(place, place + 5)]
    claim = ledger.profiles.claim(dict.fromkeys(shared, profile_ledger.ReadProfile(read_at, {})))
    newest = [key for key in shared if key not in claim.known or claim.known[key].read_at <= read_at]
    version = profile_ledger.KnownProfile(read_at, b"0123456789abcdef", None, None, {"sms_optin": read_at})
    ledger.profiles.remember(claim, dict.fromkeys(newest, version))
    ledger.profiles.release(claim)
"""


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """An empty ledger: in its own file, and in a PostgreSQL server."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    return request.getfixturevalue("postgres_url")


@pytest.fixture
def open_ledger():
    """Open ledgers, and close them at the end."""
    opened: list[Ledger] = []

    def open_one(url: str, *, read_only: bool = False) -> Ledger:
        opened.append(Ledger(url, "insiderone", read_only=read_only))
        return opened[-1]

    yield open_one
    for ledger in opened:
        ledger.close()


def known(read_at: str, **optins: str) -> KnownProfile:
    """A delivered version that was read then."""
    return KnownProfile(read_at, CONTENT, None, None, optins)


def read(read_at: str, **optins: str) -> ReadProfile:
    """A version that is about to be delivered."""
    return ReadProfile(read_at, optins)


def unknown(read_at: str, **optins: str) -> KnownProfile:
    """A version that was read then, and may have arrived or not."""
    return KnownProfile(read_at, UNKNOWN, None, None, optins)


def deliver(ledger: Ledger, **profiles: KnownProfile) -> None:
    """Claim profiles, and remember them as delivered."""
    versions = {key.encode(): version for key, version in profiles.items()}
    claim = ledger.profiles.claim({key: ReadProfile(one.read_at, one.optins) for key, one in versions.items()})
    ledger.profiles.remember(claim, versions)


def profiles_in(url: str, *keys: bytes) -> dict[bytes, KnownProfile]:
    """What one who opens the ledger now knows of these profiles."""
    ledger = Ledger(url, "insiderone", read_only=True)
    try:
        return ledger.profiles.claim(dict.fromkeys(keys, read(""))).known
    finally:
        ledger.close()


def rows(url: str, table: str) -> int:
    """How many rows a table holds."""
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        count = connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()  # noqa: S608
    engine.dispose()
    return int(count or 0)


def test_intent_lasts_until_outcome(url, open_ledger):
    """An intent is remembered until its outcome.

    After a crash the exact bytes are at hand; once settled they go, because they are personal data.
    """
    ledger = open_ledger(url)
    ledger.events.intend([(b"a", b"1", b"bytes of a"), (b"b", b"2", b"bytes of b"), (b"c", b"3", b"bytes of c")])

    ledger.events.settle([b"a"], [b"b"])

    assert open_ledger(url).events.known([b"a", b"b", b"c", b"d"]) == {
        b"a": KnownEvent(b"1", None),
        b"c": KnownEvent(b"3", b"bytes of c"),
    }


def test_earlier_read_replaces_nothing(url, open_ledger):
    """A version read earlier does not replace a later one. Two flows may note one profile in any order."""
    ledger = open_ledger(url)
    deliver(ledger, p=known("2026-06-02", email_optin="new"))

    deliver(ledger, p=known("2026-06-01", email_optin="old"))

    assert profiles_in(url, b"p")[b"p"].optins == {"email_optin": "new"}


def test_ledger_days_cover_uncertain_events(url, open_ledger):
    """`ledger_days` hold for events of unknown outcome too.

    Their bytes are personal data; they stood there for ever, since only settled events were pruned.
    """
    ledger = open_ledger(url)
    ledger.events.intend([(b"done", b"1", b"x"), (b"open", b"2", b"y")])
    ledger.events.settle([b"done"], [])

    next_run = open_ledger(url)
    kept = next_run.events.prune(days=1), next_run.events.known([b"done", b"open"]).keys()
    forgotten = next_run.events.prune(days=-1)

    assert kept == (0, {b"done", b"open"})
    assert forgotten == 2
    assert next_run.events.known([b"done", b"open"]) == {}


def test_expired_profiles_keep_optins(url, open_ledger):
    """`ledger_days` hold for profiles and leave only opt-ins.

    Without the opt-in delivered once, the person's next change would opt them in again (CO-05).

    Without the opt-out, an old reject that is replayed later than that did.
    """
    key = {name: name.encode().ljust(16, b"-") for name in ("plain", "in", "out", "mail")}
    optins = {key["plain"]: {}, key["in"]: {"email_optin": "true x"}, key["out"]: {"email_optin": "false x"}}
    ledger = open_ledger(url)
    claim = ledger.profiles.claim({each: ReadProfile("2026-06-01", optins[each]) for each in optins})
    known = {each: KnownProfile("2026-06-01", b"c" * 16, key["mail"], None, optins[each]) for each in optins}
    ledger.profiles.remember(claim, known)
    ledger.close()

    next_run = open_ledger(url)
    next_run.profiles.prune(days=1)
    before = next_run.profiles.claim({each: ReadProfile("2026-06-01", {}) for each in optins}).known
    next_run.close()
    last_run = open_ledger(url)
    last_run.profiles.prune(days=-1)
    after = last_run.profiles.claim({each: ReadProfile("2026-06-01", {}) for each in optins}).known

    assert before.keys() == set(optins)
    assert {each: (one.email, one.optins) for each, one in after.items()} == {
        key["in"]: (None, {"email_optin": "true x"}),
        key["out"]: (None, {"email_optin": "false x"}),
    }


@pytest.mark.req("CO-05")
def test_forgotten_profiles_keep_optins(url, open_ledger):
    """Who is forgotten keeps the opt-ins and no address.

    Without them, the person's next change opted them in again, also after an opt-out.
    """
    ledger = open_ledger(url)
    optins = {b"in": {"email_optin": "true x"}, b"no": {"email_optin": "false y"}, b"as": {}}
    deliver(
        ledger, **{key.decode(): KnownProfile("2026-06-01", CONTENT, b"m" * 16, None, optins[key]) for key in optins}
    )

    gone, found = ledger.profiles.forget([b"m" * 16])

    assert (gone, found) == (3, {b"m" * 16})
    assert profiles_in(url, *optins) == {
        key: unknown("2026-06-01", **tokens) for key, tokens in optins.items() if tokens
    }
    assert ledger.profiles.forget([b"m" * 16]) == (0, set())


def test_read_only_ledger_is_unchanged(url, open_ledger):
    """A read only ledger changes nothing. A dry run may look, but must leave no trace that a real run would trust."""
    open_ledger(url).events.intend([(b"a", b"1", b"x")])
    dry = open_ledger(url, read_only=True)

    dry.events.settle([b"a"], [])
    deliver(dry, p=known("2026-06-01"))
    dry.profiles.release(dry.profiles.claim({b"p": read("2026-06-01")}))

    assert dry.events.known([b"a"]) == {b"a": KnownEvent(b"1", b"x")}
    assert profiles_in(url, b"p") == {}


def test_scopes_never_meet():
    """Partner and integration are part of every key."""
    assert Digester("shop/one")("event", "1") != Digester("shop/two")("event", "1")
    assert Digester("shop")("a", "bc") != Digester("shop")("ab", "c")


def test_many_keys_fit(url, open_ledger):
    """More keys than a statement takes. Batches are cut, so that no database limit is met."""
    ledger = open_ledger(url)
    keys = [place.to_bytes(4, "big") for place in range(12_000)]
    ledger.events.intend((key, b"c", b"x") for key in keys)

    assert len(ledger.events.known(keys)) == 12_000


def test_claim_supersedes_nothing(url, open_ledger):
    """A claim is seen and supersedes nothing until it is delivered.

    Its run may have died before it sent anything; what it would change is in doubt until then.
    """
    one, other = open_ledger(url), open_ledger(url)
    assert one.profiles.claim({b"p": read("2026-06-01", email_optin="true x")}).known == {}

    claim = other.profiles.claim({b"p": read("2026-06-02", email_optin="false y")})
    assert claim.known == {b"p": unknown("", email_optin="? 2026-06-01 true x")}
    assert one.profiles.look([b"p", b"q"]) == {b"p": unknown("", email_optin="? 2026-06-02 false y")}
    other.profiles.remember(claim, {b"p": known("2026-06-02")})
    assert one.profiles.look([b"p", b"q"]) == {b"p": known("2026-06-02")}


def test_open_claim_is_uncertain(url, open_ledger):
    """After a claim without an outcome it is unknown what arrived.

    A run that died may have sent it: what it would have changed goes again, opt-ins that it left alone do not.
    """
    ledger = open_ledger(url)
    deliver(ledger, p=known("2026-06-01", email_optin="true x", sms_optin="true y", whatsapp_optin="true z"))

    ledger.profiles.claim({b"p": read("2026-06-02", email_optin="true x", sms_optin="false y")})

    left = unknown("2026-06-01", email_optin="true x", sms_optin="? 2026-06-02 false y", whatsapp_optin="true z")
    assert profiles_in(url, b"p") == {b"p": left}
    assert open_ledger(url).profiles.claim({b"p": read("2026-06-02")}).known == {b"p": left}
    ledger.close()
    assert profiles_in(url, b"p") == {b"p": left}


def test_merged_claims_stay_known(url, open_ledger, monkeypatch):
    """Merged claims leave the memory and stay known. Memory must stay flat over any number of profiles."""
    monkeypatch.setattr("singer_delivery.memory.version_ledger.MERGE_AFTER_PROFILES", 4)
    ledger = open_ledger(url)
    deliver(ledger, a=known("2026-06-01"), b=known("2026-06-01"))
    ledger.profiles.release(ledger.profiles.claim({b"a": read("2026-06-02")}), unchanged=[b"a"])
    unmerged = rows(url, "insiderone_profile_batches"), rows(url, "insiderone_profiles")
    assert ledger.profiles.look([b"a", b"b"]) == {
        b"a": known("2026-06-02"),
        b"b": known("2026-06-01"),
    }

    deliver(ledger, c=known("2026-06-01"))

    assert unmerged == (2, 0)
    assert rows(url, "insiderone_profiles") == 3
    assert not ledger.profiles._claim_of
    assert profiles_in(url, b"a", b"b") == {b"a": known("2026-06-02"), b"b": known("2026-06-01")}


def test_versions_round_trip(url, open_ledger):
    """Versions are kept as they are.

    Texts of several lengths and scripts, with and without digests: side by side in one statement.
    """
    ledger = open_ledger(url)
    versions = {
        "a": KnownProfile("2026-06-01", b"1" * 16, b"e" * 16, None, {}),
        "b": KnownProfile("2026-06-01T10:00:00.000001+00:00", b"2" * 16, None, b"p" * 16, {"ön_izin": "true 'ş' \\ x"}),
        "c": KnownProfile("2026-06-02", b"3" * 16, None, None, {"email_optin": "false", "sms_optin": "true y"}),
    }
    deliver(ledger, **versions)
    unchanged = ledger.profiles.claim({b"d": read("2026-06-01"), b"e": read("2026-06-01T10:00:00")})
    ledger.profiles.release(unchanged, unchanged=[b"d", b"e"])

    ledger.close()

    assert profiles_in(url, *b"a b c d e".split()) == {
        **{key.encode(): version for key, version in versions.items()},
        b"d": unknown("2026-06-01"),
        b"e": unknown("2026-06-01T10:00:00"),
    }


def test_deliveries_are_visible_at_once(url, open_ledger):
    """Another process sees at once what was delivered.

    Its batch is merged by whoever comes next, so that nobody looks through many; its owner goes on.
    """
    one, other = open_ledger(url), open_ledger(url)
    deliver(one, p=known("2026-06-01", email_optin="true x"))

    assert other.profiles.claim({b"p": read("2026-06-02")}).known == {b"p": known("2026-06-01", email_optin="true x")}
    assert (rows(url, "insiderone_profiles"), rows(url, "insiderone_profile_batches")) == (1, 1)
    deliver(other, p=known("2026-06-03"))
    assert one.profiles.claim({b"p": read("2026-06-04")}).known == {b"p": known("2026-06-03")}


@pytest.mark.parametrize("how", ["unchanged", "refused", "in doubt", "closed", "taken over"])
def test_only_delivered_versions_supersede(url, open_ledger, how):
    """Only what Insider One has keeps older versions away.

    A version that was refused, or that may never have arrived, made an older opt-out a duplicate.
    """
    ledger = open_ledger(url)
    deliver(ledger, p=known("2026-06-01"))
    claim = ledger.profiles.claim({b"p": read("2026-06-03"), b"q": read("2026-06-03")})

    if how == "closed":
        ledger.close()
    elif how != "taken over":
        ledger.profiles.release(
            claim,
            in_doubt=[b"p", b"q"] if how == "in doubt" else [],
            unchanged=[b"p", b"q"] if how == "unchanged" else [],
        )
    later = open_ledger(url)

    assert rows(url, "insiderone_profile_batches") == 0
    assert later.profiles.claim({b"p": read("2026-06-02"), b"q": read("2026-06-02")}).known == {
        "unchanged": {b"p": known("2026-06-03"), b"q": unknown("2026-06-03")},
        "refused": {b"p": known("2026-06-01")},
    }.get(how, {b"p": unknown("2026-06-01"), b"q": unknown("")})


def test_taken_claim_is_remembered(url, open_ledger):
    """A claim that is taken over is still remembered.

    Who opens the ledger cannot tell a run that died from one that waits for an answer at this moment.
    """
    owner = open_ledger(url)
    claim = owner.profiles.claim({b"p": read("2026-06-01"), b"q": read("2026-06-01")})
    assert open_ledger(url).profiles.look([b"p"]) == {b"p": unknown("")}

    owner.profiles.remember(claim, {b"p": known("2026-06-01")})
    owner.profiles.release(claim)

    assert profiles_in(url, b"p", b"q") == {b"p": known("2026-06-01"), b"q": unknown("")}


CLAIM = """
import sys
from singer_delivery.memory.ledger import Ledger
from singer_delivery.memory.version_ledger import ReadProfile
ledger = Ledger(sys.argv[1], "insiderone")
for place in range(50):
    key = place.to_bytes(16, "big")
    claim = ledger.profiles.claim({key: ReadProfile(f"2026-06-0{sys.argv[2]}", {})})
    print(len(claim.known))
"""


def test_simultaneous_claims_see_each_other(url):
    """Of two that claim one profile at the same moment one sees the other.

    Were both blind, the older version could be written last.
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", CLAIM, url, number], stdout=subprocess.PIPE, text=True)
        for number in "12"
    ]

    seen = [process.communicate(timeout=120)[0].split() for process in processes]

    assert len(seen[0]) == len(seen[1]) == 50
    assert all("1" in pair for pair in zip(*seen, strict=True))


KEYS = [b"p", b"q", b"r"]
steps = st.tuples(
    st.integers(0, 1),
    st.sets(st.sampled_from(KEYS), min_size=1),
    st.sets(st.sampled_from(KEYS)),
    st.sets(st.sampled_from(KEYS)),
    st.sampled_from(["refused", "unchanged", "refused", "unchanged", "close", "crash"]),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, max_size=12))
def test_knowledge_is_location_independent(monkeypatch, tmp_path_factory, walk):
    """What is known is the same wherever it stands.

    In a batch of one's own or of another process, in the table, taken over from a run that died: all one.
    """
    monkeypatch.setattr("singer_delivery.memory.version_ledger.MERGE_AFTER_PROFILES", 4)
    url = f"sqlite:///{tmp_path_factory.mktemp('ledger')}/ledger.sqlite"
    ledgers = [Ledger(url, "insiderone"), Ledger(url, "insiderone")]
    expected: dict[bytes, KnownProfile] = {}
    for number, (process, keys, delivered, doubted, end) in enumerate(walk):
        read_at = f"2026-06-{number + 1:02}"
        ledger = ledgers[process]
        claim = ledger.profiles.claim(dict.fromkeys(keys, read(read_at, sms_optin=read_at)))
        assert claim.known == {key: expected[key] for key in keys & expected.keys()}

        ledger.profiles.remember(claim, dict.fromkeys(keys & delivered, known(read_at, sms_optin=read_at)))
        for key in keys:
            before = expected.get(key, NEVER_DELIVERED)
            if key in delivered:
                expected[key] = known(read_at, sms_optin=read_at)
            elif end == "unchanged" and key not in doubted:
                expected[key] = msgspec.structs.replace(before, read_at=read_at)
            elif end != "refused" or key in doubted:
                expected[key] = in_doubt(before, claim.sent[key])
        if end in {"refused", "unchanged"}:
            ledger.profiles.release(claim, doubted, keys if end == "unchanged" else ())
        else:
            ledger.close() if end == "close" else ledger._database.close()
            ledgers[process] = Ledger(url, "insiderone")
    for ledger in ledgers:
        ledger.close()

    assert profiles_in(url, *KEYS) == expected
    assert rows(url, "insiderone_profile_batches") == 0


def test_stream_lock_spans_machines(postgres_url, open_ledger):
    """A stream is held by one process on any machine.

    Files lock one machine only; the shared server locks them all, and lets go when the holder dies.
    """
    one, other = open_ledger(postgres_url), open_ledger(postgres_url)

    assert one.hold(b"profiles")
    assert not other.hold(b"profiles")
    assert other.hold(b"events00")
    one.close()
    assert other.hold(b"profiles")


def test_concurrent_creation_works(url, open_ledger):
    """Several processes create and write it at the same moment.

    The three flows start together, also for the very first time.
    """
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN_AND_WRITE, url, str(number)], stderr=subprocess.PIPE, text=True)
        for number in range(4)
    ]

    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]

    assert ended == [("", 0)] * 4
    digest = Digester("scope")
    keys = [digest("event", str(number), str(place)) for number in range(4) for place in range(20)]
    found = open_ledger(url).events.known(keys)
    assert len(found) == 80
    assert all(event.intent is None for event in found.values())
    shared = [digest("profile", str(number)) for number in range(24)]
    assert profiles_in(url, *shared) == dict.fromkeys(shared, known("2026-06-03", sms_optin="2026-06-03"))


OLD_TABLES = (
    """CREATE TABLE insiderone_events (key {bytes} NOT NULL PRIMARY KEY, content {bytes} NOT NULL, intent {bytes},
    at BIGINT NOT NULL)""",
    "CREATE INDEX ix_insiderone_events_at ON insiderone_events (at)",
    """CREATE TABLE insiderone_profiles (key {bytes} NOT NULL PRIMARY KEY, read_at VARCHAR(40) NOT NULL,
    content {bytes} NOT NULL, email {bytes}, phone_number {bytes}, optins TEXT NOT NULL, at BIGINT NOT NULL)""",
    "CREATE INDEX ix_insiderone_profiles_at ON insiderone_profiles (at)",
)
"""The ledger as it was before events stood in batches."""


def test_batchless_ledger_keeps_working(url, open_ledger):
    """A ledger from before batches keeps working.

    Nothing of it may be forgotten: neither what was delivered, nor what a run that died left open.
    """
    engine = sqlalchemy.create_engine(url)
    with engine.begin() as connection:
        for table in OLD_TABLES:
            connection.exec_driver_sql(table.format(bytes="BYTEA" if "postgres" in url else "BLOB"))
        events = sqlalchemy.table("insiderone_events", *map(sqlalchemy.column, ("key", "content", "intent", "at")))
        rows = [(b"sent", b"1", None), (b"open", b"2", b"bytes"), (b"rest", b"3", b"more")]
        connection.execute(
            sqlalchemy.insert(events),
            [{"key": key, "content": content, "intent": intent, "at": 1} for key, content, intent in rows],
        )
        names = ("key", "read_at", "content", "optins", "at")
        profiles = sqlalchemy.table("insiderone_profiles", *map(sqlalchemy.column, names))
        claimed = dict(zip(names, (b"c", "2026-05-01", b"", "{}", 1), strict=True))
        connection.execute(sqlalchemy.insert(profiles), [claimed])
    engine.dispose()
    ledger = open_ledger(url)
    assert ledger.events.known([b"sent", b"open"]) == {
        b"sent": KnownEvent(b"1", None),
        b"open": KnownEvent(b"2", b"bytes"),
    }

    ledger.events.settle([b"open"], [b"rest"])
    deliver(ledger, p=known("2026-06-01"))
    ledger.profiles.release(ledger.profiles.claim({b"c": read("2026-06-01"), b"p": read("2026-06-01")}), [b"c", b"p"])

    later = open_ledger(url)
    assert later.events.known([b"sent", b"open", b"rest"]) == {
        b"sent": KnownEvent(b"1", None),
        b"open": KnownEvent(b"2", None),
    }
    assert profiles_in(url, b"c", b"p") == {b"c": unknown(""), b"p": unknown("2026-06-01")}


def test_taken_batch_gets_its_outcome(url, open_ledger):
    """A batch that is taken over still gets its outcome.

    Who opens the ledger cannot tell a run that died from one that waits for an answer at this moment.
    """
    owner = open_ledger(url)
    owner.events.intend([(b"a", b"1", b"bytes of a"), (b"b", b"2", b"bytes of b"), (b"c", b"3", b"bytes of c")])
    assert open_ledger(url).events.known([b"a"]) == {b"a": KnownEvent(b"1", b"bytes of a")}

    owner.events.settle([b"a"], [b"b"])

    assert open_ledger(url).events.known([b"a", b"b", b"c"]) == {
        b"a": KnownEvent(b"1", None),
        b"c": KnownEvent(b"3", b"bytes of c"),
    }
    assert owner.events.known([b"a", b"b"]) == {b"a": KnownEvent(b"1", None)}


def test_holder_inherits_deliveries(url, open_ledger):
    """The holder of a stream knows the deliveries of the previous holder, even those after this ledger was opened."""
    waiting = open_ledger(url)
    holder = open_ledger(url)
    holder.events.intend([(b"a", b"1", b"bytes")])
    holder.events.settle([b"a"], [])

    waiting.hold(b"events00")

    assert waiting.events.known([b"a"]) == {b"a": KnownEvent(b"1", None)}


def test_merged_batches_stay_known(url, open_ledger, monkeypatch):
    """Merged batches leave the memory and stay known. Memory must stay flat over any number of events."""
    monkeypatch.setattr("singer_delivery.memory.once_ledger.MERGE_AFTER_EVENTS", 4)
    ledger = open_ledger(url)
    keys = [bytes([number]) for number in range(8)]
    for pair in zip(keys[::2], keys[1::2], strict=True):
        ledger.events.intend((key, b"c", b"bytes") for key in pair)
        ledger.events.settle(pair, [])

    assert (rows(url, "insiderone_batches"), rows(url, "insiderone_events")) == (0, 8)
    assert not ledger.events._batch_of
    assert ledger.events.known(keys) == dict.fromkeys(keys, KnownEvent(b"c", None))


@pytest.mark.parametrize(
    "bad", ["mysql+nosuch://x", "oracle://user:canary@host/x", "no url", "sqlite:////nowhere/x.db"]
)
def test_unusable_url_stays_hidden(bad):
    """A URL that cannot be used is refused without showing it. It may hold a password."""
    with pytest.raises(LedgerError) as refused:
        Ledger(bad, "insiderone")

    assert "canary" not in str(refused.value)
    assert "ledger_url" in str(refused.value)


@pytest.mark.req("CO-06")
def test_two_machines_share_one_ledger(load, postgres_url, tmp_path):
    """With `ledger_url` what one of them delivered is known to the other, whatever its data_dir."""
    newer = record("subscription_changes", profile(1, first_name="New"), "2026-06-01T10:05:00Z")
    older = record("profiles", profile(1, first_name="Old"), "2026-06-01T10:00:00Z")
    bought = [schema("events"), record("events", order(1))]
    load([schema("subscription_changes"), newer, *bought], ledger_url=postgres_url)

    other = load([schema("profiles"), older, *bought], ledger_url=postgres_url, data_dir=str(tmp_path / "elsewhere"))

    assert other.counts("profiles") == {"read": 1, "duplicate": 1}
    assert other.counts("events") == {"read": 1, "duplicate": 1}


def test_long_consent_token_is_shortened(load):
    """Optin of a long consent is kept short.

    All rows of a statement are as wide as the widest: one value of 150 kB made gigabytes of 10,000 rows.
    """
    marketing = {"consent": "SUBSCRIBED", "consent_timestamp": "x" * 150_000}
    people = [profile(number, subscriptions={"email": {"marketing": marketing}}) for number in (1, 2)]

    ended = load([schema("profiles"), *(record("profiles", person) for person in people)])

    assert ended.code == 0
    engine = sqlalchemy.create_engine(f"sqlite:///{ended.data_dir}/klaviyo/ledger.sqlite")
    with engine.connect() as connection:
        (longest,) = connection.exec_driver_sql("SELECT max(length(optins)) FROM insiderone_profiles").one()
    engine.dispose()
    assert 20 < longest < 200


def test_old_long_tokens_are_shortened(open_ledger, url):
    """Long optins of an earlier version are merged short.

    They stand in batches that every run takes over: there it failed again and again.
    """
    ledger = open_ledger(url)
    known = KnownProfile("2026-06-01", b"c" * 16, None, None, {"email_optin": "true " + "x" * 150_000})
    claim = ledger.profiles.claim({b"k" * 16: ReadProfile("2026-06-01", {})})
    ledger.profiles.remember(claim, {b"k" * 16: known})
    ledger.profiles.merge()

    (found,) = ledger.profiles.claim({b"k" * 16: ReadProfile("2026-06-02", {})}).known.values()
    assert len(found.optins["email_optin"]) < 200
