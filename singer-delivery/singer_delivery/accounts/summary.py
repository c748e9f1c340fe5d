"""Prints the run summary as a table when standard error is a terminal."""

from __future__ import annotations

from typing import Any

from singer_delivery.accounts.accounting import as_table, reasons_of


def show_table(report: dict[str, Any]) -> None:
    """Print the summary table to standard error."""
    from rich.box import SIMPLE  # noqa: PLC0415  (imported only if needed)
    from rich.console import Console  # noqa: PLC0415  (same)
    from rich.table import Table  # noqa: PLC0415  (same)

    console = Console(stderr=True)
    header, *rows = as_table(report)
    table = Table(
        title=f"{report['integration_name']}: run {report['run_id']}",
        title_justify="left",
        box=SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for place, column in enumerate(header):
        table.add_column(column, justify="left" if place == 0 else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for line in reasons_of(report):
        console.print(line, markup=False, highlight=False)
    console.print(f"rejects: {report['rejects_file']}", markup=False, highlight=False)
