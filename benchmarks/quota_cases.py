"""What Klaviyo's quotas come to: how much of them one flow uses, and whether three flows keep to them together."""

from __future__ import annotations

from datetime import datetime
from math import ceil
from typing import TYPE_CHECKING, Any

from commands import PLUGIN_TAP, Taps
from figures import Spread
from findings import Bound, Findings
from measuring import run_together
from project import flows
from reading_cases import PAGE
from servers import serving
from workbench import SHOP_DAYS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from scale import Scale

PROFILES = "/api/profiles"
STEADY = 750
"""Requests for profiles that Klaviyo takes in a minute."""

LEAST_SHARE, MOST_REFUSED = 0.95, 0.01
SLOW_PAGE_SECONDS = 0.3
PAGE_SECONDS = 0.1
START_UP_SECONDS = 3


def use_of_the_quota(folder: Path, scale: Scale) -> Findings:
    """Read profiles under the documented quotas, for a while.

    Raises:
        RuntimeError: The shop was read to its end before that.
    """
    with serving(quotas=True) as shop:
        shop.sandbox.seed(scale.quota_profiles, 0, days=SHOP_DAYS, hostile=False)
        shop.sandbox.latency("klaviyo", SLOW_PAGE_SECONDS)
        command = Taps(folder, shop.sandbox).tap("profiles", program=PLUGIN_TAP)
        if not run_together(command, at_most_seconds=scale.quota_seconds + START_UP_SECONDS):
            raise RuntimeError(f"{scale.quota_profiles} profiles are too few for {scale.quota_seconds} seconds")
        sent = profile_requests(shop.sandbox.journal())
    within = [request for request in sent if moment(request) - moment(sent[0]) < scale.quota_seconds]
    refused = sum(request["status"] == 429 for request in within)
    case = f"profiles, {SLOW_PAGE_SECONDS * 1_000:.0f} ms a page, {scale.quota_seconds} s"
    allowed = STEADY * ceil(scale.quota_seconds / 60)
    used, thrown_back = Spread(((len(within) - refused) / allowed,)), Spread((refused / len(within),))
    brought = Spread((sum(request["records"] for request in within) / (allowed * PAGE["profiles"]),))
    return Findings(
        [
            Bound(case, "share of the steady quota used", used, ".1%", at_least=LEAST_SHARE),
            Bound(case, "share of the records that as many full pages hold", brought, ".1%"),
            Bound(case, "share of the requests answered 429", thrown_back, ".1%", at_most=MOST_REFUSED),
        ]
    )


def three_flows(folder: Path, scale: Scale) -> Findings:
    """Run the project's three flows on one account at the same time, each with the share that meltano.yml gives it."""
    with serving(quotas=True) as shop:
        shop.sandbox.seed(scale.three_flows.profiles, scale.three_flows.events, days=SHOP_DAYS, hostile=False)
        shop.sandbox.latency("klaviyo", PAGE_SECONDS)
        taps = Taps(folder, shop.sandbox)
        run_together(*(taps.tap(flow.stream, program=PLUGIN_TAP, settings=flow.settings) for flow in flows()))
        sent = shop.sandbox.journal()
    refused = Spread((sum(request["status"] == 429 for request in sent),))
    busiest = Spread((busiest_minute(sent) / STEADY,))
    case = "three flows at once, shares of meltano.yml"
    return Findings(
        [
            Bound(case, f"requests of {len(sent):,} answered 429", refused, at_most=0),
            Bound(case, "share of the steady quota of profiles, busiest minute", busiest, ".1%"),
        ]
    )


def profile_requests(journal: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pick the requests that draw on the quota of profiles."""
    return [request for request in journal if request["path"] == PROFILES]


def moment(request: dict[str, Any]) -> float:
    """Tell when a request arrived, in seconds."""
    return datetime.fromisoformat(request["at"]).timestamp()


def busiest_minute(journal: Sequence[dict[str, Any]]) -> int:
    """Count the requests for profiles in the fullest sixty seconds, wherever those begin."""
    moments = [moment(request) for request in profile_requests(journal)]
    first, most = 0, 0
    for last, now in enumerate(moments):
        while moments[first] <= now - 60:
            first += 1
        most = max(most, last - first + 1)
    return most
