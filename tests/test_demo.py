"""The demo's own arithmetic: a demo that cannot fail shows nothing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
from figures import Round, checks_of, count_keys, is_balanced, reasons, stream_figures
from meltano_project import ROOT, FinishedJob, MeltanoProject

DEMO = ROOT / "demo"


def finished(code=0, emitted=3, **figures):
    """An events-sync according to its log: 3 read, 2 delivered, 1 filtered, unless *figures* say otherwise."""
    counted = {"read": 3, "delivered": 2, "filtered": 1, "reasons": {"filtered": {"no_identifier": 1}}} | figures
    tap = json.dumps({"stream": "events", "emitted": emitted, "requests": 2})
    target = json.dumps({"streams": {"events": counted}, "requests": {"upsert": 1}})
    log = f"[info] tap-klaviyo-events summary: {tap}\n[info] target-insiderone-events [klaviyo] run summary: {target}\n"
    return FinishedJob("events-sync", code, log, 1.0)


def test_figures_match_log():
    """Figures are those of the log. Every number of the table is one that tap or target wrote."""
    job = finished()

    assert stream_figures(job)["delivered"] == 2
    assert list(reasons(job)) == ["filtered: no_identifier 1"]
    assert (job.tap_summary["requests"], job.run_summary["requests"]) == (2, {"upsert": 1})


@pytest.mark.parametrize(
    "job",
    [finished(delivered=1), finished(pending=1), FinishedJob("events-sync", 0, "", 1.0)],
    ids=["a record is missing", "a record is unsettled", "no summary"],
)
def test_imbalance_is_noticed(job):
    """Zero records with zero outcomes add up only where a summary says so."""
    assert is_balanced(finished())
    assert not is_balanced(job)


@pytest.mark.parametrize(
    ("jobs", "requests", "objection"),
    [
        ([finished(code=1)], 2, "events-sync ended with 1"),
        ([finished(emitted=4)], 2, "events-sync"),
        ([finished()], 3, "the taps counted 2"),
    ],
    ids=["failed", "lost between tap and target", "uncounted request"],
)
def test_objections_are_raised(jobs, requests, objection):
    """Each check of the demo fails for its own reason."""
    entries = [{"method": "GET"}] * requests

    (found,) = [check for check in checks_of(1, Round(jobs, entries, [])) if check.objections]

    assert list(found.objections) == [objection]


def test_sound_round_has_no_objection():
    """The counterpart: the checks hold where all is well."""
    checks = checks_of(1, Round([finished()], [{"method": "GET"}] * 2, []))

    assert not [check for check in checks if check.objections]


def test_repeated_event_is_counted_twice():
    """Order lines are events of their own; the same line again is a repeat."""
    custom = {"klaviyo_event_id": "E1", "line": 1}
    line = {"event_name": "purchase", "event_params": {"custom": custom}}
    other = {"event_name": "purchase", "event_params": {"custom": custom | {"line": 2}}}

    counts = count_keys([line, other, line])

    assert counts == {("E1", "purchase", 1): 2, ("E1", "purchase", 2): 1}


def test_copy_has_no_real_keys(monkeypatch, tmp_path):
    """Real keys do not reach the copy.

    Whoever has real keys in the environment can run the demo: it must neither use nor send them.
    """
    for name in ("TAP_KLAVIYO_API_KEY", "TARGET_INSIDERONE_LEDGER_URL", "MELTANO_DATABASE_URI", "MELTANO_ENVIRONMENT"):
        monkeypatch.setenv(name, "real")
    monkeypatch.setattr(MeltanoProject, "meltano", lambda *_: None)

    project = MeltanoProject(tmp_path / "project", {"TAP_KLAVIYO_API_URL": "http://127.0.0.1:1"})

    assert "real" not in project.environment.values()
    assert project.environment["TAP_KLAVIYO_API_URL"] == "http://127.0.0.1:1"
    assert not (project.folder / ".env").exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_kept_sandbox_needs_no_terminal(signum):
    """Kept sandbox stays without a terminal.

    It waited for Enter: under nohup, CI or `make demo &` there is no input, and the demo ended at once.
    """
    wait = (
        "import demo, types; demo.heed_signals(); demo.wait_for_person(types.SimpleNamespace(control_url='http://x'))"
    )
    command = ["sh", "-c", 'trap "" INT TERM; exec "$@"', "sh", sys.executable, "-c", wait]
    with subprocess.Popen(command, cwd=DEMO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        said = [process.stdout.readline(), process.stdout.readline()]
        process.send_signal(signum)
        last = process.stdout.read()

    assert "http://x/" in said[0]
    assert f"kill {process.pid}" in said[1]
    assert last == "Stopped.\n"
    assert process.returncode == 0
