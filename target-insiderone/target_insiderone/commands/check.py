"""`target-insiderone check`: settings, mapping, ledger and credentials, without writing anything to Insider One."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from threading import Event
from typing import IO, TYPE_CHECKING, Any

import click

from target_insiderone.client import (
    PARTNER_UNKNOWN,
    GaveUpError,
    InsiderOneClient,
    NoWayError,
    RowRefusedError,
    StopSendingError,
)
from target_insiderone.commands.preview import Choice, run_through
from target_insiderone.data_dir import DataDir
from target_insiderone.database import LedgerError
from target_insiderone.disclosure import shown
from target_insiderone.errors import Finding
from target_insiderone.findings import find
from target_insiderone.ledger import Ledger
from target_insiderone.near_miss import slip_of
from target_insiderone.network import NetworkSettingError
from target_insiderone.panel import UNKNOWN, Definition, definitions, takes_all_properties, type_of_value
from target_insiderone.run import client_settings
from target_insiderone.settings import parse_settings
from target_insiderone.texts import UnreadableError
from target_insiderone.variables import settings_of_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from target_insiderone.commands.preview import Shown
    from target_insiderone.settings import Settings

TAP_SETTINGS = {"lookback_window_days": {"type": "integer"}}
"""What is read of the tap's settings that may be written as a text."""

RETRY_SECONDS = 10
"""A check is for somebody who waits."""


def check(
    config: Mapping[str, Any],
    tap_configs: Iterable[Path],
    version: str,
    *,
    lines: IO[bytes] | None = None,
    form: str = "table",
) -> int:
    """Print the names to define, and what is found; returns 0 when there is nothing to correct, else 2.

    *lines*: records of the shop, which tell the names of its properties, and what is misspelt in the mapping.
    *form*: ``table``, ``csv`` or ``json``; with the latter two standard output has nothing but the names, and JSON the
    findings too.
    """
    findings = find(config)
    names: list[Definition] = []
    notes: list[str] = []
    if not any(finding.severity == "error" for finding in findings):
        settings = parse_settings(config)
        findings += [*_tap_findings(settings, tap_configs), *_ledger_findings(settings)]
        findings += _credential_findings(settings, version)
        users, missed = _held_against(config, lines) if lines else ([], [])
        findings += missed
        names = definitions(settings, users)
        notes = list(_notes(settings, names, has_records=lines is not None))
    _show(names, notes, findings, form)
    return 2 if findings else 0


def _held_against(config: Mapping[str, Any], lines: IO[bytes]) -> tuple[list[Mapping[str, Any]], list[Finding]]:
    """What the records of *lines* become, and the sources and metrics that they nearly have.

    Of the many records that become the same names and types, one is enough.
    """
    found: dict[str, Mapping[str, Any]] = {}

    def keep(shown: Shown) -> None:
        user = shown.get("user")
        if user is not None:
            found.setdefault(json.dumps(_names_and_types(user), sort_keys=True), user)

    target = run_through(config, lines, Choice(), keep)
    missed = [
        Finding(
            each.row.path,
            f"`{shown(each.source)}` is in none of the {each.records:,} record(s) of stream {shown(stream)}",
            f"did you mean `{each.suggestion}`?",
            "warning",
        )
        for stream, missing in target.run.sightings.missing().items()
        for each in missing
        if each.suggestion
    ]
    missed += [
        Finding("event_mappings", f"stream {shown(stream)}: {words}", "correct metric_name", "warning")
        for stream, words in target.run.sightings.none_met().items()
    ]
    return list(found.values()), missed


def _names_and_types(value: Any) -> Any:
    """What of a user decides which names it needs."""
    if isinstance(value, dict):
        return {
            name: inner if name == "event_name" else _names_and_types(inner)
            for name, inner in value.items()
            if name != "identifiers"
        }
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_names_and_types(inner) for inner in value]
    return type_of_value(value)


def _notes(settings: Settings, names: Iterable[Definition], *, has_records: bool) -> Iterator[str]:
    """What the list cannot know."""
    if takes_all_properties(settings):
        if has_records:
            yield "of `properties.*` those names are listed that the records of --input have; others may come"
        else:
            yield "`properties.*` makes an attribute of every property; give Singer lines with --input to list them"
    if any(UNKNOWN in definition.type for definition in names):
        hint = "" if has_records else "; give Singer lines with --input, or name a transform"
        yield f"the type of some depends on the shop's values ({UNKNOWN}){hint}"


def _show(names: Sequence[Definition], notes: Iterable[str], findings: Sequence[Finding], form: str) -> None:
    if form == "json":
        listed = [definition._asdict() for definition in names]
        told = [{"severity": one.severity, "path": one.path, "text": str(one)} for one in findings]
        click.echo(json.dumps({"names": listed, "notes": list(notes), "findings": told}, indent=2, ensure_ascii=False))
        return
    aside = form == "csv"
    if aside:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(Definition._fields)
        writer.writerows(names)
    elif names:
        click.echo("to be defined in Insider One (Components > Attributes & Events), where what is not is dropped:")
        widths = [max(len(row[column]) for row in names) for column in range(3)]
        for row in names:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
            click.echo(f"  {'  '.join(cells)}  {row.used_by}")
    for note in notes:
        click.echo(note, err=aside)
    for finding in findings:
        click.echo(f"{finding.severity.upper()}  {finding}", err=aside)
    click.echo(f"{len(findings)} finding(s)" if findings else "nothing to correct", err=aside)


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
        others = {metric for metric in metrics if isinstance(metric, str)} - mapped
        findings += [
            Finding(
                "event_mappings",
                f"metric '{metric}' is mapped, but the tap's event_metrics does not name it ({path.name})",
                f"did you mean `{shown(near)}`? Names are compared exactly"
                if (near := slip_of(metric, others, most_edits=1))
                else "add it to event_metrics, or remove the mapping",
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
        if error.status in {400, 401, 403}:
            setting = "partner_name" if PARTNER_UNKNOWN in str(error) else "api_key"
            return [
                Finding(
                    setting, str(error), "correct it" if setting == "partner_name" else "correct it, or partner_name"
                )
            ]
        return [Finding("api_url", str(error), "check the address and any proxy")]
    except RowRefusedError:
        return [Finding("api_url", "its answer to a question for a profile is 400", "check the address and any proxy")]
    except GaveUpError as error:
        told = f"Insider One did not answer as it should ({error.reason})"
        return [Finding("api_url", told, "check the address, proxies and the network, or try again later")]
    except (NoWayError, NetworkSettingError) as error:
        return [Finding("api_url", str(error), "check the address, proxies and the network")]
    return []
