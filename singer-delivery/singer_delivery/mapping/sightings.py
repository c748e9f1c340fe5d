"""Finds mapping sources that no record of the input had, and suggests the name that was probably meant."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from singer_delivery.disclosure import shown
from singer_delivery.mapping.sources import Record, is_present, steps_of
from singer_delivery.settings.suggestions import letters_of, plain, slip_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

ALL_OF_THE_FIRST = 2_000
ONE_OF = 20
"""Sources are looked for in the first 2,000 records, then in every twentieth, which keeps the cost negligible."""

SAMPLED_AT_FIRST = 200
SAMPLED_LATER = 50
"""Names are collected from the first 200 records, then from every fiftieth."""

NAMES_KEPT = 2_000
DEPTH = 4


class Row(NamedTuple):
    """One row of a mapping: its path in the settings, and its sources."""

    path: str
    sources: tuple[str, ...]
    is_identifier: bool = False


class Missing(NamedTuple):
    """A source that no record had.

    *row_is_empty*: no record had any of the row's sources. *suggestion*: the name that was probably meant.
    """

    row: Row
    source: str
    records: int
    row_is_empty: bool
    suggestion: str | None

    def __str__(self) -> str:
        records = f"{self.records:,} record" if self.records == 1 else f"{self.records:,} records"
        where = f"{self.row.path} `{shown(self.source)}`: found in 0 of {records}"
        return f"{where}; did you mean `{self.suggestion}`?" if self.suggestion else where


class SourceFinder:
    """Looks for the sources of some rows in records until each was seen; *bag* names the record's open object."""

    def __init__(self, rows: Sequence[Row], bag: str, declared: Iterable[str] = ()) -> None:
        self.records = 0
        self._rows = rows
        self._bag = bag
        self._declared = frozenset(declared)
        self._names: set[str] = set()
        self._unmet = {source for row in rows for source in row.sources} - self._declared
        self._keys = {source for source in self._unmet if len(steps_of(source)) == 1}
        self._paths = [(source, steps_of(source)[0][0]) for source in sorted(self._unmet - self._keys)]

    def look(self, record: Record, items: Sequence[Any] = ()) -> None:
        """Look for the sources not seen yet in a record, its open object, and its items."""
        self.records += 1
        if not self._unmet:
            return
        inside = record.get(self._bag)
        holders = [record, inside] if type(inside) is dict else [record]
        if items:
            holders += [item for item in items if type(item) is dict]
        for holder in holders:
            if not holder.keys().isdisjoint(self._keys):
                met = holder.keys() & self._keys
                self._keys -= met
                self._unmet -= met
            for source, head in self._paths:
                if (head in holder or source in holder) and is_present(source, holder):
                    self._unmet.discard(source)
        if self._paths:
            self._paths = [path for path in self._paths if path[0] in self._unmet]
        if self.records <= SAMPLED_AT_FIRST or self.records % SAMPLED_LATER == 0:
            for holder in holders[:4]:
                self._gather(holder, "", DEPTH)

    def _gather(self, value: Record, at: str, depth: int) -> None:
        if depth == 0 or len(self._names) >= NAMES_KEPT:
            return
        for name, inner in value.items():
            self._names.add(f"{at}{name}")
            if type(inner) is dict:
                self._gather(inner, f"{at}{name}.", depth - 1)

    def missing(self) -> Iterator[Missing]:
        """The sources that no record had, if no other source of their row was seen, or if they look misspelt.

        A source that the SCHEMA declares is spelt correctly, whether or not a record has it.
        """
        for row in self._rows if self.records else ():
            row_is_empty = self._unmet.issuperset(row.sources)
            for source in row.sources:
                if source in self._unmet:
                    suggestion = self._meant_by(source, row)
                    if row_is_empty or suggestion:
                        yield Missing(row, source, self.records, row_is_empty, suggestion)

    def _meant_by(self, source: str, row: Row) -> str | None:
        prefix = f"{self._bag}."
        bare = source.removeprefix(prefix)
        near = slip_of(bare, plain(self._names | self._declared))
        if near is None or near in row.sources:
            return None
        return near if bare == source or near.startswith(prefix) else f"{prefix}{near}"


@lru_cache(maxsize=4)  # asked again with every STATE while nothing was delivered
def slips_among(unmet: tuple[str, ...], met: tuple[str, ...]) -> dict[str, str]:
    """Mapped name that was not seen -> the seen name of which it is probably a misspelling."""
    names = plain(met)
    return {metric: meant for metric in unmet if (meant := slip_of(metric, names, most_edits=1))}


def slips_in(rows: Iterable[Row], declared: Collection[str]) -> Iterator[str]:
    """Warnings for sources that nearly match a field of the SCHEMA; other case or spacing may be a property's own."""
    for row in rows:
        for source in row.sources:
            meant = None if source in declared else slip_of(source, declared)
            if meant is None or meant in row.sources or letters_of(meant) == letters_of(source):
                continue
            yield f"{row.path} `{shown(source)}` is not a field of the SCHEMA; did you mean `{meant}`?"


def declared_names(schema: Mapping[str, Any], bag: str, at: str = "", depth: int = DEPTH) -> set[str]:
    """The names that a SCHEMA declares, in the notation of sources: those of nested objects as paths."""
    names: set[str] = set()
    properties = schema.get("properties")
    if depth and isinstance(properties, dict):
        for name, inner in properties.items():
            names.add(f"{at}{name}")
            if isinstance(inner, dict):
                names |= declared_names(inner, bag, "" if not at and name == bag else f"{at}{name}.", depth - 1)
    for word in ("anyOf", "oneOf", "allOf"):
        options = schema.get(word)
        for option in options if depth and isinstance(options, list) else ():
            if isinstance(option, dict):
                names |= declared_names(option, bag, at, depth - 1)
    return names
