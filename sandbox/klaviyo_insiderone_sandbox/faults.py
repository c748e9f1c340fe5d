"""Faults on demand: which requests fail, and how."""

import fnmatch
import random
import time
from typing import Literal

import msgspec

from klaviyo_insiderone_sandbox.exchange import Call

Side = Literal["klaviyo", "insiderone"]
Kind = Literal["status", "reset", "truncate", "truncate_ok", "html", "hang", "not_json", "answer_lost", "drip"]


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    """Which requests of one side fail, how, and how often.

    Without effect on the data: ``status`` answers *status*, ``reset`` closes the connection without an answer, ``hang``
    never answers, ``html`` and ``not_json`` answer with text instead of JSON. After the request has taken effect:
    ``truncate`` cuts the connection in the middle of the answer, ``truncate_ok`` ends the answer's JSON halfway in
    well-formed HTTP, ``answer_lost`` closes the connection, or answers *status*, ``drip`` sends the answer's body
    byte by byte, so slowly that no single wait is long and the whole takes minutes.
    """

    side: Side
    kind: Kind
    method: str | None = None
    path: str | None = None
    """Glob on the path: ``/api/events*``."""
    query: str | None = None
    """Part of the decoded query, or of the body."""
    status: int | None = None
    headers: dict[str, str] = {}
    body: str | None = None
    times: int | None = 1
    """Number of requests that fail; null = all."""
    seconds: float | None = None
    """Seconds during which requests fail, from the first one; null = forever."""
    skip: int = 0
    """Number of matching requests that pass first."""
    probability: float = 1.0
    seed: int = 1

    def matches(self, side: Side, call: Call) -> bool:
        """Return whether the rule matches *call*."""
        return (
            side == self.side
            and self.method in (None, call.method)
            and (self.path is None or fnmatch.fnmatchcase(call.path, self.path))
            and (self.query is None or self.query in call.decoded_query or self.query.encode() in call.body)
        )


class ArmedRule:
    """An armed rule: how often it has matched and fired."""

    def __init__(self, fault_id: int, rule: Rule) -> None:
        self.id = fault_id
        self.rule = rule
        self._met = 0
        self._fired = 0
        self._until = float("inf")
        self._chance = random.Random(rule.seed)  # noqa: S311 - repeatable tests, not secrets

    def fires(self) -> bool:
        """Count one matching request; returns whether it fails."""
        self._met += 1
        if self._met <= self.rule.skip:
            return False
        if self.rule.times is not None and self._fired >= self.rule.times:
            return False
        if time.monotonic() >= self._until or self._chance.random() >= self.rule.probability:
            return False
        if self._fired == 0 and self.rule.seconds is not None:
            self._until = time.monotonic() + self.rule.seconds
        self._fired += 1
        return True


class FaultBook:
    """All armed rules, oldest first."""

    def __init__(self) -> None:
        self._armed: list[ArmedRule] = []
        self._last_id = 0

    def add(self, rule: Rule) -> int:
        """Arm a rule; return its id."""
        self._last_id += 1
        self._armed.append(ArmedRule(self._last_id, rule))
        return self._last_id

    def clear(self) -> None:
        """Disarm every rule."""
        self._armed.clear()

    def claim(self, side: Side, call: Call) -> ArmedRule | None:
        """Return the first rule that makes *call* fail."""
        for armed in self._armed:
            if armed.rule.matches(side, call) and armed.fires():
                return armed
        return None
