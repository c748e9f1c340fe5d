"""A running sandbox for tests and demonstrations."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlencode

import requests

from klaviyo_insiderone_sandbox.exact_json import dumps, loads
from klaviyo_insiderone_sandbox.insiderone.settings import PARTNER, TOKEN
from klaviyo_insiderone_sandbox.klaviyo.state import KEY_ALL_SCOPES as KLAVIYO_KEY
from klaviyo_insiderone_sandbox.klaviyo.state import KEY_THREE_FLOWS as KLAVIYO_KEY_THREE_FLOWS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

__all__ = ["KLAVIYO_KEY", "KLAVIYO_KEY_THREE_FLOWS", "PARTNER", "TOKEN", "Sandbox"]

TIMEOUT_SECONDS = 300


class Sandbox:
    """Starts ``sandbox serve`` on free ports, or attaches to one that runs; one method per control call.

    Numbers stay exact: a :class:`~decimal.Decimal` is sent digit by digit, and returned with *exact*.

        with Sandbox() as sandbox:
            sandbox.add_profiles([{"attributes": {"email": "ada@example.org"}}])
    """

    KLAVIYO_KEY = KLAVIYO_KEY
    KLAVIYO_KEY_THREE_FLOWS = KLAVIYO_KEY_THREE_FLOWS
    PARTNER = PARTNER
    TOKEN = TOKEN

    klaviyo_url: str
    insiderone_url: str
    control_url: str

    def __init__(self, *options: str) -> None:
        """Remember further *options* of the command, such as ``--no-quotas``."""
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._session = requests.Session()

    @classmethod
    def attach(cls, control_url: str) -> Self:
        """Use a running sandbox."""
        sandbox = cls()
        sandbox.control_url = control_url.rstrip("/")
        urls = sandbox._call("GET", "/control/status")["urls"]
        sandbox.klaviyo_url, sandbox.insiderone_url = urls["klaviyo"], urls["insiderone"]
        return sandbox

    def __enter__(self) -> Self:
        """Start the command, unless attached."""
        if not hasattr(self, "control_url"):
            self._start()
        return self

    def _start(self) -> None:
        ports = ["--klaviyo-port", "0", "--insiderone-port", "0", "--control-port", "0"]
        command = [sys.executable, "-m", "klaviyo_insiderone_sandbox", "serve", *ports, *self._options]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own command
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            raise RuntimeError(f"the sandbox ended with exit code {self._process.wait()} before it was ready")
        urls = json.loads(line)
        self.klaviyo_url, self.insiderone_url, self.control_url = urls["klaviyo"], urls["insiderone"], urls["control"]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop the command, if it was started here."""
        self.close()

    def close(self) -> None:
        """Stop the command, if it was started here."""
        self._session.close()
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def reset(self) -> None:
        """Return to empty accounts, the real clock, documented quotas, no faults, no latency, empty journals."""
        self._call("POST", "/control/reset", {})

    def seed(self, profiles: int = 2_000, events: int = 5_000, **options: Any) -> dict[str, int]:
        """Add made-up data; further *options*: seed, days, hostile, naming. Returns the counts."""
        counts: dict[str, int] = self._call(
            "POST", "/control/seed", {"profiles": profiles, "events": events, **options}
        )
        return counts

    def add_profiles(self, profiles: Sequence[Mapping[str, Any]]) -> list[str]:
        """Add or replace profiles ``{"id"?, "attributes": {...}}``; return their ids."""
        ids: list[str] = self._call("POST", "/control/profiles", {"profiles": profiles})["ids"]
        return ids

    def add_events(self, events: Sequence[Mapping[str, Any]]) -> list[str]:
        """Add events ``{"metric", "profile_id", "datetime", "properties", ...}``; return their ids."""
        ids: list[str] = self._call("POST", "/control/events", {"events": events})["ids"]
        return ids

    def add_lists(self, lists: Sequence[Mapping[str, Any]]) -> list[str]:
        """Add or replace lists ``{"name", "id"?, "created"?, "updated"?, "double_opt_in"?}``; return their ids."""
        ids: list[str] = self._call("POST", "/control/lists", {"lists": lists})["ids"]
        return ids

    def add_resources(self, kind: str, resources: Sequence[Mapping[str, Any]]) -> list[str]:
        """Add or replace tags, segments and other simple resources ``{"id", "attributes"?, "related"?}``."""
        ids: list[str] = self._call("POST", "/control/resources", {"type": kind, "resources": resources})["ids"]
        return ids

    def attribute(self, event_id: str, attributions: Sequence[Mapping[str, str]]) -> None:
        """Replace the attributions of an event: ``[{"flow": "F1", "flow-message": "M1", ...}]``."""
        self._call("POST", "/control/attribute", {"event_id": event_id, "attributions": attributions})

    def touch(self, ids: Sequence[str], attributes: Mapping[str, Any] | None = None, at: str | None = None) -> None:
        """Move the ``updated`` of profiles, merging *attributes*."""
        self._call("POST", "/control/touch", {"ids": list(ids), "attributes": attributes or {}, "at": at})

    def consent(
        self,
        profile_id: str,
        channel: str,
        consent: str,
        *,
        suppression: str | None = None,
        at: str | None = None,
        event: bool = True,
        naming: str | None = None,
    ) -> str | None:
        """Change consent; return the id of the event that records it."""
        body = {"id": profile_id, "channel": channel, "consent": consent, "suppression": suppression}
        answer = self._call("POST", "/control/consent", {**body, "at": at, "event": event, "naming": naming})
        event_id: str | None = answer["event_id"]
        return event_id

    def erase(self, ids: Sequence[str]) -> int:
        """Erase profiles; return how many existed."""
        erased: int = self._call("POST", "/control/erase", {"ids": list(ids)})["erased"]
        return erased

    def add_key(self, key: str, scopes: Sequence[str]) -> None:
        """Add a Klaviyo key."""
        self._call("POST", "/control/keys", {"key": key, "scopes": list(scopes)})

    def clock(self, now: str | None = None, frozen: str | None = None) -> str:
        """Start the clock at *now*, freeze it, or return to the real time; return the time."""
        moment: str = self._call("POST", "/control/clock", {"now": now, "frozen": frozen})["now"]
        return moment

    def quotas(self, scale: float | None = 1.0, limits: Mapping[str, str] | None = None) -> None:
        """Scale the quotas (None = off), and override single buckets: ``{"GET /api/profiles": "75;w=1, 750;w=60"}``."""
        self._call("POST", "/control/quotas", {"scale": scale, "limits": limits or {}})

    def latency(self, side: str, seconds: float) -> None:
        """Slow one side down."""
        self._call("POST", "/control/latency", {"side": side, "seconds": seconds})

    def fault(self, side: str, **rule: Any) -> int:
        """Inject a fault; return its id. See :class:`klaviyo_insiderone_sandbox.faults.Rule`."""
        fault_id: int = self._call("POST", "/control/faults", {"side": side, **rule})["id"]
        return fault_id

    def clear_faults(self) -> None:
        """Remove all faults."""
        self._call("DELETE", "/control/faults")

    def journal(self, side: str = "klaviyo", *, exact: bool = False) -> list[dict[str, Any]]:
        """Return the requests of one side, oldest first."""
        entries: list[dict[str, Any]] = self._call("GET", f"/control/journal?{urlencode({'side': side})}", exact=exact)[
            "requests"
        ]
        return entries

    def clear_journal(self) -> None:
        """Clear the journals of both sides."""
        self._call("DELETE", "/control/journal")

    def users(self, *, exact: bool = False) -> list[dict[str, Any]]:
        """Return Insider One's users; their events in the order of arrival."""
        users: list[dict[str, Any]] = self._call("GET", "/control/insiderone/users", exact=exact)["users"]
        return users

    def refusals(self) -> list[dict[str, Any]]:
        """Return the refused users, newest last."""
        refusals: list[dict[str, Any]] = self._call("GET", "/control/insiderone/refusals")["refusals"]
        return refusals

    def drops(self) -> list[dict[str, Any]]:
        """Return accepted data that belongs to nobody, newest last."""
        drops: list[dict[str, Any]] = self._call("GET", "/control/insiderone/drops")["drops"]
        return drops

    def klaviyo_settings(self, **settings: Any) -> dict[str, Any]:
        """Change settings of the Klaviyo account; return all of them."""
        known: dict[str, Any] = self._call("POST", "/control/klaviyo/settings", settings)
        return known

    def insiderone_settings(self, **settings: Any) -> dict[str, Any]:
        """Change settings of the Insider One account; return all of them."""
        known: dict[str, Any] = self._call("POST", "/control/insiderone/settings", settings)
        return known

    def status(self) -> dict[str, Any]:
        """Return the clock, addresses, quotas in use and totals."""
        status: dict[str, Any] = self._call("GET", "/control/status")
        return status

    def counts(self) -> dict[str, int]:
        """Count the resources of the Klaviyo account."""
        counts: dict[str, int] = self._call("GET", "/control/klaviyo/counts")
        return counts

    def klaviyo_profiles(self, *, exact: bool = False) -> list[dict[str, Any]]:
        """Return every Klaviyo profile, with subscriptions."""
        profiles: list[dict[str, Any]] = self._call("GET", "/control/klaviyo/profiles", exact=exact)["profiles"]
        return profiles

    def klaviyo_events(self, *, exact: bool = False) -> list[dict[str, Any]]:
        """Return every Klaviyo event under ``resource``, with its metric's name, hidden ones included."""
        events: list[dict[str, Any]] = self._call("GET", "/control/klaviyo/events", exact=exact)["events"]
        return events

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, exact: bool = False) -> Any:
        data = None if body is None else dumps(body).encode()
        response = self._session.request(method, self.control_url + path, data=data, timeout=TIMEOUT_SECONDS)
        if not response.ok:
            raise ValueError(f"{method} {path}: {response.status_code} {response.text}")
        return loads(response.content) if exact else response.json()
