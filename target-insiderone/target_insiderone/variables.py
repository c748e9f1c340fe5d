"""Settings from variables of the environment and from files: every text is read by its declared type, or refused."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from target_insiderone.texts import UnreadableError, json_object, parse_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Schema = dict[str, Any]

FLAGS: Final = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}
"""The words of a flag, in either case; nothing else is one."""

_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SEPARATORS = re.compile(r"[\W_]+")


def settings_of_variables(
    environment: Mapping[str, str], declared: Mapping[str, Schema], prefix: str
) -> dict[str, Any]:
    """The settings that the variables ``<prefix><SETTING>`` hold; no other place is looked at.

    Raises:
        UnreadableError: Variables that cannot be read, all of them, by their names.
    """
    found: dict[str, Any] = {}
    mistakes = _misspelt(environment, declared, prefix)
    for name, schema in declared.items():
        variable = prefix + name.upper().replace("-", "_")
        if variable not in environment:
            continue
        try:
            found[name] = _value_of_variable(environment[variable], schema)
        except (ValueError, RecursionError) as error:
            mistakes.append(f"variable {variable}: {error}")
    if mistakes:
        raise UnreadableError(mistakes)
    return found


def settings_of_file(path: Path, declared: Mapping[str, Schema], option: str = "--config") -> dict[str, Any]:
    """The settings in a file; flags and whole numbers that are written as texts are read as in variables.

    Raises:
        UnreadableError: The file or some of its texts cannot be read.
    """
    config = json_object(path, option)
    mistakes = []
    for name, value in config.items():
        schema = declared.get(name, {})
        if isinstance(value, str) and "string" not in kinds_of(schema) and kinds_of(schema) & {"boolean", "integer"}:
            try:
                config[name] = value_of(value, schema)
            except ValueError as error:
                mistakes.append(f"{option}: {path}: setting {name}: {error}")
        elif isinstance(value, Decimal) and "integer" in kinds_of(schema) and value == value.to_integral_value():
            config[name] = int(value)  # 30.0
    if mistakes:
        raise UnreadableError(mistakes)
    return config


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
        raise ValueError("is no flag; write true or false (also: yes, no, on, off, 1, 0), without blanks or quotes")
    return value


def _whole_number(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError("is no whole number; write digits only, such as 30")
    return int(text)


def _list(text: str, schema: Schema) -> list[Any]:
    """Read a JSON list; where texts are listed, also ``first,second``."""
    if text.lstrip().startswith("[") or kinds_of(schema.get("items", {})) != {"string"}:
        return list(_json(text, list, 'a JSON list, such as ["first", "second"]'))
    return [name.strip() for name in text.split(",")]


def _json(text: str, kind: type, meant: str) -> Any:
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, kind):
        raise ValueError(f"is not {meant}")  # noqa: TRY004  (a text that cannot be read, as the others)
    return value


def _misspelt(environment: Iterable[str], declared: Iterable[str], prefix: str) -> list[str]:
    """Variables that differ from a setting's by their separators only: TARGET_INSIDERONE_DRYRUN would do nothing."""
    known = {_SEPARATORS.sub("", name).lower(): prefix + name.upper().replace("-", "_") for name in declared}
    return [
        f"variable {variable}: there is no such setting; did you mean {meant}?"
        for variable in environment
        if variable.startswith(prefix)
        and (meant := known.get(_SEPARATORS.sub("", variable.removeprefix(prefix)).lower())) not in {None, variable}
    ]
