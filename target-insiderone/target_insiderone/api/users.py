"""Encodes users as in Insider One's requests.

Source: Upsert User Data, Delete User Attribute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from singer_delivery.exact_json import encode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOT_APPENDED = b',"not_append":true}'
"""End of an encoded user whose arrays replace those in Insider One."""


class EncodedProfile(msgspec.Struct):
    """A user with attributes, in parts.

    *attributes*: the members of ``attributes`` without opt-ins and braces. *tail*: the rest of the user
    (``,"not_append":true}``). *optins*: attribute -> (value, consent value and timestamp). *delete*: the members of an
    attribute/delete request, possibly empty.
    """

    identifiers: bytes
    attributes: bytes
    tail: bytes
    optins: Mapping[str, tuple[bool, str]]
    delete: Mapping[str, Any]

    @property
    def size(self) -> int:
        """Bytes of the encoded user, the separating comma included."""
        return len(self.identifiers) + len(self.attributes) + len(self.tail) + 32 * len(self.optins) + 40

    def row(self, optins: Mapping[str, bool]) -> bytes | None:
        """The user with these opt-ins; None if neither an opt-in nor another attribute is left."""
        members = encode(optins)[1:-1]
        if members and self.attributes:
            members += b","
        members += self.attributes
        if not members:
            return None
        return b'{"identifiers":' + self.identifiers + b',"attributes":{' + members + b"}" + self.tail

    def optins_row(self, optins: Mapping[str, bool]) -> bytes:
        """The user with only these opt-ins."""
        return b'{"identifiers":' + self.identifiers + b',"attributes":' + encode(optins) + b"}"

    def clearing(self) -> bytes | None:
        """The user of an attribute/delete request, if there is something to clear."""
        if not self.delete:
            return None
        return b'{"identifiers":' + self.identifiers + b"," + encode(self.delete)[1:]


def event_user(identifiers: bytes, bodies: Sequence[bytes]) -> bytes:
    """An encoded user with these events."""
    return b'{"identifiers":' + identifiers + b',"events":[' + b",".join(bodies) + b"]}"


def attributes_body(users: Sequence[bytes]) -> bytes:
    """The body of an attribute/delete request."""
    return b'{"users":[' + b",".join(users) + b"]}"


def upsert_body(users: Sequence[bytes], *, skip_hook: bool, error_callback: str | None) -> bytes:
    """The body of an upsert request; its keys are always in the same order."""
    body = b'{"users":[' + b",".join(users) + b"]"
    if skip_hook:
        body += b',"skip_hook":true'
    if error_callback:
        body += b',"error_callback_endpoint":' + encode(error_callback)
    return body + b"}"
