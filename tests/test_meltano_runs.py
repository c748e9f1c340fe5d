"""The jobs of ``meltano.yml`` under Meltano: at the same moment, from run to run, and when an endpoint fails.

Meltano takes seconds to start, so each test says much; all of them run one after the other, in one worker.
"""

from __future__ import annotations

import json
import shutil
import stat
from itertools import count

import pytest
from figures import STREAMS, is_balanced, stream_figures
from meltano_project import JOBS, ROOT, MeltanoProject, is_installed, variables_for

pytestmark = [
    pytest.mark.xdist_group("meltano"),
    pytest.mark.skipif(not is_installed(), reason="Meltano and the plugins are not installed: run `make plugins`"),
]


@pytest.fixture
def new_project(sandbox, tmp_path):
    """Make a copy of the project that talks to the sandbox: ``new_project(TAP_KLAVIYO_MAX_PAGES="1")``."""
    numbers = count(1)

    def make(**variables):
        number = next(numbers)
        sandbox_variables = variables_for(sandbox.klaviyo_url, sandbox.insiderone_url, tmp_path / f"data{number}")
        return MeltanoProject(tmp_path / f"project{number}", {**sandbox_variables, **variables})

    return make


def figures_of(jobs):
    return {STREAMS[job.job]: stream_figures(job) for job in jobs}


def states_of(project):
    """State id -> what Meltano keeps under it."""
    ids = project.meltano("state", "list").stdout.split()
    return {name: json.loads(project.meltano("state", "get", name).stdout) for name in ids}


@pytest.mark.req("IN-46", "IN-47", "IN-49")
def test_three_jobs_at_once_round_after_round(new_project, sandbox, shop):
    """With quotas on, in one data folder, with one ledger: nothing is lost, disturbed or sent twice."""
    project = new_project()
    people = [shop.person(number, properties={"round": 0}) for number in range(120)]
    views = [shop.view(person, minutes=1) for person in people]
    for round_number in (1, 2):
        shop.at(minutes=10 * round_number)
        jobs = project.run_at_once(JOBS)
        shop.at(minutes=10 * round_number + 1)
        changed = people[round_number::4]
        sandbox.touch(changed, {"properties": {"round": round_number}})
        views += [shop.view(person, minutes=10 * round_number + 1) for person in changed]
        sandbox.consent(people[round_number], "email", "SUBSCRIBED")

        assert [job.exit_code for job in jobs] == [0, 0, 0], jobs
        assert all(is_balanced(job) for job in jobs)
        assert all(
            job.tap_summary["emitted"] == figures["read"]
            for job, figures in zip(jobs, figures_of(jobs).values(), strict=True)
        )
    shop.at(minutes=50)
    project.run_at_once(JOBS)

    assert sorted(shop.delivered_ids()) == sorted(views)
    assert len(sandbox.users()) == len(people)
    assert {entry["method"] for entry in sandbox.journal("klaviyo")} == {"GET"}
    assert 429 not in {entry["status"] for entry in sandbox.journal("klaviyo")}


@pytest.mark.req("IN-46", "IN-33")
def test_failing_events_spare_the_profile_flow(new_project, sandbox, shop):
    """When events answer 500, both flows that read events fail, say so, keep their bookmarks, and go on later."""
    project = new_project(TAP_KLAVIYO_MAX_RETRY_SECONDS="0")
    person = shop.person(1)
    shop.view(person, minutes=1)
    sandbox.consent(person, "email", "SUBSCRIBED")
    shop.at(minutes=10)
    sandbox.fault("klaviyo", path="/api/events*", kind="status", status=500, times=None)
    failed = project.run_at_once(JOBS)
    after_failure = states_of(project)
    sandbox.clear_faults()

    mended = project.run_at_once(JOBS)

    assert [job.exit_code for job in failed] == [0, 1, 1]
    for job in failed[1:]:
        error_lines = [line for line in job.log.splitlines() if "[error" in line and "tap-klaviyo" in line]
        assert STREAMS[job.job] in error_lines[-1]
    bookmarked = [name for name, state in after_failure.items() if "replication_key_value" in json.dumps(state)]
    assert bookmarked == ["sandbox:tap-klaviyo-profiles-to-target-insiderone-profiles"]
    assert [job.exit_code for job in mended] == [0, 0, 0]
    assert figures_of(mended)["profiles"]["read"] == 0
    assert figures_of(mended)["events"]["delivered"] == figures_of(mended)["subscription_changes"]["delivered"] == 1


@pytest.mark.req("IN-31", "IN-34")
def test_state_survives_and_outranks_the_initial_look_back(new_project, shop):
    """The look-back is for the very first run: with a bookmark, neither a longer nor a shorter one changes anything."""
    project = new_project(TAP_KLAVIYO_INITIAL_SYNC_LOOKBACK_HOURS="1")
    person = shop.person(1)
    shop.view(person, minutes=-120)
    recent = shop.view(person, minutes=1)
    shop.at(minutes=10)
    (first,) = project.run_at_once(["events-sync"])
    project.environment |= {"TAP_KLAVIYO_INITIAL_SYNC_LOOKBACK_HOURS": "0", "TAP_KLAVIYO_LOOKBACK_WINDOW_DAYS": "0"}
    shop.at(minutes=20)

    (second,) = project.run_at_once(["events-sync"])

    assert figures_of([first])["events"]["delivered"] == 1
    assert "[warning" in next(line for line in first.log.splitlines() if "holds no bookmark" in line)
    assert figures_of([second])["events"]["read"] == 0
    assert "holds no bookmark" not in second.log
    assert shop.delivered_ids() == [recent]


@pytest.mark.req("IN-04", "C-32")
def test_canary_keys_stand_in_no_log_and_no_state(new_project, sandbox, shop, tmp_path):
    """In a run that passes and in one that is refused; what Meltano leaves behind is for its owner alone."""
    key = "pk_canary_key_of_klaviyo"
    sandbox.add_key(key, ["profiles:read", "events:read"])
    project = new_project(TAP_KLAVIYO_API_KEY=key)
    shop.person(1, email="canary@shop.example")
    shop.at(minutes=10)
    (passed,) = project.run_at_once(["profiles-sync"])
    project.environment["TARGET_INSIDERONE_API_KEY"] = "insider-canary-key"
    sandbox.touch([shop.person(2, email="canary2@shop.example")])
    shop.at(minutes=20)

    (refused,) = project.run_at_once(["profiles-sync"])

    assert (passed.exit_code, refused.exit_code) == (0, 1)
    left_behind = passed.log + refused.log + json.dumps(states_of(project))
    data = [path for path in (tmp_path / "data1").rglob("*") if path.is_file()]
    left_behind += "".join(path.read_text() for path in data if path.suffix == ".json")
    assert not [secret for secret in (key, "insider-canary-key", "canary@", "canary2@") if secret in left_behind]
    private = [path for path in (project.folder / ".meltano").iterdir() if not path.is_symlink()] + data
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in private)


@pytest.mark.req("IN-26")
def test_dollar_names_reach_the_target(new_project, monkeypatch):
    """Meltano replaces ``$UPPER`` and ``${x}`` in settings, also with nothing; Klaviyo's ``$value`` must survive."""
    monkeypatch.setenv("value", "replaced")
    monkeypatch.setenv("VALUE", "replaced")
    row = '{{"source_field": "{0}", "parameter": "{1}"}}'
    rows = [row.format("$value", "order_value"), row.format("$event_id", "key"), row.format("Unit $ price", "price")]
    project = new_project(TARGET_INSIDERONE_EVENT_PARAMETER_MAPPINGS=f"[{', '.join(rows)}]")
    project_file = project.folder / "meltano.yml"
    escaped = "- {metric_name: '\\$Metric and \\${more}', event_type: dollar}\n      - metric_name: Placed Order"
    project_file.write_text(project_file.read_text().replace("- metric_name: Placed Order", escaped, 1))

    dumped = project.meltano("invoke", "--dump=config", "target-insiderone-events")

    config = json.loads(dumped.stdout)
    assert [one["source_field"] for one in config["event_parameter_mappings"]] == [
        "$value",
        "$event_id",
        "Unit $ price",
    ]
    assert config["event_mappings"][0]["metric_name"] == "$Metric and ${more}"
    shipped = config["event_mappings"][1]["parameter_mappings"]
    assert {"source_field": "$value", "parameter": "unit_sale_price", "when": "whole"} in shipped


@pytest.mark.req("IN-30")
def test_meltano_lists_and_runs_the_schedules(new_project, shop):
    """An orchestrator reads the list; cron calls ``meltano schedule run``."""
    project = new_project()
    shop.person(1)
    shop.at(minutes=10)

    listed = json.loads(project.meltano("schedule", "list", "--format=json").stdout)
    ran = project.meltano("schedule", "run", "profiles-hourly")

    schedules = {one["name"]: (one["cron_interval"], one["job"]["name"]) for one in listed["schedules"]["job"]}
    assert schedules == {
        "profiles-hourly": ("5 * * * *", "profiles-sync"),
        "events-every-15-minutes": ("*/15 * * * *", "events-sync"),
        "subscriptions-every-15-minutes": ("7-59/15 * * * *", "subscriptions-sync"),
    }
    assert ran.returncode == 0
    assert '"delivered": 1' in ran.stderr


@pytest.mark.req("IN-08")
def test_connection_is_tested_before_the_first_run(new_project, sandbox, shop):
    """Both commands that the README recommends; what they read is no start of a sync, and nothing is written."""
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
    assert states_of(project) == {}


@pytest.fixture
def real_project(new_project, tmp_path):
    """The project as it is shipped, with variables of real accounts in ``.env``."""
    project = new_project()
    for name in variables_for("", "", tmp_path):
        del project.environment[name]
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


def settings_of(project, environment, plugin):
    """What Meltano hands to a plugin."""
    dumped = project.meltano(f"--environment={environment}", "invoke", "--dump=config", plugin)
    return json.loads(dumped.stdout)


def test_forgotten_variable_of_a_second_account_is_refused(real_project):
    """It was the first shop's name instead, and the second shop's people went there, exit code 0."""
    run = real_project.meltano("--environment=prod", "run", "us-profiles-sync")
    checked = real_project.meltano("--environment=prod", "invoke", "target-insiderone-us-profiles:check")

    settings = settings_of(real_project, "prod", "target-insiderone-us-profiles")
    assert "partner_name" not in settings
    assert (settings["api_key"], settings["integration_name"]) == ("real-token-of-shop-two", "klaviyo_us")
    assert run.returncode == 1
    assert "partner_name: is missing" in run.stdout + run.stderr
    assert checked.returncode == 2
    assert "partner_name: is missing" in checked.stdout + checked.stderr


def test_sandbox_never_gets_a_real_key(real_project):
    """The environment `sandbox` outranks `.env` and the shell, for every flow and for further accounts."""
    real_project.environment["TARGET_INSIDERONE_PROFILES_API_KEY"] = "real-token-of-the-shell"
    handed_over = {
        plugin: json.dumps(settings_of(real_project, "sandbox", plugin))
        for plugin in ("tap-klaviyo-events", "target-insiderone-profiles", "tap-klaviyo-us-profiles")
    }

    real = ("pk_real", "real-token", "real:real", "shopone")
    assert not [plugin for plugin, settings in handed_over.items() if any(one in settings for one in real)]
    assert all("http://127.0.0.1:870" in settings for settings in handed_over.values())


def test_share_of_the_quota_is_set_for_all_flows_at_once(real_project):
    """The variable that the documents name had no effect: each flow's own 45 stood before it."""
    assert settings_of(real_project, "prod", "tap-klaviyo-events")["rate_limit_percent"] == "20"


def test_misspelt_flag_is_refused_and_nothing_is_sent(new_project, sandbox, shop):
    """Meltano took the misspelt flag for false, and everything was sent; and the real error stood above 155 lines."""
    project = new_project(TARGET_INSIDERONE_DRY_RUN="ture")
    for number in range(200):
        shop.person(number)
    shop.at(minutes=10)

    (refused,) = project.run_at_once(["profiles-sync"])

    assert refused.exit_code == 1
    assert "setting dry_run: is no flag" in refused.log
    assert "exit code 2" in refused.log
    assert not [words for words in ("BrokenPipe", "Traceback", "unforeseen") if words in refused.log]
    assert sandbox.journal("insiderone") == []
    assert sandbox.users() == []
