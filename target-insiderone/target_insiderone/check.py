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
from singer_delivery.commands.preview import RecordChoice, run_through
from singer_delivery.disclosure import shown
from singer_delivery.errors import Finding
from singer_delivery.settings.suggestions import slip_of
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
"""The settings of the tap that are read and may be given as strings."""


def check(
    config: Mapping[str, Any],
    tap_configs: Iterable[Path],
    *,
    lines: IO[bytes] | None = None,
    form: str = "table",
) -> int:
    """Print the names to define, and all findings; returns 0 if there is nothing to correct, else 2.

    *lines*: records of the shop, which show the names of its properties and misspelt names in the mapping. *form*:
    ``table``, ``csv`` or ``json``; with ``csv``, standard output has only the names; with ``json``, names, notes and
    findings.
    """
    findings = find(config)
    names: list[Definition] = []
    notes: list[str] = []
    if not any(finding.severity == "error" for finding in findings):
        settings = read_settings(config)
        findings += [*_tap_findings(settings, tap_configs), *ledger_findings(settings, TargetInsiderOne.prefix)]
        findings += credential_findings(TargetInsiderOne, settings)
        users, missed = _held_against(config, lines) if lines else ([], [])
        findings += missed
        names = definitions(settings, users)
        notes = list(_notes(settings, names, has_records=lines is not None))
    _show(names, notes, findings, form)
    return 2 if findings else 0


def _held_against(config: Mapping[str, Any], lines: IO[bytes]) -> tuple[list[Mapping[str, Any]], list[Finding]]:
    """Map the records of *lines*: the users they become, and findings on misspelt sources and metrics.

    Only one user is returned for each combination of names and types.
    """
    found: dict[str, Mapping[str, Any]] = {}

    def keep(shown: Shown) -> None:
        user = shown.get("user")
        if user is not None:
            found.setdefault(json.dumps(_names_and_types(user), sort_keys=True), user)

    target = run_through(TargetInsiderOne, config, lines, RecordChoice(), keep)
    missed = [
        Finding(
            each.row.path,
            f"`{shown(each.source)}` is in none of the {each.records:,} record(s) of stream {shown(stream)}",
            f"did you mean `{each.suggestion}`?",
            "warning",
        )
        for stream, missing in target.run.watch.missing().items()
        for each in missing
        if each.suggestion
    ]
    missed += [
        Finding("event_mappings", f"stream {shown(stream)}: {words}", "correct metric_name", "warning")
        for stream, words in target.run.watch.none_met().items()
    ]
    return list(found.values()), missed


def _names_and_types(value: Any) -> Any:
    """The part of a user that determines which names must be defined."""
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
    """Limits of the list of names."""
    if takes_all_properties(settings):
        if has_records:
            yield "for `properties.*`, only names found in the records of --input are listed; there may be more"
        else:
            yield "`properties.*` makes an attribute of every property; give Singer lines with --input to list them"
    if any(UNKNOWN in definition.type for definition in names):
        hint = "" if has_records else "; give Singer lines with --input, or name a transform"
        yield f"some types depend on the shop's values ({UNKNOWN}){hint}"


def _show(names: Sequence[Definition], notes: Iterable[str], findings: Sequence[Finding], form: str) -> None:
    if form == "json":
        listed = [definition._asdict() for definition in names]
        told = [{"severity": one.severity, "path": one.path, "text": str(one)} for one in findings]
        click.echo(json.dumps({"names": listed, "notes": list(notes), "findings": told}, indent=2, ensure_ascii=False))
        return
    to_stderr = form == "csv"
    if to_stderr:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(Definition._fields)
        writer.writerows(names)
    elif names:
        click.echo("to be defined in Insider One (Components > Attributes & Events), which drops undefined names:")
        widths = [max(len(row[column]) for row in names) for column in range(3)]
        for row in names:
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=False))
            click.echo(f"  {'  '.join(cells)}  {row.used_by}")
    for note in notes:
        click.echo(note, err=to_stderr)
    for finding in findings:
        click.echo(f"{finding.severity.upper()}  {finding}", err=to_stderr)
    click.echo(f"{len(findings)} finding(s)" if findings else "nothing to correct", err=to_stderr)


def _tap_findings(settings: Settings, tap_configs: Iterable[Path]) -> list[Finding]:
    """Findings where the tap's settings and ours do not match."""
    findings = []
    mapped = {mapping.metric_name for mapping in settings.event_mappings}
    for path in tap_configs:
        tap = settings_of_file(path, TAP_SETTINGS, "--tap-config")
        days, metrics = tap.get("lookback_window_days") or 0, tap.get("event_metrics") or mapped
        if not isinstance(days, int) or not isinstance(metrics, (list, set)):
            raise UnreadableError(
                [f"--tap-config: {path}: lookback_window_days is not a number, or event_metrics not a list"]
            )
        if settings.ledger_days < days:
            findings.append(
                Finding(
                    "ledger_days",
                    f"{settings.ledger_days}, but the tap reads events again for {days} days ({path.name})",
                    f"set ledger_days above {days}, else events of the days in between are delivered twice",
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


@click.command("check")
@config_option
@click.option(
    "--tap-config",
    "tap_configs",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings file of the tap, to compare with the target's.",
)
@click.option(
    "--input", "lines", type=click.File("rb"), help="Singer lines (`-`: standard input) that show property names."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="Format of the list of names that must be defined in Insider One.",
)
def check_command(config: tuple[str, ...], tap_configs: tuple[Path, ...], lines: IO[bytes] | None, form: str) -> int:
    """Check settings, mapping, ledger and credentials; list the names to define; nothing is written to Insider One."""
    return check(settings_of(TargetInsiderOne, config), tap_configs, lines=lines, form=form)
