"""The README's example, run against the sandbox."""

from __future__ import annotations

import re
from pathlib import Path

from klaviyo_insiderone_sandbox.testing import KLAVIYO_KEY


def test_readmes_example_reads_every_page(sandbox, profiles):
    """It is pasted as it stands."""
    sandbox.add_profiles(profiles(250))
    (example,) = re.findall(
        r"```python\n(.*?)```", Path(__file__).parents[1].joinpath("README.md").read_text(), re.DOTALL
    )

    names = {"api_key": KLAVIYO_KEY, "api_url": sandbox.klaviyo_url}
    exec(example, names)  # noqa: S102  (our own document)

    assert sorted(names["ids"]) == [f"P{number:05}" for number in range(250)]
