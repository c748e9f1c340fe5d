"""Phone numbers become E.164, or nothing."""

from __future__ import annotations

import pytest
from singer_delivery.mapping.phone import compile_phone
from singer_delivery.mapping.values import UnusableValueError


@pytest.mark.req("IN-39", "IN-40")
@pytest.mark.parametrize(
    ("given", "country", "sent"),
    [
        pytest.param("0532 123 45 67", "TR", "+905321234567", id="national, region"),
        pytest.param("0532 123 45 67", "+90", "+905321234567", id="national, calling code"),
        pytest.param("532-123-45-67", "90", "+905321234567", id="without trunk zero, code without plus"),
        pytest.param("905321234567", "TR", "+905321234567", id="international without plus"),
        pytest.param(5321234567, "TR", "+905321234567", id="a number"),
        pytest.param("(415) 555-0100", "+1", "+14155550100", id="a code that regions share"),
        pytest.param("020 7946 0958", "GB", "+442079460958", id="trunk zero of another country"),
        pytest.param("06 698 1234", "IT", "+39066981234", id="a leading zero that belongs to the number"),
        pytest.param("444 0 333", "TR", "+904440333", id="a short number that is whole"),
        pytest.param("030 12345678", "DE", "+493012345678", id="an area code with its trunk zero"),
        pytest.param("0234 5678", "DE", "+492345678", id="a short number with its area code"),
        pytest.param("30 12345678", "DE", "+493012345678", id="an area code without its trunk zero"),
        pytest.param("49 30 123456", "DE", "+4930123456", id="the country's code, without plus"),
        pytest.param("0049 30 123456", "TR", "+4930123456", id="another country, by its prefix"),
        pytest.param("999 00 001", "NO", "+4799900001", id="a country without trunk zero"),
        pytest.param("\u202a+47 999\u200b00001\u202c", None, "+4799900001", id="invisible characters"),
        pytest.param("\u20660532 123\ufeff 45 67\u2069", "TR", "+905321234567", id="invisible characters, national"),
        pytest.param("+4799900001", "TR", "+4799900001", id="international stays"),
        pytest.param("+47 (999) 00-001", None, "+4799900001", id="separators go, no country needed"),
        pytest.param("+44 (0)20 7946 0958", None, "+442079460958", id="a bracketed trunk zero"),
        pytest.param("+49(0) 30-123456", "TR", "+4930123456", id="a bracketed trunk zero, no blank"),
        pytest.param("+39 (0)6 698 1234", None, "+39066981234", id="a bracketed zero that belongs to the number"),
        pytest.param("271 6658", "BM", "+14412716658", id="a country of one area code"),
        pytest.param("0800 672 672", "RS", "+381800672672", id="a free number with its zero"),
        pytest.param("612 34567", "LT", "+37061234567", id="a mobile of eight digits without its zero"),
        pytest.param("+90 0532 123 45 67", None, "+905321234567", id="a trunk zero behind the country"),
        pytest.param("+490301234567", None, "+49301234567", id="a trunk zero behind the country, Germany"),
        pytest.param("0090 0532 123 45 67", "TR", "+905321234567", id="a trunk zero behind the country, 00"),
        pytest.param("+7 8 916 123-45-67", None, "+79161234567", id="another trunk prefix"),
        pytest.param("+390669812345", None, "+390669812345", id="a zero that belongs to the number"),
        pytest.param("+2250701234567", None, "+2250701234567", id="a zero that belongs to the number, Ivory Coast"),
        pytest.param("+80021345678", None, "+80021345678", id="a code of no country"),
        pytest.param("+447700900123", None, "+447700900123", id="a number kept free for examples"),
        pytest.param("+52 1 55 1234 5678", None, "+5215512345678", id="a mobile of Mexico as messengers know it"),
        pytest.param("+47\u00a0999\u201100001", None, "+4799900001", id="typographic separators"),
    ],
)
def test_number_becomes_e164(given, country, sent):
    """Insider One's pattern takes nothing else."""
    assert compile_phone(country, normalize=True)(given) == sent


@pytest.mark.parametrize(
    ("given", "country"),
    [
        pytest.param("0532 123 45 67", None, id="national without a country"),
        pytest.param("12", "TR", id="too short"),
        pytest.param("1-800-FLOWERS", "US", id="letters"),
        pytest.param("555-0123", "US", id="no area code"),
        pytest.param("1234567", "DE", id="no number of the country"),
        pytest.param("234 56 78", "DE", id="maybe without its area code"),
        pytest.param("123 45 67", "AT", id="maybe without its area code, Austria"),
        pytest.param("7946 0958", "GB", id="no area code, Great Britain"),
        pytest.param("555 12 34", "TR", id="no area code, Turkey"),
        pytest.param("412 3456", "FI", id="no area code, or a short mobile of Finland"),
        pytest.param("818 7014", "ZA", id="no area code, or a short mobile of South Africa"),
        pytest.param("+47 (0) 12", "NO", id="a bracketed zero in no number"),
        pytest.param("869 3685", "NZ", id="no area code, or a company's number of New Zealand"),
        pytest.param("3123-4567", "BR", id="no area code, Brazil"),
        pytest.param("9123 4567", "AU", id="no area code, Australia"),
        pytest.param("212 555 2368 x12", "US", id="an extension"),
        pytest.param("tel:+12125552368", "US", id="an address of the web"),
        pytest.param("+12125552368, +12125552369", None, id="two numbers"),
        pytest.param("2.125552368E9", "US", id="a number that a spreadsheet has written"),
        pytest.param("222 1234", "MX", id="no area code, Mexico"),
        pytest.param("+1 555-0123", None, id="no area code behind the country"),
        pytest.param("+1 555 555 0123", None, id="an area code that does not exist"),
        pytest.param("+90 123 45 67", None, id="no area code behind the country, Turkey"),
        pytest.param("+49 1234567", None, id="no number of Germany"),
        pytest.param("+39 669812345678901", None, id="too long for its country"),
        pytest.param("+210 123 45 67", None, id="no calling code"),
        pytest.param("+1111111111", None, id="one digit all along"),
        pytest.param("+15555555555", None, id="one digit behind the country"),
        pytest.param("+900000000000", None, id="zeros behind the country"),
        pytest.param("+10000000000", None, id="zeros behind the country, United States"),
        pytest.param("+905555555555", None, id="one digit all along, of a range that exists"),
        pytest.param("0555 555 55 55", "TR", id="one digit all along, national"),
        pytest.param("+1 212 555-5555", None, id="the number of films"),
        pytest.param("+44 1234 567890", None, id="counting behind the country"),
        pytest.param("+919876543210", None, id="counting down"),
        pytest.param("+1234567890", None, id="counting"),
        pytest.param("000-0000", "TR", id="zeros"),
        pytest.param("N/A", "TR", id="a word for nothing"),
        pytest.param("+0123456789", "TR", id="no country starts with zero"),
        pytest.param("+1234567890123456", None, id="too long"),
        pytest.param("+\u0669\u0660\u0665\u0663\u0662\u0661\u0662\u0663", None, id="digits of another script"),
        pytest.param("", "TR", id="empty"),
        pytest.param(True, "TR", id="a boolean"),
        pytest.param(["+4799900001"], "TR", id="a list"),
        pytest.param({"n": 1}, "TR", id="an object"),
    ],
)
def test_invalid_number_is_not_guessed(given, country):
    """What is no number is refused without a guess. A guessed number is somebody else's."""
    with pytest.raises(UnusableValueError):
        compile_phone(country, normalize=True)(given)


@pytest.mark.req("IN-39")
def test_normalization_can_be_switched_off():
    """Then a number must be right as it stands."""
    read = compile_phone("TR", normalize=False)

    assert read("+905321234567") == "+905321234567"
    assert read("\u202a+905321234567\u202c") == "+905321234567"
    for spaced in ("+90 532 123 45 67", "05321234567", "+9005321234567"):
        with pytest.raises(UnusableValueError):
            read(spaced)
