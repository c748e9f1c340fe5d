"""Both plugins read texts from outside, and settings, in one way."""

from __future__ import annotations

from pathlib import Path

import pytest
import tap_klaviyo.texts
import tap_klaviyo.variables
import target_insiderone.texts
import target_insiderone.variables


@pytest.mark.parametrize(
    ("of_tap", "of_target"),
    [(tap_klaviyo.texts, target_insiderone.texts), (tap_klaviyo.variables, target_insiderone.variables)],
    ids=["texts", "variables"],
)
def test_both_plugins_have_the_same_code(of_tap, of_target):
    """The packages share no code; a flag that one of them reads otherwise would surprise."""
    tap, target = (Path(module.__file__).read_text() for module in (of_tap, of_target))

    assert tap == target.replace("target_insiderone", "tap_klaviyo")
