"""The ledger's promises: what it remembers, for how long, and beside whom."""

from __future__ import annotations

import subprocess
import sys

import pytest
from target_insiderone.digests import Digester
from target_insiderone.ledger import KnownEvent, KnownProfile, Ledger, LedgerError

OPEN_AND_WRITE = """
import sys
from target_insiderone.digests import Digester
from target_insiderone.ledger import Ledger
ledger = Ledger(sys.argv[1])
digest = Digester("scope")
for place in range(20):
    key = digest("event", sys.argv[2], str(place))
    ledger.intend_events([(key, key, b"{}")])
    ledger.settle_events([key], [])
"""


@pytest.fixture
def url(tmp_path):
    """A ledger in a file of its own."""
    return f"sqlite:///{tmp_path}/ledger.sqlite"


def known(read_at: str, **optins: str) -> KnownProfile:
    """A delivered version that was read then."""
    return KnownProfile(read_at, b"content", None, None, optins)


def test_an_intent_is_remembered_until_its_outcome(url):
    """After a crash the exact bytes are at hand; once settled they go, because they are personal data."""
    ledger = Ledger(url)
    ledger.intend_events([(b"a", b"1", b"bytes of a"), (b"b", b"2", b"bytes of b"), (b"c", b"3", b"bytes of c")])

    ledger.settle_events([b"a"], [b"b"])

    assert Ledger(url).events([b"a", b"b", b"c", b"d"]) == {
        b"a": KnownEvent(b"1", None),
        b"c": KnownEvent(b"3", b"bytes of c"),
    }


def test_a_version_read_earlier_does_not_replace_a_later_one(url):
    """Two flows may note one profile in any order."""
    ledger = Ledger(url)
    ledger.remember_profiles([(b"p", known("2026-06-02", email_optin="new"))])

    ledger.remember_profiles([(b"p", known("2026-06-01", email_optin="old"))])

    assert ledger.profiles([b"p"])[b"p"].optins == {"email_optin": "new"}


def test_pruning_forgets_settled_events_only(url):
    """An open intent must survive any age, else the event behind it could be doubled."""
    ledger = Ledger(url)
    ledger.intend_events([(b"settled", b"1", b"x"), (b"open", b"2", b"y")])
    ledger.settle_events([b"settled"], [])

    forgotten = ledger.prune(days=-1)

    assert forgotten == 1
    assert ledger.events([b"settled", b"open"]).keys() == {b"open"}


def test_a_read_only_ledger_changes_nothing(url):
    """A dry run may look, but must leave no trace that a real run would trust."""
    Ledger(url).intend_events([(b"a", b"1", b"x")])
    dry = Ledger(url, read_only=True)

    dry.settle_events([b"a"], [])
    dry.remember_profiles([(b"p", known("2026-06-01"))])

    assert dry.events([b"a"]) == {b"a": KnownEvent(b"1", b"x")}
    assert dry.profiles([b"p"]) == {}


def test_scopes_never_meet():
    """Partner and integration are part of every key."""
    assert Digester("shop/one")("event", "1") != Digester("shop/two")("event", "1")
    assert Digester("shop")("a", "bc") != Digester("shop")("ab", "c")


def test_more_keys_than_a_statement_takes(url):
    """Batches are cut, so that no database limit is met."""
    ledger = Ledger(url)
    keys = [place.to_bytes(4, "big") for place in range(12_000)]
    ledger.intend_events((key, b"c", b"x") for key in keys)

    assert len(ledger.events(keys)) == 12_000


def test_several_processes_create_and_write_it_at_the_same_moment(url):
    """The three flows start together, also for the very first time."""
    processes = [
        subprocess.Popen([sys.executable, "-c", OPEN_AND_WRITE, url, str(number)], stderr=subprocess.PIPE, text=True)
        for number in range(4)
    ]

    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in processes]

    assert ended == [("", 0)] * 4
    digest = Digester("scope")
    keys = [digest("event", str(number), str(place)) for number in range(4) for place in range(20)]
    assert all(event.intent is None for event in Ledger(url).events(keys).values())
    assert len(Ledger(url).events(keys)) == 80


@pytest.mark.parametrize(
    "bad", ["mysql+nosuch://x", "oracle://user:canary@host/x", "no url", "sqlite:////nowhere/x.db"]
)
def test_a_url_that_cannot_be_used_is_refused_without_showing_it(bad):
    """It may hold a password."""
    with pytest.raises(LedgerError) as refused:
        Ledger(bad)

    assert "canary" not in str(refused.value)
    assert "ledger_url" in str(refused.value)
