"""Which identifiers a record carries, and what an invalid one costs."""

from __future__ import annotations

from decimal import Decimal
from unicodedata import category

import pytest
from mapping_configs import ADA, settings_of
from singer_delivery.errors import Filtered, Rejected
from singer_delivery.mapping import placeholders, values
from target_insiderone.mapping import compile_events, compile_profiles

NOON = 1_780_315_200.0
"""2026-06-01T12:00:00Z, in epoch seconds."""


def row(identifier_type, source_field, **more):
    return {"identifier_type": identifier_type, "source_field": source_field, **more}


def identify(record, *rows, **config):
    """Map a profile that has something to write, and return its identifiers and notes."""
    settings = settings_of(
        identifier_mappings=list(rows), fixed_attributes=[{"attribute": "data_source", "value": "klaviyo"}], **config
    )
    mapped = compile_profiles(settings)(record)
    return mapped.identifiers, mapped.notes


@pytest.mark.req("IN-10", "IN-11", "IN-12")
def test_all_identifiers_are_sent():
    """Every present identifier is sent from any field.

    Custom ones stand under ``custom``, and a source may hold blanks, dots and ``$``.
    """
    record = {
        "id": "01ADA",
        "email": "ada@example.com",
        "phone_number": "+4799900001",
        "external_id": "crm-1",
        "location": {"zip": "0150"},
        "properties": {"Loyalty Card No.": "L-7", "$shop": "oslo"},
    }

    identifiers, _ = identify(
        record,
        row("email", "email"),
        row("phone_number", "phone_number"),
        row("uuid", "external_id"),
        row("custom.klaviyo_id", "id"),
        row("custom.card", "Loyalty Card No."),
        row("custom.shop", "$shop"),
        row("custom.zip", "location.zip"),
    )

    assert identifiers == {
        "email": "ada@example.com",
        "phone_number": "+4799900001",
        "uuid": "crm-1",
        "custom": {"klaviyo_id": "01ADA", "card": "L-7", "shop": "oslo", "zip": "0150"},
    }


@pytest.mark.req("IN-13")
@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param(12345678901234567890, "12345678901234567890", id="20 digits survive"),
        pytest.param(Decimal("12345678901234567890.0"), "12345678901234567890", id="20 digits as decimal"),
        pytest.param(1001.0, "1001", id="a whole float loses its point"),
        pytest.param(10.5, "10.5", id="a fraction stays"),
        pytest.param(" crm-1 ", "crm-1", id="blanks around are trimmed"),
    ],
)
def test_uuid_is_a_string(given, sent):
    """Uuid is a text also from a number.

    The API refuses the whole user for a numeric uuid; a rounded one would be another person.
    """
    identifiers, _ = identify({"external_id": given}, row("uuid", "external_id"))

    assert identifiers == {"uuid": sent}


@pytest.mark.req("IN-14")
@pytest.mark.parametrize(
    ("first", "notes"),
    [
        pytest.param(None, (), id="null"),
        pytest.param("", (), id="empty"),
        pytest.param("   ", (), id="blank"),
        pytest.param("nonsense", (("identifier_skipped", "email"),), id="invalid"),
    ],
)
def test_first_valid_identifier_wins(first, notes):
    """First valid value of a type wins.

    The order of the settings decides, so that a person keeps one identity from run to run.
    """
    record = {"email": first, "properties": {"work_email": "ada@work.example", "old_email": "ada@old.example"}}

    found = identify(record, row("email", "email"), row("email", "work_email"), row("email", "old_email"))

    assert found == ({"email": "ada@work.example"}, notes)


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        pytest.param(" Ada@Example.com ", "Ada@Example.com", id="trimmed, case kept"),
        pytest.param("ünïcode@example.com", "ünïcode@example.com", id="unicode"),
        pytest.param("ada\u200b@exa\u00admple.com\ufeff", "ada@example.com", id="invisible characters within"),
        pytest.param("می\u200cم@example.com", "می\u200cم@example.com", id="a joiner within a word"),
        pytest.param("ada@bücher.example", "ada@bücher.example", id="an international name"),
        pytest.param("a@b", None, id="no dot"),
        pytest.param("a@b.c\nd", None, id="a line break inside"),
        pytest.param(7, None, id="a number"),
        pytest.param(["a@b.c"], None, id="a list"),
    ],
)
def test_email_fits_insiderone_pattern(address, sent):
    """Email is held to the pattern of Insider One.

    One invalid identifier costs the whole user there, so it must not leave the house.
    """
    record = {"email": address, "external_id": "crm-1"}

    identifiers, notes = identify(record, row("email", "email"), row("uuid", "external_id"))

    assert identifiers.get("email") == sent
    assert notes == (() if sent else (("identifier_skipped", "email"),))


@pytest.mark.parametrize(
    "address",
    [
        *(
            "undefined@undefined.undefined",
            "n/a@n/a.n/a",
            "null@null.com",
            "NoEmail@noemail.com",
            "-@-.-",
            "no@none.co.uk",
        ),
        *("{{email}}@{{domain}}.com", "{{ email }}@shop.example", "%EMAIL%@shop.example", "<email>@<domain>.com"),
    ],
)
def test_placeholder_address_is_skipped(address):
    """Address made of placeholders is nobodys.

    It passes Insider One's pattern, and made one user of all who left the field empty.
    """
    record = {"email": address, "external_id": "crm-1"}

    found = identify(record, row("email", "email"), row("uuid", "external_id"))

    assert found == ({"uuid": "crm-1"}, (("identifier_blocked", "email"),))


@pytest.mark.parametrize(
    "address",
    ["null@shop.example", "guest@hotel.example", "contact@client.example", "ada@null.example", "100%ada@shop.example"],
)
def test_partial_placeholder_address_is_kept(address):
    """An address that partly resembles a placeholder is kept. A mailbox may have any name."""
    assert identify({"email": address}, row("email", "email")) == ({"email": address}, ())


def test_email_case_is_kept():
    """Email is lower cased only on demand.

    Two spellings are two people in Insider One; which one is right only the customer knows.
    """
    identifiers, _ = identify({"email": "Ada@Example.com"}, row("email", "email", transform="lower"))

    assert identifiers == {"email": "ada@example.com"}


@pytest.mark.parametrize(
    "blocked",
    [
        *(
            "undefined",
            "Anonymous",
            "0",
            "1",
            "null",
            0,
            1,
            1.0,
            -1,
            "None",
            "nan",
            "NaN",
            "N/A",
            "n.a.",
            "#N/A",
            "<NA>",
        ),
        *("-", "--", "?", "{}", "[]", "[object Object]", "(not set)", "NULL", '"null"', "Unknown", "guest", "True"),
        *("0000", "0.0", "00000000-0000-0000-0000-000000000000", "{00000000-0000-0000-0000-000000000000}"),
        *("#REF!", "#NAME?", "Infinity", "(blank)", "Not found", "unbekannt", "misafir", "null-undefined", "N/A N/A"),
        *("[object Undefined]", "11111111-1111-1111-1111-111111111111", "d41d8cd98f00b204e9800998ecf8427e", "0" * 64),
        *("\u200bNone\ufeff", "{{ customer.id }}", "${id}", "*|ID|*", "%%ID%%", "f" * 32),
        *(
            "NOT LOGGED IN",
            "notLoggedIn",
            "Unknown Customer",
            "unknown user",
            "AnonymousUser",
            "guestuser",
            "none given",
        ),
        *(
            "keine Angabe",
            "nicht angemeldet",
            "unbekannter Kunde",
            "BİLİNMEYEN MÜŞTERİ",
            "Giriş yap\u0131lmam\u0131ş",
            "non renseigné",
        ),
        *("customer_id", "userId", "user-null", "N/A customer", "Walk-in Customer", "anonymous, anonymous"),
        *(
            "\\N",
            "Optional(nil)",
            "Optional.empty",
            "<nil>",
            "%!s(<nil>)",
            "System.DBNull",
            "NULL::text",
            "Array",
            "1.#QNAN",
        ),
        *(
            "{customer_id}",
            "{customer.id}",
            "%CUSTOMER_ID%",
            "<customer_id>",
            "[customer_id]",
            "[[id]]",
            "#{id}",
            "@@ID@@",
        ),
        *(
            "__CUSTOMER_ID__",
            "$customer.id",
            "&lt;customer_id&gt;",
            "%7B%7Bid%7D%7D",
            "shop-{customer_id}",
            "{{ " + "x" * 99 + "}}",
        ),
        *("-1.0", "1.00", "0e0", "0E-10", "0,00", "+0", "-999", 2147483647, "9223372036854775807"),
    ],
    ids=repr,
)
def test_placeholder_value_is_skipped(blocked):
    """Value that stands for nobody is skipped. Insider One would merge all who carry it into one person."""
    record = {"email": "ada@example.com", "external_id": blocked}

    for on_invalid in ("skip_identifier", "skip_record"):
        identifiers, notes = identify(
            record, row("email", "email"), row("uuid", "external_id"), identifier_settings={"on_invalid": on_invalid}
        )

        assert identifiers == {"email": "ada@example.com"}
        assert notes == (("identifier_blocked", "uuid"),)


def test_no_placeholder_looks_like_key():
    """No listed placeholder has the form of a key that is kept without a closer look."""
    words = placeholders.EXACT | placeholders.NOTHING | placeholders.ANYBODY

    assert [word for word in words if placeholders.is_plain_key(word)] == []
    assert placeholders.is_plain_key("crm-1042")


@pytest.mark.parametrize("value", ["N/A", "none", "-", "0"])
@pytest.mark.parametrize("identifier_type", ["email", "phone_number", "custom.card"])
def test_placeholder_applies_to_all_types(identifier_type, value):
    """A placeholder counts as absent in every type.

    It counts as no identifier, and so never costs the record, as an invalid one may.
    """
    record = {"id": "01ADA", "x": value}
    rows = row("uuid", "id"), row(identifier_type, "x")

    found = identify(record, *rows, identifier_settings={"on_invalid": "skip_record"})

    assert found == ({"uuid": "01ADA"}, (("identifier_blocked", identifier_type),))


@pytest.mark.parametrize(
    "key",
    [
        *("user-4711", "Unknownsky", "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}", "customer A", "Ada Guest", "in", "Nona"),
        *(
            "[ABC-12]",
            "<a1b2>",
            "0e12",
            "1e5",
            "-12",
            "10.0",
            "ada@shop.example",
            "50%",
            "@ada",
            "_x_",
            '{"id": 7}',
            "Sin",
        ),
        "na-7",
        "guest-12",
        "none1",
        "10",
        "01",
        "2",
        "Nana",
        "000-1",
        "00x",
        "x",
        "é",
        "李",
        "1111111",
        "Nil Armstrong",
    ],
)
def test_placeholder_like_key_is_kept(key):
    """A key that only resembles a placeholder is kept. It distinguishes people."""
    assert identify({"external_id": key}, row("uuid", "external_id")) == ({"uuid": key}, ())


INVISIBLE = [
    chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200B, 0xFEFF, 0xAD, 0xA0, 0xE0001, 0x3164)
]


@pytest.mark.parametrize("mark", INVISIBLE, ids=ascii)
def test_invisible_characters_are_stripped(mark):
    """Invisible characters around an identifier go.

    Copied from a spreadsheet or a chat, they made a second user of the person, or an invalid number.
    """
    record = {"email": "ada@example.com", "external_id": "crm-1", "phone_number": "+4799900001"}
    rows = row("email", "email"), row("uuid", "external_id"), row("phone_number", "phone_number")

    hidden = identify({name: f"{mark} {value}{mark}" for name, value in record.items()}, *rows)

    assert hidden == identify(record, *rows)


def test_invisible_set_matches_unicode():
    """What cannot be seen is all of unicode. Every blank, control and format character that this Python knows."""
    unseen = {c for c in map(chr, range(0x110000)) if c.isspace() or category(c) in {"Cc", "Cf", "Zs", "Zl", "Zp"}}
    unseen |= set(values.FILLERS)

    assert unseen <= set(values.INVISIBLE)
    assert not {c for c in set(values.INVISIBLE) - unseen if category(c) != "Cn" and not 0x13430 <= ord(c) <= 0x1343F}


@pytest.mark.parametrize("first", [None, "", "  ", "\u200b", "None", "-", [], {}, [None], [""]], ids=ascii)
def test_placeholder_yields_to_next_source(first):
    """The next source is tried if the first is a placeholder.

    An empty external id hid the customer's number, and the record was filtered.
    """
    record = {"external_id": first, "properties": {"Customer No.": "C-77"}}

    identifiers, _ = identify(record, row("uuid", ["external_id", "Customer No."]))

    assert identifiers == {"uuid": "C-77"}


@pytest.mark.parametrize("number", [10**400, Decimal("1e400"), Decimal("-1e400"), Decimal("1e-400")], ids=str)
def test_huge_number_is_no_identifier(number):
    """Number beyond a double is no identifier. Written out it would be thousands of digits of nobody."""
    identifiers, notes = identify({"id": "01ADA", "external_id": number}, row("uuid", ["external_id", "id"]))

    assert (identifiers, notes) == ({"uuid": "01ADA"}, (("identifier_skipped", "uuid"),))


@pytest.mark.req("IN-41")
def test_invalid_phone_follows_setting():
    """Invalid phone costs the identifier or the record. The two policies that Insider One's own integration offers."""
    record = {"email": "ada@example.com", "phone_number": "12"}
    rows = row("email", "email"), row("phone_number", "phone_number")

    kept, notes = identify(record, *rows, identifier_settings={"on_invalid": "skip_identifier"})
    with pytest.raises(Rejected) as refused:
        identify(record, *rows, identifier_settings={"on_invalid": "skip_record"})

    assert kept == {"email": "ada@example.com"}
    assert notes == (("identifier_skipped", "phone_number"),)
    assert (refused.value.code, refused.value.field) == ("invalid_identifier", "phone_number")


@pytest.mark.req("IN-42", "IN-48")
def test_invalid_identifiers_stay_unnamed():
    """Record with only invalid identifiers is rejected without naming them.

    It is the data that is wrong; and the reason must be fit for a log.
    """
    with pytest.raises(Rejected) as refused:
        identify({"email": "ada-at-home"}, row("email", "email"))

    assert (refused.value.code, refused.value.field) == ("no_valid_identifier", "email")
    assert "ada" not in str(refused.value)


@pytest.mark.req("IN-48")
@pytest.mark.parametrize(
    "record", [{}, {"email": None}, {"email": ""}, {"email": " "}, {"email": []}, {"email": {}}], ids=repr
)
def test_unidentified_record_is_filtered(record):
    """Record without any mapped identifier is filtered.

    Nothing is wrong with it: it names nobody whom the settings know.
    """
    with pytest.raises(Filtered) as left_out:
        identify(record, row("email", "email"))

    assert left_out.value.reason == "no_identifier"


def event_identifiers(record, *rows):
    settings = settings_of(
        identifier_mappings=list(rows), event_mappings=[{"metric_name": "Visit", "event_type": "visit"}]
    )
    occurred = {"id": "ev1", "metric_name": "Visit", "datetime": "2026-06-01T11:00:00+00:00"}
    mapped = compile_events(settings)({**occurred, **record}, NOON)
    return mapped.identifiers, mapped.notes


@pytest.mark.req("IN-11")
def test_event_uses_its_profile():
    """Event is identified by its profile.

    One mapping serves profiles and events: ``id`` is the profile's there, and never the event's here.
    """
    record = {"profile_id": "01ADA", "profile": {"email": "ada@example.com", "properties": {"card": "L-7"}}}

    found = event_identifiers(record, row("email", "email"), row("custom.id", "id"), row("custom.card", "card"))

    assert found == ({"email": "ada@example.com", "custom": {"id": "01ADA", "card": "L-7"}}, ())


def test_unfetched_field_is_noted():
    """Field that the tap does not fetch is noted.

    A null says that the person has none; a missing key says that nobody asked.
    """
    record = {"profile_id": "01ADA", "profile": {"email": "ada@example.com", "phone_number": None}}
    rows = row("email", "email"), row("phone_number", "phone_number"), row("uuid", "external_id")

    identifiers, notes = event_identifiers(record, *rows)

    assert identifiers == {"email": "ada@example.com"}
    assert notes == (("profile_field_missing", "external_id"),)


def test_unidentified_event_names_tap_setting():
    """Event without identifier names the setting of the tap.

    All events of a run would vanish for one forgotten field: the hint says which.
    """
    with pytest.raises(Filtered) as left_out:
        event_identifiers({"profile": {"first_name": "Ada"}}, row("uuid", "external_id"))

    assert left_out.value.reason == "no_identifier"
    assert "external_id" in left_out.value.hint
    assert "event_profile_fields" in left_out.value.hint


@pytest.mark.parametrize("source", ["emial", "Customer No.", "loyalty.card"])
def test_unknown_field_gives_no_hint(source):
    """Name that is no field of Klaviyo asks nothing of the tap.

    The tap has no such field to fetch: the hint led away from the wrong letter.
    """
    record = {"profile": {"email": "ada@example.com"}}

    _, notes = event_identifiers(record, row("email", "email"), row("custom.key", source))
    with pytest.raises(Filtered) as left_out:
        event_identifiers(record, row("custom.key", source))

    assert (notes, left_out.value.hint) == ((), "")


def test_erased_profile_gives_no_hint():
    """Event of an erased profile is filtered without a hint. Its profile is gone, not unfetched."""
    with pytest.raises(Filtered) as left_out:
        event_identifiers({"profile_id": None, "profile": None}, row("email", "email"))

    assert (left_out.value.reason, left_out.value.hint) == ("no_identifier", "")


def test_identifiers_keep_settings_order():
    """Identifiers stand in the order of the settings. Same record, same bytes: replays and hashes live on it."""
    rows = row("uuid", "id"), row("email", "email")

    identifiers, _ = identify(ADA, *rows)

    assert list(identifiers) == ["uuid", "email"]


def test_huge_string_is_no_email():
    """Text of megabytes is no email. The pattern needs the square of the length in time: this would take an hour."""
    mapping = [{"identifier_type": "email", "source_field": "email"}]
    resolve = compile_profiles(settings_of(identifier_mappings=mapping))

    with pytest.raises(Rejected):
        resolve({"email": "@" * 3_000_000})
