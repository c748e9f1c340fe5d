"""Parses the query string of a read, and checks it against the endpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode

from klaviyo_insiderone_sandbox.klaviyo.errors import invalid
from klaviyo_insiderone_sandbox.klaviyo.filters import Condition, parse_filter

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.klaviyo.endpoints import Endpoint
    from klaviyo_insiderone_sandbox.quotas import Bucket

CURSOR = "page[cursor]"
SIZE = "page[size]"


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a read."""

    pairs: tuple[tuple[str, str], ...]
    """All parameters as sent, without the cursor."""
    conditions: tuple[Condition, ...]
    sort: str | None
    descending: bool
    size: int
    """Rows of a page; 0 = all of them."""
    cursor: str | None
    includes: tuple[str, ...] | None
    """None when the parameter is absent."""
    fields: dict[str, tuple[str, ...]]
    """Resource type -> field names asked for."""
    additional: frozenset[str]

    def page_url(self, base_url: str, path: str, cursor: str | None) -> str:
        """Compose the absolute address of a page, all parameters repeated."""
        pairs = [*self.pairs, (CURSOR, cursor)] if cursor else self.pairs
        query = urlencode(pairs, quote_via=quote, safe="")
        return f"{base_url}{path}{'?' if query else ''}{query}"


def split_query(query: str) -> dict[str, str]:
    """Decode a query string; of a repeated parameter the last one counts."""
    return dict(parse_qsl(query, keep_blank_values=True))


def read_parameters(query: str, endpoint: Endpoint, now: int) -> Parameters:
    """Check a query string.

    Raises:
        KlaviyoError: 400, naming the parameter.
    """
    sent = split_query(query)
    fields: dict[str, tuple[str, ...]] = {}
    additional: set[str] = set()
    for name, value in sent.items():
        if match := re.fullmatch(r"fields\[([a-z-]+)\]", name):
            fields[match[1]] = read_fields(name, match[1], value, endpoint)
        elif match := re.fullmatch(r"additional-fields\[([a-z-]+)\]", name):
            additional.update(read_additional(name, match[1], value, endpoint))
        elif not is_known(name, endpoint):
            raise invalid(name, f"'{name}' is not a valid parameter for this endpoint.")
    sort = read_sort(sent.get("sort"), endpoint)
    return Parameters(
        pairs=tuple((name, value) for name, value in sent.items() if name != CURSOR),
        conditions=tuple(parse_filter(sent["filter"], endpoint.filters, now)) if "filter" in sent else (),
        sort=sort.removeprefix("-") if sort else None,
        descending=bool(sort and sort.startswith("-")),
        size=read_size(sent.get(SIZE), endpoint),
        cursor=sent.get(CURSOR),
        includes=read_includes(sent.get("include"), endpoint),
        fields=fields,
        additional=frozenset(additional),
    )


def buckets_of(query: str, endpoint: Endpoint) -> list[Bucket]:
    """Return the quotas that a call draws from, the one that its headers describe first."""
    sent = split_query(query)
    drawn = [
        bucket
        for parameter, bucket in endpoint.parameter_buckets.items()
        if (pair := parameter.rsplit("=", 1)) and pair[1] in sent.get(pair[0], "").split(",")
    ]
    return [*drawn, endpoint.bucket]


def is_known(name: str, endpoint: Endpoint) -> bool:
    """Return whether the endpoint has this parameter."""
    return {
        "filter": bool(endpoint.filters),
        "sort": bool(endpoint.sorts),
        "include": bool(endpoint.includes),
        SIZE: endpoint.page is not None and endpoint.page[1] is not None,
        CURSOR: endpoint.page is not None,
    }.get(name, False)


def read_fields(name: str, resource: str, value: str, endpoint: Endpoint) -> tuple[str, ...]:
    """Read a sparse field set."""
    pattern = endpoint.fields.get(resource)
    if pattern is None:
        raise invalid(name, f"'{resource}' is not a valid resource type for sparse fields here.")
    names = tuple(value.split(",")) if value else ()
    for one in names:
        if not pattern.fullmatch(one):
            raise invalid(name, f"'{one}' is not a valid field for the resource type '{resource}'.")
    return names


def read_additional(name: str, resource: str, value: str, endpoint: Endpoint) -> list[str]:
    """Read a list of additional fields."""
    allowed = endpoint.additional.get(resource, ())
    names = value.split(",") if value else []
    for one in names:
        if one not in allowed:
            raise invalid(name, f"'{one}' is not a valid additional field for the resource type '{resource}'.")
    return names


def read_sort(value: str | None, endpoint: Endpoint) -> str | None:
    """Read the sort key, ``-`` in front for descending."""
    if value is None:
        return None
    if value.removeprefix("-") not in endpoint.sorts:
        raise invalid("sort", f"'{value}' is not a valid sort field.  Valid fields are {', '.join(endpoint.sorts)}")
    return value


def read_size(value: str | None, endpoint: Endpoint) -> int:
    """Read the page size."""
    if endpoint.page is None:
        return 0
    default, largest = endpoint.page
    if value is None or largest is None:
        return default
    if not re.fullmatch(r"\d{1,9}", value) or not 1 <= int(value) <= largest:
        raise invalid(SIZE, f"Page size must be an integer between 1 and {largest}.")
    return int(value)


def read_includes(value: str | None, endpoint: Endpoint) -> tuple[str, ...] | None:
    """Read the relationships to include."""
    if value is None:
        return None
    names = tuple(value.split(",")) if value else ()
    for one in names:
        if one not in endpoint.includes:
            raise invalid(
                "include", f"'{one}' is not a valid include.  Valid includes are {', '.join(endpoint.includes)}"
            )
    return names
