"""The commands beside loading, for the command line."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import IO, Any

import click

from target_insiderone.commands.check import check
from target_insiderone.commands.forget import forget
from target_insiderone.commands.preview import Choice, preview
from target_insiderone.commands.replay import NO_IDENTIFIER, RejectChoice, replay, told_of_replay
from target_insiderone.disclosure import shown
from target_insiderone.settings import parse_settings
from target_insiderone.target import TargetInsiderOne, name_log_lines
from target_insiderone.texts import text_of

config_option = click.option(
    "--config", "config", multiple=True, required=True, help="Settings file, or ENV for environment variables."
)


@click.group()
def commands() -> None:
    """Commands of target-insiderone beside loading."""


@commands.command("check")
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
    version = TargetInsiderOne.get_plugin_version()
    return check(settings_of(config), tap_configs, version, lines=lines, form=form)


@commands.command("preview")
@config_option
@click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="How many records to show of each stream that would be sent or rejected. "
    "The first that is filtered for each reason comes beside them.",
)
@click.option("--stream", help="Only records of this stream.")
@click.option("--metric", help="Only events of this metric.")
@click.option("--key", help="Only the record with this key.")
def preview_command(
    config: tuple[str, ...], form: str, limit: int, stream: str | None, metric: str | None, key: str | None
) -> None:
    """Show what Singer lines from standard input would become in a run, and what would be left out and why."""
    preview(settings_of(config), None, Choice(stream, metric, key), as_json=form == "json", limit=limit)


@commands.command("replay")
@config_option
@click.option("--code", "codes", multiple=True, help="Only rejects with this reason code.")
@click.option("--stream", "streams", multiple=True, help="Only rejects of this stream.")
@click.option("--key", "keys", multiple=True, help="Only rejects of this key.")
@click.option("--all", "everything", is_flag=True, help="All rejects that were not replayed yet.")
@click.option(
    "--unidentified", is_flag=True, help="Records that had none of the mapped identifiers, once these are corrected."
)
def replay_command(
    config: tuple[str, ...],
    codes: tuple[str, ...],
    streams: tuple[str, ...],
    keys: tuple[str, ...],
    *,
    everything: bool,
    unidentified: bool,
) -> None:
    """Map and send rejected records again; what was delivered since in a newer version stays."""
    if not (codes or streams or keys or everything or unidentified):
        raise click.UsageError(
            "choose rejects with --code, --stream or --key, or take them --all; --unidentified takes the records that "
            "had none of the mapped identifiers"
        )
    if unidentified and not everything and codes and NO_IDENTIFIER not in codes:
        raise click.UsageError(f"--unidentified are the records of the code `{NO_IDENTIFIER}`: leave it out, or --code")
    choice = RejectChoice(
        frozenset(codes),
        frozenset(streams),
        frozenset(keys),
        rejects=everything or not unidentified,
        unidentified=unidentified or NO_IDENTIFIER in codes,
    )
    outcomes = replay(TargetInsiderOne(config=settings_of(config)), choice)
    click.echo(told_of_replay(outcomes))


@commands.command("forget")
@config_option
def forget_command(config: tuple[str, ...]) -> None:
    """Remove addresses (standard input, one a line or a table) from what is kept of one integration, here alone."""
    addresses = re.split(r"\r\n|\r|\n", text_of(sys.stdin.buffer.read(), "standard input"))
    settings = parse_settings(settings_of(config))
    gone = forget(settings, addresses)
    for line in gone.without:
        click.echo(f"line {line} is no address")
    if not gone.given:
        click.echo("no address came: give e-mail addresses and phone numbers, one a line, on standard input")
        return
    integration = shown(settings.integration_name)
    click.echo(
        f"integration {integration}: removed {gone.rejects} reject(s), {gone.profiles} profile(s) of the ledger, "
        f"{gone.files} dry run(s) and other file(s), the bytes of {gone.events} event(s) of unknown outcome. "
        "Insider One itself is not touched: delete or anonymise the person there, too"
    )
    if gone.unknown:
        lines = ", ".join(map(str, gone.unknown))
        click.echo(
            f"integration {integration}: nothing is kept of {len(gone.unknown)} of {gone.given} address(es): "
            f"line(s) {lines} of the list"
        )
    if gone.others:
        names = ", ".join(map(shown, gone.others))
        click.echo(f"not looked at: {names}, which keep data here, too; run `forget` with the settings of each as well")


def settings_of(paths: tuple[str, ...]) -> dict[str, Any]:
    """The settings of one command; its log lines carry the integration's name."""
    config = TargetInsiderOne.config_from(paths)
    name_log_lines(config)
    return config
