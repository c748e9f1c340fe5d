"""The README's examples and its list of transforms say what the code does."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest
import yaml
from mapping_configs import ACCOUNT, PACKAGE
from target_insiderone.mapping import compile_events, compile_profiles
from target_insiderone.mapping.transforms import NAMES
from target_insiderone.settings.findings import find, parse_settings

README = (PACKAGE / "README.md").read_text(encoding="utf-8")
NOON = 1_780_315_200.0
"""2026-06-01T12:00:00Z, in epoch seconds."""

EXAMPLE = re.compile(
    r"^### (?P<title>.+?)\n.*?```yaml settings\n(?P<settings>.+?)```.*?```json record\n(?P<record>.+?)```"
    r".*?```json user\n(?P<user>.+?)```",
    re.DOTALL | re.MULTILINE,
)
EXAMPLES = {match["title"]: match for match in EXAMPLE.finditer(README)}


def test_every_transform_is_documented():
    """And none that does not exist."""
    documented = re.findall(r"^\| `([a-z]+)[^|]*` \| [^|]+ \|$", README, re.MULTILINE)

    assert sorted(documented) == sorted(NAMES)


def test_there_are_examples():
    """A changed heading must not silently end the test of the examples."""
    assert len(EXAMPLES) >= 6


@pytest.mark.parametrize("title", EXAMPLES)
def test_example_does_what_it_says(title):
    """Settings, record, user: as printed, to the letter."""
    example = EXAMPLES[title]
    config = {**ACCOUNT, **yaml.safe_load(example["settings"])}
    record = json.loads(example["record"], parse_float=Decimal)

    assert [finding for finding in find(config) if finding.severity == "error"] == []
    settings = parse_settings(config)
    if "metric_name" in record:
        made = compile_events(settings)(record, NOON)
        user = {"identifiers": made.identifiers, "events": [event for _, _, event in made.events]}
    else:
        user = compile_profiles(settings)(record).user

    assert user == json.loads(example["user"], parse_float=Decimal)
