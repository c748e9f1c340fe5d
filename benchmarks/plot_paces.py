"""The paces of all programs, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib import pyplot as plt
from matplotlib.patches import Rectangle

from drawing import OTHERS, OURS, prepare, save

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.axes import Axes

    from findings import Comparison
    from races import Pace

INCHES_PER_BAR, INCHES_PER_TITLE, COLUMNS = 0.26, 0.55, 2


def plot_paces(comparisons: list[Comparison], path: Path) -> None:
    """Draw the paces of every case into an SVG file, each program with its spread and its distance from us."""
    prepare()
    cases: dict[str, list[Comparison]] = {}
    for row in comparisons:
        cases.setdefault(row.case, []).append(row)
    lines = [list(cases.items())[place : place + COLUMNS] for place in range(0, len(cases), COLUMNS)]
    bars = [max(len(rows) for _, rows in line) + 1 for line in lines]
    heights = [count * INCHES_PER_BAR + INCHES_PER_TITLE for count in bars]
    figure, grid = plt.subplots(
        len(lines), COLUMNS, figsize=(12, sum(heights)), squeeze=False, height_ratios=heights, layout="constrained"
    )
    for line, count, row_of_axes in zip(lines, bars, grid, strict=True):
        for axes in row_of_axes[len(line) :]:
            axes.set_axis_off()
        for (case, rows), axes in zip(line, row_of_axes, strict=False):
            draw_case(axes, case, rows)
            axes.set_ylim(count - 0.5, -0.5)
    save(figure, path)
    plt.close(figure)


def draw_case(axes: Axes, case: str, rows: list[Comparison]) -> None:
    """Draw our bar, and one for each program that we are compared with."""
    axes.set_title(case, fontweight="bold")
    draw_bar(axes, 0, rows[0].ours, "", OURS)
    for place, row in enumerate(rows, start=1):
        draw_bar(axes, place, row.theirs, f"; ratio {row.ratio.middle:.2f}", OTHERS)
    axes.set_yticks(range(len(rows) + 1), [rows[0].ours.name, *(row.theirs.name for row in rows)])
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.set_xlim(0, 1.8 * max(bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)))


def draw_bar(axes: Axes, place: int, pace: Pace, remark: str, colour: str) -> None:
    """Draw a median, its spread, and the figure itself."""
    rate = pace.rates
    axes.barh(place, rate.middle, height=0.7, color=colour)
    axes.plot([rate.low, rate.high], [place, place], color="black", linewidth=1)
    axes.annotate(
        f"{rate.middle:,.0f} records/s{remark}",
        (rate.high, place),
        xytext=(5, 0),
        textcoords="offset points",
        va="center",
        fontsize=8,
    )
