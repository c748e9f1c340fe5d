"""The filter grammar: ``and(greater-than(updated,2026-01-01T00:00:00Z),any(id,["a","b"]))``.

Source: https://developers.klaviyo.com/en/docs/filtering_
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from operator import contains, eq, ge, gt, le, lt
from typing import TYPE_CHECKING, Any, NoReturn

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, instant_of
from klaviyo_insiderone_sandbox.klaviyo.errors import invalid

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_LIST = 100
"""Values in one ``any`` list."""

OPERATORS = (
    "equals", "any", "has", "contains", "contains-all", "contains-any", "starts-with", "ends-with",
    "greater-than", "greater-or-equal", "less-than", "less-or-equal",
)  # fmt: skip
COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": eq,
    "any": lambda value, listed: value in listed,
    "contains": contains,
    "starts-with": str.startswith,
    "ends-with": str.endswith,
    "greater-than": gt,
    "greater-or-equal": ge,
    "less-than": lt,
    "less-or-equal": le,
}
"""Operator -> whether a resource's value meets the filter's."""


class Kind(Enum):
    """The value that a field is compared with."""

    TEXT = "string"
    TIME = "datetime"
    EPOCH = "timestamp"
    BOOLEAN = "boolean"
    RESOURCE = "resource"


@dataclass(frozen=True, slots=True)
class FieldRule:
    """How one field of one endpoint may be filtered."""

    kind: Kind
    operators: tuple[str, ...]
    only_past: bool = False
    """Bounds in the future are refused."""
    ignored: bool = False
    """Accepted without effect, as seen on the wire."""


EQUALS = ("equals",)
EQUALS_ANY = ("equals", "any")
EXCLUSIVE = ("greater-than", "less-than")
BOUNDS = ("greater-or-equal", "greater-than", "less-or-equal", "less-than")

IS = FieldRule(Kind.TEXT, EQUALS)
ONE_OF = FieldRule(Kind.TEXT, EQUALS_ANY)
LIKE = FieldRule(Kind.TEXT, ("contains", "ends-with", "equals", "starts-with"))
AFTER = FieldRule(Kind.TIME, ("greater-than",))
BETWEEN = FieldRule(Kind.TIME, EXCLUSIVE)
WITHIN = FieldRule(Kind.TIME, BOUNDS)
FLAG = FieldRule(Kind.BOOLEAN, EQUALS)


@dataclass(frozen=True, slots=True)
class Condition:
    """One part of a filter; times are microseconds since 1970."""

    operator: str
    field: str
    value: Any
    kind: Kind


@dataclass(frozen=True, slots=True)
class Literal:
    """A value as written."""

    text: str
    quoted: bool


class Scanner:
    """Reads a filter expression from left to right."""

    _WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_.$-]*")
    _QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'", re.DOTALL)
    _BARE = re.compile(r"[^,()\[\]\"'\s]+")

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def expression(self) -> list[tuple[str, str, list[Literal] | Literal | None]]:
        """Read the whole text as ``(operator, field, value)`` triples."""
        found = self._list()
        if self._at != len(self._text):
            self._fail()
        return found

    def _list(self) -> list[tuple[str, str, list[Literal] | Literal | None]]:
        found = self._term()
        while self._accept(","):
            found += self._term()
        return found

    def _term(self) -> list[tuple[str, str, list[Literal] | Literal | None]]:
        operator = self._match(self._WORD)
        self._expect("(")
        if operator == "and":
            inner = self._list()
            self._expect(")")
            return inner
        if operator not in OPERATORS:
            raise invalid("filter", f"'{operator}' is not a valid filter operator.")
        field = self._match(self._WORD)
        value: list[Literal] | Literal | None = None
        if operator != "has":
            self._expect(",")
            value = self._array() if self._accept("[") else self._literal()
        self._expect(")")
        return [(operator, field, value)]

    def _array(self) -> list[Literal]:
        values = [self._literal()]
        while self._accept(","):
            values.append(self._literal())
        self._expect("]")
        return values

    def _literal(self) -> Literal:
        self._skip_blanks()
        if match := self._QUOTED.match(self._text, self._at):
            self._at = match.end()
            return Literal(
                re.sub(r"\\(.)", r"\1", match[1] if match[1] is not None else match[2], flags=re.DOTALL), quoted=True
            )
        return Literal(self._match(self._BARE), quoted=False)

    def _match(self, pattern: re.Pattern[str]) -> str:
        self._skip_blanks()
        match = pattern.match(self._text, self._at)
        if match is None:
            self._fail()
        self._at = match.end()
        return match[0]

    def _accept(self, character: str) -> bool:
        self._skip_blanks()
        if not self._text.startswith(character, self._at):
            return False
        self._at += 1
        self._skip_blanks()
        return True

    def _expect(self, character: str) -> None:
        if not self._accept(character):
            self._fail()

    def _skip_blanks(self) -> None:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1

    def _fail(self) -> NoReturn:
        raise invalid("filter", f"Invalid filter provided: unexpected input at position {self._at + 1}.")


def parse_filter(text: str, rules: Mapping[str, FieldRule], now: int) -> list[Condition]:
    """Read a filter by an endpoint's rules; *now* judges which bounds lie in the future.

    Raises:
        KlaviyoError: 400; broken grammar, unknown field, operator not allowed there, wrong kind of value.
    """
    found = [condition(operator, field, value, rules, now) for operator, field, value in Scanner(text).expression()]
    return [one for one in found if not rules[one.field].ignored]


def holds(condition: Condition, value: Any) -> bool:
    """Return whether a value, times as the API shows them, meets a condition; null meets none."""
    if value is None:
        return False
    if condition.kind is Kind.TIME:
        value = instant_of(value)
    return COMPARE[condition.operator](value, condition.value)


def condition(
    operator: str, field: str, value: list[Literal] | Literal | None, rules: Mapping[str, FieldRule], now: int
) -> Condition:
    """Check one condition against the endpoint's rules."""
    rule = rules.get(field)
    if rule is None:
        raise invalid(
            "filter",
            f"'{field}' is not a filterable field.  Filterable fields are {', '.join(sorted(rules)) or 'none'}",
        )
    if operator not in rule.operators:
        allowed = ", ".join(rule.operators)
        raise invalid(
            "filter", f"'{operator}' is not an allowed filter operator for {field}.  Allowed operators are {allowed}"
        )
    if operator == "has":
        return Condition(operator, field, None, rule.kind)
    if operator == "any":
        values = (value_of(field, literal, rule, now) for literal in literals_of(field, value))
        return Condition(operator, field, frozenset(values), rule.kind)
    if not isinstance(value, Literal):
        raise invalid("filter", f"'{operator}' takes a single value for {field}, not a list.")
    return Condition(operator, field, value_of(field, value, rule, now), rule.kind)


def literals_of(field: str, value: list[Literal] | Literal | None) -> list[Literal]:
    """Return the values of an ``any`` list."""
    if not isinstance(value, list):
        raise invalid("filter", f"'any' takes a list of values for {field}.")
    if len(value) > MAX_LIST:
        raise invalid("filter", f"'any' takes at most {MAX_LIST} values for {field}; {len(value)} were given.")
    return value


def value_of(field: str, literal: Literal, rule: FieldRule, now: int) -> Any:
    """Read a literal as the kind of value that the field has."""
    if rule.kind is Kind.TEXT:
        return text_of(field, literal)
    if rule.kind is Kind.BOOLEAN:
        return boolean_of(field, literal)
    instant = time_of(field, literal, epoch=rule.kind is Kind.EPOCH)
    if rule.only_past and instant > now:
        raise invalid("filter", f"Invalid filter value for {field}: the date must not be in the future.")
    return instant


def text_of(field: str, literal: Literal) -> str:
    """Return a string; strings must be quoted."""
    if not literal.quoted:
        raise invalid("filter", f"Invalid filter value for {field}: strings must be quoted.")
    return literal.text


def boolean_of(field: str, literal: Literal) -> bool:
    """Return true or false, which must not be quoted."""
    if literal.quoted or literal.text not in ("true", "false"):
        raise invalid("filter", f"Invalid filter value for {field}: expected true or false, unquoted.")
    return literal.text == "true"


def time_of(field: str, literal: Literal, *, epoch: bool) -> int:
    """Return a time, which must not be quoted, in microseconds since 1970."""
    refusal = invalid("filter", f"Invalid filter value for {field}: expected an unquoted ISO 8601 datetime.")
    if epoch and not literal.quoted and re.fullmatch(r"\d{1,11}", literal.text):
        return int(literal.text) * MICROSECONDS
    if literal.quoted or not re.match(r"\d{4}-\d\d-\d\d($|[Tt])", literal.text):
        raise refusal
    try:
        return instant_of(literal.text)
    except ValueError:
        raise refusal from None
