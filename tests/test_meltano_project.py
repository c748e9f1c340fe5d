"""``meltano.yml`` and ``.env.example``, held to what the packages declare and to each other."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from singer_delivery.commands.cli import commands_of
from singer_delivery.settings.findings import SDK_SETTINGS
from tap_klaviyo.settings import SETTINGS as SETTINGS_OF_TAP
from tap_klaviyo.tap import TapKlaviyo
from target_insiderone.check import check_command
from target_insiderone.settings.config_schema import PROPERTIES as SETTINGS_OF_TARGET
from target_insiderone.settings.findings import find
from target_insiderone.target import TargetInsiderOne

ROOT = Path(__file__).resolve().parent.parent
PROJECT = yaml.safe_load((ROOT / "meltano.yml").read_text())
PLUGINS = {plugin["name"]: plugin for kind in ("extractors", "loaders") for plugin in PROJECT["plugins"][kind]}
TAP, TARGET = PLUGINS["tap-klaviyo"], PLUGINS["target-insiderone"]
FLOWS = {"profiles": "profiles", "events": "events", "subscriptions": "subscription_changes"}
SETTINGS = {"tap-klaviyo": SETTINGS_OF_TAP["properties"], "target-insiderone": SETTINGS_OF_TARGET}
"""What the packages declare themselves; the SDK adds its own settings to the classes once it has made an instance."""
DECLARED = [
    (plugin, setting, schema) for plugin in (TAP, TARGET) for setting, schema in SETTINGS[plugin["name"]].items()
]


def kind_of(schema):
    """The Meltano kind of a setting; all but objects are texts, as Meltano reads "ture" as false without a word."""
    if schema.get("secret"):
        return "password"
    types = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
    return "object" if "object" in types else "string"


@pytest.mark.parametrize(
    ("plugin", "setting", "schema"), DECLARED, ids=[f"{row[0]['name']}.{row[1]}" for row in DECLARED]
)
def test_settings_match_declarations(plugin, setting, schema):
    """Setting is declared as the package declares it.

    Meltano takes a variable of the environment for declared settings only, and hides only declared secrets.
    """
    (declared,) = [one for one in plugin["settings"] if one["name"] == setting]

    assert declared == {
        "name": setting,
        "kind": kind_of(schema),
        "label": schema["title"],
        "description": schema["description"],
        **({"sensitive": True} if schema.get("secret") else {}),
        **({"value_processor": "stringify"} if "array" in schema["type"] else {}),
    }


@pytest.mark.parametrize("plugin", [TAP, TARGET], ids=["tap", "target"])
def test_nothing_extra_is_declared(plugin):
    """Nothing is declared that the package lacks. A setting that nothing reads would look as if it did something."""
    assert {one["name"] for one in plugin["settings"]} == SETTINGS[plugin["name"]].keys() | SDK_SETTINGS


@pytest.mark.parametrize("plugin", [TAP, TARGET], ids=["tap", "target"])
def test_sdk_settings_may_be_variables(plugin):
    """Settings of the SDK may be variables.

    Those that are not declared do nothing as variables; as an object, stream maps would lose their nulls.
    """
    kinds = {one["name"]: one["kind"] for one in plugin["settings"]}

    assert {kinds[name] for name in SDK_SETTINGS} == {"string"}


@pytest.mark.req("IN-03")
def test_private_key_is_only_credential():
    """The private key is the taps only credential.

    No OAuth: no client to register, no token to refresh, nothing else to keep secret.
    """
    settings = {one["name"]: one["kind"] for one in TAP["settings"]}

    assert [name for name, kind in settings.items() if kind == "password"] == ["api_key"]
    assert not [name for name in settings if re.search("oauth|client|token|refresh", name)]


def test_required_settings_are_grouped():
    """Required settings are validated as a group. ``meltano config`` derives from the group which are missing."""
    for plugin, package in ((TAP, TapKlaviyo), (TARGET, TargetInsiderOne)):
        (group,) = plugin["settings_group_validation"]

        assert set(group) == set(package.config_jsonschema["required"])


def test_shipped_mapping_is_example():
    """Shipped mapping is the example of the target.

    There is one default mapping; the file in the package is for those who run without Meltano.
    """
    example = yaml.safe_load((ROOT / "target-insiderone/examples/klaviyo-default-mapping.yml").read_text())

    assert TARGET["config"] == example


@pytest.mark.req("IN-21")
def test_tap_reads_mapped_metrics():
    """Tap reads the metrics that the target maps.

    A metric mapped and not read would never arrive; one read and not mapped would cost requests for nothing.
    """
    mapped = [mapping["metric_name"] for mapping in TARGET["config"]["event_mappings"]]

    assert TAP["config"]["event_metrics"] == list(dict.fromkeys(mapped))


def test_shipped_settings_are_without_findings():
    """The default mapping holds neither an error nor anything worth a warning."""
    (sandbox,) = [one for one in PROJECT["environments"] if one["name"] == "sandbox"]
    (loader,) = sandbox["config"]["plugins"]["loaders"]

    assert find({**TARGET["config"], **loader["config"]}) == []


def test_target_commands_are_shipped():
    """Every command of the target is shipped.

    ``meltano invoke target-insiderone:check`` and the like, with the settings of the project.
    """
    shipped = {name: command["args"] for name, command in TARGET["commands"].items()}

    assert shipped == {name: f"{name} --config=ENV" for name in commands_of(TargetInsiderOne, [check_command]).commands}


@pytest.mark.req("IN-30")
def test_flows_have_three_schedules():
    """Three schedules of one flow each.

    Each flow has its own cron line (UTC), so that each can be switched off alone.
    """
    flows = {job["name"]: job["tasks"] for job in PROJECT["jobs"]}

    assert sorted(schedule["job"] for schedule in PROJECT["schedules"]) == sorted(flows)
    assert len({schedule["interval"] for schedule in PROJECT["schedules"]}) == 3
    for flow, stream in FLOWS.items():
        assert flows[f"{flow}-sync"] == [f"tap-klaviyo-{flow} target-insiderone-{flow}"]
        assert PLUGINS[f"tap-klaviyo-{flow}"]["select"] == [f"{stream}.*"]


def test_flows_share_no_plugin_name():
    """Meltano keeps catalog, state and logging files by the plugin's name; two runs at once would mix them up."""
    used = [name for job in PROJECT["jobs"] for task in job["tasks"] for name in task.split()]

    assert len(used) == len(set(used)) == 6
    assert {PLUGINS[name]["inherit_from"] for name in used} == {"tap-klaviyo", "target-insiderone"}


def test_quota_shares_leave_margin():
    """Shares of the quota leave a margin.

    Profiles are read by two flows, and so are events: what both may use stays below the account's quota.
    """
    assert 2 * TAP["config"]["rate_limit_percent"] <= 90
    assert not [flow for flow in FLOWS if "config" in PLUGINS[f"tap-klaviyo-{flow}"]]


def test_env_example_is_complete():
    """Env example lists what prod needs.

    Every required setting that meltano.yml leaves open, by the name that Meltano reads.
    """
    listed = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    needed = {
        f"{plugin['name'].upper().replace('-', '_')}_{setting.upper()}"
        for plugin in (TAP, TARGET)
        for setting in plugin["settings_group_validation"][0]
        if setting not in plugin["config"]
    }

    assert needed == {"TAP_KLAVIYO_API_KEY", "TARGET_INSIDERONE_PARTNER_NAME", "TARGET_INSIDERONE_API_KEY"}
    assert needed | {"MELTANO_ENVIRONMENT"} <= listed


def test_env_example_lists_nothing_unknown():
    """A variable that nothing reads is a setting that does nothing."""
    known = {
        f"{plugin['name'].upper().replace('-', '_')}_{one['name'].upper()}"
        for plugin in (TAP, TARGET)
        for one in plugin["settings"]
    }
    listed = set(re.findall(r"^#? ?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert listed - known == {"MELTANO_ENVIRONMENT", "MELTANO_DATABASE_URI", "MELTANO_STATE_BACKEND_URI"}


def test_plugins_run_locked_versions():
    """Plugins run with the versions of the lock file.

    What production installs is what was tested; `make lock` writes both files.
    """
    export = re.search(r"^EXPORT := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert export
    done = subprocess.run(
        [sys.executable, "-m", "uv", "export", *export[1].split()], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout == (ROOT / "constraints.txt").read_text()
    assert all(plugin["pip_url"].startswith("-c constraints.txt -e ./") for plugin in (TAP, TARGET))


ACCOUNTS = [ROOT / "docs/us.meltano.yml", *(ROOT / "accounts").glob("*.meltano.yml")]
SANDBOX_ENV = next(one["env"] for one in PROJECT["environments"] if one["name"] == "sandbox")


def guarded_variables(account):
    """What the environment `sandbox` must set for an account: its own variables, and those of its plugins' names."""
    guarded = {
        "extractors": ["api_url", *(name for name, one in SETTINGS_OF_TAP["properties"].items() if one.get("secret"))],
        "loaders": ["api_url", "partner_name", "data_dir"],
    }
    guarded["loaders"] += [name for name, schema in SETTINGS_OF_TARGET.items() if schema.get("secret")]
    derived = {
        f"{plugin['name']}_{setting}".upper().replace("-", "_")
        for kind, settings in guarded.items()
        for plugin in (*PROJECT["plugins"][kind], *yaml.safe_load(account)["plugins"][kind])
        for setting in settings
    }
    return derived | set(re.findall(r": \$([A-Z0-9_]+)$", account, re.MULTILINE))


@pytest.mark.parametrize("account", ACCOUNTS, ids=lambda path: path.name)
def test_sandbox_knows_every_account(account):
    """Every account is known to the sandbox.

    One variable left out is enough: the ledger of a single flow led the sandbox to the real one.
    """
    missing = sorted(guarded_variables(account.read_text()) - SANDBOX_ENV.keys())

    assert missing == [], "add these to `env` of the environment `sandbox` in meltano.yml, as those of `US` stand there"


def test_third_account_recipe_is_complete(tmp_path):
    """Recipe of a third account is complete.

    README.md, "More than one account": the commands make the file, and the lines that the sandbox needs for it.
    """
    (recipe,) = re.findall(r"```sh\n(sed .*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "meltano.yml", tmp_path)
    (tmp_path / "accounts").mkdir()
    done = subprocess.run(["sh", "-euc", recipe], cwd=tmp_path, capture_output=True, text=True, check=True)
    account = (tmp_path / "accounts/de.meltano.yml").read_text()

    repeated = yaml.safe_load(done.stdout)
    names = [plugin["name"] for plugin in yaml.safe_load(account)["plugins"]["loaders"]]
    assert names == ["target-insiderone-de", *(f"target-insiderone-de-{flow}" for flow in FLOWS)]
    assert guarded_variables(account) - SANDBOX_ENV.keys() == repeated.keys()
    assert {name.replace("_DE_", "_US_"): value for name, value in repeated.items()}.items() <= SANDBOX_ENV.items()
