"""What the endpoints permit, held to the vendor's OpenAPI document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from klaviyo_insiderone_sandbox.klaviyo.routes import ROUTES
from klaviyo_insiderone_sandbox.klaviyo.state import ALL_SCOPES

from .specification import needs_spec, specification

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.klaviyo.endpoints import Endpoint

ENDPOINTS = [route.endpoint for route in ROUTES]
every_endpoint = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=[one.path for one in ENDPOINTS])


def operation(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = specification()["paths"][endpoint.path]["get"]
    return found


def parameters(endpoint: Endpoint) -> dict[str, dict[str, Any]]:
    """Query parameter -> its schema."""
    listed = operation(endpoint)["parameters"]
    return {one["name"]: one["schema"] for one in listed if one.get("in") == "query"}


def names_in(endpoint: Endpoint, parameter: str) -> list[str]:
    schema = parameters(endpoint).get(parameter, {})
    found: list[str] = schema.get("items", schema).get("enum", [])
    return sorted(found)


def types_in(endpoint: Endpoint, parameter: str) -> dict[str, list[str]]:
    """Resource type -> names, of parameters such as ``fields[list]``."""
    found = [one for one in parameters(endpoint) if one.startswith(f"{parameter}[")]
    return {one.removeprefix(f"{parameter}[").removesuffix("]"): names_in(endpoint, one) for one in found}


@needs_spec
@every_endpoint
def test_scopes_and_quota_are_documented(endpoint: Endpoint) -> None:
    quota = operation(endpoint)["x-klaviyo-ratelimit"]

    assert sorted(endpoint.scopes) == sorted(operation(endpoint)["x-klaviyo-scopes"])
    assert [f"{limit}/{'s' if seconds == 1 else 'm'}" for seconds, limit in endpoint.limits.items()] == [
        quota["burst"],
        quota["steady"],
    ]


@needs_spec
@every_endpoint
def test_pages_and_order_are_documented(endpoint: Endpoint) -> None:
    size = parameters(endpoint).get("page[size]")

    assert (endpoint.page is not None) == ("page[cursor]" in parameters(endpoint))
    if endpoint.page is not None:
        documented = (endpoint.page[0], None) if size is None else (size["default"], size["maximum"])
        assert endpoint.page == documented
    assert sorted([*endpoint.sorts, *(f"-{one}" for one in endpoint.sorts)]) == names_in(endpoint, "sort")


@needs_spec
@every_endpoint
def test_filters_are_documented(endpoint: Endpoint) -> None:
    rows = operation(endpoint).get("x-klaviyo-filters") or {}
    documented = {name: {one for kind in row["operators"].values() for one in kind} for name, row in rows.items()}

    assert {name: set(rule.operators) for name, rule in endpoint.filters.items()} == documented


@needs_spec
@every_endpoint
def test_includes_and_fields_are_documented(endpoint: Endpoint) -> None:
    """Sparse fields are patterns here: each takes every documented name, and none of another type's."""
    fields = types_in(endpoint, "fields")
    refused = {
        name: [one for one in listed if not endpoint.fields[name].fullmatch(one)] for name, listed in fields.items()
    }

    assert sorted(endpoint.includes) == names_in(endpoint, "include")
    assert set(endpoint.fields) == set(fields)
    assert {name: listed for name, listed in refused.items() if listed} == {}
    assert {name: sorted(one) for name, one in endpoint.additional.items()} == types_in(endpoint, "additional-fields")


@every_endpoint
def test_full_key_has_all_scopes(endpoint: Endpoint) -> None:
    """The key of every scope has it."""
    assert set(endpoint.scopes) <= set(ALL_SCOPES)
