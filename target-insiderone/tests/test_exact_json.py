"""JSON in and out: no number costs its line, and none changes on the way."""

from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from singer_delivery.exact_json import decode, encode


@pytest.mark.parametrize(
    "number",
    ["1E+400", "-1E+400", "1E-400", "9" * 400, "9" * 5_000, "-" + "9" * 5_000, "0.1000", "12345678901234567890", "1.5"],
    ids=lambda number: f"{number[:12]} of {len(number)}",
)
def test_numbers_round_trip(number):
    """Number comes back as it went. A reject holds the record as it came."""
    assert encode(decode(f'{{"n":{number}}}')) == f'{{"n":{number}}}'.encode()


@pytest.mark.parametrize(
    ("number", "sign"),
    [
        ("1e9999999999999999999", 1),
        ("-2.5E+9999999999999999999", -1),
        ("1e-9999999999999999999", 1),
        ("0e9999999999999999999", 0),
    ],
)
def test_huge_exponent_costs_no_line(number, sign):
    """Exponent that nothing holds costs no line.

    Python's decimals end at exponents of 18 digits; the value stays beyond a double, and a number.
    """
    value = decode(number)

    assert type(value) is Decimal
    assert (value > 0) - (value < 0) == sign
    assert value == 0 or abs(value.adjusted()) > 400
    assert decode(encode(value)) == value


@pytest.mark.parametrize("text", ["NaN", "Infinity", '{"n":1e9999999999999999999,"m":NaN}', "{", "01"])
def test_invalid_json_is_refused(text):
    """What is no JSON is refused.

    NaN and Infinity are no numbers of JSON, also where the second reading, which knows them, is needed.
    """
    with pytest.raises(msgspec.DecodeError):
        decode(text)
