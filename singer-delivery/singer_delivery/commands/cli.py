"""A target's console script, and its commands other than loading."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from singer_delivery.commands.forget import forget
from singer_delivery.commands.preview import RecordChoice, preview
from singer_delivery.commands.replay import NO_IDENTIFIER, RejectChoice, replay, replay_report
from singer_delivery.disclosure import shown
from singer_delivery.exit_codes import run_command
from singer_delivery.logs import log
from singer_delivery.memory.private_files import OTHERS
from singer_delivery.process import log_to_stderr, name_log_lines
from singer_delivery.settings.suggestions import did_you_mean
from singer_delivery.settings.variables import check_log_level
from singer_delivery.standard_streams import open_closed_streams
from singer_delivery.texts import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from singer_delivery.commands.forget import Forgotten
    from singer_delivery.target import DeliveryTarget

config_option = click.option(
    "--config", "config", multiple=True, required=True, help="Settings file, or ENV for environment variables."
)


def run_target(target: type[DeliveryTarget], more: Sequence[click.Command] = ()) -> None:
    """Run the console script: loading, or one of the commands; exits with the matching exit code.

    *more*: the target's own commands, such as ``check``.
    """
    os.umask(OTHERS)  # no other user may read what is written
    open_closed_streams()
    log.name = target.name  # the engine logs under the target's name
    commands = commands_of(target, more)
    is_command = len(sys.argv) > 1 and sys.argv[1] in commands.commands
    prefix = target._env_var_prefix  # noqa: SLF001  (the SDK offers no public name for it)

    def work(**options: Any) -> Any:
        check_log_level(os.environ, prefix)
        if not is_command and len(sys.argv) > 1 and not sys.argv[1].startswith("-"):
            near = did_you_mean(sys.argv[1], commands.commands, f"there are: {', '.join(sorted(commands.commands))}")
            raise click.UsageError(f"no command `{shown(sys.argv[1])}`; {near}")
        if not is_command:
            return target.cli(**options)
        log_to_stderr(os.environ.get(f"{prefix}LOGLEVEL"))
        return commands(sys.argv[1:], **options)

    reads_input = not is_command and not any(word.startswith("--input") for word in sys.argv)
    run_command(work, reads_input=reads_input)


def settings_of(target: type[DeliveryTarget], paths: tuple[str, ...]) -> dict[str, Any]:
    """Read the settings of one command, and put the integration's name into its log lines."""
    config = target.config_from(paths)
    name_log_lines(config, target.properties())
    return config


def commands_of(target: type[DeliveryTarget], more: Sequence[click.Command]) -> click.Group:
    """Make the commands of a target."""

    @click.group(help=f"Commands of {target.name} other than loading.")
    def commands() -> None:
        pass

    for command in (*more, preview_command_of(target), replay_command_of(target), forget_command_of(target)):
        commands.add_command(command)
    return commands


def preview_command_of(target: type[DeliveryTarget]) -> click.Command:
    """Make the command ``preview``."""

    @click.command("preview")
    @config_option
    @click.option("--format", "form", type=click.Choice(["table", "json"]), default="table", show_default=True)
    @click.option(
        "--limit",
        type=click.IntRange(min=0),
        default=20,
        show_default=True,
        help="Per stream, how many of the records that would be sent or rejected to show. "
        "In addition, the first filtered record of each reason is shown.",
    )
    @click.option("--stream", help="Only records of this stream.")
    @click.option("--metric", help="Only events of this metric.")
    @click.option("--key", help="Only the record with this key.")
    def preview_command(
        config: tuple[str, ...], form: str, limit: int, stream: str | None, metric: str | None, key: str | None
    ) -> None:
        """Show what a run would make of Singer lines from standard input: what is sent, what is left out, and why."""
        preview(
            target,
            settings_of(target, config),
            None,
            RecordChoice(stream, metric, key),
            as_json=form == "json",
            limit=limit,
        )

    return preview_command


def replay_command_of(target: type[DeliveryTarget]) -> click.Command:
    """Make the command ``replay``."""

    @click.command("replay")
    @config_option
    @click.option("--code", "codes", multiple=True, help="Only rejects with this reason code.")
    @click.option("--stream", "streams", multiple=True, help="Only rejects of this stream.")
    @click.option("--key", "keys", multiple=True, help="Only rejects of this key.")
    @click.option("--all", "everything", is_flag=True, help="All rejects that were not replayed yet.")
    @click.option(
        "--unidentified",
        is_flag=True,
        help="Records that had none of the mapped identifiers; for use once the mapping is corrected.",
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
        """Map and send rejected records again; versions delivered since then are not overwritten."""
        choice = checked_choice(codes, streams, keys, everything=everything, unidentified=unidentified)
        results = replay(target(config=settings_of(target, config)), choice)
        click.echo(replay_report(results))

    return replay_command


def checked_choice(
    codes: tuple[str, ...], streams: tuple[str, ...], keys: tuple[str, ...], *, everything: bool, unidentified: bool
) -> RejectChoice:
    """Make a choice of rejects from the options of ``replay``.

    Raises:
        click.UsageError: Nothing is chosen, or the options contradict each other.
    """
    if not (codes or streams or keys or everything or unidentified):
        raise click.UsageError(
            "choose rejects with --code, --stream or --key, or take them with --all; --unidentified takes the "
            "records that had none of the mapped identifiers"
        )
    if unidentified and not everything and codes and NO_IDENTIFIER not in codes:
        raise click.UsageError(
            f"--unidentified takes records with the code `{NO_IDENTIFIER}`: leave out one of it and --code"
        )
    return RejectChoice(
        frozenset(codes),
        frozenset(streams),
        frozenset(keys),
        rejects=everything or not unidentified,
        unidentified=unidentified or NO_IDENTIFIER in codes,
    )


def forget_command_of(target: type[DeliveryTarget]) -> click.Command:
    """Make the command ``forget``."""

    @click.command("forget")
    @config_option
    def forget_command(config: tuple[str, ...]) -> None:
        """Remove the addresses on standard input (one per line, or a table) from the local data of one integration."""
        addresses = re.split(r"\r\n|\r|\n", text_of(sys.stdin.buffer.read(), "standard input"))
        settings = target.checked_settings(settings_of(target, config))
        gone = forget(settings, target.prefix, addresses)
        for line in forget_report(gone, shown(settings.integration_name), target.destination_name):
            click.echo(line)

    return forget_command


def forget_report(gone: Forgotten, integration: str, destination: str) -> Iterator[str]:
    """Describe what `forget` did, line by line."""
    for line in gone.without:
        yield f"line {line} is not an address"
    if not gone.given:
        yield "no address was given: write e-mail addresses and phone numbers, one per line, to standard input"
        return
    yield (
        f"integration {integration}: removed {gone.rejects} reject(s), {gone.profiles} profile(s) of the ledger, "
        f"{gone.files} dry run(s) and other file(s), the bytes of {gone.events} event(s) of unknown outcome. "
        f"{destination} itself is not changed: delete or anonymise the person there, too"
    )
    if gone.unknown:
        lines = ", ".join(map(str, gone.unknown))
        yield (
            f"integration {integration}: no data was found for {len(gone.unknown)} of {gone.given} address(es): "
            f"line(s) {lines} of the list"
        )
    if gone.others:
        names = ", ".join(map(shown, gone.others))
        yield f"not searched: {names}, which keep data here, too; run `forget` with the settings of each as well"
