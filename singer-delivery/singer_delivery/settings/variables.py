"""Settings from variables of the environment and from files: every text is read by its declared type, or refused."""

from __future__ import annotations

import ast
import json
import logging
import re
from contextlib import suppress
from decimal import Decimal
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

from singer_delivery.texts import UnreadableError, json_object, parse_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

Schema = dict[str, Any]

FLAGS: Final = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""The words of a flag, in either case; nothing else is one."""

MELTANO: Final = {
    "TAP": ("MELTANO_EXTRACTOR_NAME", "MELTANO_EXTRACT_"),
    "TARGET": ("MELTANO_LOADER_NAME", "MELTANO_LOAD_"),
}
"""The variable in which Meltano names the plugin that it runs, and how those begin that hold that plugin's settings."""

_FLOW = re.compile(r"-(?:profiles|events|subscriptions)$")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def settings_of_variables(
    environment: Mapping[str, str], declared: Mapping[str, Schema], prefix: str
) -> dict[str, Any]:
    """The settings that the variables ``<prefix><SETTING>`` hold; no other place is looked at.

    Under Meltano those may be another account's: what the settings of this very plugin came to stands in
    ``MELTANO_EXTRACT_<SETTING>`` or ``MELTANO_LOAD_<SETTING>``, and there alone.

    Raises:
        UnreadableError: Variables that cannot be read, all of them, by their names.
    """
    found = _of_meltano(environment, declared, prefix)
    mistakes = _misspelt(environment.keys() - {prefix + name.upper() for name in found}, declared, prefix)
    name_of_plugin, meltanos = MELTANO[prefix.partition("_")[0]]
    own = meltanos if name_of_plugin in environment else prefix
    for name, schema in declared.items():
        variable = name.upper().replace("-", "_")
        if (text := environment.get(own + variable)) is None:
            continue
        try:
            found[name] = _value_of_variable(text, schema)
        except (ValueError, RecursionError) as error:
            place = place_in_meltano(environment, prefix, name)
            mistakes.append(f"setting {name}{place}: {error}" if place else f"variable {prefix}{variable}: {error}")
    if mistakes:
        raise UnreadableError(mistakes)
    return found


def place_in_meltano(environment: Mapping[str, str], prefix: str, setting: str) -> str:
    """Tell in brackets where a setting stands for the account whose plugin Meltano runs; "" without Meltano.

    Meltano names variables after plugins. Those of a flow inherit from their account's, which is the one to name.

    >>> place_in_meltano({"MELTANO_LOADER_NAME": "target-insiderone-us-events"}, "TARGET_INSIDERONE_", "dry_run")
    ' (in meltano.yml and the variables that it names, or in TARGET_INSIDERONE_US_DRY_RUN)'
    """
    plugin = environment.get(MELTANO[prefix.partition("_")[0]][0])
    if not plugin:
        return ""
    variable = re.sub(r"[^A-Z0-9]", "_", f"{_FLOW.sub('', plugin)}_{setting}".upper())
    return f" (in meltano.yml and the variables that it names, or in {variable})"


def check_names(environment: Mapping[str, str], declared: Mapping[str, Schema], prefix: str) -> None:
    """Refuse variables that nearly have a setting's name where Meltano runs the plugin: it passes over them.

    Raises:
        UnreadableError: There are some; in a run, ``TARGET_INSIDERONE_DRYRUN`` would send for real.
    """
    if place_in_meltano(environment, prefix, "") and (mistakes := _misspelt(environment, declared, prefix)):
        raise UnreadableError(mistakes)


def check_log_level(environment: Mapping[str, str], prefix: str) -> None:
    """Refuse a level that logging does not know, before it is asked for.

    Raises:
        UnreadableError: ``<prefix>LOGLEVEL``, or ``LOGLEVEL``, is none.
    """
    variable = next((name for name in (f"{prefix}LOGLEVEL", "LOGLEVEL") if environment.get(name)), None)
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    if variable and environment[variable].upper() not in logging.getLevelNamesMapping():
        raise UnreadableError([f"variable {variable}: is no level of logging; write {', '.join(levels)}"])


def settings_of_file(
    path: Path,
    declared: Mapping[str, Schema],
    option: str = "--config",
    place: Callable[[str], str] = lambda _: "",
) -> dict[str, Any]:
    """The settings in a file; flags, whole numbers and JSON lists that are written as texts are read as in variables.

    *place* adds to a setting's name where else it stands (`place_in_meltano`). Meltano writes every list as a text.

    Raises:
        UnreadableError: The file or some of its texts cannot be read.
    """
    config = json_object(path, option)
    mistakes = []
    for name, value in config.items():
        schema = declared.get(name, {})
        if isinstance(value, str) and _is_read(value, kinds_of(schema), from_meltano=bool(place(name))):
            try:
                config[name] = value_of(value, schema)
            except ValueError as error:
                mistakes.append(f"{option}: {path}: setting {name}{place(name)}: {error}")
        elif isinstance(value, Decimal) and "integer" in kinds_of(schema) and value == value.to_integral_value():
            config[name] = int(value)  # 30.0
    if mistakes:
        raise UnreadableError(mistakes)
    return config


def _is_read(text: str, kinds: set[str], *, from_meltano: bool) -> bool:
    """Whether a text in a file is read by its declared type; by hand nobody writes a list without brackets there."""
    if "string" in kinds:
        return False
    return bool(kinds & {"boolean", "integer"}) or (
        "array" in kinds and (from_meltano or text.lstrip().startswith("["))
    )


def _value_of_variable(text: str, schema: Schema) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise ValueError("stands in quotes, which here are part of it (docker's --env-file keeps them); remove them")
    return value_of(text, schema)


def value_of(text: str, schema: Schema) -> Any:
    """Read a text by the type that its setting is declared with.

    >>> value_of("Yes", {"type": "boolean"}), value_of('{"a": 1}', {"type": "object"})
    (True, {'a': 1})

    Raises:
        ValueError: It is not of that type; the message says what to write, and nothing of the text.
    """
    kinds = kinds_of(schema)
    if not text.strip():
        raise ValueError("is empty; give it a value, or leave it out")
    if "string" in kinds or not kinds:
        if _CONTROL.search(text):
            raise ValueError("holds a line break or another control character; write it without")
        return text
    if "boolean" in kinds:
        return _flag(text)
    if "integer" in kinds:
        return _whole_number(text)
    if "array" in kinds:
        return _list(text, schema)
    return _json(text, dict, 'a JSON object, such as {"name": "value"}')


def kinds_of(schema: Schema) -> set[str]:
    """The types of a declaration, but for null."""
    kinds = schema.get("type", [])
    return {kinds} - {"null"} if isinstance(kinds, str) else set(kinds) - {"null"}


def _flag(text: str) -> bool:
    value = FLAGS.get(text.lower())
    if value is None:
        raise ValueError("is no flag; write true or false (also: yes, no, on, off, 1, 0), without spaces or quotes")
    return value


def _whole_number(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("is no whole number; write digits only, such as 30")
    return int(text)


def _list(text: str, schema: Schema) -> list[Any]:
    """Read a JSON list; where texts are listed, also ``first,second``."""
    if text.lstrip().startswith("[") or kinds_of(schema.get("items", {})) != {"string"}:
        return list(_json(_with_double_quotes(text), list, 'a JSON list, such as ["first", "second"]'))
    return [name.strip() for name in text.split(",")]


def _with_double_quotes(text: str) -> str:
    """A list as Python writes it, ``['first']``, as JSON: Meltano reads it, too. Any other text is left as it is."""
    if "'" not in text:
        return text
    try:
        parse_json(text)
    except (ValueError, RecursionError):
        with suppress(ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return json.dumps(ast.literal_eval(text.strip()))
    return text


def _json(text: str, kind: type, meant: str) -> Any:
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise ValueError(f"is not {meant}")  # noqa: TRY004  (a text that cannot be read, as the others)
    return value


def _of_meltano(environment: Mapping[str, str], declared: Mapping[str, Schema], prefix: str) -> dict[str, Any]:
    """The settings of meltano.yml that are not declared: Meltano sets ``MELTANO_LOAD_<SETTING>`` for each, too."""
    found = {}
    for variable, text in environment.items():
        rest = variable.removeprefix(prefix)
        if rest == variable or rest.startswith("_") or _part_of_declared(rest, declared):
            continue
        if any(f"MELTANO_{verb}_{rest}" in environment for verb in ("EXTRACT", "LOAD")):
            found[rest.lower()] = _as_it_looks(text)
    return found


def _part_of_declared(rest: str, declared: Mapping[str, Schema]) -> bool:
    """Whether a variable is a declared setting, or a part of one (``STREAM_MAPS_PROFILES_NAME``)."""
    names = {name.upper() for name in declared}
    objects = {name.upper() for name, schema in declared.items() if "object" in kinds_of(schema)}
    return rest in names or any(rest.startswith(f"{name}_") for name in objects)


def _as_it_looks(text: str) -> Any:
    try:
        return parse_json(text)
    except (ValueError, RecursionError):
        return text


def _misspelt(environment: Iterable[str], declared: Iterable[str], prefix: str) -> list[str]:
    """Variables that nearly have a setting's name: TARGET_INSIDERONE_DRYRUN would do nothing.

    Others are left alone; Meltano sets them for plugins that inherit (TARGET_INSIDERONE_PROFILES_DRY_RUN).
    """
    known = [name.upper() for name in declared]
    mistakes = []
    for variable in sorted(environment):
        rest = variable.removeprefix(prefix)
        if rest == variable or rest in known or any(rest.endswith(f"_{name}") for name in known):
            continue
        meant = [name for name in known if _letters(name) == _letters(rest)]
        meant = meant or get_close_matches(rest, known, n=1, cutoff=0.88)
        mistakes += (
            [f"variable {variable}: there is no such setting; did you mean {prefix}{meant[0]}?"] if meant else []
        )
    return mistakes


def _letters(name: str) -> str:
    return name.replace("_", "").upper()
