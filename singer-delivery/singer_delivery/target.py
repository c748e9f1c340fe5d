"""Base class of a Singer target on the engine: settings, sinks, messages, command line."""

from __future__ import annotations

import logging
import os
import re
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click
from singer_sdk import Target
from singer_sdk.exceptions import InvalidJSONSchema, RecordsWithoutSchemaException, StreamMapConfigError
from singer_sdk.helpers.capabilities import PluginCapabilities
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.plugin_base import _ConfigInput
from singer_sdk.singerlib.exceptions import InvalidInputLine

from singer_delivery.disclosure import keep_secret, shown
from singer_delivery.errors import DeliveryError, Finding, SettingsError
from singer_delivery.interruption import Interrupted, Interruption, StoppedBySignalError
from singer_delivery.process import QUIET, name_log_lines, prepare_process
from singer_delivery.reader import MessageReader
from singer_delivery.run import Run
from singer_delivery.schema_messages import check_schema_message, unusable_maps
from singer_delivery.sending.items import Arrival
from singer_delivery.settings.findings import find
from singer_delivery.settings.variables import (
    check_names,
    place_in_meltano,
    settings_of_file,
    settings_of_variables,
)
from singer_delivery.sink import DeliverySink, RemovedSink

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType
    from typing import IO

    from singer_sdk.helpers.capabilities import CapabilitiesEnum
    from singer_sdk.mapper import StreamMap
    from singer_sdk.sinks import Sink

    from singer_delivery.accounts.checkpoints import State
    from singer_delivery.destination import Destination
    from singer_delivery.settings.declarations import DeliverySettings
    from singer_delivery.settings.findings import Declared

Message = dict[str, Any]


class DeliveryTarget(Target):
    """A Singer target that delivers to one destination; a plugin's subclass defines its settings and destination."""

    version: ClassVar[str]
    """The plugin's version."""
    sink_class: ClassVar[type[DeliverySink]] = DeliverySink
    destination_name: ClassVar[str]
    """Name of the destination in messages (`Destination.name`)."""
    prefix: ClassVar[str]
    """Name prefix of the ledger's tables (`Destination.prefix`)."""
    declared: ClassVar[Declared]
    """The settings that the plugin declares, and their checks; the SDK adds its own to the class's schema."""
    command_names: ClassVar[Sequence[str]] = ("preview", "replay", "forget")
    """Commands other than loading, for the help."""
    capabilities: ClassVar[list[CapabilitiesEnum]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]
    message_reader_class = MessageReader
    message_reader: MessageReader

    def __init__(self, config: Mapping[str, Any] | None = None, **arguments: Any) -> None:
        given = {name: value for name, value in (config or {}).items() if value is not None}  # as Meltano gives them
        super().__init__(config=given, **arguments)
        self._interruption = Interruption()
        self._plain: dict[str, DeliverySink] = {}
        self._warned: set[str] = set()
        self.message_reader.interruption = self._interruption
        self.message_reader.on_unreadable = self._count_unreadable
        self.message_reader.on_unknown = self._pass_over

    @classmethod
    def find(cls, config: Mapping[str, Any]) -> list[Finding]:
        """List every mistake in the settings, errors and warnings, without the value of any secret."""
        return find(config, cls.declared)

    @classmethod
    def read_settings(cls, config: Mapping[str, Any]) -> DeliverySettings:
        """Read settings that have no mistake, with their defaults."""
        raise NotImplementedError

    @classmethod
    def destination(cls, settings: Any) -> Destination:
        """Make the destination."""
        raise NotImplementedError

    @classmethod
    def properties(cls) -> Mapping[str, Any]:
        """The settings that the plugin declares: name -> schema."""
        return cls.declared.properties

    @classmethod
    def checked_settings(cls, config: Mapping[str, Any]) -> DeliverySettings:
        """Check and read settings.

        Raises:
            SettingsError: Lists every mistake.
        """
        if errors := [finding for finding in cls.find(config) if finding.severity == "error"]:
            raise SettingsError(errors)
        return cls.read_settings(config)

    def __init_subclass__(cls, **options: Any) -> None:
        """Filter the SDK's line about environment variables out of the plugin's log."""
        super().__init_subclass__(**options)
        if isinstance(name := getattr(cls, "name", None), str):
            logging.getLogger(name).addFilter(QUIET)

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Offer the SDK's stream maps and flattening, but none of the settings that would break our promises."""
        super(Target, cls).append_builtin_config(config_jsonschema)

    @classmethod
    def get_plugin_version(cls) -> str:
        """Return the version of this code; an installed distribution of the same name may be another project's."""
        return cls.version

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Find every mistake in the settings at once; no message shows a value."""
        findings = self.find(self._config)
        for finding in findings:
            if finding.severity == "warning":
                self.logger.warning("setting %s", finding)
        errors = [finding for finding in findings if finding.severity == "error"]
        if errors and raise_errors:
            raise SettingsError(errors)
        return [str(finding) for finding in errors]

    @cached_property
    def settings(self) -> DeliverySettings:
        """The settings with their defaults."""
        return self.read_settings(self._config)

    @cached_property
    def run(self) -> Run:
        """This run; begun by the first message."""
        destination = self.destination(self.settings)
        return Run(self.settings, destination, self._config, self._interruption, self.properties())

    def load(self, file_input: IO[Any] | None = None) -> None:
        """Read the input to its end, to a signal or to a failure, and settle what was read; raises as :meth:`work`."""
        self.work(lambda: self.process_lines(file_input))

    def work(self, feed: Callable[[], object], afterwards: Callable[[], None] = lambda: None) -> None:
        """Let *feed* stage records, settle them however it ends, then call *afterwards*.

        Raises:
            StoppedBySignalError: A signal stopped the run.
            Exception: Whatever else ended the run; :mod:`singer_delivery.exit_codes` maps it to an exit code.
        """
        self._interruption.install()
        prepare_process()
        ended_by: Exception | None = None
        try:
            feed()
        except Interrupted:
            pass
        except Exception as error:  # noqa: BLE001  (raised again once the records read so far are settled)
            ended_by = error
            self.run.broke_off = True
        self._interruption.reading = False
        try:
            self.process_endofpipe()
        except Exception as error:  # noqa: BLE001  (the first failure is the one to report)
            ended_by = ended_by or error
        afterwards()
        self.run.tidy_up()
        self._interruption.uninstall()
        if ended_by is not None:
            raise ended_by
        if self._interruption.signum is not None:
            raise StoppedBySignalError(self._interruption.signum)

    def process_endofpipe(self) -> None:
        """Send the staged records and report on the run."""
        self.run.finish()

    # Messages

    def get_sink_class(self, stream_name: str) -> type[Sink]:
        """The sink class for a stream.

        Raises:
            SettingsError: The stream has no kind.
        """
        maps = self.mapper.stream_maps.get(stream_name, [])
        if any(isinstance(stream_map, RemoveRecordTransform) for stream_map in maps):
            return RemovedSink
        kind = self.settings.stream_kinds.get(stream_name)
        if kind is None:
            kinds = self.properties()["stream_kinds"]["additionalProperties"]["enum"]
            known = ", ".join(map(shown, sorted(self.settings.stream_kinds)))
            raise SettingsError(
                [
                    Finding(
                        f"stream_kinds.{shown(stream_name)}",
                        f"the input has a stream that is neither of {' nor of '.join(f'{name}s' for name in kinds)}",
                        f"add it to stream_kinds as {' or '.join(kinds)}, or deselect it in the tap (known: {known})",
                    )
                ]
            )
        return self.sink_class

    def expect_rejects(self, stream: str, key_properties: Sequence[str]) -> None:
        """Prepare to :meth:`take` rejects of *stream*; they are validated against the SCHEMA of the stream's last run.

        Raises:
            SettingsError: The stream is not in the settings.
            AlreadyRunningError: The stream is being loaded.
        """
        self.run.consent_memory.is_replay = True
        kept = self.run.data_dir.read_schema(stream) or {"type": "SCHEMA", "stream": stream, "schema": {}}
        kept["schema"].setdefault("properties", {})
        self._make_sinks({"key_properties": list(key_properties), **kept})

    def _process_schema_message(self, message_dict: Message) -> None:
        """Make the stream's sink, and keep the SCHEMA for replays."""
        check_schema_message(message_dict)
        if shown(stream := message_dict["stream"]) != stream:
            keep_secret([stream])  # the SDK logs it, too
        self._make_sinks(message_dict)
        self.run.data_dir.write_schema(message_dict)

    def _make_sinks(self, message_dict: Message) -> None:
        """Make the stream's sinks, and note whether its records need no stream map."""
        stream = message_dict["stream"]
        try:
            super()._process_schema_message(message_dict)
        except (DeliveryError, InvalidJSONSchema, StreamMapConfigError):
            raise
        except Exception as error:  # noqa: BLE001  (the SDK's maps and flattening may raise anything)
            raise unusable_maps(stream, error, self._config) from None
        self.run.lock(stream)
        self._plain.pop(stream, None)
        maps = self.mapper.stream_maps[stream]
        for stream_map in maps:
            sink = self.get_sink(stream_map.stream_alias)
            if isinstance(sink, DeliverySink):
                kind = self.settings.stream_kinds[stream_map.stream_alias]
                sink.bind(self.run.staging, kind)
                self.run.tally.read[stream_map.stream_alias] += 0  # streams without records are reported, too
                if self.run.destination.kinds[kind].memory == "newest":
                    self.run.consent_memory.begin(sink.stream_name, stream)
                if len(maps) == 1 and isinstance(stream_map, SameRecordTransform) and not stream_map.flattening_enabled:
                    self._plain[stream] = sink

    def _process_record_message(self, message_dict: Message) -> None:
        """Process the record of a line."""
        arrival = Arrival(self.message_reader.line, message_dict.get("time_extracted"))
        self.take(message_dict["stream"], message_dict["record"], arrival)

    def take(self, stream: str, record: Message, arrival: Arrival) -> None:
        """Hand a record to its sink, through the stream maps if there are any.

        Raises:
            RecordsWithoutSchemaException: The stream has no SCHEMA yet.
        """
        sink = self._plain.get(stream)
        if sink is not None:
            self.run.tally.read[stream] += 1
            self.run.lanes.count_record()
            sink.take(record, arrival)
            return
        if stream not in self.mapper.stream_maps:
            raise RecordsWithoutSchemaException(
                f"stream {shown(stream)}: a RECORD came before its SCHEMA; check the tap"
            )
        for stream_map in self.mapper.stream_maps[stream]:
            if arrival.alias in {"", stream_map.stream_alias}:
                self._take_mapped(stream_map, dict(record), arrival)

    def _take_mapped(self, stream_map: StreamMap, record: Message, arrival: Arrival) -> None:
        """Apply a stream map and hand the record on; one that the map drops, or fails on, is settled here."""
        self.run.tally.read[stream_map.stream_alias] += 1
        self.run.lanes.count_record()
        sink = self.get_sink(stream_map.stream_alias)
        if not isinstance(sink, DeliverySink):
            self.run.tally.record(stream_map.stream_alias, "filtered", "stream_map")
            if arrival.settled is not None:
                arrival.settled("filtered", "stream_map")
            return
        try:
            mapped = stream_map.transform(record)
        except Exception:  # noqa: BLE001  (an expression of the settings may raise anything)
            sink.reject_unmapped(record, arrival)
            return
        if mapped is None:
            sink.settle(arrival, "filtered", "stream_map")
        else:
            sink.take(mapped, arrival)

    def _process_state_message(self, message_dict: Message) -> None:
        """Write the STATE once every record before it is settled."""
        state: State = message_dict["value"]
        self.run.state(state)

    def _process_activate_version_message(self, message_dict: Message) -> None:
        """Skip it: the destination has no table versions."""
        self._pass_over(message_dict["type"])

    def _process_batch_message(self, message_dict: Message) -> None:
        """Refuse it: records in files would escape the accounting.

        Raises:
            InvalidInputLine: Always.
        """
        raise InvalidInputLine(
            f"stream {shown(message_dict['stream'])}: BATCH messages are not supported; unset batch_config"
        )

    def _count_unreadable(self, line: bytes) -> None:
        self.run.unreadable(line)

    def _pass_over(self, message_type: str) -> None:
        if message_type not in self._warned:
            self._warned.add(message_type)
            named = message_type if re.fullmatch(r"[A-Z_]{1,40}", message_type) else "(not a plain word)"
            self.logger.warning("messages of type %s have no meaning here and are skipped", named)

    # Command line

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with a help that also lists our commands."""
        command = super().get_singer_command()
        for option in command.params:
            if option.name == "file_input":
                option.type = click.File("rb")  # so that its encoding is detected, as for standard input
        command.epilog = f"Commands other than loading: {', '.join(cls.command_names)} (each has its own --help)."
        return command

    @classmethod
    def config_from(cls, paths: Sequence[str]) -> dict[str, Any]:
        """Read settings from the given files, and from the environment, which wins, if ENV is among them.

        Raises:
            UnreadableError: A file or a variable cannot be read.
        """
        cls.append_builtin_config(cls.config_jsonschema)
        declared = cls.config_jsonschema["properties"]
        place = partial(place_in_meltano, os.environ, cls._env_var_prefix)
        config: dict[str, Any] = {}
        for path in paths:
            if path != "ENV":
                config |= settings_of_file(Path(path), declared, place=place)
        if "ENV" in paths:
            config |= settings_of_variables(os.environ, declared, cls._env_var_prefix)
        else:
            check_names(os.environ, declared, cls._env_var_prefix)
        return config

    @classmethod
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> _ConfigInput:  # noqa: ARG003
        """Read the ``--config`` options; the SDK would let a .env file of a parent folder override the environment."""
        return _ConfigInput(config=cls.config_from(value))

    def _setup_signal_handlers(self) -> None:
        """Install no handlers yet; :meth:`load` does."""

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self._interruption.handle(signum, frame)

    @classmethod
    def invoke(
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        file_input: IO[str] | None = None,
        **_unused: Any,
    ) -> None:
        """Run the target."""
        if about:
            cls.print_about(about_format)
            return
        settings = (config or _ConfigInput()).config
        name_log_lines(settings, cls.properties())
        cls.print_version(print_fn=cls.logger.info)
        cls(config=settings).load(file_input)
