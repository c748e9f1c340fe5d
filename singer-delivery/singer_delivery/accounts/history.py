"""What past runs of an integration came to, from their summaries."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from singer_delivery.accounts.progress import REACHED

if TYPE_CHECKING:
    from collections.abc import Iterable

Summary = dict[str, Any]

LOOKED_AT: Final = 2_000
"""So many summaries are read at most, newest first."""

ALWAYS_RUNS: Final = 10
"""As many runs with rows, one after another, make a stream one that always has some."""


def delivered_before(summaries: Iterable[Summary], stream: str, mapping_hash: str) -> bool:
    """Whether a run with these settings has delivered something of *stream*."""
    return any(
        summary.get("mapping_hash") == mapping_hash and any(figures.get(outcome) for outcome in REACHED)
        for summary, figures in _runs_of(summaries, stream)
    )


def always_had_rows(summaries: Iterable[Summary], stream: str) -> bool:
    """Whether each of the last runs that knew *stream* read rows of it."""
    last = list(islice(_runs_of(summaries, stream), ALWAYS_RUNS))
    return len(last) == ALWAYS_RUNS and all(figures.get("read") for _, figures in last)


def _runs_of(summaries: Iterable[Summary], stream: str) -> Iterable[tuple[Summary, dict[str, Any]]]:
    """The runs, no dry ones, that knew *stream*, with its figures."""
    for summary in islice(summaries, LOOKED_AT):
        streams = summary.get("streams")
        figures = streams.get(stream) if isinstance(streams, dict) and not summary.get("dry_run") else None
        if isinstance(figures, dict):
            yield summary, figures
