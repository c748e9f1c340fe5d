"""Both plugins read texts from outside, and settings, in one way."""

from __future__ import annotations

from pathlib import Path

import pytest
import singer_delivery.settings.variables
import singer_delivery.texts
import tap_klaviyo.texts
import tap_klaviyo.variables


@pytest.mark.parametrize(
    ("of_tap", "of_target"),
    [(tap_klaviyo.texts, singer_delivery.texts), (tap_klaviyo.variables, singer_delivery.settings.variables)],
    ids=["texts", "variables"],
)
def test_both_plugins_have_equal_code(of_tap, of_target):
    """Both plugins have the same code.

    The packages share no code; a flag that one of them reads otherwise would surprise.
    """
    tap, target = (Path(module.__file__).read_text() for module in (of_tap, of_target))

    assert tap == target.replace("singer_delivery", "tap_klaviyo")
