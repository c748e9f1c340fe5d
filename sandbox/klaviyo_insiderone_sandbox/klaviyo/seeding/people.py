"""Made-up people, ordinary and awkward ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.exact_json import quoted

if TYPE_CHECKING:
    import random

FIRST = (
    "Ada",
    "Ben",
    "Cleo",
    "Deniz",
    "Eva",
    "Finn",
    "Gül",
    "Hugo",
    "İpek",
    "José",
    "Kari",
    "Lars",
    "Mia",
    "Noor",
    "Olga",
)
LAST = (
    "Berg",
    "Y\u0131lmaz",
    "García",
    "Müller",
    "Novak",
    "O'Brien",
    "Østby",
    "Rossi",
    "Smith",
    "de Vries",
    "Żak",
    "Lind",
)
PLACES = (
    ("Oslo", "Norway", "Europe/Oslo", "nb-NO", "+479"),
    ("İstanbul", "Türkiye", "Europe/Istanbul", "tr-TR", "+90532"),
    ("London", "United Kingdom", "Europe/London", "en-GB", "+44770"),
    ("Berlin", "Germany", "Europe/Berlin", "de-DE", "+491511"),
    ("New York", "United States", "America/New_York", "en-US", "+1212"),
)
TIERS = ("bronze", "silver", "gold")

AWKWARD_PHONES = ("0532 123 45 67", "call me", "+123", "+90 (532) 123-45-67", "00905321234567", "")
AWKWARD_EMAILS = (
    " spaced@example.org ",
    "Ünïcode@exämple.org",
    "UPPER.Case@Example.ORG",
    "no-at-sign.example.org",
    "a@b",
    "",
)
AWKWARD_PROPERTIES = (
    '{"loyalty points":12345678901234567890,"exact":0.1000,"Last.Purchase":null,"$consent":["email","sms"]}',
    '{"empty":"","zero":0,"no":false,"nothing":null,"nested":{"a":{"b":[1,2.50,{"c":"d"}]}}}',
    '{"external_id":4711,"gender":"F","birthday":"1985-12-10","favourite.size":"M","tags":["a","b","a"]}',
    '{"emoji":"🫖 çay","quote":"say \\"tea\\"","percent":"100%","huge":99999999999999999999,"tiny":1e-7}',
)


def ordinary(chance: random.Random, number: int) -> dict[str, str]:
    """Make up one profile's attributes as name -> JSON text."""
    first, last = chance.choice(FIRST), chance.choice(LAST)
    city, country, timezone, locale, prefix = chance.choice(PLACES)
    attributes = {
        "email": f'"person{number}@shop-demo.example"',
        "first_name": f'"{first}"',
        "last_name": f'"{last}"',
        "locale": f'"{locale}"',
        "location": (
            f'{{"city":"{city}","country":"{country}","timezone":"{timezone}","zip":"{chance.randrange(1000, 99999)}"}}'
        ),
        "properties": (
            f'{{"tier":"{chance.choice(TIERS)}","points":{chance.randrange(5000)},'
            f'"basket value":{chance.randrange(9999)}.50,"vip":{"true" if chance.random() < 0.1 else "false"},'
            f'"favourites":["tea","{chance.choice(("mugs", "socks"))}"]}}'
        ),
    }
    if chance.random() < 0.6:
        attributes["phone_number"] = f'"{prefix}{chance.randrange(2_000_000, 9_999_999)}"'
    if chance.random() < 0.7:
        attributes["external_id"] = f'"crm-{number}"'
    if chance.random() < 0.1:
        attributes |= {
            "organization": '"Havn AS"',
            "title": '"Buyer"',
            "image": '"https://sandbox-shop.example/me.png"',
        }
    if chance.random() < 0.3:
        attributes["predictive_analytics"] = (
            f'{{"historic_clv":{chance.randrange(900)}.25,"churn_probability":0.{chance.randrange(99):02d}}}'
        )
    return attributes


def awkward(chance: random.Random, number: int, kind: int) -> dict[str, str]:
    """Make up an awkward profile: in turn, without identifier, with a bad phone, an odd e-mail, strange properties."""
    attributes = ordinary(chance, number)
    turn = kind // 4
    match kind % 4:
        case 0:
            for name in ("email", "phone_number", "external_id"):
                attributes.pop(name, None)
        case 1:
            attributes["phone_number"] = quoted(AWKWARD_PHONES[turn % len(AWKWARD_PHONES)])
        case 2:
            attributes["email"] = quoted(AWKWARD_EMAILS[turn % len(AWKWARD_EMAILS)])
        case _:
            attributes["properties"] = AWKWARD_PROPERTIES[turn % len(AWKWARD_PROPERTIES)]
    return attributes
