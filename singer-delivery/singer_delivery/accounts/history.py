"""Results of past runs of an integration, read from their summaries."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from singer_delivery.accounts.progress import REACHED

if TYPE_CHECKING:
    from collections.abc import Iterable

Summary = dict[str, Any]

MOST_SUMMARIES: Final = 2_000
"""How many summaries are read at most, newest first."""

ALWAYS_RUNS: Final = 10
"""A stream that had rows in this many consecutive runs is expected to always have some."""


def delivered_before(summaries: Iterable[Summary], stream: str, mapping_hash: str) -> bool:
    """Whether an earlier run with these settings delivered records of *stream*."""
    return any(
        summary.get("mapping_hash") == mapping_hash and any(figures.get(outcome) for outcome in REACHED)
        for summary, figures in _runs_of(summaries, stream)
    )


def always_had_rows(summaries: Iterable[Summary], stream: str) -> bool:
    """Whether each of the last `ALWAYS_RUNS` runs with *stream* read rows of it."""
    last = list(islice(_runs_of(summaries, stream), ALWAYS_RUNS))
    return len(last) == ALWAYS_RUNS and all(figures.get("read") for _, figures in last)


def _runs_of(summaries: Iterable[Summary], stream: str) -> Iterable[tuple[Summary, dict[str, Any]]]:
    """The runs that had *stream*, dry runs excluded, each with the stream's figures."""
    for summary in islice(summaries, MOST_SUMMARIES):
        streams = summary.get("streams")
        figures = streams.get(stream) if isinstance(streams, dict) and not summary.get("dry_run") else None
        if isinstance(figures, dict):
            yield summary, figures
