"""`target-insiderone check`: settings, mapping, ledger and credentials, without writing anything to Insider One."""

from __future__ import annotations

from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING, Any

import click

from target_insiderone.client import GaveUpError, InsiderOneClient, NoWayError, StopSendingError
from target_insiderone.data_dir import DataDir
from target_insiderone.database import LedgerError
from target_insiderone.errors import Finding
from target_insiderone.findings import find
from target_insiderone.ledger import Ledger
from target_insiderone.network import NetworkSettingError
from target_insiderone.run import client_settings
from target_insiderone.settings import parse_settings
from target_insiderone.texts import UnreadableError
from target_insiderone.variables import settings_of_file
from target_insiderone.vocabulary import ATTRIBUTES, PARAMETERS, RETENTION_DAYS, full_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from target_insiderone.settings import Settings

TAP_SETTINGS = {"lookback_window_days": {"type": "integer"}}
"""What is read of the tap's settings that may be written as a text."""

RETRY_SECONDS = 10
"""A check is for somebody who waits."""


def check(config: Mapping[str, Any], tap_configs: Iterable[Path], version: str) -> int:
    """Print what is found; returns 0 when there is nothing to correct, else 2."""
    findings = find(config)
    if not any(finding.severity == "error" for finding in findings):
        settings = parse_settings(config)
        findings += [*_tap_findings(settings, tap_configs), *_ledger_findings(settings)]
        findings += _credential_findings(settings, version)
        for names in panel_names(settings):
            click.echo(names)
    for finding in findings:
        click.echo(f"{finding.severity.upper()}  {finding}")
    click.echo(f"{len(findings)} finding(s)" if findings else "nothing to correct")
    return 2 if findings else 0


def panel_names(settings: Settings) -> list[str]:
    """What must be defined in Insider One's panel, since names that are not vanish there without a word."""
    attributes = {full_name(row.attribute, ATTRIBUTES) for row in settings.attribute_mappings if row.attribute != "*"}
    attributes |= {full_name(row.name, ATTRIBUTES) for row in settings.fixed_attributes}
    parameters = {
        full_name(row.parameter, PARAMETERS)
        for mapping in settings.event_mappings
        for row in (*mapping.parameter_mappings, *settings.event_parameter_mappings)
    }
    events = {mapping.event_type for mapping in settings.event_mappings} - RETENTION_DAYS.keys()
    found = {
        "custom attributes": sorted(name.removeprefix("custom.") for name in attributes if name.startswith("custom.")),
        "custom events": sorted(events),
        "custom event parameters": sorted(
            name.removeprefix("custom.") for name in parameters if name.startswith("custom.")
        ),
    }
    return [f"to be defined in Insider One, {kind}: {', '.join(names)}" for kind, names in found.items() if names]


def _tap_findings(settings: Settings, tap_configs: Iterable[Path]) -> list[Finding]:
    """Where the tap's settings and ours do not fit together."""
    findings = []
    mapped = {mapping.metric_name for mapping in settings.event_mappings}
    for path in tap_configs:
        tap = settings_of_file(path, TAP_SETTINGS, "--tap-config")
        days, metrics = tap.get("lookback_window_days") or 0, tap.get("event_metrics") or mapped
        if not isinstance(days, int) or not isinstance(metrics, (list, set)):
            raise UnreadableError(
                [f"--tap-config: {path}: lookback_window_days is no number, or event_metrics no list"]
            )
        if settings.ledger_days < days:
            findings.append(
                Finding(
                    "ledger_days",
                    f"{settings.ledger_days}, but the tap reads events again for {days} days ({path.name})",
                    f"set ledger_days above {days}, else events of the days between are delivered twice",
                )
            )
        findings += [
            Finding(
                "event_mappings",
                f"metric '{metric}' is mapped, but the tap's event_metrics does not name it ({path.name})",
                "add it to event_metrics, or remove the mapping",
                "warning",
            )
            for metric in sorted(mapped - set(metrics))
        ]
    return findings


def _ledger_findings(settings: Settings) -> list[Finding]:
    """Whether the data folder and the ledger can be used."""
    try:
        data_dir = DataDir(settings.data_dir, settings.integration_name)
        if settings.ledger_days:
            Ledger(settings.ledger_url or f"sqlite:///{data_dir.ledger}").close()
    except LedgerError as error:
        return [Finding("ledger_url", str(error), "correct it, or remove it to use a file in data_dir")]
    except OSError as error:
        return [Finding("data_dir", f"cannot be used ({error.strerror})", "give a folder that this user may write")]
    return []


def _credential_findings(settings: Settings, version: str) -> list[Finding]:
    """Whether Insider One knows partner and key: reads a profile that does not exist."""
    quick = replace(client_settings(settings, version), max_retry_seconds=RETRY_SECONDS)
    try:
        InsiderOneClient(quick, Event()).try_credentials()
    except StopSendingError as error:
        return [Finding("api_key", str(error), "correct partner_name or api_key")]
    except (GaveUpError, NoWayError, NetworkSettingError) as error:
        return [Finding("api_url", str(error), "check the address, proxies and the network")]
    return []
