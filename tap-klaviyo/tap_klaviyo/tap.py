"""The tap: settings, streams, and the end of a run."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, cast

import click
from klaviyo_http.client import ClientSettings, KlaviyoClient
from klaviyo_http.errors import NoWayError, RejectedKeyError, frames
from klaviyo_http.network import NetworkSettingError
from singer_sdk import Tap
from singer_sdk.exceptions import ConfigurationError, ConfigValidationError, MappingError
from singer_sdk.helpers.capabilities import CapabilitiesEnum, PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import _ConfigInput
from typing_extensions import override

from tap_klaviyo import __version__
from tap_klaviyo.catalogs import mistakes_in, unknown_in
from tap_klaviyo.disclosure import keep_secret, scrub_log
from tap_klaviyo.errors import MapFailedError, MisspeltMetricsError, RefusedInputError
from tap_klaviyo.metrics import MetricDirectory
from tap_klaviyo.process import prepare_process
from tap_klaviyo.reading.stream import Account, KlaviyoStream
from tap_klaviyo.settings import SECRETS, SETTINGS, Settings, problems, typed
from tap_klaviyo.standard_streams import open_closed_streams
from tap_klaviyo.streams.events import Events
from tap_klaviyo.streams.lists import Lists
from tap_klaviyo.streams.metrics import Metrics
from tap_klaviyo.streams.profiles import Profiles
from tap_klaviyo.streams.subscriptions import SubscriptionChanges
from tap_klaviyo.texts import UnreadableError, json_object
from tap_klaviyo.variables import (
    check_log_level,
    check_names,
    place_in_meltano,
    settings_of_file,
    settings_of_variables,
)
from tap_klaviyo.writer import CountingWriter, LineWriter, Stopped

if TYPE_CHECKING:
    from singer_sdk.streams import Stream

logging.getLogger("singer_sdk.mapper").setLevel(logging.INFO)  # at DEBUG it logs values of records
logging.getLogger("tap-klaviyo").addFilter(lambda record: not str(record.msg).startswith("Skipping parse of env var"))
"""The SDK logs this in every run, since variables are read here; it sounds as if they were ignored."""

STREAMS: Sequence[type[KlaviyoStream]] = (Profiles, Events, SubscriptionChanges, Lists, Metrics)

WRAPPINGS = frozenset({"singer_state", "completed", "partial", "value"})
"""Wrappers of a state copied from Meltano or from a whole STATE line; read unchanged, it would count as empty."""

FAILED = 1
CONFIGURATION = 2
PARTLY_FAILED = 4


class TapKlaviyo(Tap):
    """Singer tap for Klaviyo: profiles, events and changes of consent, each exactly once."""

    name = "tap-klaviyo"
    package_name = "tap-klaviyo"
    config_jsonschema: ClassVar[dict[str, Any]] = {**SETTINGS, "properties": {**SETTINGS["properties"]}}
    message_writer_class = LineWriter
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    @cached_property
    def account(self) -> Account:
        """The account that the streams read; opened by the first of them."""
        settings = typed(self.config)
        client = KlaviyoClient(client_settings(settings))
        return Account(client, settings, MetricDirectory(client))

    @override
    def discover_streams(self) -> Sequence[Stream]:
        return [stream(self, lambda: self.account) for stream in STREAMS]

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        if (wrappings := sorted(WRAPPINGS.intersection(state))) and "bookmarks" not in state:
            raise ConfigValidationError(
                "state", errors=[f"the state stands inside `{wrappings[0]}`; give what is in there, with `bookmarks`"]
            )
        bookmarks = state.get("bookmarks", {})
        if not isinstance(bookmarks, Mapping) or not all(isinstance(entry, Mapping) for entry in bookmarks.values()):
            raise ConfigValidationError("state", errors=["the state must be an object with an object `bookmarks`"])
        super().load_state(state)

    @override
    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings; messages name a setting's path and the remedy, never a value."""
        schema = self.config_jsonschema
        self.append_builtin_config(schema)
        keep_secret(self._config.get(name) for name in SECRETS)
        mistakes = problems(self._config, schema)
        if raise_errors and mistakes:
            raise ConfigValidationError("settings", errors=mistakes)
        return mistakes

    @classmethod
    @override
    def get_plugin_version(cls) -> str:
        """Return the version of this code; an installed distribution of the same name may be another project's."""
        return __version__

    @override
    def _setup_signal_handlers(self) -> None:
        """Leave signals alone until there is a run to stop; see `run`."""

    # -- running ---------------------------------------------------------------------------------------------------

    def run(self, work: Callable[[], object]) -> int:
        """Do the work of a run, and return the exit code; expected failures are reported without a traceback."""
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, self.lines.handle_signal)
        try:
            work()
            self.lines.flush()
        except Stopped as stop:
            code, reason = int(stop.code or FAILED), "stopped by a signal; the state of what was emitted is written"
        except (RejectedKeyError, MapFailedError, MisspeltMetricsError) as error:
            code, reason = CONFIGURATION, str(error)
        except NoWayError as error:
            code, reason = CONFIGURATION if error.lasting else FAILED, str(error)
        except NetworkSettingError as error:
            code, reason = CONFIGURATION, str(error)
        except BrokenPipeError as error:
            code = FAILED
            reason = (
                f"the reader of the output is gone, or it cannot be written ({error.strerror}); the next run repeats "
                "what it did not settle"
            )
        else:
            return self._exit_code()
        self._settle()
        self.logger.error(reason)
        return code

    @property
    def lines(self) -> LineWriter:
        """Where the messages go."""
        return cast("LineWriter", self.message_writer)

    def _settle(self) -> None:
        """Write the state of what has been emitted so far."""
        try:
            for stream in self.streams.values():
                cast("KlaviyoStream", stream).checkpoint()
            self.lines.flush()
        except BrokenPipeError:  # the reader has ended; the interpreter must not flush again on exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _exit_code(self) -> int:
        failed = sorted(self.account.failed)
        if not failed:
            return 0
        completed = sorted(name for name, stream in self.streams.items() if stream.selected and name not in failed)
        self.logger.error(
            "streams that failed: %s; streams that completed: %s", ", ".join(failed), ", ".join(completed) or "none"
        )
        return PARTLY_FAILED if completed else FAILED

    # -- command line ----------------------------------------------------------------------------------------------

    @override
    @classmethod
    def invoke(cls, *, about: bool = False, about_format: str | None = None, **inputs: Any) -> None:
        """Run the tap as requested on the command line, and exit with its code.

        Args:
            about: Whether to describe the tap instead.
            about_format: How to.
            inputs: ``config`` as `cb_config` returns it, and the open files ``state`` and ``catalog``.
        """
        if about:
            cls.print_about(about_format)
            return
        cls.print_version(print_fn=cls.logger.info)
        given = {name: _json(inputs.get(name), f"--{name}") for name in ("state", "catalog")}
        if mistakes := mistakes_in(given["catalog"] or {}):
            raise RefusedInputError(mistakes)
        tap = cls._configured(inputs.get("config"), **given)
        for name in unknown_in(given["catalog"] or {}, tap.streams):
            tap.logger.warning("the catalog names `%s`, which is not a stream of this tap", name)
        tap.say_if_nothing_is_selected()
        sys.exit(tap.run(tap.sync_all))

    def say_if_nothing_is_selected(self) -> None:
        """Warn of a catalog that selects no stream: ``select: [profile.*]`` would succeed silently."""
        if not any(stream.selected for stream in self.streams.values()):
            self.logger.warning(
                "no stream is selected, so nothing is read; the names are %s (in meltano.yml, for instance, "
                "`select: [profiles.*]`)",
                ", ".join(f"`{name}`" for name in self.streams),
            )

    @override
    @classmethod
    def cb_test(cls, ctx: click.Context, param: click.Option, value: str) -> None:
        """Read one record of every stream (``--test``), or only write the schemas (``--test=schema``)."""
        if value == "disabled":
            return
        if value == "schema":
            tap = cls._configured(ctx.params.get("config"))
            ctx.exit(tap.run(tap.write_schemas))
        counter = CountingWriter()
        tap = cls._configured(ctx.params.get("config"), message_writer=counter)
        chosen = [stream for stream in tap.streams.values() if stream.selected]
        code = tap.run(lambda: tap.run_sync_dry_run(streams=chosen))
        for line in tap.verdicts(counter.records):
            click.echo(line)
        ctx.exit(code)

    def verdicts(self, records: Mapping[str, int]) -> Iterator[str]:
        """Write a line for each stream: whether it can be read. *records*: stream -> number of records."""
        for name, stream in self.streams.items():
            if not stream.selected:
                continue
            if name in self.account.failed:
                yield f"{name}: failed, see the ERROR line above"
            elif records.get(name):
                yield f"{name}: can be read"
            elif name not in self.account.tried:
                yield f"{name}: was not read, see the ERROR line above"
            else:
                yield f"{name}: can be read, and is empty (in the time that a first run would read)"

    @override
    @classmethod
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        """Read the ``--config`` options; the SDK would let a .env file of a parent folder override the environment.

        Raises:
            UnreadableError: A file or a variable cannot be read.
        """
        cls.append_builtin_config(cls.config_jsonschema)
        declared = cls.config_jsonschema["properties"]
        place = partial(place_in_meltano, os.environ, cls._env_var_prefix)
        config: dict[str, Any] = {}
        for path in value:
            if path != "ENV":
                config |= settings_of_file(Path(path), declared, place=place)
        if "ENV" in value:
            config |= settings_of_variables(os.environ, declared, cls._env_var_prefix)
        else:
            check_names(os.environ, declared, cls._env_var_prefix)
        return _ConfigInput(config={name: setting for name, setting in config.items() if setting is not None})

    @classmethod
    def _configured(cls, config: Any, **inputs: Any) -> TapKlaviyo:
        """Construct the tap from what the command line parsed.

        Raises:
            RefusedInputError: It is invalid.
        """
        try:
            return cls(config=config.config if config else {}, **inputs)
        except ConfigValidationError as error:
            raise RefusedInputError(error.errors) from None
        except (ConfigurationError, MappingError) as error:
            raise RefusedInputError([f"`stream_maps` cannot be used ({type(error).__name__})"]) from None


def client_settings(settings: Settings) -> ClientSettings:
    """Extract the settings of the client."""
    return ClientSettings(**{name: getattr(settings, name) for name in ClientSettings.__dataclass_fields__})


def _json(file: IO[str] | None, option: str) -> Any:
    """Read a file that the command line names."""
    return None if file is None else json_object(Path(file.name), option)


def main() -> None:
    """Run the command line, and end the process; the exit codes are explained in the README."""
    open_closed_streams()
    prepare_process()
    scrub_log()
    sys.exit(_exit_code_of_command())


def _exit_code_of_command() -> int:
    """Run the command line; errors are reported without a traceback and without values."""
    try:
        check_log_level(os.environ, "TAP_KLAVIYO_")
        return int(TapKlaviyo.cli.main(prog_name=TapKlaviyo.name, standalone_mode=False) or 0)
    except (RefusedInputError, UnreadableError) as error:
        for mistake in error.mistakes:
            TapKlaviyo.logger.error("configuration: %s", mistake)
        return CONFIGURATION
    except click.ClickException as error:
        TapKlaviyo.logger.error("%s", error.format_message())
        return CONFIGURATION
    except (click.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    except Exception as error:  # noqa: BLE001 - its message may hold what no log may show
        TapKlaviyo.logger.error("unexpected %s at %s", type(error).__name__, frames(error))
        return FAILED
