"""Profiles: permitted parameters, JSON:API text, and routes.

Text is put together from stored pieces instead of being encoded anew, so that a page takes a millisecond.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from klaviyo_insiderone_sandbox.clock import MICROSECONDS, shown
from klaviyo_insiderone_sandbox.exact_json import join_object
from klaviyo_insiderone_sandbox.klaviyo import consent
from klaviyo_insiderone_sandbox.klaviyo.cursors import (
    bad_cursor,
    read_anchor_cursor,
    read_keyset_cursor,
    write_anchor_cursor,
    write_keyset_cursor,
)
from klaviyo_insiderone_sandbox.klaviyo.endpoints import Endpoint, any_of
from klaviyo_insiderone_sandbox.klaviyo.errors import not_found
from klaviyo_insiderone_sandbox.klaviyo.families.lists import LIST
from klaviyo_insiderone_sandbox.klaviyo.families.segments import SEGMENT
from klaviyo_insiderone_sandbox.klaviyo.filters import BETWEEN, IS, ONE_OF, WITHIN
from klaviyo_insiderone_sandbox.klaviyo.jsonapi import Selection, relationship, selection
from klaviyo_insiderone_sandbox.klaviyo.pages import Request, Route, page, single
from klaviyo_insiderone_sandbox.klaviyo.profiles import (
    LIST_SUPPRESSIONS,
    LOCATION_FIELDS,
    PREDICTIVE_FIELDS,
    PROFILE_FIELDS,
    SORT_KEYS,
    SUPPRESSION,
    page_of,
)
from klaviyo_insiderone_sandbox.klaviyo.settings import SPELLINGS
from klaviyo_insiderone_sandbox.quotas import TIER_L, TIER_M, TIER_XS, Bucket

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from klaviyo_insiderone_sandbox.klaviyo.profiles import Profile, SortKey
    from klaviyo_insiderone_sandbox.klaviyo.state import Account

PLAIN_FIELDS = any_of(*PROFILE_FIELDS, rf"location\.({'|'.join(LOCATION_FIELDS)})")
"""Sparse fields of profiles where no additional fields are offered."""
_FIELDS = re.compile(
    rf"{PLAIN_FIELDS.pattern}|predictive_analytics(\.({'|'.join(PREDICTIVE_FIELDS)}))?"
    r"|subscriptions(\.(email|sms|mobile_push|whatsapp)(\.(marketing|transactional|conversational|open_tracking)(\.[a-z_]+)?)?)?"
)
_CONVERSATION = any_of("channel")
_ANYTHING = re.compile("[a-z_.]+")
_ADDITIONAL = {"profile": ("subscriptions", "predictive_analytics")}
_PREDICTIVE = "additional-fields[profile]=predictive_analytics"
PREDICTIVE_BUCKETS = {_PREDICTIVE: Bucket(_PREDICTIVE, TIER_M)}
"""Drawn from by every endpoint that offers the field."""

PROFILES = Endpoint(
    path="/api/profiles",
    scopes=("profiles:read",),
    limits=TIER_L,
    sorts=("created", "email", "id", f"{LIST_SUPPRESSIONS}.timestamp", f"{SUPPRESSION}.timestamp", "updated"),
    filters={
        "id": ONE_OF,
        "email": ONE_OF,
        "phone_number": ONE_OF,
        "external_id": ONE_OF,
        "_kx": IS,
        "created": BETWEEN,
        "updated": BETWEEN,
        f"{LIST_SUPPRESSIONS}.reason": IS,
        f"{LIST_SUPPRESSIONS}.timestamp": WITHIN,
        f"{LIST_SUPPRESSIONS}.list_id": IS,
        f"{SUPPRESSION}.reason": IS,
        f"{SUPPRESSION}.timestamp": WITHIN,
    },
    includes=("conversations", "push-tokens"),
    fields={"profile": _FIELDS, "conversation": _CONVERSATION, "push-token": _ANYTHING},
    additional=_ADDITIONAL,
    page=(20, 100),
    parameter_buckets=PREDICTIVE_BUCKETS,
)
PROFILE = Endpoint(
    path="/api/profiles/{id}",
    scopes=("profiles:read",),
    limits=TIER_L,
    includes=("conversations", "lists", "push-tokens", "segments"),
    fields={
        "profile": _FIELDS,
        "conversation": _CONVERSATION,
        "push-token": _ANYTHING,
        "list": LIST.fields(),
        "segment": SEGMENT.fields(),
    },
    additional=_ADDITIONAL,
    parameter_buckets={
        **PREDICTIVE_BUCKETS,
        "include=lists": Bucket("GET /api/profiles/{id} include=lists", TIER_XS),
        "include=segments": Bucket("GET /api/profiles/{id} include=segments", TIER_XS),
    },
)

NEVER_SUBSCRIBED = msgspec.json.encode(consent.NEVER).decode()
TOLD = ("created", "updated", "last_event_date", "subscriptions")
"""Attributes of profiles that the account sets itself."""
NOT_GIVEN = {
    **{name: "null" for name in PROFILE_FIELDS if name not in TOLD},
    "location": join_object(dict.fromkeys(LOCATION_FIELDS, "null")),
    "properties": "{}",
    "predictive_analytics": join_object(dict.fromkeys(PREDICTIVE_FIELDS, "null")),
}
"""How the other ones are shown if they are not set."""


class ProfileWriter:
    """Writes profiles with the same selection, base URL and spelling of times."""

    _RELATED = ("lists", "segments", "push-tokens", "conversations")

    def __init__(
        self,
        base_url: str,
        shown_fields: Selection,
        includes: Sequence[str] = (),
        spelt: Callable[[int], str] = shown,
    ) -> None:
        self._spelt = spelt
        self._names = shown_fields.names
        self._shown = shown_fields
        url = f"{base_url}/api/profiles/@"
        related = ",".join(relationship(url, name, "[]" if name in includes else None) for name in self._RELATED)
        tail = f'}},"relationships":{{{related}}},"links":{{"self":"{url}/"}}}}'
        self._tail = tail.split("@")

    def write(self, profile: Profile) -> str:
        """Compose one profile."""
        given = profile.attributes
        parts = [
            f'"{name}":{given.get(name) or NOT_GIVEN.get(name) or self._told(profile, name)}' for name in self._names
        ]
        if self._shown.members:
            parts = [self._cut(part) for part in parts]
        return f'{{"type":"profile","id":"{profile.id}","attributes":{{{",".join(parts)}{profile.id.join(self._tail)}'

    def _cut(self, part: str) -> str:
        name, text = part.split(":", 1)
        return f"{name}:{self._shown.cut(name.strip(chr(34)), text)}"

    def _told(self, profile: Profile, name: str) -> str:
        """Return the attributes of a profile that the account sets itself."""
        match name:
            case "created":
                return f'"{self._spelt(profile.created)}"'
            case "updated":
                return f'"{self._spelt(profile.updated)}"'
            case "subscriptions":
                return profile.subscriptions or NEVER_SUBSCRIBED
        second = profile.last_event_second
        return "null" if second is None else f'"{self._spelt(second * MICROSECONDS)}"'


def profile_selection(asked: Sequence[str] | None, additional: frozenset[str]) -> Selection:
    """Resolve the attributes of a profile; subscriptions and predictions come only when added."""
    return selection(
        PROFILE_FIELDS, asked, [name for name in ("subscriptions", "predictive_analytics") if name in additional]
    )


def read_profiles(request: Request) -> tuple[bytes, int]:
    """GET /api/profiles."""
    account, parameters = request.account, request.parameters
    sort = parameters.sort or "id"
    cursor = None if parameters.cursor is None else place_behind(account, parameters.cursor, sort)
    try:
        walk = account.profiles.walk(
            parameters.conditions, sort, cursor, descending=parameters.descending, grain=account.settings.grain
        )
        rows, more = page_of(walk, parameters.size)
    except TypeError:
        raise bad_cursor() from None
    following = cursor_at(account, rows[-1], sort) if more else None
    body = page(map(profile_writer(request).write, rows), nothing_included(request), request, following)
    if rows and sort == "updated":
        account.stir(rows[-1])
    return body, len(rows)


def place_behind(account: Account, cursor: str, sort: str) -> SortKey:
    """Return the sort key behind which a page of profiles begins.

    An anchor is where its profile is now: beyond the window in which it was read, if it has been changed.

    Raises:
        KlaviyoError: The cursor is invalid, or the profile that it names is gone.
    """
    if account.settings.cursor == "keyset":
        return read_keyset_cursor(cursor, sort)
    anchor = account.profiles.by_id.get(read_anchor_cursor(cursor))
    if anchor is None:
        raise bad_cursor()
    return SORT_KEYS[sort](anchor)


def cursor_at(account: Account, last: Profile, sort: str) -> str:
    """Write the cursor of the page that follows a profile."""
    if account.settings.cursor == "keyset":
        return write_keyset_cursor(sort, SORT_KEYS[sort](last))
    return write_anchor_cursor(last.id)


def read_profile(request: Request) -> tuple[bytes, int]:
    """GET /api/profiles/{id}."""
    profile = request.account.profiles.by_id.get(request.id)
    if profile is None:
        raise not_found(f"A profile with id {request.id} does not exist.")
    return single(profile_writer(request).write(profile), nothing_included(request)), 1


def profile_writer(request: Request) -> ProfileWriter:
    """Prepare to write profiles as a request asks for them."""
    asked = request.parameters
    shown_fields = profile_selection(asked.fields.get("profile"), asked.additional)
    spelt = SPELLINGS[request.account.settings.spelling]
    return ProfileWriter(request.base_url, shown_fields, asked.includes or (), spelt)


def nothing_included(request: Request) -> list[str] | None:
    """Include lists, segments, push tokens and conversations of profiles: here always none."""
    return None if request.parameters.includes is None else []


ROUTES = (Route(PROFILES, read_profiles), Route(PROFILE, read_profile))
