"""Every mistake in the settings, found in one go before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jsonschema_rs

from target_insiderone.config_schema import CONFIG_JSONSCHEMA
from target_insiderone.errors import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Finding", "find"]


def find(config: Mapping[str, Any]) -> list[Finding]:
    """List every mistake in the settings, errors and warnings, without the value of any secret."""
    given = {name: value for name, value in config.items() if value is not None}
    return [
        Finding("".join(map(str, error.instance_path)), error.kind.name, "see the settings table")
        for error in jsonschema_rs.validator_for(CONFIG_JSONSCHEMA).iter_errors(given)
    ]
