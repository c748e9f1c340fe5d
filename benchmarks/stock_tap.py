"""What the SDK reads without any of our work: a RESTStream with a URL, a path, a paginator and a schema of its own.

stock_tap.py --config FILE      with the settings below. The rows come out as the API sends them; unlike tap-klaviyo it
joins neither metric nor profile, keeps no bookmark and waits for no quota, which makes it faster than a usable tap.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any, ClassVar
from urllib.parse import ParseResult

import requests
from singer_sdk import RESTStream, Stream, Tap
from singer_sdk import typing as th
from singer_sdk.pagination import BaseHATEOASPaginator
from singer_sdk.streams.rest import HTTPRequest, PageContext
from typing_extensions import override

PATHS = {
    "events": "/api/events?page[size]=1000&sort=datetime&include=metric,profile"
    "&fields[profile]=email,phone_number,external_id,first_name,last_name",
    "profiles": "/api/profiles?page[size]=100&sort=updated&additional-fields[profile]=subscriptions",
}
"""Stream -> the request that tap-klaviyo and the plain loop send too."""


def nested_schema(stream: str) -> dict[str, Any]:
    """Declare what tap-klaviyo declares, where the API has it: under ``attributes``."""
    flat = json.loads(files("tap_klaviyo.schemas").joinpath(f"{stream}.json").read_text(encoding="utf-8"))
    attributes = {name: declared for name, declared in flat["properties"].items() if name != "id"}
    branch: dict[str, Any] = {"type": ["object", "null"]}
    return {
        "type": "object",
        "properties": {
            "id": {"type": "string"},
            "type": {"type": "string"},
            "attributes": {"type": "object", "properties": attributes},
            "relationships": branch,
            "links": branch,
        },
    }


class Pages(BaseHATEOASPaginator):
    """Follows ``links.next``, but no further than the wanted number of pages."""

    def __init__(self, pages: int) -> None:
        super().__init__()
        self._pages = pages

    @override
    def get_next_url(self, response: requests.Response) -> str | None:
        following: str | None = response.json()["links"]["next"]
        return following if self.count < self._pages else None


class Collection(RESTStream[ParseResult]):
    """One collection of the API, as it is."""

    primary_keys = ("id",)
    records_jsonpath = "$.data[*]"

    def __init__(self, tap: Tap, name: str) -> None:
        super().__init__(tap, schema=nested_schema(name), name=name, path=PATHS[name])

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Authorization": f"Klaviyo-API-Key {self.config['api_key']}", "revision": "2026-07-15"}

    @override
    def get_new_paginator(self) -> Pages:
        return Pages(self.config["pages"])

    @override
    def get_http_request(self, *, page: PageContext[ParseResult]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        return replace(request, url=page.next_page_token.geturl()) if page.next_page_token else request


class StockTap(Tap):
    """One stream, for comparison."""

    name = "stock-tap"
    config_jsonschema: ClassVar[dict[str, Any]] = th.PropertiesList(
        th.Property("api_url", th.StringType, required=True),
        th.Property("api_key", th.StringType, required=True),
        th.Property("stream", th.StringType, required=True, allowed_values=list(PATHS)),
        th.Property("pages", th.IntegerType, required=True),
    ).to_dict()

    @override
    def discover_streams(self) -> Sequence[Stream]:
        return [Collection(self, self.config["stream"])]


if __name__ == "__main__":
    StockTap.cli()
