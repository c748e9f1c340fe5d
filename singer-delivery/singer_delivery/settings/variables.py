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

FLOWS: Final = ("PROFILES", "EVENTS", "SUBSCRIPTIONS")
"""What the names of the plugins of single flows end with, as it stands in their variables."""

_FLOW = re.compile(f"-(?:{'|'.join(FLOWS)})$", re.IGNORECASE)
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
    """How the variables begin that the plugin heeds which Meltano runs, its own first; none without Meltano.

    Meltano names variables after plugins. Those of a flow inherit from their account's, and these from the first's.

    >>> prefixes_in_meltano({"MELTANO_LOADER_NAME": "target-shop-us-events"}, "TARGET_SHOP_")
    ['TARGET_SHOP_US_EVENTS_', 'TARGET_SHOP_US_', 'TARGET_SHOP_']
    """
    account = _account(environment, prefix)
    if account is None:
        return []
    own = _as_prefix(_plugin(environment, prefix))
    return list(dict.fromkeys([own, account, prefix]))


def place_in_meltano(environment: Mapping[str, str], prefix: str, setting: str) -> str:
    """Tell in brackets where a setting may stand for the plugin that Meltano runs; "" without Meltano.

    Which of them it was, nobody can know: Meltano sets all these variables to what the setting came to.

    >>> place_in_meltano({"MELTANO_LOADER_NAME": "target-shop-events"}, "TARGET_SHOP_", "dry_run")
    ' (in TARGET_SHOP_EVENTS_DRY_RUN, TARGET_SHOP_DRY_RUN, or meltano.yml and the variables that it names)'
    """
    variables = [f"{each}{setting.upper().replace('-', '_')}" for each in prefixes_in_meltano(environment, prefix)]
    return f" (in {', '.join(variables)}, or meltano.yml and the variables that it names)" if variables else ""


def where_to_give(environment: Mapping[str, str], prefix: str, setting: str) -> str:
    """Tell where to give a setting that is missing: for a second account, never in the first one's variable.

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
    """Refuse variables that nearly have a setting's name where Meltano runs the plugin: it passes over them.

    Raises:
        UnreadableError: There are some; in a run, ``TARGET_SHOP_DRYRUN`` would send for real.
    """
    if prefixes_in_meltano(environment, prefix) and (mistakes := _misspelt(environment, declared, prefix)):
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

    *place* adds to a setting's name where else it stands (`place_in_meltano`). Meltano writes every list as a text,
    and stream maps that come from a variable.

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
    """Whether a text in a file is read by its declared type; by hand nobody writes a list or an object as a text."""
    if "string" in kinds:
        return False
    if from_meltano and kinds & {"array", "object"}:
        return True
    return bool(kinds & {"boolean", "integer"}) or ("array" in kinds and text.lstrip().startswith("["))


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
    names = [name.strip() for name in text.split(",")]
    if any(name.startswith(("{", "[")) for name in names):
        raise ValueError('is no list of names; write first,second or a JSON list, such as ["first", "second"]')
    return names


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


def _misspelt(environment: Mapping[str, str], declared: Iterable[str], prefix: str) -> list[str]:
    """Variables that nearly have the name of a setting: TARGET_SHOP_DRYRUN would do nothing.

    Under Meltano those of the account and of its flows as well. Others are left alone, such as another account's.
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
    """The variable of which another one's name is a slip; what Meltano sets for meltano.yml is none."""
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
