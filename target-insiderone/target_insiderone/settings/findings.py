"""Finds every mistake in the settings of target-insiderone at once, before the first request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from singer_delivery.errors import SettingsError
from singer_delivery.settings import findings
from singer_delivery.settings.findings import Declared

from target_insiderone.settings.config_schema import CONFIG_JSONSCHEMA, PROPERTIES
from target_insiderone.settings.event_checks import check_events
from target_insiderone.settings.mapping_checks import check_mappings
from target_insiderone.settings.setting_checks import check_settings
from target_insiderone.settings.settings import read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from singer_delivery.errors import Finding

    from target_insiderone.settings.settings import Settings

DECLARED: Final = Declared(
    variables="TARGET_INSIDERONE_",
    properties=PROPERTIES,
    required=CONFIG_JSONSCHEMA["required"],
    hints={
        "partner_name": "the name from Insider One's account settings, in lower case",
        "api_key": "an Insider One key of type Unified Customer Database",
        "identifier_mappings": "for example [{identifier_type: email, source_field: email}]",
    },
    refused={
        "add_record_metadata": (
            False,
            "the _sdc columns would become part of the records, and attributes of users",
        ),
        "hard_delete": (False, "nothing is ever deleted from Insider One by a sync"),
        "process_activate_version_messages": (True, "Insider One has no stream versions"),
        "default_target_schema": (None, "Insider One has no schemas"),
    },
    checks=(check_settings, check_mappings, check_events),
)


def find(config: Mapping[str, Any]) -> list[Finding]:
    """List every mistake, errors and warnings, without the value of any secret."""
    return findings.find(config, DECLARED)


def parse_settings(config: Mapping[str, Any]) -> Settings:
    """Check and read the settings.

    Raises:
        SettingsError: Lists every finding of severity *error*, without secrets.
    """
    if errors := [finding for finding in find(config) if finding.severity == "error"]:
        raise SettingsError(errors)
    return read_settings(config)
