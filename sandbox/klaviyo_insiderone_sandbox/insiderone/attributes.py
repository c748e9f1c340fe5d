"""Attributes of a user: which values are stored, and how arrays grow."""

from collections.abc import Callable, Mapping
from functools import lru_cache

import msgspec

from klaviyo_insiderone_sandbox.insiderone.settings import Settings
from klaviyo_insiderone_sandbox.insiderone.validation import is_birthday


def is_text(value: bytes) -> bool:
    """A JSON string."""
    return value.startswith(b'"')


def is_flag(value: bytes) -> bool:
    """A JSON boolean."""
    return value in (b"true", b"false")


def is_number(value: bytes) -> bool:
    """A JSON number."""
    return value[:1] in b"-0123456789"


def is_birthday_text(value: bytes) -> bool:
    """A date-time that ends with ``Z``."""
    return is_text(value) and is_birthday(msgspec.json.decode(value))


def is_country(value: bytes) -> bool:
    """Two letters, as ISO 3166-1 has them."""
    return is_text(value) and len(value) == 4 and value[1:3].isalpha()


def is_numbers(value: bytes) -> bool:
    """A JSON array of numbers, or of booleans."""
    return value.startswith(b"[") and {int, float, bool}.issuperset(map(type, msgspec.json.decode(value)))


DEFAULTS: Mapping[str, Callable[[bytes], bool]] = {
    "email": is_text,
    "phone_number": is_text,
    "uuid": is_text,
    "email_optin": is_flag,
    "sms_optin": is_flag,
    "whatsapp_optin": is_flag,
    "gdpr_optin": is_flag,
    "name": is_text,
    "surname": is_text,
    "birthday": is_birthday_text,
    "gender": is_text,
    "age": is_number,
    "language": is_text,
    "lo": is_text,
    "country": is_country,
    "city": is_text,
    "static_segment_id": is_numbers,
    "list_id": is_numbers,
}
"""Default attribute -> the check that its value must pass to be reflected."""

SCALAR = b'"-0123456789tf'
"""First characters of a JSON string, number or boolean."""

_custom = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Drop(msgspec.Struct):
    """Accepted data that is never reflected."""

    kind: str
    """``identifier``, ``attribute``, ``event`` or ``user``."""
    name: str
    reason: str
    value: msgspec.Raw | None
    n: int = 0
    """Number of the request."""


def sort_out(sent: Mapping[str, msgspec.Raw], settings: Settings, drops: list[Drop]) -> dict[str, bytes]:
    """Return what will be reflected as name -> JSON, custom ones as ``custom.<name>``; note the rest in *drops*."""
    kept: dict[str, bytes] = {}
    for name, raw in sent.items():
        value = bytes(raw)
        if name == "custom":
            kept |= sort_out_custom(value, settings, drops)
        elif name not in settings.identifiers and (check := DEFAULTS.get(name)) and check(value):
            kept[name] = value
        else:
            drops.append(Drop("attribute", name, objection(name, value, settings), msgspec.Raw(value)))
    return kept


def objection(name: str, value: bytes, settings: Settings) -> str:
    """Return why an attribute at the root is not reflected."""
    if name not in DEFAULTS:
        return "not a default attribute; custom attributes belong under custom"
    if name in settings.identifiers:
        return "an identifier of this account, written through identifiers only"
    return "null is ignored" if value == b"null" else "wrong type or form"


def sort_out_custom(value: bytes, settings: Settings, drops: list[Drop]) -> dict[str, bytes]:
    """Return the custom attributes that will be reflected."""
    try:
        sent = _custom.decode(value)
    except msgspec.ValidationError:
        drops.append(Drop("attribute", "custom", "wrong type or form", msgspec.Raw(value)))
        return {}
    kept: dict[str, bytes] = {}
    defined = settings.custom_attributes
    for name, raw in sent.items():
        inner = bytes(raw)
        if (inner[0] in SCALAR or is_flat(inner)) and (defined is None or name in defined):
            kept[full_name(name)] = inner
        else:
            drops.append(
                Drop("attribute", full_name(name), custom_objection(name, inner, settings), msgspec.Raw(inner))
            )
    return kept


@lru_cache(maxsize=4_096)
def full_name(custom_name: str) -> str:
    """Return the name under which a custom attribute is kept; profiles share the text."""
    return f"custom.{custom_name}"


def custom_objection(name: str, value: bytes, settings: Settings) -> str:
    """Return why a custom attribute is not reflected."""
    if settings.custom_attributes is not None and name not in settings.custom_attributes:
        return "not defined in this account"
    if value == b"null":
        return "null is ignored"
    return "objects and nested arrays have no attribute type"


def is_flat(value: bytes) -> bool:
    """A JSON array of strings, numbers and booleans."""
    return value.startswith(b"[") and {str, int, float, bool}.issuperset(map(type, msgspec.json.decode(value)))


def grown(known: bytes, added: bytes) -> bytes:
    """Append one JSON array to another, without duplicates."""
    if not (known.startswith(b"[") and added.startswith(b"[")):
        return added
    old = msgspec.json.decode(known, type=list[msgspec.Raw])
    new = msgspec.json.decode(added, type=list[msgspec.Raw])
    texts = dict.fromkeys(bytes(one) for one in (*old, *new))
    return b"[" + b",".join(texts) + b"]"


def shrunk(known: bytes, removed: bytes) -> bytes:
    """Remove elements from a JSON array."""
    old = msgspec.json.decode(known, type=list[msgspec.Raw])
    gone = {bytes(one) for one in msgspec.json.decode(removed, type=list[msgspec.Raw])}
    return b"[" + b",".join(bytes(one) for one in old if bytes(one) not in gone) + b"]"
