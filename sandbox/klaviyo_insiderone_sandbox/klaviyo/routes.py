"""The one table of read endpoints of Klaviyo's API, collected from the families.

Source: https://developers.klaviyo.com/en/reference/api_overview, revision 2026-07-15.
"""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

from klaviyo_insiderone_sandbox.exchange import Answer, Call
from klaviyo_insiderone_sandbox.klaviyo.errors import (
    MEDIA_TYPE,
    KlaviyoError,
    invalid_revision,
    method_not_allowed,
    not_authenticated,
    not_found,
    not_permitted,
    staged,
    throttled,
)
from klaviyo_insiderone_sandbox.klaviyo.families import accounts, events, lists, metrics, profiles, segments, tags
from klaviyo_insiderone_sandbox.klaviyo.pages import Request
from klaviyo_insiderone_sandbox.klaviyo.parameters import buckets_of, read_parameters

if TYPE_CHECKING:
    from klaviyo_insiderone_sandbox.faults import Side
    from klaviyo_insiderone_sandbox.klaviyo.pages import Route
    from klaviyo_insiderone_sandbox.klaviyo.state import Account

ROUTES = (
    *accounts.ROUTES,
    *events.ROUTES,
    *lists.ROUTES,
    *metrics.ROUTES,
    *profiles.ROUTES,
    *segments.ROUTES,
    *tags.ROUTES,
)
"""Endpoint -> its route, collected from the families."""

KINDS = {route.kind.name: route.kind for route in ROUTES if route.kind and route.kind.kept_elsewhere is None}
"""Name -> type of the simple resources that the account keeps."""

OLDEST_REVISION = date(2024, 1, 1)
AUTHORIZATION = re.compile(r"Klaviyo-API-Key\s+(\S+)", re.IGNORECASE)


class KlaviyoApi:
    """Serves an account."""

    side: Side = "klaviyo"

    def __init__(self, account: Account) -> None:
        self.account = account
        by_path = {route.endpoint.path: route for route in ROUTES}
        self._plain = {path: route for path, route in by_path.items() if "{id}" not in path}
        self._patterns = [
            (re.compile(path.replace("{id}", "([^/]+)")), route) for path, route in by_path.items() if "{id}" in path
        ]

    def answer(self, call: Call) -> Answer:
        """Serve one call: path, method, key, revision, scope, quota, parameters are checked in this order."""
        try:
            return self._served(call)
        except KlaviyoError as error:
            return error.answer()

    def error(self, status: int, headers: dict[str, str]) -> Answer:
        """Compose the documented answer of *status*."""
        return staged(status, headers).answer()

    def scopes_of(self, call: Call) -> list[str] | None:
        """Return the scopes of the call's key."""
        scopes = self.account.scopes_by_key.get(key_of(call))
        return None if scopes is None else list(scopes)

    def _served(self, call: Call) -> Answer:
        route, resource_id = self._route(call.path)
        endpoint = route.endpoint
        if call.method != "GET":
            raise method_not_allowed(call.method)
        scopes = self.account.scopes_by_key.get(key_of(call))
        if scopes is None:
            raise not_authenticated()
        check_revision(call.headers.get("revision"))
        for scope in endpoint.scopes:
            if scope not in scopes:
                raise not_permitted(scope)
        buckets = buckets_of(call.query, endpoint)
        if wait := self.account.quotas.take(buckets):
            raise throttled(wait)
        headers = self.account.quotas.headers(buckets[0])
        try:
            parameters = read_parameters(call.query, endpoint, self.account.clock.now())
            body, records = route.read(Request(self.account, call.base_url, call.path, resource_id, parameters))
        except KlaviyoError as error:
            error.headers = headers
            raise
        return Answer(200, body, headers, MEDIA_TYPE, records)

    def _route(self, path: str) -> tuple[Route, str]:
        """Find the route of a path, and the id in it."""
        if path in self._plain:
            return self._plain[path], ""
        for pattern, route in self._patterns:
            if match := pattern.fullmatch(path):
                return route, match[1]
        raise not_found("The requested path could not be found.")


def key_of(call: Call) -> str:
    """Return the private key of a call, empty when it has none."""
    match = AUTHORIZATION.fullmatch(call.headers.get("authorization", ""))
    return match[1] if match else ""


def check_revision(revision: str | None) -> None:
    """Demand a revision header with a date."""
    if revision is None:
        raise invalid_revision("A revision header is required.")
    try:
        valid = len(revision) == len("2026-07-15") and date.fromisoformat(revision) >= OLDEST_REVISION
    except ValueError:
        valid = False
    if not valid:
        raise invalid_revision("The revision header must be the date of an API revision, such as 2026-07-15.")
