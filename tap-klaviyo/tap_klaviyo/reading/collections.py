"""Base class of simple streams, which are declared by their endpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol
from urllib.parse import quote

import msgspec
from klaviyo_http.documents import Reference, RelatedResource, read_related_page
from klaviyo_http.filters import all_of, equals, period
from klaviyo_http.moments import rfc3339_json
from typing_extensions import override

from tap_klaviyo.reading.pages import P, Slice, leave_out
from tap_klaviyo.reading.rows import Row, merged, span_of, version_of
from tap_klaviyo.reading.stream import KlaviyoStream, Run

if TYPE_CHECKING:
    from datetime import datetime

    from klaviyo_http.client import Fetched, Parameters
    from klaviyo_http.documents import Relationship
    from klaviyo_http.endpoints import Endpoint
    from klaviyo_http.errors import RefusedRequestError
    from singer_sdk.helpers.types import Context, Record

Conditions = Mapping[str, str | bool]
"""Field -> the value that it must have."""


class Reader(Protocol):
    """Reads pages: a `KlaviyoClient`, or a wrapper that changes its requests."""

    def get(self, path: str, parameters: Parameters, decode: Callable[[bytes], P], /) -> Fetched[P]:
        """Read the first page."""

    def follow(self, link: str, decode: Callable[[bytes], P], /) -> Fetched[P]:
        """Read the page that a link names."""


@dataclass(frozen=True, slots=True)
class CollectionSource(Generic[P]):
    """A collection ordered by a time, or in the API's order: a `tap_klaviyo.reading.pages.Source`."""

    name: str
    reader: Reader
    endpoint: Endpoint
    read: Callable[[bytes], P]
    key: str | None
    """The attribute that holds the time."""
    conditions: Conditions = field(default_factory=dict)
    parameters: Parameters = field(default_factory=dict)
    """Further parameters."""
    parent: str = ""
    """The id in the endpoint's path, if there is one."""

    @property
    def size(self) -> int:
        """Resources of a full page."""
        return self.endpoint.page.most

    def first(self, start: datetime | None, end: datetime | None) -> Fetched[P]:
        """Read the first page of a window, as far as the endpoint's filters allow."""
        conditions = [equals(name, value) for name, value in self.conditions.items()]
        bounds = period(self.endpoint, self.key, start, end) if self.key else None
        parameters: Parameters = {
            **self.parameters,
            "filter": all_of(*conditions, bounds),
            **self.endpoint.page_of(),
            "sort": self.key,
        }
        path = self.endpoint.path.replace("{id}", quote(self.parent, safe=""))
        return self.reader.get(path, parameters, self.read)

    def follow(self, link: str) -> Fetched[P]:
        """Read the page that a link names."""
        return self.reader.follow(link, self.read)

    def ids(self) -> Iterator[str]:
        """Read all pages, one after the other, for the ids."""
        page = self.first(None, None).document
        yield from (one.id for one in page.data)
        while page.links.next:
            page = self.follow(page.links.next).document
            yield from (one.id for one in page.data)

    def span(self, page: P) -> tuple[datetime, datetime] | None:
        """Return the times of the first and the last resource."""
        return span_of(page.data, self.key) if self.key else None

    def can_ask_for_less(self, _: RefusedRequestError) -> bool:
        """Return False: there is nothing to leave out."""
        return False


class Collection(KlaviyoStream):
    """A stream that is declared: its endpoint, its replication key, and what to include.

    With a replication key it is read in windows if the endpoint bounds that time on both sides, else as one chain
    in its order; without one, it is read from the first page to the last in every run. Relationships become ids,
    declared date-times RFC 3339 UTC; attributes missing in the schema are kept.
    """

    versioned = True
    selected_by_default = False
    variants: ClassVar[Sequence[Conditions]] = ({},)
    """The conditions of each chain; an endpoint may list archived resources only by themselves."""
    include: ClassVar[tuple[str, ...]] = ()
    """Relationships whose ids are asked for."""
    parent: ClassVar[type[Collection] | None] = None
    """The collection whose ids are in the endpoint's path. Each id has its own bookmark."""

    @property
    @override
    def first_endpoint(self) -> Endpoint:
        return self.parent.endpoint if self.parent else self.endpoint

    @override
    def contexts(self) -> Iterator[Context | None]:
        if self.parent is None:
            yield None
            return
        endpoint = self.parent.endpoint
        name = id_name(endpoint.path.rsplit("/", 1)[-1])
        for conditions in self.parent.variants:
            source = CollectionSource(self.name, self.account.client, endpoint, read_related_page, None, conditions)
            yield from ({name: key} for key in source.ids())

    @override
    def records(self, run: Run) -> Iterator[Record]:
        pages = [self._rows(run, conditions) for conditions in self.variants]
        return self.emit(run, merged(pages, self.endpoint.page.most))

    def _rows(self, run: Run, conditions: Conditions) -> Iterator[list[Row]]:
        key = self.replication_key
        include = ",".join(name for name in self.include if self.mask["properties", ids_name(name)])
        source = CollectionSource(
            self.name,
            self.account.client,
            self.endpoint,
            read_related_page,
            key,
            conditions,
            {"include": include or None},
            parent="".join((run.context or {}).values()),
        )
        in_windows = key is not None and self.endpoint.has_windows_of(key)
        for page in self.reading(run, source, run.lower, run.budget.check, in_windows=in_windows).slices():
            run.tally["pages"] += 1
            leave_out(self.name, page.fetched.document.odd, run.tally)
            yield rows_of(page, key, partial(self._record, run.context or {}))

    def _record(self, context: Context, resource: RelatedResource) -> dict[str, Any]:
        """Flatten a resource: its id, ids of related resources, and the attributes."""
        record: dict[str, Any] = {"id": resource.id, **resource.attributes}
        for name in self._times:
            if name in record:
                record[name] = rfc3339_json(record[name])
        record |= related_ids(resource.relationships)
        record |= context
        record["id"] = resource.id  # whatever an attribute of that name says
        return record

    @cached_property
    def _times(self) -> Sequence[str]:
        """The attributes that the schema declares as date-times, and the replication key."""
        declared = self.schema["properties"].items()
        times = {name for name, schema in declared if schema.get("format") == "date-time"}
        return sorted(times | ({self.replication_key} if self.replication_key else set()))


def rows_of(page: Slice[Any], key: str | None, record_of: Callable[[Any], dict[str, Any]]) -> list[Row]:
    """Make rows of the resources of a page that lie within its window, by the time in the attribute *key*."""
    rows = []
    for resource in page.fetched.document.data:
        record = record_of(resource)
        version = version_of(record.get(key)) if key else ""
        if page.holds(version[:19]):
            rows.append(Row(version[:19], resource.id, version, page.fetched.at, record))
    return rows


def related_ids(relationships: Mapping[str, Relationship]) -> dict[str, Any]:
    """Flatten relationships: ``campaign`` becomes ``campaign_id``, ``flow-triggers`` becomes ``flow_trigger_ids``.

    Relationships that were not requested, and have only links, are left out; null means that there is nothing.
    """
    record: dict[str, Any] = {}
    for name, relationship in relationships.items():
        data = relationship.data
        if isinstance(data, tuple):
            record[ids_name(name)] = [one.id for one in data if one.id]
        elif data is not msgspec.UNSET:
            record[f"{name.replace('-', '_')}_id"] = data.id if isinstance(data, Reference) else None
    return record


def ids_name(relationship: str) -> str:
    """Name the ids of a relationship to many.

    >>> ids_name("flow-triggers")
    'flow_trigger_ids'
    """
    return f"{id_name(relationship)}s"


def id_name(plural: str) -> str:
    """Name the id of one of several.

    >>> id_name("catalog-categories")
    'catalog_category_id'
    """
    return f"{re.sub('s$', '', re.sub('ies$', 'y', plural)).replace('-', '_')}_id"
