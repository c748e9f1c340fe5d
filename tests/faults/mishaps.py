"""Seeded random faults of both APIs, as the sandbox's control plane takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recording import UNSTORABLE

if TYPE_CHECKING:
    import random

    from klaviyo_insiderone_sandbox.testing import Sandbox

Rule = dict[str, Any]

APPLIED = frozenset({"answer_lost", "truncate", "truncate_ok"})
"""Kinds of fault after which the request has taken effect though its answer never came."""

NOTHING_APPLIED: dict[str, Rule] = {
    "429": {"kind": "status", "status": 429},
    "429 with Retry-After": {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    **{str(status): {"kind": "status", "status": status} for status in (500, 502, 503, 504, 520, 521, 522, 523, 524)},
    "520 in HTML": {"kind": "html", "status": 520},
    "reset": {"kind": "reset"},
    "no JSON": {"kind": "not_json"},
}

ANSWER_LOST: dict[str, Rule] = {
    "applied, cut off": {"kind": "truncate"},
    "applied, half an answer": {"kind": "truncate_ok"},
    "applied, no answer": {"kind": "answer_lost"},
    "applied, 504": {"kind": "answer_lost", "status": 504},
}

INSIDERONE = {**NOTHING_APPLIED, **ANSWER_LOST}

KLAVIYO: dict[str, Rule] = {
    **NOTHING_APPLIED,
    "cut off": {"kind": "truncate"},
    "half an answer": {"kind": "truncate_ok"},
    "challenge of the edge": {"kind": "html", "status": 403},
}

HANG: Rule = {"kind": "hang"}
"""Costs a whole request timeout, so it is met rarely."""


def arm(sandbox: Sandbox, chance: random.Random, *, insiderone: int, klaviyo: int = 0) -> list[str]:
    """Let some of the first requests of each side fail; returns which kinds were armed."""
    armed = []
    for side, kinds, count, first in (("insiderone", INSIDERONE, insiderone, 60), ("klaviyo", KLAVIYO, klaviyo, 40)):
        for name in chance.choices(list(kinds), k=count):
            sandbox.fault(
                side, method="POST" if side == "insiderone" else "GET", skip=chance.randrange(first), **kinds[name]
            )
            armed.append(f"{side}: {name}")
    return armed


def refuse_unstorable(sandbox: Sandbox) -> None:
    """Let Insider One answer 400 to every request with an unstorable row in it, and name no row."""
    sandbox.fault(
        "insiderone", kind="status", status=400, body='{"error":"cannot be stored"}', query=UNSTORABLE, times=None
    )
