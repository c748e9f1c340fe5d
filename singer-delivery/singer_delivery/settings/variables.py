"""Reads settings from environment variables and files; strings are parsed by the declared type, or refused."""

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
"""Spellings of a boolean, in either case."""

MELTANO: Final = {
    "TAP": ("MELTANO_EXTRACTOR_NAME", "MELTANO_EXTRACT_"),
    "TARGET": ("MELTANO_LOADER_NAME", "MELTANO_LOAD_"),
}
"""The variable in which Meltano names the running plugin, and the prefix of the variables with its settings."""

FLOWS: Final = ("PROFILES", "EVENTS", "SUBSCRIPTIONS")
"""Suffixes of the plugin names of single flows, as spelt in environment variables."""

_FLOW = re.compile(f"-(?:{'|'.join(FLOWS)})$", re.IGNORECASE)
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def settings_of_variables(
    environment: Mapping[str, str], declared: Mapping[str, Schema], prefix: str
) -> dict[str, Any]:
    """Read the settings from the variables ``<prefix><SETTING>``; no other place is read.

    Under Meltano these may be another account's: the resolved settings of the running plugin are only in
    ``MELTANO_EXTRACT_<SETTING>`` or ``MELTANO_LOAD_<SETTING>``.

    Raises:
        UnreadableError: Names every variable that cannot be read.
    """
    found = _of_meltano(environment, declared, prefix)
    mistakes = _misspelt(environment, declared, prefix)
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


def prefixes_in_meltano(environment: Mapping[str, str], prefix: str) -> list[str]:
    """Prefixes of the variables that apply to the plugin run by Meltano, its own first; none without Meltano.

    Meltano names variables after plugins. A flow's plugin inherits from its account's, which inherits from the first.

    >>> prefixes_in_meltano({"MELTANO_LOADER_NAME": "target-shop-us-events"}, "TARGET_SHOP_")
    ['TARGET_SHOP_US_EVENTS_', 'TARGET_SHOP_US_', 'TARGET_SHOP_']
    """
    account = _account(environment, prefix)
    if account is None:
        return []
    own = _as_prefix(_plugin(environment, prefix))
    return list(dict.fromkeys([own, account, prefix]))


def place_in_meltano(environment: Mapping[str, str], prefix: str, setting: str) -> str:
    """List in brackets where a setting of the plugin run by Meltano may come from; "" without Meltano.

    Which of them it was is unknown: Meltano sets all these variables to the resolved value.

    >>> place_in_meltano({"MELTANO_LOADER_NAME": "target-shop-events"}, "TARGET_SHOP_", "dry_run")
    ' (in TARGET_SHOP_EVENTS_DRY_RUN, TARGET_SHOP_DRY_RUN, or meltano.yml and the variables that it names)'
    """
    variables = [f"{each}{setting.upper().replace('-', '_')}" for each in prefixes_in_meltano(environment, prefix)]
    return f" (in {', '.join(variables)}, or meltano.yml and the variables that it names)" if variables else ""


def where_to_give(environment: Mapping[str, str], prefix: str, setting: str) -> str:
    """Say where to set a missing setting: for a second account, never in the variable of the first.

    >>> where_to_give({"MELTANO_LOADER_NAME": "target-shop-us-events"}, "TARGET_SHOP_", "api_key")
    'give it in meltano.yml and the variables that it names, or in TARGET_SHOP_US_API_KEY'
    """
    account = _account(environment, prefix)
    if account is None:
        return f"as a variable it is {prefix}{setting.upper()}"
    return f"give it in meltano.yml and the variables that it names, or in {account}{setting.upper()}"


def _plugin(environment: Mapping[str, str], prefix: str) -> str:
    return environment.get(MELTANO[prefix.partition("_")[0]][0], "")


def _account(environment: Mapping[str, str], prefix: str) -> str | None:
    plugin = _plugin(environment, prefix)
    return _as_prefix(_FLOW.sub("", plugin)) if plugin else None


def _as_prefix(plugin: str) -> str:
    return re.sub(r"[^A-Z0-9]", "_", f"{plugin}_".upper())


def check_names(environment: Mapping[str, str], declared: Mapping[str, Schema], prefix: str) -> None:
    """Refuse variables whose name is nearly a setting's, which Meltano ignores silently.

    Raises:
        UnreadableError: There are some; with ``TARGET_SHOP_DRYRUN``, for one, a run would send for real.
    """
    if prefixes_in_meltano(environment, prefix) and (mistakes := _misspelt(environment, declared, prefix)):
        raise UnreadableError(mistakes)


def check_log_level(environment: Mapping[str, str], prefix: str) -> None:
    """Refuse an unknown log level before logging is set up.

    Raises:
        UnreadableError: ``<prefix>LOGLEVEL``, or ``LOGLEVEL``, is not a log level.
    """
    variable = next((name for name in (f"{prefix}LOGLEVEL", "LOGLEVEL") if environment.get(name)), None)
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    if variable and environment[variable].upper() not in logging.getLevelNamesMapping():
        raise UnreadableError([f"variable {variable}: is not a log level; write one of {', '.join(levels)}"])


def settings_of_file(
    path: Path,
    declared: Mapping[str, Schema],
    option: str = "--config",
    place: Callable[[str], str] = lambda _: "",
) -> dict[str, Any]:
    """Read the settings in a file; booleans, integers and JSON lists given as strings are parsed as in variables.

    *place* adds to a setting's name where else it may come from (`place_in_meltano`). Meltano writes every list as a
    string, and also stream maps that come from a variable.

    Raises:
        UnreadableError: The file or some of its strings cannot be read.
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
    """Whether a string in a file is parsed by its declared type; only Meltano writes objects and plain lists so."""
    if "string" in kinds:
        return False
    if from_meltano and kinds & {"array", "object"}:
        return True
    return bool(kinds & {"boolean", "integer"}) or ("array" in kinds and text.lstrip().startswith("["))


def _value_of_variable(text: str, schema: Schema) -> Any:
    if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'":
        raise ValueError("is in quotes, which become part of the value (docker's --env-file keeps them); remove them")
    return value_of(text, schema)


def value_of(text: str, schema: Schema) -> Any:
    """Parse a string by the declared type of its setting.

    >>> value_of("Yes", {"type": "boolean"}), value_of('{"a": 1}', {"type": "object"})
    (True, {'a': 1})

    Raises:
        ValueError: It is not of that type; the message says what to write, without quoting the string.
    """
    kinds = kinds_of(schema)
    if not text.strip():
        raise ValueError("is empty; give it a value, or remove it")
    if "string" in kinds or not kinds:
        if _CONTROL.search(text):
            raise ValueError("contains a line break or another control character; remove it")
        return text
    if "boolean" in kinds:
        return _flag(text)
    if "integer" in kinds:
        return _whole_number(text)
    if "array" in kinds:
        return _list(text, schema)
    return _json(text, dict, 'a JSON object, such as {"name": "value"}')


def kinds_of(schema: Schema) -> set[str]:
    """The types of a declaration, without null."""
    kinds = schema.get("type", [])
    return {kinds} - {"null"} if isinstance(kinds, str) else set(kinds) - {"null"}


def _flag(text: str) -> bool:
    value = FLAGS.get(text.lower())
    if value is None:
        raise ValueError("is not a boolean; write true or false (or yes, no, on, off, 1, 0), without spaces or quotes")
    return value


def _whole_number(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("is not a whole number; write digits only, such as 30")
    return int(text)


def _list(text: str, schema: Schema) -> list[Any]:
    """Parse a JSON list; if its items are strings, also ``first,second``."""
    if text.lstrip().startswith("[") or kinds_of(schema.get("items", {})) != {"string"}:
        return list(_json(_with_double_quotes(text), list, 'a JSON list, such as ["first", "second"]'))
    names = [name.strip() for name in text.split(",")]
    if any(name.startswith(("{", "[")) for name in names):
        raise ValueError('is not a list of names; write first,second or a JSON list, such as ["first", "second"]')
    return names


def _with_double_quotes(text: str) -> str:
    """Convert a list in Python's notation, ``['first']``, to JSON, as Meltano does; other strings stay unchanged."""
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
        raise ValueError(f"is not {meant}")  # noqa: TRY004  (an unreadable string, like the others)
    return value


def _of_meltano(environment: Mapping[str, str], declared: Mapping[str, Schema], prefix: str) -> dict[str, Any]:
    """Undeclared settings in meltano.yml: Meltano sets ``MELTANO_LOAD_<SETTING>`` for these, too."""
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


def _misspelt(environment: Mapping[str, str], declared: Iterable[str], prefix: str) -> list[str]:
    """Variables whose name is nearly a setting's, such as TARGET_SHOP_DRYRUN, which would have no effect.

    Under Meltano also those of the account and of its flows. Other variables, such as another account's, are ignored.
    """
    known = [name.upper() for name in declared]
    account = _account(environment, prefix)
    flows = [] if account is None else [f"{account}{flow}_" for flow in FLOWS]
    prefixes = dict.fromkeys([*flows, *prefixes_in_meltano(environment, prefix), prefix])
    longest_first = sorted(prefixes, key=len, reverse=True)
    found = {variable: _meant_by(variable, longest_first, known, environment) for variable in sorted(environment)}
    return [
        f"variable {variable}: there is no such setting; did you mean {meant}?"
        for variable, meant in found.items()
        if meant
    ]


def _meant_by(variable: str, prefixes: list[str], known: list[str], environment: Mapping[str, str]) -> str | None:
    """The variable that a misspelt one probably means; variables that Meltano sets itself are never misspelt."""
    for prefix in prefixes:
        rest = variable.removeprefix(prefix)
        if rest == variable:
            continue
        if rest in known or any(f"{start}{rest}" in environment for _, start in MELTANO.values()):
            return None
        if suffix := next((f"_{name}" for name in known if rest.endswith(f"_{name}")), None):
            flow = get_close_matches(rest.removesuffix(suffix), FLOWS, n=1, cutoff=0.85) if len(prefixes) > 1 else []
            meant = [f"{flow[0]}{suffix}"] if flow and flow[0] + suffix != rest else []
        else:
            meant = [name for name in known if _letters(name) == _letters(rest)]
            meant = meant or get_close_matches(rest, known, n=1, cutoff=0.88)
        if meant:
            return f"{prefix}{meant[0]}"
    return None


def _letters(name: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", name.upper())
