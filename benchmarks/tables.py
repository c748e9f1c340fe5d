"""What was found, as rows of Markdown tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from figures import Spread
    from findings import Bound, Calls, Comparison, Memory
    from races import Pace

NO_TARGET = "none"


def comparison_table(rows: Iterable[Comparison]) -> str:
    """Show every pace against another."""
    header = (
        "case",
        "against",
        "our steady rate",
        "its steady rate",
        "ratio",
        "processor ratio",
        "server",
    )
    return table(header, map(comparison_row, rows))


def comparison_row(row: Comparison) -> tuple[str, ...]:
    """Show one pace against another."""
    return (
        row.case,
        row.theirs.name,
        shown(row.ours.rates, ",.0f"),
        shown(row.theirs.rates, ",.0f"),
        shown(row.ratio, ".2f"),
        shown(row.cpu_ratio, ".2f"),
        f"{share(row.ours)} / {share(row.theirs)}",
    )


def pace_table(comparisons: Iterable[Comparison]) -> str:
    """Show every program once, where it appears first."""
    paces: dict[int, tuple[str, Pace]] = {}
    for row in comparisons:
        for pace in (row.ours, row.theirs):
            paces.setdefault(id(pace), (row.case, pace))
    return table(
        ("program", "case", "records", "processor time, µs a record", "start-up, s"),
        (
            (pace.name, case, f"{pace.records:,}", shown(pace.cpu_micros, ".1f"), f"{pace.start_up_seconds:.2f}")
            for case, pace in paces.values()
        ),
    )


def bound_table(rows: Iterable[Bound]) -> str:
    """Show figures beside what they should be."""
    return table(("case", "figure", "measured", "target", ""), map(bound_row, rows))


def bound_row(row: Bound) -> tuple[str, ...]:
    """Show one figure."""
    target = NO_TARGET
    if row.at_least is not None:
        target = f"≥ {row.at_least:{row.form}}"
    elif row.at_most is not None:
        target = f"≤ {row.at_most:{row.form}}"
    return (row.case, row.figure, shown(row.measured, row.form), target, verdict(row.is_met))


def calls_table(rows: Iterable[Calls]) -> str:
    """Show the requests of every flow."""
    header = ("flow", "records", "calls", "records", "calls", "per 1,000 of the difference")
    return table(header, map(calls_row, rows))


def calls_row(row: Calls) -> tuple[str, ...]:
    """Show the requests of one flow."""
    counts = (f"{number:,}" for count in (row.few, row.many) for number in (count.records, count.calls))
    return (row.flow, *counts, f"{row.per_thousand:.2f}")


def memory_table(rows: Iterable[Memory]) -> str:
    """Show the memory of every program."""
    return table(("program", "records", "MB", "records", "MB"), map(memory_row, rows))


def memory_row(row: Memory) -> tuple[str, ...]:
    """Show the memory of one program."""
    return (row.program, f"{row.few_records:,}", f"{row.few_mb:.0f}", f"{row.many_records:,}", f"{row.many_mb:.0f}")


def shown(spread: Spread, form: str) -> str:
    """Show minimum, median and maximum; of a single round, that."""
    if len(spread.values) == 1:
        return f"**{spread.middle:{form}}**"
    return f"{spread.low:{form}} / **{spread.middle:{form}}** / {spread.high:{form}}"


def share(pace: Pace) -> str:
    """Show how busy the server was."""
    return "?" if pace.server_share is None else f"{pace.server_share:.0%}"


def verdict(met: bool | None) -> str:
    """Show whether a target is met, if there is one."""
    if met is None:
        return ""
    return "met" if met else "**not met**"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Compose a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"
