"""Decodes JSON:API documents, only as deeply as needed.

Attributes stay as the bytes that came (`msgspec.Raw`): so every number, key order and unknown attribute survives, and
data that is only passed on is not decoded. Documents hold no cycles, so the garbage collector need not look for
one (``gc=False``).
"""

from __future__ import annotations

import codecs
import json
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, NamedTuple, TypeVar

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Document = TypeVar("Document")
NULL = msgspec.Raw(b"null")
EMPTY_LIST = msgspec.Raw(b"[]")
DIGITS_OF_INT = 640  # as many as Python reads, however `sys.set_int_max_str_digits` limits it
Attributes = dict[str, msgspec.Raw]
Id = Annotated[str, msgspec.Meta(min_length=1)]


class Links(msgspec.Struct, gc=False):
    """Links of a page; ``next`` is null (or absent) on the last one."""

    next: str | None = None


class Reference(msgspec.Struct, gc=False):
    """Refers to a resource in the document; the id may be missing if the resource no longer exists."""

    id: str | None = None


class ToOne(msgspec.Struct, gc=False):
    """A relationship with at most one resource; its data is null when the resource is gone."""

    data: Reference | None = None


class ToMany(msgspec.Struct, gc=False):
    """A relationship with any number of resources; its data is absent unless they were asked for."""

    data: tuple[Reference, ...] | None = None


class Profile(msgspec.Struct, gc=False):
    """A profile; a resource of another type is not read as one."""

    id: Id
    attributes: Attributes
    type: Literal["profile"] | None = None


class Relationship(msgspec.Struct, gc=False):
    """A relationship of either kind; its data is absent unless it was asked for, or costs nothing."""

    data: Reference | tuple[Reference, ...] | msgspec.UnsetType | None = msgspec.UNSET


class RelatedResource(msgspec.Struct, gc=False):
    """A resource with its relationships."""

    id: Id
    attributes: Attributes
    relationships: dict[str, Relationship] = {}


class AttributionRelationships(msgspec.Struct, rename="kebab", gc=False):
    """The links of an event's attribution: ``AttributionResponseObjectResource`` of the OpenAPI document."""

    event: ToOne | None = None
    attributed_event: ToOne | None = None
    campaign: ToOne | None = None
    campaign_message: ToOne | None = None
    flow: ToOne | None = None
    flow_message: ToOne | None = None
    flow_message_variation: ToOne | None = None


class Included(msgspec.Struct, gc=False):
    """An included resource; an attribution has relationships only."""

    id: Id
    type: str = ""
    attributes: Attributes = {}
    relationships: AttributionRelationships | None = None


class EventRelationships(msgspec.Struct, gc=False):
    """The profile, metric and attributions of an event."""

    profile: ToOne | None = None
    metric: ToOne | None = None
    attributions: ToMany | None = None


class Event(msgspec.Struct, gc=False):
    """An event, as GET /api/events lists it."""

    id: Id
    attributes: Attributes
    relationships: EventRelationships
    type: Literal["event"] | None = None


class Odd(msgspec.Struct, frozen=True, gc=False):
    """A resource that cannot be read: its place in the page, and its id, if known."""

    place: str
    """``data[4]`` or ``included[17]``."""
    id: str | None


class Page(msgspec.Struct, gc=False):
    """A page of profiles. One without links is incomplete: the last page has ``next: null``."""

    data: list[Profile]
    links: Links
    odd: tuple[Odd, ...] = msgspec.field(default=(), name="-odd-resources")
    """The resources left out; never in a body."""


class RelatedPage(msgspec.Struct, gc=False):
    """A page of any collection, with relationships."""

    data: list[RelatedResource]
    links: Links
    included: list[Included] = []
    odd: tuple[Odd, ...] = msgspec.field(default=(), name="-odd-resources")


class EventPage(msgspec.Struct, gc=False):
    """A page of events, with the metrics, profiles and attributions that were asked for."""

    data: list[Event]
    links: Links
    included: list[Included] = []
    odd: tuple[Odd, ...] = msgspec.field(default=(), name="-odd-resources")


_PIECE = 1 << 16  # bytes
RESOURCE_DEPTH = 3  # in an object's array
DEEPEST = 900
"""Of a page that is nested too deeply to decode, resources deeper than this become odd ones."""

_TOKENS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{},]', re.DOTALL)
_ID = re.compile(rb'"id"\s*:\s*("[\w-]{1,64}")')
_ESCAPES = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair: one character
    rb"|(?P<lone>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|\\."
)


def decode_tolerantly(body: bytes, decode: Callable[[bytes], Document]) -> Document:
    """Decode a body that may contain lone surrogates, and resources that are not JSON.

    Text cut in the middle of an emoji ends in half of a surrogate pair, which is valid JSON but not valid
    text. That half becomes U+FFFD; everything else stays as it is. Of a resource that is not JSON, only the id is kept.

    Raises:
        msgspec.DecodeError: The body is cut off or no JSON, or not of the shape that *decode* reads.
        UnicodeDecodeError: It is not in UTF-8.
    """
    failure: Exception | None = None
    for mend in (bytes, with_whole_characters, without_undecodable):
        body = mend(body)
        try:
            _check_utf8(body)
            return decode(body)
        except msgspec.ValidationError:
            raise
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            failure = error
    raise failure or AssertionError


def with_whole_characters(body: bytes) -> bytes:
    """Replace every lone surrogate with U+FFFD, and remove a byte order mark."""
    return _ESCAPES.sub(lambda escape: rb"\ufffd" if escape["lone"] else escape[0], body.removeprefix(codecs.BOM_UTF8))


def without_undecodable(body: bytes) -> bytes:
    """Reduce resources that cannot be decoded to their ids, which makes odd resources of them.

    They are not JSON (``NaN``, a line break in a string, a byte that is not UTF-8), or nested deeper than `DEEPEST` and
    than the recursion limit. A body that is cut off stays as it is.
    """
    pieces: list[bytes] = []
    done = 0
    for element in _elements(body):
        if element is None:
            return body
        text = body[element.start : element.end]
        brackets = body[element.start - 1 : element.start] + body[element.end : element.end + 1]
        is_list_empty = brackets == b"[]" and not text.strip()
        if not (is_list_empty or _is_decodable(text, element.deepest)):
            pieces += [body[done : element.start], b'{"id":%b,"attributes":null}' % element.id]
            done = element.end
    return b"".join([*pieces, body[done:]])


class _Element(NamedTuple):
    """Where an element of one of a document's arrays stands: a resource."""

    start: int
    end: int
    deepest: int
    """Nesting depth, including the surrounding document."""
    id: bytes
    """As JSON."""


def _elements(body: bytes) -> Iterator[_Element | None]:
    """Find the elements of a document's arrays by brackets, commas and strings alone; None: the body is cut off."""
    depth = deepest = start = 0
    key, in_array = b"null", False
    for token in _TOKENS.finditer(body):
        sign, at = token[0], token.start()
        if sign in b"[{":
            depth += 1
            deepest = max(deepest, depth)
            if depth < RESOURCE_DEPTH:
                start, deepest, key, in_array = token.end(), depth, b"null", sign == b"["
        elif sign in b"]},":
            if depth == RESOURCE_DEPTH - 1 and in_array:
                yield _Element(start, at, deepest, key)
                start, deepest, key = token.end(), depth, b"null"
            depth -= sign != b","
        elif sign == b'"':
            yield None  # a string without an end
        elif depth == RESOURCE_DEPTH and sign == b'"id"' and (known := _ID.match(body, at)):
            key = known[1]
    if depth:
        yield None


def _is_decodable(text: bytes, deepest: int) -> bool:
    try:
        _check_utf8(text)
        _read_anything(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    except RecursionError:
        return deepest <= DEEPEST
    return True


def _check_utf8(body: bytes) -> None:
    """Check that a body is UTF-8, piece by piece, since a decoded page would not fit into the processor's caches.

    Raises:
        UnicodeDecodeError: It is not in UTF-8.
    """
    decode = codecs.getincrementaldecoder("utf-8")().decode
    pieces = memoryview(body)
    for start in range(0, len(body), _PIECE):
        decode(pieces[start : start + _PIECE])
    decode(b"", final=True)


class _AnyPage(msgspec.Struct, gc=False):
    """A page whose resources may be anything."""

    data: list[msgspec.Raw]
    links: Links
    included: list[msgspec.Raw] = []


class _Named(msgspec.Struct, gc=False):
    """The id of a resource that cannot be read."""

    id: str | int | None = None


class OddPageError(msgspec.ValidationError):
    """None of a page's resources can be read; *page* is the page without them, if they were few enough."""

    def __init__(self, page: Any) -> None:
        super().__init__("a page without a readable resource")
        self.page = page


# Made once, by the thread that imports: threads that make a type's first decoder at the same time crash the process.
_read_any_page = msgspec.json.Decoder(_AnyPage).decode
_read_included = msgspec.json.Decoder(Included).decode
_read_anything = msgspec.json.Decoder(msgspec.Raw).decode
_read_named = msgspec.json.Decoder(_Named).decode

FEW = 10
"""If none of more resources than this can be read, the API has changed; fewer may be single odd resources."""


class PageReader(Generic[Document]):
    """Reads pages; a malformed resource (its attributes are null, its id a number) is left out alone."""

    def __init__(self, page_type: type[Document], resource_type: type[Any]) -> None:
        self._page_type: Callable[..., Document] = page_type
        self._read = msgspec.json.Decoder(page_type).decode
        self._read_resource = msgspec.json.Decoder(resource_type).decode

    def __call__(self, body: bytes) -> Document:
        """Decode a page.

        Raises:
            OddPageError: It has resources, and none of them can be read.
            msgspec.DecodeError: Not a page.
        """
        try:
            return self._read(body)
        except msgspec.ValidationError:
            page = _read_any_page(body)
        odd: list[Odd] = []
        members: dict[str, Any] = {"data": _readable("data", page.data, self._read_resource, odd)}
        if page.included:
            members["included"] = _readable("included", page.included, _read_included, odd)
        made = self._page_type(**members, links=page.links, odd=tuple(odd))
        if page.data and not members["data"]:
            raise OddPageError(made if len(page.data) <= FEW else None)
        return made


def _readable(member: str, values: list[msgspec.Raw], read: Callable[[msgspec.Raw], Any], odd: list[Odd]) -> list[Any]:
    """Decode resources; add those that cannot be read to *odd*."""
    found = []
    for place, value in enumerate(values):
        try:
            found.append(read(value))
        except msgspec.ValidationError:
            odd.append(Odd(f"{member}[{place}]", _id_of(value)))
    return found


def _id_of(value: msgspec.Raw) -> str | None:
    try:
        named = _read_named(value).id
    except msgspec.ValidationError:
        return None
    return None if named is None else str(named)


read_page = PageReader(Page, Profile)
read_related_page = PageReader(RelatedPage, RelatedResource)
read_event_page = PageReader(EventPage, Event)
encode = msgspec.json.Encoder(decimal_format="number").encode


_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_NEGATIVE_ZERO = re.compile(rb"-0(?![.eE\d])")


def decode_exactly(value: msgspec.Raw) -> Any:
    """Decode a JSON value so that its numbers keep their exact value, and `encode` can write it back.

    Integers become int, all other numbers Decimal. So do ``-0``, which no int can hold, and integers of thousands of
    digits, which Python refuses to read. What exceeds even Decimal (``1e9999999999999999999``) becomes a string.
    """
    if _NEGATIVE_ZERO.search(value) is None:
        try:
            return _decode(value)
        except (msgspec.ValidationError, InvalidOperation):
            pass
    return _decode_by_text(bytes(value).decode())


def _exact_integer(text: str) -> int | Decimal:
    return Decimal(text) if text == "-0" or len(text) > DIGITS_OF_INT else int(text)


def _exact_decimal(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text


_decode_by_text = json.JSONDecoder(parse_int=_exact_integer, parse_float=_exact_decimal).decode
