"""Decoding answers: what is passed on unread stays byte by byte, what is read keeps its exact value."""

from __future__ import annotations

import json
import sys
from decimal import Decimal

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from klaviyo_http.documents import (
    OddPageError,
    decode_exactly,
    decode_tolerantly,
    encode,
    read_event_page,
    read_page,
    read_related_page,
    without_undecodable,
)

any_text = st.text(st.characters(codec=None, exclude_categories=())) | st.text('\ud83e\udde6\\u"dD8', max_size=8)
numbers = st.from_regex(r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)


def mended(text: str) -> str:
    """Replace every lone surrogate with U+FFFD, and leave pairs."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def decode(text: str) -> object:
    return decode_exactly(msgspec.Raw(text.encode()))


def same_number(text: str, other: str) -> bool:
    """Compare numbers by value and sign, which distinguishes ``-0`` from ``0``; no digit is rounded off."""
    ours, theirs = Decimal(text), Decimal(other)
    return ours == theirs and ours.is_signed() == theirs.is_signed()


@pytest.mark.req("C-26", "C-11")
@given(any_text, any_text)
@example("\ud83e\ud83e\udde6", "\udde6\ud83e")
@example("\\\ud83e", "\\\\ud83e")
def test_strings_survive_except_surrogates(key, text):
    """Every text arrives but for half characters. As a value, deep inside one, and as a key; written with escapes."""
    attributes = {"a": text, "b": {"c": [text]}, f"k{key}": None, "d": {key: 1}}
    body = json.dumps({"data": [{"id": "P1", "attributes": attributes}], "links": {"next": None}}).encode()
    (profile,) = decode_tolerantly(body, read_page).data

    found = {name: decode_exactly(value) for name, value in profile.attributes.items()}
    whole = mended(text)
    assert found == {"a": whole, "b": {"c": [whole]}, f"k{mended(key)}": None, "d": {mended(key): 1}}


@given(st.text())
def test_unescaped_string_passes_unchanged(text):
    """Text that is not escaped is passed on byte by byte.

    Nothing is normalised, escaped or re-ordered in what nobody looks into.
    """
    encoded = json.dumps({"z": text, "a": text}, ensure_ascii=False)
    body = f'{{"data":[{{"id":"E1","relationships":{{}},"attributes":{{"p":{encoded}}}}}],"links":{{"next":null}}}}'
    (event,) = decode_tolerantly(body.encode(), read_event_page).data

    assert bytes(event.attributes["p"]) == encoded.encode()


def test_byte_order_mark_is_ignored():
    """Byte order mark is no part of a page. A proxy that writes answers anew may put one in front."""
    body = b'\xef\xbb\xbf{"data":[{"id":"P1","attributes":{}}],"links":{"next":null}}'

    assert [profile.id for profile in decode_tolerantly(body, read_page).data] == ["P1"]


@pytest.mark.parametrize("place", ["P1", "self"])
def test_invalid_utf8_is_refused(place):
    """Bytes that are no UTF-8 are refused.

    A target could not read the line; where no other resource came, or outside of any, they are asked for again.
    """
    body = b'{"data":[{"id":"P1","attributes":{}}],"links":{"next":null,"self":""}}'

    with pytest.raises((UnicodeDecodeError, OddPageError)):
        decode_tolerantly(body.replace(b'"%b"' % place.encode(), b'"\xff"'), read_page)


@pytest.mark.req("C-23")
@given(numbers)
@example("-0")
@example("0.1000000000000000055511151231257827")
@example("1e400")
@example("-98765432109876543210")
def test_number_keeps_its_value(text):
    """Integers, money, and what no double can hold; alone and inside of something."""
    alone = encode(decode(text)).decode()
    inside = encode(decode(f'{{"a":[-0, {text}]}}')).decode()

    assert same_number(alone, text)
    assert inside.startswith('{"a":[-0,')
    assert same_number(inside[9:-2], text)


@pytest.mark.parametrize("text", ["1" * 5_000, "-" + "9" * 700, "1." + "1" * 5_000], ids=["5,000", "-700", "decimals"])
def test_huge_integer_keeps_digits(text):
    """Number of thousands of digits keeps them. Python refuses to read such integers as int, lest it take too long."""
    assert encode(decode(text)).decode() == text


def test_unbounded_number_keeps_digits():
    """A number beyond all bounds keeps its digits as a string, so that it does not block the stream forever."""
    assert decode("[1e99999999999999999999, 1.10]") == ["1e99999999999999999999", Decimal("1.10")]


@pytest.mark.parametrize("text", ['"-0"', '"x -0, y"', "0", "false", '""', "null", "[]", "{}", '{"":null}', "[-0.0]"])
def test_zero_empty_null_are_distinct(text):
    """Zero false empty and null stay apart. And what only looks like a negative zero is let be."""
    assert encode(decode(text)).decode() == text


def test_numbers_become_int_or_decimal():
    """Integers become int and other numbers decimal. Stream maps calculate with them."""
    assert [type(value) for value in decode("[1, 12345678901234567890, 1.0, 1e2]")] == [int, int, Decimal, Decimal]


@pytest.fixture
def usual_recursion():
    """Python's own limit; commands that ran in this process may have raised it."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("usual_recursion")
@pytest.mark.parametrize("depth", [5_000, 200_000])
@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_deep_resource_keeps_its_id(depth, opening):
    """Resource nested too deep keeps its id alone. It is one odd resource of its page; the others are read."""
    closing = b"]" if opening == b"[" else b"}"
    deep = opening * depth + b"1" + closing * depth
    others = [b'{"id":"%d","attributes":{"text":"[[{\\"]"}}' % number for number in (1, 3)]
    body = b'{"data":[%b,{"type":"profile","id":"2","attributes":{"x":%b}},%b],"links":{}}' % (
        others[0],
        deep,
        others[1],
    )

    mended = without_undecodable(body)

    assert mended == b'{"data":[%b,{"id":"2","attributes":null},%b],"links":{}}' % tuple(others)


UNDECODABLE = {
    "a byte that is no UTF-8": b'"\xfc"',
    "a line break": b'"first\nsecond"',
    "a tab": b'"a\tb"',
    "NUL": b'"\x00"',
    "NaN": b"NaN",
    "infinity": b"[-Infinity]",
    "an escape of another language": rb'"\x41 \"{[, "',
    "half an escape": rb'"\u12"',
    "a number in octal": b"007",
    "a number without its digits": b"1.",
    "a comma too many": b'{"a":1,}',
    "a name without quotes": b"{a: 1}",
    "a comment": b"1 /* , */",
    "nothing": b"",
    "quotes within quotes": b'"say "hi" now"',
    "a byte that is no UTF-8, in a name": b'{"\xe9":1}',
}


@pytest.mark.parametrize("value", UNDECODABLE.values(), ids=UNDECODABLE)
def test_invalid_resource_costs_itself(value):
    """Resource that is no JSON costs itself alone.

    The whole page was taken for cut off, and asked for until the stream failed, again in every run.

    Half a character and brackets in the texts of the others change nothing.
    """
    body = (
        b'{"data":[{"id":"A","attributes":{"text":"[{\\"\\ud83d"}}, '
        b'{"type":"profile","attributes":{"properties":{"id":"x","odd":%b}},"id" : "B"}\n,'
        b'{"id":"C","attributes":{"list":[]}}],"links":{"next":null}}'
    )

    page = decode_tolerantly(body % value, read_page)

    assert [profile.id for profile in page.data] == ["A", "C"]
    assert bytes(page.data[0].attributes["text"]) == rb'"[{\"\ufffd"'
    assert [(odd.place, odd.id) for odd in page.odd] == [("data[1]", "B")]


@pytest.mark.parametrize("gap", [b"", b" \n"])
def test_gap_in_page_costs_itself(gap):
    """Place between commas costs itself alone.

    Nothing between two commas was taken for an empty list, and the page for cut off.
    """
    body = (
        b'{"data":[{"id":"A","attributes":{}},%b,{"id":"B","attributes":{}},%b],"included":[%b],"links":{"next":null}}'
    )

    page = decode_tolerantly(body % (gap, gap, gap), read_related_page)

    assert [(one.id, page.included) for one in page.data] == [("A", []), ("B", [])]
    assert [odd.place for odd in page.odd] == ["data[1]", "data[3]"]


@pytest.mark.parametrize("member", [b"NaN", b'"\xfc"', b"[007]", b'{"id":"X","type":"profile","attributes":{"a":.5}}'])
def test_invalid_included_leaves_its_event(member):
    """Included resource that is no JSON leaves its event. The event comes, and what came along with it is named."""
    body = b'{"included":[%b],"data":[{"id":"E","relationships":{},"attributes":{}}],"links":{"next":null}}'

    page = decode_tolerantly(body % member, read_event_page)

    assert ([event.id for event in page.data], page.included) == (["E"], [])
    assert [(odd.place, odd.id) for odd in page.odd] == [("included[0]", "X" if b"id" in member else None)]


def test_truncated_page_is_refused():
    """Page that is cut off is no page.

    Wherever it ends; it is asked for again. So is one that is no JSON outside of its resources.
    """
    body = b'{"data":[{"id":"A","attributes":{}},{"id":"B","attributes":{"a":NaN,"b":"\\"c"}}],"links":{"next":null}}'

    for end in range(len(body)):
        with pytest.raises(msgspec.DecodeError):
            decode_tolerantly(body[:end], read_page)
    for broken in (body.replace(b"null", b"nul"), body + b"]", body + b'"'):
        with pytest.raises(msgspec.DecodeError):
            decode_tolerantly(broken, read_page)
