"""The table of endpoints against the vendor's OpenAPI document, where the shared documents are at hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from klaviyo_http.endpoints import ENDPOINTS, PARAMETER_QUOTAS, Endpoint, Quota, bucket_of
from klaviyo_http.quotas import buckets_of

DOCUMENT = Path(__file__).parents[3] / "shared" / "api" / "klaviyo-openapi.json"


@pytest.fixture(scope="module")
def paths() -> dict[str, Any]:
    if not DOCUMENT.exists():
        pytest.skip("the vendor's OpenAPI document (../shared) is not here")
    documented: dict[str, Any] = json.loads(DOCUMENT.read_text())["paths"]
    return documented


@pytest.fixture(scope="module")
def operations(paths: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Bucket -> operation, of every endpoint behind a private key."""
    return {
        bucket_of(method.upper(), path): operation
        for path, methods in paths.items()
        if path.startswith("/api/")
        for method, operation in methods.items()
        if method in {"get", "post", "patch", "delete"}
    }


def allowed(operation: dict[str, Any], parameter: str) -> tuple[str, ...]:
    """List the values of a query parameter."""
    found = next((one for one in operation["parameters"] if one["name"] == parameter), {"schema": {}})["schema"]
    return tuple(found.get("enum") or found.get("items", {}).get("enum", ()))


def per(limit: str) -> int:
    """Read the number of ``75/s``."""
    return int(limit.split("/", maxsplit=1)[0])


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=list(ENDPOINTS))
def test_row_matches_vendor_document(operations: dict[str, dict[str, Any]], endpoint: Endpoint) -> None:
    """Row says what the document says.

    Scopes, quota, page sizes, operators, order and what can be asked for besides.
    """
    operation = operations[endpoint.bucket]
    limits = operation["x-klaviyo-ratelimit"]
    operators = {
        name: {one for kind in rule["operators"].values() for one in kind}
        for name, rule in operation.get("x-klaviyo-filters", {}).items()
    }
    sizes = [one["schema"] for one in operation["parameters"] if one["name"] == "page[size]"]

    assert sorted(endpoint.scopes) == sorted(operation["x-klaviyo-scopes"])
    assert endpoint.quota == Quota(per(limits["burst"]), per(limits["steady"]))
    assert {name: set(known) for name, known in endpoint.filters.items()} == operators
    assert sorted(endpoint.sorts) == sorted(one for one in allowed(operation, "sort") if not one.startswith("-"))
    assert sorted(endpoint.includes) == sorted(allowed(operation, "include"))
    assert [(size["default"], size["maximum"]) for size in sizes] == (
        [(endpoint.page.default, endpoint.page.most)] if endpoint.page.parameter else []
    )
    assert sizes or f"maximum of {endpoint.page.most} results per page" in operation["description"]
    documented = {
        found[1]: set(allowed(operation, one["name"]))
        for one in operation["parameters"]
        if (found := re.fullmatch(r"additional-fields\[(.+)\]", one["name"]))
    }
    assert {kind: set(values) for kind, values in endpoint.additional.items()} == documented


def test_parameter_quota_is_always_stated(operations: dict[str, dict[str, Any]]) -> None:
    """The quota of a parameter is stated by every endpoint that has it.

    Only the prose of an operation states it; `subscriptions` costs nothing.
    """
    for name, quota in PARAMETER_QUOTAS.items():
        told = [
            operation["description"].split(f"={name}`", maxsplit=1)[1]
            for operation in operations.values()
            if f"={name}` parameter" in operation.get("description", "")
        ]

        assert told
        assert {tuple(map(int, re.findall(r"`(\d+)/[sm]`", text)[:2])) for text in told} == {
            (quota.burst, quota.steady)
        }


def test_bucket_is_the_path_pattern(paths: dict[str, Any]) -> None:
    """Bucket of every documented path is its pattern.

    Ids are always the third segment, so that the path alone determines the quota.
    """
    patterns = {re.sub(r"\{[^}]+\}", "{id}", path.rstrip("/")) for path in paths if path.startswith("/api/")}

    assert {bucket_of("GET", pattern.replace("{id}", "Y6nRLr")) for pattern in patterns} == {
        f"GET {pattern}" for pattern in patterns
    }


def test_lists_and_members_share_quota() -> None:
    """Lists share the quota of their members.

    It is one endpoint, whichever list is asked for; writing to it is another.
    """
    one, another = (buckets_of("GET", f"/api/lists/{key}/profiles/") for key in ("Y6nRLr", "ZzZzZz"))

    assert one == another == ("GET /api/lists/{id}/profiles",)
    assert buckets_of("POST", "/api/lists/Y6nRLr/profiles") != one
