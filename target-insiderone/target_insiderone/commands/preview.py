"""`target-insiderone preview`: Singer lines in, the users and events that they would become out; nothing is sent."""

from __future__ import annotations

import json
import time
from typing import IO, TYPE_CHECKING, Any

import click
from singer_sdk.singerlib.exceptions import InvalidInputLine

from target_insiderone.errors import Filtered, Rejected
from target_insiderone.exact_json import encode
from target_insiderone.mapping import compile_events, compile_profiles
from target_insiderone.reader import MessageReader
from target_insiderone.settings import parse_settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from target_insiderone.settings import Settings

Shown = dict[str, Any]
"""``{"stream", "key", "outcome", "user" or "reason", "left_out": ["why: field"], "not_mapped": [field]}``."""


def preview(config: Mapping[str, Any], lines: IO[bytes], *, as_json: bool, limit: int) -> None:
    """Print what becomes of the first *limit* records of the input."""
    settings = parse_settings(config)
    for number, shown in enumerate(previews(settings, lines)):
        if number >= limit:
            click.echo(f"… {limit} records shown; --limit shows more", err=True)
            return
        click.echo(encode(shown).decode() if as_json else as_text(shown))


def previews(settings: Settings, lines: IO[bytes]) -> Iterator[Shown]:
    """What becomes of each RECORD of the input."""
    map_profile, map_event = compile_profiles(settings), compile_events(settings)
    reader = MessageReader()
    mapped = mapped_fields(settings)
    for line in lines:
        try:
            message = reader.deserialize_json(line)
        except InvalidInputLine as error:
            yield {"stream": "(unreadable)", "key": "", "outcome": "rejected", "reason": str(error)}
            continue
        if message["type"] != "RECORD":
            continue
        stream, record = message["stream"], message["record"]
        shown: Shown = {"stream": stream, "key": str(record.get("id", ""))}
        kind = settings.stream_kinds.get(stream)
        try:
            if kind == "profile":
                profile = map_profile(record)
                shown |= {"outcome": "sent", "user": profile.user, "left_out": _notes(profile.notes)}
            elif kind == "event":
                shown |= _event(map_event(record, time.time()))
            else:
                shown |= {"outcome": "refused", "reason": "a stream without a kind: see the setting stream_kinds"}
        except Filtered as outcome:
            shown |= {"outcome": "filtered", "reason": str(outcome)}
        except Rejected as outcome:
            shown |= {"outcome": "rejected", "reason": str(outcome)}
        shown["not_mapped"] = not_mapped(record, mapped)
        yield shown


def _event(made: Any) -> Shown:
    events = [event for _, _, event in made.events]
    left_out = _notes(made.notes)
    left_out += [f"{why} (line {line or 'none'} of {event_type})" for line, event_type, why in made.rejected]
    left_out += [f"{why} (line {line or 'none'} of {event_type})" for line, event_type, why in made.filtered]
    shown: Shown = {"outcome": "sent" if events else "rejected" if made.rejected else "filtered"}
    if events:
        shown["user"] = {"identifiers": made.identifiers, "events": events}
        if made.old:
            shown["skip_hook"] = True
    return shown | {"left_out": left_out}


def _notes(notes: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"{code}: {field}" for code, field in notes]


def mapped_fields(settings: Settings) -> frozenset[str]:
    """The first step of every source that a mapping names."""
    names = {name for identifier in settings.identifier_mappings for name in identifier.sources}
    names |= {name for attribute in settings.attribute_mappings for name in attribute.sources}
    names |= {name for parameter in settings.event_parameter_mappings for name in parameter.sources}
    for mapping in settings.event_mappings:
        names |= {name for row in mapping.parameter_mappings for name in row.sources}
        names |= {mapping.for_each} if mapping.for_each else set()
    return frozenset(names)


def not_mapped(record: Mapping[str, Any], mapped: frozenset[str]) -> list[str]:
    """The fields of *record*, and of its open object, that no mapping names."""
    fields = [name for name in record if name not in {"properties", "event_properties"}]
    inside = record.get("properties") or record.get("event_properties")
    if isinstance(inside, dict) and "properties.*" not in mapped:
        fields += [f"properties.{name}" if "properties" in record else f"event_properties.{name}" for name in inside]
    return [field for field in fields if not _is_named(field, mapped)]


def _is_named(field: str, mapped: frozenset[str]) -> bool:
    bare = field.removeprefix("event_properties.").removeprefix("properties.")
    return any(
        name in {field, bare} or name.startswith((f"{field}.", f"{field}[", f"{bare}.", f"{bare}[")) for name in mapped
    )


def as_text(shown: Shown) -> str:
    """One record for a person to read."""
    head = click.style(f"{shown['stream']} {shown['key']}: {shown['outcome']}", bold=True)
    parts = [head + (f", {shown['reason']}" if "reason" in shown else "")]
    if "user" in shown:
        parts.append(json.dumps(json.loads(encode(shown["user"])), indent=2, ensure_ascii=False))
    if shown.get("skip_hook"):
        parts.append("  travels with skip_hook: true (old event)")
    parts += [f"  left out: {why}" for why in shown.get("left_out", ())]
    if shown.get("not_mapped"):
        parts.append(f"  not mapped: {', '.join(shown['not_mapped'])}")
    return "\n".join(parts)
