"""The named transforms, alone and in a row."""

from __future__ import annotations

from decimal import Decimal

import pytest
from singer_delivery.mapping.transforms import TransformError
from singer_delivery.mapping.values import UnusableValueError
from target_insiderone.mapping.transforms import compile_transforms

CASES = {
    "date of a date-time": ("date", "2026-06-01T23:30:00+03:00", "2026-06-01"),
    "datetime with an offset": ("datetime", "2026-06-01T12:30:00+03:00", "2026-06-01T09:30:00Z"),
    "datetime with Klaviyo's offset": ("datetime", "2026-06-01T09:30:00+00:00", "2026-06-01T09:30:00Z"),
    "naive datetime is UTC": ("datetime", "2026-06-01 09:30:00", "2026-06-01T09:30:00Z"),
    "datetime keeps a fraction": ("datetime", "2026-06-01T09:30:00.25Z", "2026-06-01T09:30:00.250000Z"),
    "datetime of a week date": ("datetime", "2026-W23-1T09:30:00+00:00", "2026-06-01T09:30:00Z"),
    "datetime of epoch seconds": ("datetime", 1780306200, "2026-06-01T09:30:00Z"),
    "datetime of epoch milliseconds": ("datetime", 1780306200000, "2026-06-01T09:30:00Z"),
    "birthday ends in Z": ("birthday", "1985-12-10", "1985-12-10T00:00:00Z"),
    "birthday keeps its own day": ("birthday", "1985-12-10T00:30:00+03:00", "1985-12-10T00:00:00Z"),
    "birthday of a birthday": ("birthday", "1985-12-10T00:00:00Z", "1985-12-10T00:00:00Z"),
    "number from text, exactly": ("number", "0.10", Decimal("0.10")),
    "number stays": ("number", 12345678901234567890, 12345678901234567890),
    "integer from a whole float": ("integer", 2.0, 2),
    "integer from text": ("integer", " 7 ", 7),
    "boolean from a word": ("boolean", "Yes", True),
    "boolean from zero": ("boolean", 0, False),
    "string of a large number": ("string", 12345678901234567890, "12345678901234567890"),
    "string of a decimal": ("string", Decimal("0.10"), "0.10"),
    "string of a boolean": ("string", False, "false"),
    "lower": ("lower", "ADA", "ada"),
    "upper": ("upper", "ada", "ADA"),
    "trim": ("trim", " Ada ", "Ada"),
    "country by name": ("country", "Norway", "NO"),
    "country by code": ("country", "no", "NO"),
    "country by alpha-3": ("country", "NOR", "NO"),
    "country by alias": ("country", "UK", "GB"),
    "country by the name of before": ("country", "Turkey", "TR"),
    "country by its own letters": ("country", "Türkiye", "TR"),
    "number with a decimal comma": ("number:comma", "12,50", Decimal("12.50")),
    "comma, groups by points": ("number:comma", "1.234.567,50", Decimal("1234567.50")),
    "comma, groups by blanks": ("number:comma", "1\u202f234,5", Decimal("1234.5")),
    "comma, groups by apostrophes": ("number:comma", "1\u2019234,50", Decimal("1234.50")),
    "comma, a group alone": ("number:comma", "1.234", 1234),
    "comma, three decimals": ("number:comma", "1,234", Decimal("1.234")),
    "comma, a sign and a currency": ("number:comma", "\u221212,50 €", Decimal("-12.50")),
    "comma, a sign before a currency": ("number:comma", "-€ 12,50", Decimal("-12.50")),
    "comma, no digit before it": ("number:comma", ",5", Decimal("0.5")),
    "point, a sign before a currency": ("number:point", "-$1,234.50", Decimal("-1234.50")),
    "comma leaves a number": ("number:comma", Decimal("12.50"), Decimal("12.50")),
    "number with a decimal point": ("number:point", "$1,234.50", Decimal("1234.50")),
    "point, a group alone": ("number:point", "1,234", 1234),
    "country in Spanish": ("country", "Alemania", "DE"),
    "country in Russian": ("country", "Германия", "DE"),
    "country in Turkish capitals": ("country", "BİRLEŞİK KRALLIK", "GB"),
    "country without accents": ("country", "Osterreich", "AT"),
    "country with signs": ("country", "Bosnia & Herzegovina", "BA"),
    "country with another apostrophe": ("country", "Côte d\u2019Ivoire", "CI"),
    "country shortened": ("country", "St. Lucia", "LC"),
    "country with points": ("country", "U.S.A.", "US"),
    "country with points and blanks": ("country", "U. S. A.", "US"),
    "country with an article": ("country", "The Netherlands", "NL"),
    "country between invisible characters": ("country", "\u200bNorway\ufeff", "NO"),
    "locale": ("locale", "en-US", "en_US"),
    "locale without region": ("locale", "DE", "de"),
    "locale with a script": ("locale", "zh-hant-tw", "zh_Hant_TW"),
    "join": ("join", ["a", None, 2], "a, 2"),
    "join with its own separator": ("join: | ", ["a", "b"], "a | b"),
    "json of an object, keys sorted": ("json", {"b": Decimal("0.10"), "a": [1]}, '{"a":[1],"b":0.10}'),
    "json leaves a scalar": ("json", "plain", "plain"),
    "first of a list": ("first", ["a", "b"], "a"),
    "first of an empty list": ("first", [], None),
    "first of a list that is there": ("first", ["", None, 0], 0),
    "first of a list of blanks": ("first", [" ", ""], " "),
    "date of eight digits": ("date", "19851210", "1985-12-10"),
    "date of a number of eight digits": ("date", 19851210, "1985-12-10"),
    "datetime of a number of eight digits": ("datetime", Decimal("20260601.0"), "2026-06-01T00:00:00Z"),
    "birthday of a number of eight digits": ("birthday", 19851210, "1985-12-10T00:00:00Z"),
    "birthday of a week date": ("birthday", "1985W502", "1985-12-10T00:00:00Z"),
    "datetime of seconds that look like a month 40": ("datetime", 1985401012, "2032-11-30T04:16:52Z"),
    "birthday of an epoch before 1970": ("birthday", -126230400, "1966-01-01T00:00:00Z"),
    "birthday of epoch milliseconds": ("birthday", 503020800000, "1985-12-10T00:00:00Z"),
    "date of the year 1": ("date", "0001-01-01", "0001-01-01"),
    "date of the year 9999": ("date", "9999-12-31T00:00:00Z", "9999-12-31"),
    "date between invisible characters": ("date", "\ufeff2026-06-01\u200b", "2026-06-01"),
    "trim of invisible characters": ("trim", "\u202a Ada\u00a0\u202c", "Ada"),
    "first of one value": ("first", "a", "a"),
    "map": ('map:{"1": "gold"}', 1, "gold"),
    "map by a boolean": ('map:{"true": "yes"}', True, "yes"),
    "map otherwise": ('map:{"1": "gold", "*": "none"}', 2, "none"),
}


@pytest.mark.req("IN-20")
@pytest.mark.parametrize(("transform", "value", "result"), CASES.values(), ids=CASES.keys())
def test_transform(transform, value, result):
    """What goes in, what comes out, and of what type."""
    transformed = compile_transforms([transform])(value)

    assert transformed == result
    assert type(transformed) is type(result)


@pytest.mark.parametrize(
    ("transform", "value"),
    [
        pytest.param("date", "31.12.2026", id="ambiguous order of day and month"),
        pytest.param("datetime", "soon", id="no time"),
        pytest.param("birthday", 1985, id="a year is no epoch"),
        pytest.param("birthday", "1985", id="a year is no date"),
        pytest.param("birthday", 0, id="zero is no birthday"),
        pytest.param("birthday", 10121985, id="day, month, year"),
        pytest.param("birthday", 31531985, id="digits of no date"),
        pytest.param("birthday", 1985.5, id="a year and a half"),
        pytest.param("date", 42, id="a small number is no epoch"),
        pytest.param("date", "10121985", id="digits in another order"),
        pytest.param("date", "5321234567", id="digits of a phone number"),
        pytest.param("datetime", 9_999_999_999, id="beyond the plausible years"),
        pytest.param("datetime", 20260601093000, id="digits of date and time"),
        pytest.param("birthday", 198512101200, id="digits to the minute, which are milliseconds of 1976"),
        pytest.param("birthday", 1985121012, id="digits to the hour, which are seconds of 2032"),
        pytest.param("date", "2026-W23", id="a week without its day"),
        pytest.param("datetime", "2026W23", id="a week without its day, no hyphens"),
        pytest.param("birthday", "00.00.0000", id="zeros with points"),
        pytest.param("birthday", "0000-00-00", id="zeros"),
        pytest.param("date", "2024-02-30", id="a day that never was"),
        pytest.param("date", "1985-12", id="a month without its day"),
        pytest.param("date", 31391, id="a day as a spreadsheet counts"),
        pytest.param("datetime", 1780306200000000, id="microseconds"),
        pytest.param("datetime", 1780306200000000000, id="nanoseconds"),
        pytest.param("datetime", "2026060110930", id="digits that Python reads as date and time"),
        pytest.param("datetime", Decimal("1e400"), id="beyond a double"),
        pytest.param("number", Decimal("1e400"), id="a number beyond a double"),
        pytest.param("integer", 10**400, id="an integer beyond a double"),
        pytest.param("datetime", True, id="a boolean is no epoch"),
        pytest.param("datetime", 10**400, id="beyond all calendars"),
        pytest.param("birthday", {"year": 1985}, id="an object"),
        pytest.param("number", "12,50", id="a comma that may be either"),
        pytest.param("number:comma", "1.23", id="no group of three"),
        pytest.param("number:comma", "1,234.50", id="the other way round"),
        pytest.param("number:comma", "1.234 567,8", id="groups of two kinds"),
        pytest.param("number:comma", "1.2345", id="a group of four"),
        pytest.param("number:comma", "12,50 or so", id="words"),
        pytest.param("number:comma", "", id="nothing"),
        pytest.param("number:comma", ",", id="a comma alone"),
        pytest.param("number:comma", "-", id="a sign alone, with a comma"),
        pytest.param("number:point", "$", id="a currency alone"),
        pytest.param("number:point", "$-$5", id="two currencies"),
        pytest.param("number:comma", True, id="a boolean, with a comma"),
        pytest.param("number:comma", Decimal("1e400"), id="beyond a double, with a comma"),
        pytest.param("number:point", "12,50", id="a comma for a point"),
        pytest.param("country", "\u200b", id="an invisible country"),
        pytest.param("number", "NaN", id="not a number"),
        pytest.param("number", "1e999", id="a number to fill the memory"),
        pytest.param("number", "1_000", id="Python's own spelling"),
        pytest.param("number", True, id="a boolean is no number"),
        pytest.param("integer", 2.5, id="a fraction"),
        pytest.param("boolean", "maybe", id="no yes, no no"),
        pytest.param("string", ["a"], id="a list is no text"),
        pytest.param("lower", 7, id="a number has no case"),
        pytest.param("country", "Atlantis", id="no country"),
        pytest.param("country", 7, id="a number is no country"),
        pytest.param("locale", "English", id="a language's name"),
        pytest.param("join", [["a"]], id="a list in a list"),
        pytest.param('map:{"1": "gold"}', 2, id="not in the map"),
    ],
)
def test_unusable_value_is_refused(transform, value):
    """Value that a transform cannot take is refused.

    Never a guess, never another exception: the caller leaves the value out and counts it.
    """
    with pytest.raises(UnusableValueError):
        compile_transforms([transform])(value)


@pytest.mark.parametrize(
    ("value", "result"),
    [(None, 1), ("", 1), (" \u200b", 1), (0, 0), (False, False)],
    ids=["null is filled", "empty is filled", "blank is filled", "zero is a value", "false is a value"],
)
def test_default_fills_gaps(value, result):
    """`default` replaces absent values.

    Klaviyo writes an empty text where nothing was filled in; zero and false are answers.
    """
    filled = compile_transforms(["default:1"])(value)

    assert (filled, type(filled)) == (result, type(result))


def test_plain_default_is_a_string():
    """Default that is no JSON is text. ``default:gold`` needs no quotes."""
    assert compile_transforms(["default:gold"])(None) == "gold"


def test_transforms_apply_in_their_order():
    """A list reads like a sentence: the first, trimmed, in lower case, or else none."""
    apply = compile_transforms(["first", "trim", "lower", "default:none"])

    assert [apply([" ADA "]), apply([]), apply(None)] == ["ada", "none", "none"]


@pytest.mark.parametrize(
    ("transform", "suggestion"),
    [
        ("consnt", "did you mean `consent`?"),
        ("consent:all", "write 'consent' or 'consent:never=false'"),
        ("lower:x", "write 'lower'"),
        ("default", "write 'default:<value>', such as 'default:1'"),
        ("number:komma", "write 'number', 'number:comma'"),
        ("default:1e400", "write a smaller one"),
        ('map:{"a": [1, 1e400]}', "write a smaller one"),
        ("map:[1]", """write 'map:{"from": "to", "*": "anything else"}'"""),
        ("map", """write 'map:{"from": "to", "*": "anything else"}'"""),
        ("Zzz!", "one of birthday, "),
    ],
    ids=[
        "near miss",
        "consent",
        "no argument taken",
        "default",
        "number",
        "default beyond a double",
        "map beyond a double",
        "map of a list",
        "map of nothing",
        "no near miss",
    ],
)
def test_unknown_transform_is_refused(transform, suggestion):
    """Unknown transform is an error of the settings. Found when the settings are read, with what to write instead."""
    with pytest.raises(TransformError) as error:
        compile_transforms([transform])

    assert error.value.suggestion.startswith(suggestion)
