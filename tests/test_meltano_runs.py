"""The jobs of ``meltano.yml`` under Meltano: at the same moment, from run to run, and when an endpoint fails.

Meltano takes seconds to start. So the three jobs run through one history, of which several tests look at one side each;
and what Meltano hands to the plugins is shown by one process.
"""

from __future__ import annotations

import json
import shutil
import stat
import subprocess
import sys
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from figures import STREAMS, is_balanced, stream_figures
from meltano_project import JOBS, ROOT, FinishedJob, MeltanoProject, is_installed, variables_for

from tests.conftest import Shop

pytestmark = pytest.mark.skipif(
    not is_installed(), reason="Meltano and the plugins are not installed: run `make plugins`"
)

KLAVIYO_CANARY = "pk_canary_key_of_klaviyo"
INSIDERONE_CANARY = "insider-canary-key"


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty system database of Meltano's."""
    return MeltanoProject(tmp_path_factory.mktemp("empty") / "project", {}).database


@pytest.fixture
def new_project(sandbox, tmp_path, database):
    """Make a copy of the project that talks to the sandbox: ``new_project(TAP_KLAVIYO_MAX_PAGES="1")``."""
    numbers = count(1)

    def make(**variables):
        number = next(numbers)
        sandbox_variables = variables_for(sandbox.klaviyo_url, sandbox.insiderone_url, tmp_path / f"data{number}")
        return MeltanoProject(tmp_path / f"project{number}", {**sandbox_variables, **variables}, database)

    return make


def figures_of(jobs):
    return {STREAMS[job.job]: stream_figures(job) for job in jobs}


@dataclass(frozen=True)
class History:
    """Three rounds of the three jobs, each at the same moment, in one data folder, with one ledger and quotas on."""

    failed: list[FinishedJob]
    """While events answer 500."""
    states_after_failure: dict[str, str]
    mended: list[FinishedJob]
    """Right afterwards, nothing else having changed."""
    changed: list[FinishedJob]
    """After changes in the shop."""
    refused: FinishedJob
    """The profile flow alone, with a key that Insider One does not know."""
    states: dict[str, str]
    people: list[str]
    views: list[str]
    delivered: list[str]
    users: list[dict[str, Any]]
    requests: list[dict[str, Any]]
    data: Path
    project: MeltanoProject


@pytest.fixture(scope="module")
def history(running, database, tmp_path_factory):
    """Run the jobs through it."""
    running.reset()
    shop, folder = Shop(running), tmp_path_factory.mktemp("history")
    running.add_key(KLAVIYO_CANARY, ["profiles:read", "events:read", "metrics:read"])
    variables = variables_for(running.klaviyo_url, running.insiderone_url, folder / "data")
    variables |= {
        "TAP_KLAVIYO_API_KEY": KLAVIYO_CANARY,
        "TAP_KLAVIYO_EVENT_METRICS": "Placed Order, Viewed Product",  # no JSON, as the README offers
    }
    project = MeltanoProject(folder / "project", variables, database)
    people = [shop.person(number, properties={"round": 0}) for number in range(120)]
    views = [shop.view(person, minutes=1) for person in people]
    running.consent(people[0], "email", "SUBSCRIBED")
    shop.at(minutes=10)
    running.fault("klaviyo", path="/api/events*", kind="status", status=500, times=None)
    project.environment["TAP_KLAVIYO_MAX_RETRY_SECONDS"] = "0"
    failed = project.run_at_once(JOBS)
    states_after_failure = project.states()
    running.clear_faults()
    del project.environment["TAP_KLAVIYO_MAX_RETRY_SECONDS"]

    mended = project.run_at_once(JOBS)

    shop.at(minutes=11)
    running.touch(people[::4], {"properties": {"round": 1}})
    views += [shop.view(person, minutes=11) for person in people[::4]]
    running.consent(people[1], "email", "SUBSCRIBED")
    shop.at(minutes=50)
    changed = project.run_at_once(JOBS)
    delivered, users, requests = shop.delivered_ids(), running.users(), running.journal("klaviyo")

    running.touch(people[:1], {"properties": {"round": 2}})
    shop.at(minutes=60)
    project.environment["TARGET_INSIDERONE_API_KEY"] = INSIDERONE_CANARY
    (refused,) = project.run_at_once(["profiles-sync"])
    return History(
        failed,
        states_after_failure,
        mended,
        changed,
        refused,
        project.states(),
        people,
        views,
        delivered,
        users,
        requests,
        folder / "data",
        project,
    )


@pytest.mark.req("IN-46", "IN-47", "IN-49")
def test_three_jobs_run_concurrently(history):
    """Three jobs at once round after round.

    With quotas on, in one data folder, with one ledger: nothing is lost, disturbed or sent twice.
    """
    for jobs in (history.mended, history.changed):
        assert [job.exit_code for job in jobs] == [0, 0, 0], jobs
        assert all(is_balanced(job) for job in jobs)
        assert all(
            job.tap_summary["emitted"] == figures["read"]
            for job, figures in zip(jobs, figures_of(jobs).values(), strict=True)
        )
    assert figures_of(history.changed)["profiles"]["delivered"] >= len(history.people[::4])
    assert sorted(history.delivered) == sorted(history.views)
    assert len(history.users) == len(history.people)
    assert {entry["method"] for entry in history.requests} == {"GET"}
    assert 429 not in {entry["status"] for entry in history.requests}


@pytest.mark.req("IN-46", "IN-33")
def test_failing_events_spare_profiles(history):
    """Failing events spare the profile flow.

    When events answer 500, both flows that read events fail, say so, keep their bookmarks, and go on later.
    """
    failed, mended = history.failed, figures_of(history.mended)

    assert [job.exit_code for job in failed] == [0, 1, 1]
    for job in failed[1:]:
        error_lines = [line for line in job.log.splitlines() if "[error" in line and "tap-klaviyo" in line]
        assert STREAMS[job.job] in error_lines[-1]
    bookmarked = [name for name, state in history.states_after_failure.items() if "replication_key_value" in state]
    assert bookmarked == ["sandbox:tap-klaviyo-profiles-to-target-insiderone-profiles"]
    assert mended["profiles"]["read"] == 0
    assert mended["events"]["delivered"] == len(history.people)
    assert mended["subscription_changes"]["delivered"] == 1


@pytest.mark.req("IN-04", "C-32")
def test_canary_keys_stay_hidden(history):
    """Canary keys stand in no log and no state.

    In runs that pass, fail and are refused; what Meltano leaves behind is for its owner alone.
    """
    assert history.refused.exit_code == 1
    jobs = [*history.failed, *history.mended, *history.changed, history.refused]
    left_behind = "".join(job.log for job in jobs) + json.dumps(history.states)
    data = [path for path in history.data.rglob("*") if path.is_file()]
    left_behind += "".join(path.read_text() for path in data if path.suffix == ".json")
    assert not [secret for secret in (KLAVIYO_CANARY, INSIDERONE_CANARY, "@shop.example") if secret in left_behind]
    meltanos = [path for path in (history.project.folder / ".meltano").iterdir() if not path.is_symlink()]
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in meltanos + data)


@pytest.fixture(scope="module")
def real_project(database, tmp_path_factory):
    """The project as it is shipped, with variables of real accounts in ``.env``."""
    project = MeltanoProject(tmp_path_factory.mktemp("real") / "project", {}, database)
    (project.folder / "meltano.yml").write_text((ROOT / "meltano.yml").read_text())
    (project.folder / "accounts").mkdir()
    shutil.copy(ROOT / "docs/us.meltano.yml", project.folder / "accounts")
    (project.folder / ".env").write_text(
        "MELTANO_ENVIRONMENT=prod\n"
        "TAP_KLAVIYO_API_KEY=pk_real_of_shop_one\n"
        "TAP_KLAVIYO_EVENTS_API_KEY=pk_real_of_the_events\n"
        "TAP_KLAVIYO_INITIAL_SYNC_LOOKBACK_HOURS=24\n"
        "TAP_KLAVIYO_RATE_LIMIT_PERCENT=20\n"
        "TARGET_INSIDERONE_PARTNER_NAME=shopone\n"
        "TARGET_INSIDERONE_API_KEY=real-token-of-shop-one\n"
        "TARGET_INSIDERONE_LEDGER_URL=postgresql+psycopg://real:real@127.0.0.1:9/ledger\n"
        "KLAVIYO_US_API_KEY=pk_real_of_shop_two\n"
        "INSIDERONE_US_API_KEY=real-token-of-shop-two\n"
    )
    return project


HANDED_OVER = (
    ("sandbox", "tap-klaviyo-events"),
    ("sandbox", "target-insiderone-profiles"),
    ("sandbox", "tap-klaviyo-us-profiles"),
    ("prod", "tap-klaviyo-events"),
    ("prod", "target-insiderone-events"),
    ("prod", "target-insiderone-us-profiles"),
)
"""The environments and plugins whose settings are looked at."""


STREAM_MAPS = '{"profiles": {"image": null}, "__else__": null}'
"""Its nulls leave out; read by Meltano itself, as an object, the inner one would be gone."""


@pytest.fixture(scope="module")
def shown(real_project):
    """What Meltano hands to each plugin of `HANDED_OVER`, and its list of schedules; with dollars in all places."""
    row = '{{"source_field": "{0}", "parameter": "{1}"}}'
    rows = [row.format("$value", "order_value"), row.format("$event_id", "key"), row.format("Unit $ price", "price")]
    variables = {
        "value": "replaced",
        "VALUE": "replaced",
        "TARGET_INSIDERONE_EVENT_PARAMETER_MAPPINGS": f"[{', '.join(rows)}]",
        "TARGET_INSIDERONE_PROFILES_API_KEY": "real-token-of-the-shell",
        "TARGET_INSIDERONE_STREAM_MAPS": STREAM_MAPS,
    }
    shipped = (ROOT / "meltano.yml").read_text()
    escaped = "- {metric_name: '\\$Metric and \\${more}', event_type: dollar}\n      - metric_name: Placed Order"
    (real_project.folder / "meltano.yml").write_text(shipped.replace("- metric_name: Placed Order", escaped, 1))
    commands = [[f"--environment={name}", "invoke", "--dump=config", plugin] for name, plugin in HANDED_OVER]
    commands.append(["schedule", "list", "--format=json"])
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("meltano_commands.py"), json.dumps(commands)],
        cwd=real_project.folder,
        env=real_project.environment | variables,
        capture_output=True,
        text=True,
        check=True,
    )
    (real_project.folder / "meltano.yml").write_text(shipped)
    return dict(zip((*HANDED_OVER, "schedules"), map(json.loads, json.loads(done.stdout)), strict=True))


@pytest.mark.req("IN-26")
def test_dollar_names_reach_the_target(shown):
    """Meltano replaces ``$UPPER`` and ``${x}`` in settings, also with nothing; Klaviyo's ``$value`` must survive."""
    given = shown["prod", "target-insiderone-events"]
    config = {name: json.loads(given[name]) for name in ("event_parameter_mappings", "event_mappings")}

    assert [one["source_field"] for one in config["event_parameter_mappings"]] == [
        "$value",
        "$event_id",
        "Unit $ price",
    ]
    assert config["event_mappings"][0]["metric_name"] == "$Metric and ${more}"
    shipped = config["event_mappings"][1]["parameter_mappings"]
    assert {"source_field": "$value", "parameter": "unit_sale_price", "when": "whole"} in shipped


def test_stream_maps_as_variable(shown):
    """Stream maps may be a variable.

    Meltano takes variables of declared settings only: it did nothing, and what it should have left out was sent.
    """
    assert shown["prod", "target-insiderone-events"]["stream_maps"] == STREAM_MAPS


def test_sandbox_gets_no_real_key(shown):
    """Sandbox never gets a real key.

    The environment `sandbox` outranks `.env` and the shell, for every flow and for further accounts.
    """
    handed_over = {plugin: json.dumps(shown[name, plugin]) for name, plugin in HANDED_OVER if name == "sandbox"}

    real = ("pk_real", "real-token", "real:real", "shopone")
    assert len(handed_over) == 3
    assert not [plugin for plugin, settings in handed_over.items() if any(one in settings for one in real)]
    assert all("http://127.0.0.1:870" in settings for settings in handed_over.values())


def test_quota_share_applies_everywhere(shown):
    """Share of the quota is set for all flows at once.

    The variable that the documents name had no effect: each flow's own 45 stood before it.
    """
    assert shown["prod", "tap-klaviyo-events"]["rate_limit_percent"] == "20"


def test_forgotten_account_variable_is_refused(real_project, shown):
    """Forgotten variable of a second account is refused.

    It was the first shop's name instead, and the second shop's people went there, exit code 0.
    """
    loaded = real_project.meltano("--environment=prod", "invoke", "target-insiderone-us-profiles")
    checked = real_project.meltano("--environment=prod", "invoke", "target-insiderone-us-profiles:check")

    settings = shown["prod", "target-insiderone-us-profiles"]
    assert "partner_name" not in settings
    assert (settings["api_key"], settings["integration_name"]) == ("real-token-of-shop-two", "klaviyo_us")
    for refused in (loaded, checked):
        assert refused.returncode == 2
        assert "partner_name: is missing" in refused.stdout + refused.stderr
        assert "TARGET_INSIDERONE_US_PARTNER_NAME" in refused.stdout + refused.stderr
        assert "TARGET_INSIDERONE_PARTNER_NAME" not in refused.stdout + refused.stderr


@pytest.mark.req("IN-30")
def test_meltano_runs_schedules(new_project, shop, shown):
    """Meltano lists and runs the schedules. An orchestrator reads the list; cron calls ``meltano schedule run``."""
    project = new_project()
    shop.person(1)
    shop.at(minutes=10)

    ran = project.meltano("schedule", "run", "profiles-hourly")

    schedules = {
        one["name"]: (one["cron_interval"], one["job"]["name"]) for one in shown["schedules"]["schedules"]["job"]
    }
    assert schedules == {
        "profiles-hourly": ("5 * * * *", "profiles-sync"),
        "events-every-15-minutes": ("*/15 * * * *", "events-sync"),
        "subscriptions-every-15-minutes": ("7-59/15 * * * *", "subscriptions-sync"),
    }
    assert ran.returncode == 0
    assert '"delivered": 1' in ran.stderr


@pytest.mark.req("IN-08")
def test_connection_is_tested_first(new_project, sandbox, shop):
    """Connection is tested before the first run.

    Both commands that the README recommends; what they read is no start of a sync, and nothing is written.
    """
    project = new_project()
    person = shop.person(1)
    shop.view(person, minutes=1)
    sandbox.consent(person, "email", "SUBSCRIBED")
    shop.at(minutes=10)

    tested = project.meltano("invoke", "tap-klaviyo:test")
    checked = project.meltano("invoke", "target-insiderone:check")

    assert (tested.returncode, checked.returncode) == (0, 0)
    assert tested.stdout.splitlines() == [f"{stream}: can be read" for stream in sorted(STREAMS.values())]
    assert "nothing to correct" in checked.stdout + checked.stderr
    assert sandbox.users() == []
    assert project.states() == {}


def test_misspelt_flag_sends_nothing(new_project, sandbox, shop):
    """Misspelt flag is refused and nothing is sent.

    Meltano took the misspelt flag for false, and everything was sent; and the real error stood above 155 lines.

    At a list that is none Meltano broke off itself, and showed the value without the name.
    """
    project = new_project(
        TARGET_INSIDERONE_DRY_RUN="ture",
        TARGET_INSIDERONE_PROFILES_FIXED_ATTRIBUTES="[{attribute: a",
        TARGET_INSIDERONE_STREAM_MAPS="{profiles: null}",
    )
    for number in range(200):
        shop.person(number)
    shop.at(minutes=10)

    (refused,) = project.run_at_once(["profiles-sync"])

    assert refused.exit_code == 1
    variables = "TARGET_INSIDERONE_PROFILES_{0}, TARGET_INSIDERONE_{0}"
    place = f"(in {variables}, or meltano.yml and the variables that it names)"
    assert f"setting dry_run {place.format('DRY_RUN')}: is not a boolean" in refused.log
    assert f"setting fixed_attributes {place.format('FIXED_ATTRIBUTES')}: is not a JSON list" in refused.log
    assert f"setting stream_maps {place.format('STREAM_MAPS')}: is not a JSON object" in refused.log
    assert "exit code 2" in refused.log
    assert not [words for words in ("BrokenPipe", "Traceback", "unforeseen") if words in refused.log]
    assert sandbox.journal("insiderone") == []
    assert sandbox.users() == []
