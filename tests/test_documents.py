"""Documents that cannot drift: their commands run, their tables and links are held to the code."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib import import_module

import pytest
import yaml
from klaviyo_insiderone_sandbox.testing import PARTNER, TOKEN
from tap_klaviyo.settings import SETTINGS as SETTINGS_OF_TAP
from target_insiderone.settings.config_schema import PROPERTIES as SETTINGS_OF_TARGET
from target_insiderone.settings.findings import find

from tests.conftest import BIN, ROOT

DOCUMENTS = [
    path
    for folder in (
        ".",
        "docs",
        "klaviyo-http",
        "singer-delivery",
        "tap-klaviyo",
        "target-insiderone",
        "sandbox",
        "benchmarks",
    )
    for path in (ROOT / folder).glob("*.md")
]
PACKAGES = {
    "singer-delivery": ROOT / "singer-delivery/singer_delivery",
    "klaviyo-http": ROOT / "klaviyo-http/klaviyo_http",
    "tap-klaviyo": ROOT / "tap-klaviyo/tap_klaviyo",
    "target-insiderone": ROOT / "target-insiderone/target_insiderone",
    "sandbox": ROOT / "sandbox/klaviyo_insiderone_sandbox",
}
README = (ROOT / "README.md").read_text()
FENCED = re.compile(r"^ *```([\w ]*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def section(text, title):
    """The text below a heading, up to the next one of its level or above."""
    _, level, below = re.split(rf"^(#+) {re.escape(title)}$", text, maxsplit=1, flags=re.MULTILINE)
    return re.split(rf"^#{{1,{len(level)}}} ", below, maxsplit=1, flags=re.MULTILINE)[0]


def without_code(text):
    return re.sub(r"`[^`\n]*`", "", FENCED.sub("", text))


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", path.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def table_rows(text):
    """First and second cell of every row of a table."""
    return dict(re.findall(r"^\| `?([a-z_]+)`?(?: \([a-z, ]+\))? \| ([^|]*?) \|", text, re.MULTILINE))


@pytest.mark.req("IN-01")
def test_readmes_commands_work(sandbox, tmp_path):
    """What a reader types first: the pipe by hand, its second run, --about, and a look at the mapping; as printed."""
    sandbox.seed(profiles=50, events=100, hostile=True)
    (tmp_path / ".venv").symlink_to(BIN.parent)
    script = "set -o pipefail\n" + "".join(code for language, code in FENCED.findall(README) if language == "bash")
    (preview,) = (code for language, code in FENCED.findall(section(README, "Mapping by example")) if language == "sh")
    script += preview
    script = script.replace("http://127.0.0.1:8701", sandbox.klaviyo_url).replace(
        "http://127.0.0.1:8702", sandbox.insiderone_url
    )

    done = subprocess.run(["bash", "-eu", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert sandbox.users()
    assert "event_mappings" in done.stdout
    assert "ERROR" not in done.stderr
    assert len(re.findall(r"^profiles \w+: sent$", done.stdout, re.MULTILINE)) == 5
    assert "of each stream 5 records are shown" in done.stderr
    state = json.loads((tmp_path / "output/state.json").read_text())
    assert set(state["bookmarks"]) == {"profiles", "events", "subscription_changes"}


def test_readmes_mappings_have_no_mistake():
    """The examples are what people copy."""
    blocks = [code for language, code in FENCED.findall(section(README, "Mapping by example")) if language == "yaml"]
    mapping = {name: rows for block in blocks for name, rows in yaml.safe_load(block).items()}

    findings = find({"partner_name": PARTNER, "api_key": TOKEN, **mapping})

    assert set(mapping) == {"identifier_mappings", "attribute_mappings", "fixed_attributes", "event_mappings"}
    assert [str(finding) for finding in findings if finding.severity == "error"] == []


def test_readme_keeps_its_order():
    """From what it is to what goes wrong, in the order in which a newcomer needs it."""
    headings = re.findall(r"^## (.*)$", README, re.MULTILINE)

    assert headings == [
        "Two commands",
        "The pipe by hand",
        "With your own accounts",
        "Scheduling",
        "Settings",
        "Mapping by example",
        "Consent",
        "Troubleshooting",
        "More",
    ]


@pytest.mark.req("CO-07", "CO-08")
def test_readme_states_consent_rules():
    """README states every rule of consent.

    The unsubscribe list that is left alone, and the advice of a stable identifier, are promised in the documents.
    """
    rules = dict(re.findall(r"^\| (CO-\d\d) \| (.*) \|$", section(README, "Consent"), re.MULTILINE))

    assert sorted(rules) == [f"CO-0{number}" for number in range(1, 9)]
    assert "global unsubscribe list is left alone" in rules["CO-07"]
    assert "stable identifier" in rules["CO-08"]


def test_readme_lists_schedules():
    """README lists the schedules of the project. The table is what people copy into cron."""
    rows = re.findall(
        r"^\| `([a-z0-9-]+)` \| `([^`]+)` \| `([a-z-]+)` \|$", section(README, "Scheduling"), re.MULTILINE
    )
    project = yaml.safe_load((ROOT / "meltano.yml").read_text())

    assert rows == [(one["name"], one["interval"], one["job"]) for one in project["schedules"]]


SETTINGS = {"tap-klaviyo": SETTINGS_OF_TAP["properties"], "target-insiderone": SETTINGS_OF_TARGET}
"""What the packages declare themselves; the SDK adds its own settings to the classes once it has made an instance."""


@pytest.mark.parametrize("folder", SETTINGS)
def test_settings_table_matches_package(folder):
    """The settings table matches the package. A row for every setting, with its default."""
    rows = table_rows(section((ROOT / folder / "README.md").read_text(), "Settings"))
    declared = {name: rows.pop(name) for name in SETTINGS[folder]}
    plain = {
        name: json.dumps(schema["default"])
        for name, schema in SETTINGS[folder].items()
        if isinstance(schema.get("default"), (bool, int))
    }

    assert not rows
    assert {name: declared[name].strip("`") for name in plain} == plain


def test_settings_copies_are_current(tmp_path):
    """Settings are copied from the schemas.

    `make settings` changes nothing here, and mends every copy that has drifted.
    """
    copies = ["meltano.yml", "tap-klaviyo/README.md", "target-insiderone/README.md"]
    for name in ("docs/settings.py", *copies):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        drifted = re.sub(r"(?m)^ +kind: .*\n|^\| `api_url`.*\n", "", (ROOT / name).read_text())
        (tmp_path / name).write_text(drifted.replace("Most ", "At most ") if name in copies else drifted)

    command = [sys.executable, tmp_path / "docs/settings.py"]
    check, write, after = (
        subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        for words in (["--check"], [], ["--check"])
    )

    assert [done.returncode for done in (check, write, after)] == [1, 0, 0]
    assert all(f"{name} is stale: run `make settings`" in check.stderr for name in copies)
    assert {name: (tmp_path / name).read_text() for name in copies} == {
        name: (ROOT / name).read_text() for name in copies
    }


@pytest.mark.parametrize("command", ["tap-klaviyo", "target-insiderone"])
def test_about_lists_every_setting(command):
    """``--about`` is where people look first, and needs no settings."""
    done = subprocess.run([str(BIN / command), "--about", "--format=json"], capture_output=True, text=True, check=True)

    assert set(SETTINGS[command]) <= set(json.loads(done.stdout)["settings"]["properties"])


def test_make_help_lists_every_target():
    """A target that help does not know is one that nobody finds."""
    makefile = (ROOT / "Makefile").read_text()
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()

    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert re.findall(r"^  make (\S+) ", done.stdout, re.MULTILINE) == targets


def test_documents_name_existing_make_targets():
    """``make`` with a target that is gone greets a newcomer with an error."""
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()
    named = {
        name
        for path in DOCUMENTS
        for name in re.findall(r"(?:`|^)(?:DEMO_KEEP=1 )?make ([a-z]+)", path.read_text(), re.MULTILINE)
    }

    assert {"demo", "test", "sandbox", "plugins"} <= named <= set(targets)


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_links_resolve(path):
    """Relative links and anchors; nothing is fetched."""
    links = re.findall(
        r"\]\((?!https?:)([^)\s]+)\)", without_code(path.read_text()) + path.read_text().replace("`", "")
    )

    for link in set(links):
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_changelog_covers_every_version():
    """Changelog has a section for every version.

    The packages are released together, and nobody should wonder what a version brought.
    """
    changelog = (ROOT / "CHANGELOG.md").read_text()
    versions = {import_module(path.name).__version__ for path in PACKAGES.values()}

    assert len(versions) == 1
    assert versions <= set(re.findall(r"^## (\S+)", changelog, re.MULTILINE))


@pytest.mark.parametrize("package", PACKAGES)
def test_architecture_names_every_module(package):
    """One row a module, with its one job; none of a module that is gone."""
    modules = {
        str(path.relative_to(PACKAGES[package]))
        for path in PACKAGES[package].rglob("*.py")
        if path.name != "__init__.py"
    }
    text = section((ROOT / "ARCHITECTURE.md").read_text(), package)

    rows = re.findall(r"^\| `([^`]+\.py)` \| (.+) \|$", text, re.MULTILINE)

    assert sorted(name for name, _ in rows) == sorted(modules)


def test_licence_matches_packages():
    """Licence is the one that the packages declare. Apache-2.0, in full."""
    licence = (ROOT / "LICENSE").read_text()

    assert "Apache License" in licence
    assert "END OF TERMS AND CONDITIONS" in licence
    for name in PACKAGES:
        assert tomllib.loads((ROOT / name / "pyproject.toml").read_text())["project"]["license"] == "Apache-2.0"


def test_named_tests_exist():
    """docs/robustness.md says which test holds what; a renamed test would leave it without proof."""
    folders = [ROOT / "tests", *ROOT.glob("*/tests")]
    files = [path for folder in folders for path in folder.rglob("test_*.py")]
    named = re.findall(r"`(test_\w+(?:\.py)?)`", (ROOT / "docs/robustness.md").read_text())

    names = {path.name for path in files}
    functions = "\n".join(path.read_text() for path in files)
    assert len(named) > 80
    assert [name for name in named if name not in names and f"def {name}(" not in functions] == []
