"""How the plots look: small, legible on any background, and the same for the same data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

OURS, OTHERS, FAINT = "#1f6feb", "#8b949e", "#d0d7de"

STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans", "sans-serif"],
    "font.size": 9.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "klaviyo-insiderone",
}


def prepare() -> None:
    """Draw without a screen, in our manner."""
    mpl.use("svg")
    mpl.rcParams.update(STYLE)


def save(figure: Figure, path: Path) -> None:
    """Write an SVG without a date."""
    figure.savefig(path, metadata={"Date": None})
