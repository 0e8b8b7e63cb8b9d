"""What the pictures of README.md and docs/ share: colours, frameless axes, text."""

from __future__ import annotations

from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT, PAPER = "#1f2933", "#8a96a3", "#ffffff"
#: One colour for each law, in every picture; colour-blind people tell them apart.
COLOURS: Final = {
    "largest_remainder": "#e2711d",
    "systematic": "#56a3d9",
    "stable": "#00687a",
    "balanced": "#a23b72",
}


def map_axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Add axes without frame, one unit as long in both directions; box as shares of the figure."""
    axes = figure.add_axes(box)
    axes.set_axis_off()
    axes.set_aspect("equal")
    return axes


def write(figure: Figure, x: float, y: float, text: str, size: float, colour: str) -> None:
    """Write a line of text at a place given as shares of the figure."""
    figure.text(x, y, text, fontsize=size, color=colour, va="center")
