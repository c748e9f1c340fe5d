"""The control plane: sets up data, time, quotas and faults, and shows the received data."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from klaviyo_insiderone_sandbox import control_requests as bodies
from klaviyo_insiderone_sandbox.clock import MICROSECONDS, instant_of, shown, shown_exactly
from klaviyo_insiderone_sandbox.exact_json import split_object, text_of
from klaviyo_insiderone_sandbox.faults import Rule
from klaviyo_insiderone_sandbox.insiderone.inspection import users_page, users_text
from klaviyo_insiderone_sandbox.klaviyo.inspection import events_text, profiles_text
from klaviyo_insiderone_sandbox.klaviyo.routes import KINDS
from klaviyo_insiderone_sandbox.klaviyo.seeding.marketing import mailing_list
from klaviyo_insiderone_sandbox.klaviyo.seeding.seed import Seed
from klaviyo_insiderone_sandbox.klaviyo.state import UnknownEventError, UnknownProfileError
from klaviyo_insiderone_sandbox.quotas import parse_limits

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request

    from klaviyo_insiderone_sandbox.sandbox import Sandbox

Wish = TypeVar("Wish")
Settings = TypeVar("Settings")


class Plane:
    """The routes, each a plain function of its request."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox

    def reset(self, _: bodies.Nothing) -> object:
        """Reset everything."""
        self.sandbox.reset()
        return {}

    def seed(self, body: Seed) -> object:
        """Add made-up data."""
        self.sandbox.seed(body)
        return self.counts()

    def profiles(self, body: bodies.NewProfiles) -> object:
        """Add or replace profiles."""
        account = self.sandbox.account
        split = [(one.id, {name: text_of(value) for name, value in one.attributes.items()}) for one in body.profiles]
        return {"ids": [account.put_profile(profile_id, attributes) for profile_id, attributes in split]}

    def events(self, body: bodies.NewEvents) -> object:
        """Add events."""
        return {"ids": [self._event(one) for one in body.events]}

    def lists(self, body: bodies.NewLists) -> object:
        """Add or replace lists."""
        return {"ids": [self._list(one) for one in body.lists]}

    def _list(self, one: bodies.NewList) -> str:
        account = self.sandbox.account
        created = account.clock.now() if one.created is None else instant_of(one.created)
        updated = None if one.updated is None else instant_of(one.updated)
        made = mailing_list(one.name, created, updated, list_id=one.id, double=one.double_opt_in)
        account.put("list", made)
        return made.id

    def resources(self, body: bodies.NewResources) -> object:
        """Add or replace simple resources of one type."""
        kind = KINDS.get(body.type)
        if kind is None:
            raise ValueError(f"type must be one of {', '.join(sorted(KINDS))}")
        for one in body.resources:
            attributes = {name: text_of(value) for name, value in one.attributes.items()}
            self.sandbox.account.put(body.type, kind.made(one.id, attributes, one.related))
        return {"ids": [one.id for one in body.resources]}

    def _event(self, one: bodies.NewEvent) -> str:
        properties = text_of(one.properties)
        split_object(properties)
        account = self.sandbox.account
        return account.add_event(
            one.profile_id,
            account.metric(one.metric, one.integration),
            instant_of(one.datetime) // MICROSECONDS,
            properties,
            event_id=one.id,
            uuid=one.uuid,
            visible_after=None if one.visible_after is None else instant_of(one.visible_after),
            attributions=one.attributions,
            touch=one.touch,
        )

    def attribute(self, body: bodies.Credit) -> object:
        """Replace the attributions of an event."""
        self.sandbox.account.attribute(body.event_id, body.attributions)
        return {"attributions": len(body.attributions)}

    def touch(self, body: bodies.Touch) -> object:
        """Move the `updated` of profiles."""
        attributes = {name: text_of(value) for name, value in body.attributes.items()}
        self.sandbox.account.touch(body.ids, attributes, None if body.at is None else instant_of(body.at))
        return {"touched": len(body.ids)}

    def consent(self, body: bodies.ConsentChange) -> object:
        """Change consent of one profile."""
        account = self.sandbox.account
        if body.naming is not None:
            account.naming = body.naming
        at = None if body.at is None else instant_of(body.at)
        event_id = account.set_consent(body.id, body.channel, body.consent, body.suppression, at, event=body.event)
        return {"event_id": event_id}

    def erase(self, body: bodies.Erase) -> object:
        """Erase profiles."""
        return {"erased": self.sandbox.account.erase(body.ids)}

    def keys(self, body: bodies.NewKey) -> object:
        """Add a Klaviyo key."""
        self.sandbox.account.scopes_by_key[body.key] = tuple(body.scopes)
        return {"scopes": body.scopes}

    def clock(self, body: bodies.ClockSetting) -> object:
        """Set the clock."""
        clock = self.sandbox.clock
        if body.frozen is not None:
            clock.freeze(instant_of(body.frozen))
        elif body.now is not None:
            clock.start_at(instant_of(body.now))
        else:
            clock.run_real()
        return {"now": shown_exactly(clock.now())}

    def quotas(self, body: bodies.QuotaSetting) -> object:
        """Scale or override quotas."""
        if body.scale is not msgspec.UNSET:
            self.sandbox.scale_quotas(body.scale)
        for name, text in body.limits.items():
            self.sandbox.account.quotas.overrides[name] = parse_limits(text)
        return {"scale": self.sandbox.account.quotas.scale}

    def latency(self, body: bodies.Latency) -> object:
        """Slow one side down."""
        self.sandbox.gateway(body.side).latency_seconds = body.seconds
        return {"seconds": body.seconds}

    def faults(self, body: Rule) -> object:
        """Inject a fault."""
        return {"id": self.sandbox.faults.add(body)}

    def clear_faults(self) -> object:
        """Remove all faults."""
        self.sandbox.faults.clear()
        return {}

    def klaviyo_settings(self, body: dict[str, Any]) -> object:
        """Change settings of the Klaviyo account; those not named stay."""
        account = self.sandbox.account
        account.settings = changed(account.settings, body)
        return account.settings

    def insiderone_settings(self, body: dict[str, Any]) -> object:
        """Change settings of the Insider One account; those not named stay."""
        users = self.sandbox.insiderone.users
        users.settings = changed(users.settings, body)
        return users.settings

    def journal(self, query: dict[str, str]) -> object:
        """Show the requests of one side, or of both under their names."""
        after, newest = int(query.get("after", 0)), query.get("newest")
        limit = None if newest is None else int(newest)
        side = query.get("side", "klaviyo")
        if side not in ("klaviyo", "insiderone"):
            raise ValueError("side must be klaviyo or insiderone")
        journal = self.sandbox.gateway("klaviyo" if side == "klaviyo" else "insiderone").journal
        entries = journal.entries(after=after, newest=limit)
        if query.get("bodies") == "false":
            entries = [msgspec.structs.replace(entry, body=None) for entry in entries]
        return {"requests": entries, "total": len(journal)}

    def clear_journal(self) -> object:
        """Clear the journals of both sides."""
        for gateway in (self.sandbox.klaviyo_gateway, self.sandbox.insiderone_gateway):
            gateway.journal.clear()
        return {}

    def users(self, query: dict[str, str]) -> bytes:
        """Show Insider One's users, or one by `insider_id`; with `limit`, one page of those that contain `search`."""
        stored = self.sandbox.insiderone.users.by_insider_id.values()
        if "insider_id" in query:
            return users_text(one for one in stored if one.insider_id == query["insider_id"])
        if "limit" not in query:
            return users_text(stored)
        return users_page(stored, query.get("search", ""), int(query.get("offset", 0)), int(query["limit"]))

    def refusals(self, query: dict[str, str]) -> object:
        """Show the refused users, newest last."""
        refusals = list(self.sandbox.insiderone.users.refusals)
        newest = int(query.get("newest", len(refusals)))
        return {"refusals": refusals[-newest:] if newest else [], "total": len(refusals)}

    def drops(self, query: dict[str, str]) -> object:
        """Show accepted data that belongs to nobody, newest last."""
        drops = list(self.sandbox.insiderone.users.unplaced)
        newest = int(query.get("newest", len(drops)))
        return {"drops": drops[-newest:] if newest else [], "total": len(drops)}

    def counts(self) -> object:
        """Count the resources of the Klaviyo account."""
        account = self.sandbox.account
        return {
            "profiles": len(account.profiles.by_id),
            "events": len(account.events.by_id),
            "metrics": len(account.metrics_by_id),
        }

    def klaviyo_profiles(self) -> bytes:
        """Show every profile, with subscriptions."""
        return profiles_text(self.sandbox.account)

    def klaviyo_events(self) -> bytes:
        """Show every event, hidden ones included."""
        return events_text(self.sandbox.account)

    def status(self) -> object:
        """Show the clock, quotas in use and totals."""
        sandbox = self.sandbox
        return {
            "now": shown(sandbox.clock.now()),
            "urls": sandbox.urls,
            "klaviyo": {
                **msgspec.to_builtins(self.counts()),
                "requests": len(sandbox.klaviyo_gateway.journal),
                "quotas": sandbox.account.quotas.usage(),
            },
            "insiderone": {
                "users": len(sandbox.insiderone.users.by_insider_id),
                "events": sum(len(user.events) for user in sandbox.insiderone.users.by_insider_id.values()),
                "requests": len(sandbox.insiderone_gateway.journal),
                "refusals": len(sandbox.insiderone.users.refusals),
                "drops": len(sandbox.insiderone.users.unplaced),
                "quotas": sandbox.insiderone.quotas.usage(),
            },
        }


def changed(settings: Settings, body: dict[str, Any]) -> Settings:
    """Return the settings with the given ones replaced.

    Raises:
        ValueError: An unknown setting, or an invalid value.
    """
    return msgspec.convert({**msgspec.to_builtins(settings), **body}, type(settings))


def answer(content: object, status: int = 200) -> Response:
    """Compose a JSON response; bytes are JSON already."""
    body = content if isinstance(content, bytes) else msgspec.json.encode(content)
    return Response(body, status, media_type="application/json")


def writes(kind: type[Wish], act: Callable[[Wish], object]) -> Callable[[Request], Any]:
    """Make a route of a function that takes a request body of one kind."""

    async def endpoint(request: Request) -> Response:
        try:
            return answer(act(msgspec.json.decode(await request.body() or b"{}", type=kind)))
        except (UnknownProfileError, UnknownEventError) as error:
            return answer({"error": str(error)}, 404)
        except (msgspec.DecodeError, ValueError) as error:
            return answer({"error": str(error)}, 400)

    return endpoint


def reads(act: Callable[[dict[str, str]], object]) -> Callable[[Request], Any]:
    """Make a route of a function of the query."""

    async def endpoint(request: Request) -> Response:
        try:
            return answer(act(dict(request.query_params)))
        except ValueError as error:
            return answer({"error": str(error)}, 400)

    return endpoint


def answers(act: Callable[[], object]) -> Callable[[Request], Any]:
    """Make a route of a function without arguments."""

    async def endpoint(_: Request) -> Response:
        return answer(act())

    return endpoint


async def page(_: Request) -> Response:
    """Show the page."""
    return HTMLResponse(files("klaviyo_insiderone_sandbox").joinpath("page.html").read_text(encoding="utf-8"))


def control_plane(sandbox: Sandbox) -> Starlette:
    """Compose the control plane's application."""
    plane = Plane(sandbox)
    return Starlette(
        routes=[
            Route("/", page),
            Route("/control/reset", writes(bodies.Nothing, plane.reset), methods=["POST"]),
            Route("/control/seed", writes(Seed, plane.seed), methods=["POST"]),
            Route("/control/profiles", writes(bodies.NewProfiles, plane.profiles), methods=["POST"]),
            Route("/control/events", writes(bodies.NewEvents, plane.events), methods=["POST"]),
            Route("/control/lists", writes(bodies.NewLists, plane.lists), methods=["POST"]),
            Route("/control/resources", writes(bodies.NewResources, plane.resources), methods=["POST"]),
            Route("/control/attribute", writes(bodies.Credit, plane.attribute), methods=["POST"]),
            Route("/control/touch", writes(bodies.Touch, plane.touch), methods=["POST"]),
            Route("/control/consent", writes(bodies.ConsentChange, plane.consent), methods=["POST"]),
            Route("/control/erase", writes(bodies.Erase, plane.erase), methods=["POST"]),
            Route("/control/keys", writes(bodies.NewKey, plane.keys), methods=["POST"]),
            Route("/control/clock", writes(bodies.ClockSetting, plane.clock), methods=["POST"]),
            Route("/control/quotas", writes(bodies.QuotaSetting, plane.quotas), methods=["POST"]),
            Route("/control/latency", writes(bodies.Latency, plane.latency), methods=["POST"]),
            Route("/control/faults", writes(Rule, plane.faults), methods=["POST"]),
            Route("/control/faults", answers(plane.clear_faults), methods=["DELETE"]),
            Route("/control/journal", reads(plane.journal)),
            Route("/control/journal", answers(plane.clear_journal), methods=["DELETE"]),
            Route("/control/status", answers(plane.status)),
            Route("/control/insiderone/users", reads(plane.users)),
            Route("/control/insiderone/refusals", reads(plane.refusals)),
            Route("/control/insiderone/drops", reads(plane.drops)),
            Route("/control/insiderone/settings", writes(dict, plane.insiderone_settings), methods=["POST"]),
            Route("/control/klaviyo/settings", writes(dict, plane.klaviyo_settings), methods=["POST"]),
            Route("/control/klaviyo/counts", answers(plane.counts)),
            Route("/control/klaviyo/profiles", answers(plane.klaviyo_profiles)),
            Route("/control/klaviyo/events", answers(plane.klaviyo_events)),
        ]
    )
