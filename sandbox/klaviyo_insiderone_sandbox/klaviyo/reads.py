"""Routes of simple resources, one line each: a collection, a single resource, related resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from klaviyo_insiderone_sandbox.klaviyo import pages
from klaviyo_insiderone_sandbox.klaviyo.cursors import bad_cursor, read_keyset_cursor, write_keyset_cursor
from klaviyo_insiderone_sandbox.klaviyo.endpoints import Endpoint
from klaviyo_insiderone_sandbox.klaviyo.filters import FieldRule, holds
from klaviyo_insiderone_sandbox.klaviyo.pages import Route
from klaviyo_insiderone_sandbox.klaviyo.resource_types import ResourceType, Writer, reference
from klaviyo_insiderone_sandbox.quotas import Bucket, Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

    from klaviyo_insiderone_sandbox.klaviyo.filters import Condition
    from klaviyo_insiderone_sandbox.klaviyo.pages import Request
    from klaviyo_insiderone_sandbox.klaviyo.parameters import Parameters
    from klaviyo_insiderone_sandbox.klaviyo.resources import Resource

Includes = Mapping[str, ResourceType]
"""Relationship that ``include`` may name -> type of its targets."""


class Offer(TypedDict, total=False):
    """The parameters that clients may use in a read; none by default."""

    page: tuple[int, int | None]
    """As in `Endpoint.page`."""
    sorts: tuple[str, ...]
    filters: Mapping[str, FieldRule]
    includes: Includes
    additional: Mapping[str, Limits | None]
    """Name in ``additional-fields`` -> the quota that it draws from besides the endpoint's own; None = no other."""


def collection(kind: ResourceType, limits: Limits, **offer: Unpack[Offer]) -> Route:
    """Serve ``/api/tags``."""

    def read(request: Request) -> tuple[bytes, int]:
        return list_page(request, kind, kind.kept(request.account).values(), offer.get("includes", {}))

    return Route(declared(kind.path, (kind.scope,), kind, limits, offer), read, kind)


def single(kind: ResourceType, limits: Limits, **offer: Unpack[Offer]) -> Route:
    """Serve ``/api/tags/{id}``."""

    def read(request: Request) -> tuple[bytes, int]:
        resource = kind.find(request.account, request.id)
        included = included_texts(request, [resource], offer.get("includes", {}))
        return pages.single(writer_for(request, kind).write(resource), included), 1

    return Route(declared(f"{kind.path}/{{id}}", (kind.scope,), kind, limits, offer), read, kind)


def related(
    parent: ResourceType, relation: str, kind: ResourceType, limits: Limits, **offer: Unpack[Offer]
) -> tuple[Route, Route]:
    """Serve ``/api/lists/{id}/tags`` and, with ids only, ``/api/lists/{id}/relationships/tags``."""
    includes = offer.get("includes", {})

    def targets(request: Request) -> list[Resource]:
        kept = kind.kept(request.account)
        ids = parent.find(request.account, request.id).related.get(relation, ())
        return [kept[one] for one in ids if one in kept]

    def read(request: Request) -> tuple[bytes, int]:
        found = targets(request)
        if relation in parent.to_many:
            return list_page(request, kind, found, includes)
        row = writer_for(request, kind).write(found[0]) if found else "null"
        return pages.single(row, included_texts(request, found, includes)), len(found)

    def read_ids(request: Request) -> tuple[bytes, int]:
        found = targets(request)
        if relation in parent.to_one:
            return pages.single(parent.references(relation, [one.id for one in found]), None), len(found)
        rows, cursor = cut(found, request.parameters)
        return pages.page([reference(kind.name, one.id) for one in rows], None, request, cursor), len(rows)

    scopes = tuple(sorted({parent.scope, kind.scope}))
    whole = declared(f"{parent.path}/{{id}}/{relation}", scopes, kind, limits, offer)
    path = f"{parent.path}/{{id}}/relationships/{relation}"
    ids_only = replace(whole, path=path, includes=(), fields={}, additional={}, parameter_buckets={})
    return Route(whole, read, kind), Route(ids_only, read_ids, kind)


def declared(path: str, scopes: tuple[str, ...], kind: ResourceType, limits: Limits, offer: Offer) -> Endpoint:
    """Compose the declaration of a read that serves resources of a *kind*."""
    includes, additional = offer.get("includes", {}), offer.get("additional", {})
    own = {f"additional-fields[{kind.name}]={name}": quota for name, quota in additional.items() if quota is not None}
    return Endpoint(
        path=path,
        scopes=scopes,
        limits=limits,
        sorts=offer.get("sorts", ()),
        filters=offer.get("filters", {}),
        includes=tuple(includes),
        fields={**{one.name: one.fields() for one in includes.values()}, kind.name: kind.fields(additional)},
        additional={kind.name: tuple(additional)} if additional else {},
        page=offer.get("page"),
        parameter_buckets={name: Bucket(name, quota) for name, quota in own.items()},
    )


def list_page(request: Request, kind: ResourceType, found: Iterable[Resource], includes: Includes) -> tuple[bytes, int]:
    """Compose the requested page of the rows found."""
    rows, cursor = cut(found, request.parameters)
    texts = map(writer_for(request, kind).write, rows)
    return pages.page(texts, included_texts(request, rows, includes), request, cursor), len(rows)


def writer_for(request: Request, kind: ResourceType) -> Writer:
    """Prepare to write resources in the form that a request asks for."""
    asked = request.parameters
    return Writer(kind, request.base_url, asked.fields.get(kind.name), asked.includes or (), asked.additional)


def included_texts(request: Request, rows: Iterable[Resource], includes: Includes) -> list[str] | None:
    """Write the included resources of rows, each once; None if none were requested."""
    if request.parameters.includes is None:
        return None
    texts: dict[tuple[str, str], str] = {}
    for relation in request.parameters.includes:
        kind = includes[relation]
        kept = kind.kept(request.account)
        writer = Writer(kind, request.base_url, request.parameters.fields.get(kind.name))
        for row in rows:
            for one in row.related.get(relation, ()):
                if one in kept:
                    texts.setdefault((kind.name, one), writer.write(kept[one]))
    return list(texts.values())


def cut(found: Iterable[Resource], parameters: Parameters) -> tuple[list[Resource], str | None]:
    """Filter and sort resources, and cut a page out of them; returns the rows and the cursor of the next page.

    Raises:
        KlaviyoError: The cursor is invalid, or belongs to another sort order.
    """
    sort = parameters.sort or "id"
    met = [one for one in found if meets(one, parameters.conditions)]
    keyed = sorted(((sort_key(one, sort), one) for one in met), key=itemgetter(0), reverse=parameters.descending)
    if parameters.cursor is not None:
        last = read_keyset_cursor(parameters.cursor, sort)
        try:
            keyed = [(key, one) for key, one in keyed if (key < last if parameters.descending else key > last)]
        except TypeError:
            raise bad_cursor() from None
    size = parameters.size or len(keyed)
    following = write_keyset_cursor(sort, keyed[size - 1][0]) if len(keyed) > size else None
    return [one for _, one in keyed[:size]], following


def meets(resource: Resource, conditions: Iterable[Condition]) -> bool:
    """Return whether a resource meets all conditions."""
    return all(holds(condition, resource.value(condition.field)) for condition in conditions)


def sort_key(resource: Resource, sort: str) -> tuple[Any, ...]:
    """Sort by an attribute, then by id; resources without it come last."""
    value = resource.value(sort)
    return (1, "", resource.id) if value is None else (0, value, resource.id)
