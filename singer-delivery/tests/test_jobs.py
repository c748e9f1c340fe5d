"""An asynchronous API: orders are taken as jobs, which are followed to their end whatever happens on the way."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from singer_delivery.testing.ordeals import TargetOrdeal
from singer_delivery.testing.points import JOB_POINTS, Strike
from singer_delivery.testing.recording import Recording
from singer_delivery.testing.stand_in import StandIn
from toybox import NOWHERE, SCHEMAS, UNSTORABLE, Toybox, ToyboxAccount

TARGET = Path(__file__).resolve().parent / "target_jobbox.py"
ORDERS = [
    {"id": f"O{number:03}", "person_id": f"P{number % 90}", "street": "1 Long Lane" if number % 15 else NOWHERE}
    for number in range(300)
]
RECORDING = Recording(
    [("orders", record) for record in ORDERS],
    {"orders": SCHEMAS["orders"]},
    frozenset(("orders", record["id"]) for record in ORDERS if record["street"] == NOWHERE),
    state_every=40,
)
ORDEALS = [
    [Strike("job_taken", 3), Strike("job_noted", 2)],
    [Strike("job_asked", 6), Strike("job_finished", 2)],
]


class Jobbox(Toybox):
    """Every third job is done only at the second poll; every refused row has its own page."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, list[tuple[str, str]]] = {}
        self.asked: set[str] = set()
        self.forgotten: set[str] = set()
        self.failed: set[str] = set()
        self.pages_repeat = False
        self.has_strange_place = False

    def respond(self, method, path, body):
        """Accept a job, or report on one."""
        if method == "POST":
            status, document = super().respond(method, path, body)
            job = str(len(self.jobs))
            if status == 400:
                self.failed.add(job)
                document = {"refused": {}}
            self.jobs[job] = list(document["refused"].items())
            return 200, {"job": job}
        job, _, page = path.removeprefix("/jobs/").partition("?page=")
        if job in self.forgotten:
            return 404, {}
        if int(job) % 3 == 2 and job not in self.asked:
            self.asked.add(job)
            return 200, {"done": False}
        if job in self.failed:
            return 200, {"done": True, "failed": "a row cannot be stored"}
        if self.pages_repeat:
            return 200, {"done": True, "refused": {}, "next": f"/jobs/{job}?page={2 if page == '1' else 1}"}
        if self.has_strange_place:
            return 200, {"done": True, "refused": {"50": "no such street"}, "next": None}
        refused, number = self.jobs[job], int(page or 0)
        following = f"/jobs/{job}?page={number + 1}" if number + 1 < len(refused) else None
        return 200, {"done": True, "refused": dict(refused[number : number + 1]), "next": following}


class JobboxAccount(ToyboxAccount):
    """With batches so large that there are few jobs."""

    def settings(self, data_dir):
        """See `ToyboxAccount`."""
        return super().settings(data_dir) | {"batch_size_rows": 50}


@pytest.fixture(scope="module")
def job_file(target_file):
    return Path(shutil.copy(TARGET, target_file.parent))


def begin(toybox, api, file, folder):
    return TargetOrdeal(JobboxAccount(toybox, api, file), folder, RECORDING)


@pytest.fixture(scope="module")
def ideal(job_file, tmp_path_factory):
    """What the recording brings when nothing happens on the way."""
    toybox = Jobbox()
    with StandIn(toybox.respond) as api:
        undisturbed = begin(toybox, api, job_file, tmp_path_factory.mktemp("ideal") / "run")
        undisturbed.run_to_success()
        return undisturbed.ideal()


@pytest.fixture
def toybox():
    return Jobbox()


@pytest.fixture
def ordeal(toybox, api, job_file, tmp_path):
    return begin(toybox, api, job_file, tmp_path / "ordeal")


def test_lost_job_fails_run(ordeal, ideal, toybox):
    """Job that is lost fails the run and its rows go again.

    Their outcome is unknown, so the next run sends the same bytes and counts them uncertain.
    """
    toybox.forgotten.add("1")

    failed = ordeal.run()
    ordeal.run_to_success()

    assert failed.codes == (1,)
    assert "no longer knows a job" in failed.log
    assert failed.summary["streams"]["orders"]["pending"] > 0
    assert ordeal.account.held() == ideal.held
    assert "a job of an earlier run is lost" in ordeal.runs[1].log
    assert set(ordeal.verdict(ideal).broken) <= {"delivered_twice"}


def test_repeating_pages_fail_run(ordeal, ideal, toybox):
    """Pages that lead back to an earlier one fail the run.

    They were read for ever, as fast as the API allowed. The next run follows the jobs again.
    """
    toybox.pages_repeat = True
    failed = ordeal.run()
    toybox.pages_repeat = False

    ordeal.run_to_success()

    assert failed.codes == (1,)
    assert "lead back to an earlier page" in failed.log
    assert ordeal.account.held() == ideal.held
    assert set(ordeal.verdict(ideal).broken) <= {"delivered_twice"}


def test_unreadable_result_is_given_up(ordeal, ideal, toybox):
    """A job whose result cannot be true is given up by the next run, and its rows go again.

    The run that met it failed, but so did every run after it, since an open job comes before anything new.
    """
    toybox.has_strange_place = True
    failed = [ordeal.run(), ordeal.run()]
    toybox.has_strange_place = False

    ordeal.run_to_success()

    assert [run.codes for run in failed] == [(1,), (1,)]
    assert "a job of an earlier run is given up" in failed[1].log
    assert ordeal.account.held() == ideal.held
    assert ordeal.rejected() == RECORDING.bad


def test_failed_job_of_killed_run(toybox, api, job_file, tmp_path):
    """A job that failed as a whole, left by a killed run, is no obstacle.

    The rows go again, and the one at fault is found. Each later run ended as unforeseen.
    """
    bad = [order | {"street": UNSTORABLE} if order["id"] == "O007" else order for order in ORDERS[:50]]
    refused = {("orders", order["id"]) for order in bad if order["street"] in {NOWHERE, UNSTORABLE}}
    recording = Recording([("orders", order) for order in bad], {"orders": SCHEMAS["orders"]}, frozenset(refused), 40)
    ordeal = TargetOrdeal(JobboxAccount(toybox, api, job_file), tmp_path / "ordeal", recording)

    ordeal.run_to_success([Strike("job_noted", 1)])

    assert ordeal.struck() == [Strike("job_noted", 1)]
    assert ordeal.rejected() == refused
    assert len(ordeal.account.held()) == len(bad) - len(refused)


def test_every_job_point_is_struck():
    """Every point of a job is struck. The parameters of the test below, which asserts that its kills took place."""
    assert {strike.point for strikes in ORDEALS for strike in strikes} == set(JOB_POINTS)


def test_paged_refusals_become_rejects(ideal, ordeal, toybox):
    """Rows refused on several pages become rejects.

    All pages of a job's errors are read, and what was not refused is delivered.
    """
    ended = ordeal.run()

    assert ended.succeeded, ended.log
    assert ordeal.rejected() == RECORDING.bad
    assert len(ideal.held) == len(RECORDING.records) - len(RECORDING.bad)
    assert max(len(refused) for refused in toybox.jobs.values()) > 1


@pytest.mark.parametrize("strikes", ORDEALS, ids=lambda strikes: "-".join(strike.point for strike in strikes))
def test_killed_jobs_end_undisturbed(ordeal, ideal, strikes):
    """Killed runs end like undisturbed ones.

    A job that was noted is followed before anything new is sent, and its rows do not go again.
    """
    ordeal.run_to_success(strikes)

    assert ordeal.struck() == strikes
    assert ordeal.verdict(ideal).broken == {}
