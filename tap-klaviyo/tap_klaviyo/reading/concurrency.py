"""Finds by trial how many concurrent requests are useful."""

from __future__ import annotations

import math
import statistics

WORTH_WINDOWS = 4.0  # a page must take so many times longer to fetch than to write
GROWTH = 4
EASE, STRAIN = 2.0, 3.0  # requests slower than the quickest by these factors: no increase, a decrease
DECAY = 1.01  # factor by which the quickest time known grows with every request


class Concurrency:
    """Finds how many concurrent requests are useful.

    While many requests take no longer than few, there may be more. If they do, the server (or this process) is busy,
    and more of them would only wait there.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._allowed = 1
        self._quickest = math.inf
        self._round: list[float] = []

    def note(self, seconds: float) -> None:
        """Note the duration of a request for a full page."""
        self._quickest = min(DECAY * self._quickest, seconds)
        self._round.append(seconds)
        if len(self._round) >= self._allowed:
            usual = statistics.median(self._round)
            self._round = []
            if usual <= EASE * self._quickest:
                self._allowed = min(self._most, GROWTH * self._allowed)
            elif usual > STRAIN * self._quickest:
                self._allowed = max(1, self._allowed // 2)

    def useful(self, emit_seconds: float) -> int:
        """Return how many concurrent requests hide their latency behind writing a page, which takes *emit_seconds*."""
        ratio = self._quickest / max(emit_seconds, 1e-6)
        if math.isinf(ratio) or ratio < WORTH_WINDOWS:
            return 1
        return min(self._allowed, math.ceil(ratio) + 1)
