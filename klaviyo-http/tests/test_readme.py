"""The README's example, run against the sandbox."""

from __future__ import annotations

import re
from pathlib import Path

README = Path(__file__).parents[1].joinpath("README.md").read_text()


def test_readmes_example_reads_every_page(sandbox, profiles, capsys):
    """It is pasted as it stands, but for the port."""
    sandbox.add_profiles(profiles(250))
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}

    exec(example.replace("http://127.0.0.1:8701", sandbox.klaviyo_url), names)  # noqa: S102  (our own document)

    assert sorted(names["ids"]) == [f"P{number:05}" for number in range(250)]
    assert capsys.readouterr().out == "250 profiles\n"


def test_readme_filter_is_valid(sandbox, profiles):
    """README's filter is one of the endpoint. It is pasted into the example."""
    sandbox.add_profiles([*profiles(5), {"id": "ADA", "attributes": {"email": "ada@shop.example"}}])
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (parameters,) = re.findall(r"`(\{\"filter\".*?\})`", README)
    filtered = example.replace("PROFILES.page_of()", parameters).replace("http://127.0.0.1:8701", sandbox.klaviyo_url)
    names = {}

    exec("from klaviyo_http.filters import equals\n" + filtered, names)  # noqa: S102  (our own document)

    assert names["ids"] == ["ADA"]
