"""`target-insiderone check`: settings, mapping, ledger and credentials, without writing anything to Insider One."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click
from singer_delivery.commands.check import credential_findings, ledger_findings
from singer_delivery.commands.cli import config_option, settings_of
from singer_delivery.commands.preview import Choice, run_through
from singer_delivery.errors import Finding
from singer_delivery.settings.variables import settings_of_file
from singer_delivery.texts import UnreadableError

from target_insiderone.mapping.panel import UNKNOWN, Definition, definitions, takes_all_properties, type_of_value
from target_insiderone.settings.findings import find
from target_insiderone.settings.settings import read_settings
from target_insiderone.target import TargetInsiderOne

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from singer_delivery.commands.preview import Shown

    from target_insiderone.settings.settings import Settings


TAP_SETTINGS = {"lookback_window_days": {"type": "integer"}}
"""What is read of the tap's settings that may be written as a text."""


def check(
    config: Mapping[str, Any],
    tap_configs: Iterable[Path],
    *,
    lines: IO[bytes] | None = None,
    form: str = "table",
) -> int:
    """Print the names to define, and what is found; returns 0 when there is nothing to correct, else 2.

    *lines*: records of the shop, which tell the names of its properties. *form*: ``table``, ``csv`` or ``json``; with
    the latter two standard output has nothing but the names, and JSON the findings too.
    """
    findings = find(config)
    names: list[Definition] = []
    notes: list[str] = []
    if not any(finding.severity == "error" for finding in findings):
        settings = read_settings(config)
        findings += [*_tap_findings(settings, tap_configs), *ledger_findings(settings, TargetInsiderOne.prefix)]
        findings += credential_findings(TargetInsiderOne, settings)
        names = definitions(settings, _users(config, lines) if lines else ())
        notes = list(_notes(settings, names, has_records=lines is not None))
    _show(names, notes, findings, form)
    return 2 if findings else 0


def _users(config: Mapping[str, Any], lines: IO[bytes]) -> list[Mapping[str, Any]]:
    """What the records of *lines* become; of the many that have the same names and types, one is enough."""
    found: dict[str, Mapping[str, Any]] = {}

    def keep(shown: Shown) -> None:
        user = shown.get("user")
        if user is not None:
            found.setdefault(json.dumps(_names_and_types(user), sort_keys=True), user)

    run_through(TargetInsiderOne, config, lines, Choice(), keep)
    return list(found.values())


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


@click.command("check")
@config_option
@click.option(
    "--tap-config",
    "tap_configs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file of the tap, to hold against ours.",
)
@click.option(
    "--input", "lines", type=click.File("rb"), help="Singer lines (`-`: standard input): names of properties."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="Form of the list of names that must be defined in Insider One.",
)
def check_command(config: tuple[str, ...], tap_configs: tuple[Path, ...], lines: IO[bytes] | None, form: str) -> int:
    """Check settings, mapping, ledger and credentials; list the names to define; nothing is written to Insider One."""
    return check(settings_of(TargetInsiderOne, config), tap_configs, lines=lines, form=form)
