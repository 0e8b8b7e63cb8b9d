"""Pictures of a country of seven tiles: its line of weights, and the points of the laws on it."""

from __future__ import annotations

from typing import Any, Final

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from picture_style import COLOURS, FAINT, INK, PAPER, map_axes, write
from segment1b.laws.curves import hilbert_index
from segment1b.laws.points import (
    balanced_phases,
    balanced_points,
    deal,
    stable_points,
    systematic_points,
)

Int64s = npt.NDArray[np.int64]

#: Rows, columns and weights of tiles A to G on a raster of 4 x 4, along its curve.
_ROWS: Final = np.array([0, 1, 1, 2, 2, 2, 3])
_COLS: Final = np.array([1, 1, 2, 0, 1, 3, 2])
_WEIGHTS: Final = np.array([110, 60, 230, 90, 260, 170, 80])
#: Three merchants: their outlets, and their offsets as shares of 2^64.
_MERCHANTS: Final = np.array([5, 3, 2])
_OFFSETS: Final = np.array([0.3, 0.7, 0.1])


def _tiles() -> tuple[Int64s, Int64s, Int64s, Any]:
    """Return rows, columns and weights along the curve, and a shade of each."""
    along = np.argsort(hilbert_index(_ROWS, _COLS, 2))
    weights = _WEIGHTS[along]
    shades = plt.get_cmap("Blues")(0.15 + 0.6 * weights / weights.max())
    return _ROWS[along], _COLS[along], weights, shades


def draw_line() -> Figure:
    """Draw a tiny country: its tiles along the curve, and the points of a growing pair."""
    size, order = 4, 2
    rows, cols, weights, shades = _tiles()
    figure = plt.figure(figsize=(11, 5.2), facecolor=PAPER)
    write(figure, 0.02, 0.95, "The law 'stable' on a country of seven tiles", 15, INK)
    _draw_curve(map_axes(figure, (0.015, 0.1, 0.31, 0.7)), size, order)
    _draw_tiles(figure.axes[0], rows, cols, shades)
    _draw_points(figure.add_axes((0.38, 0.09, 0.6, 0.7)), weights, shades)
    for x, y, told in (
        (0.02, 0.855, "Tiles A to G along the Hilbert curve of a 4 x 4 raster"),
        (0.38, 0.855, "Their weights end to end, and the points of a merchant growing from 1 to 8"),
        (0.38, 0.045, "Outlet j lies at j times 0.618... of the line, wrapped round (U = 0)."),
    ):
        write(figure, x, y, told, 9.5, FAINT)
    return figure


def _draw_tiles(axes: Axes, rows: Int64s, cols: Int64s, shades: Any) -> None:
    for row, col, shade, name in zip(rows, cols, shades, "ABCDEFG", strict=True):
        axes.add_patch(Rectangle((col - 0.5, row - 0.5), 1, 1, facecolor=shade, zorder=1))
        ink = "white" if shade[0] < 0.25 else INK
        axes.text(col - 0.36, row - 0.27, name, fontsize=12, color=ink, ha="center", va="center")


def _draw_curve(axes: Axes, size: int, order: int) -> None:
    cells = np.arange(size * size)
    place = np.argsort(hilbert_index(cells // size, cells % size, order))
    axes.plot(place % size, place // size, color=COLOURS["stable"], linewidth=1.6, alpha=0.8)
    axes.plot(place[:1] % size, place[:1] // size, "o", color=COLOURS["stable"], markersize=8)
    axes.annotate(
        "", (size - 0.72, 0), (size - 1.3, 0),
        arrowprops={"arrowstyle": "-|>", "color": COLOURS["stable"], "mutation_scale": 18},
    )  # fmt: skip
    for draw in (axes.hlines, axes.vlines):
        draw(np.arange(size + 1) - 0.5, -0.5, size - 0.5, color="#c9d1d9", linewidth=0.6, zorder=0)
    axes.set_xlim(-0.55, size - 0.45)
    axes.set_ylim(size - 0.45, -0.55)


def _draw_points(axes: Axes, weights: Int64s, shades: Any) -> None:
    most, total = 8, int(weights.sum())
    points = stable_points(np.zeros(1, np.uint64), np.array([most]), total)
    _draw_bar(axes, weights, shades)
    for n in range(1, most + 1):
        axes.plot([0, total], [n, n], color="#e4e8ec", linewidth=0.8, zorder=0)
        axes.plot(points[: n - 1], [n] * (n - 1), "o", color=COLOURS["stable"], markersize=6)
        axes.plot(points[n - 1], n, "o", color="white", markeredgecolor=COLOURS["stable"],
                  markeredgewidth=2, markersize=8)  # fmt: skip
        axes.text(points[n - 1] + 13, n - 0.05, str(n), fontsize=8.5, color=INK, va="center")
        axes.text(-22, n, f"n = {n}", ha="right", va="center", fontsize=9, color=INK)
    axes.text(0, -0.8, "0", ha="center", fontsize=8.5, color=INK)
    axes.text(total, -0.8, f"K = {total:,}", ha="right", fontsize=8.5, color=INK)
    axes.set_axis_off()
    axes.set_xlim(-70, total + 5)
    axes.set_ylim(most + 0.6, -0.9)


def _draw_bar(axes: Axes, weights: Int64s, shades: Any) -> None:
    """Draw the weights end to end, with a line down at each end."""
    for name, end, weight, shade in zip(
        "ABCDEFG", np.cumsum(weights), weights, shades, strict=True
    ):
        axes.add_patch(Rectangle((end - weight, -0.62), weight, 0.8, facecolor=shade))
        axes.axvline(end, color="#c9d1d9", linewidth=0.7, zorder=0)
        axes.text(end - weight / 2, -0.22, f"{name}  {weight}", ha="center", va="center",
                  fontsize=9, color="white" if weight > 200 else INK)  # fmt: skip


def draw_laws() -> Figure:
    """Draw the points of three merchants on the line of weights by each curve law."""
    figure = plt.figure(figsize=(11, 7.6), facecolor=PAPER)
    write(figure, 0.02, 0.965, "Three merchants on one line, by three laws", 15, INK)
    told = "Seven tiles end to end; merchants of 5, 3 and 2 outlets, and all ten outlets together."
    write(figure, 0.02, 0.93, told, 9.5, FAINT)
    _, _, weights, shades = _tiles()
    said = {
        "systematic": "each merchant's points equally far apart",
        "stable": "each point 0.618... of the line from the one before",
        "balanced": "all points of the country equally far apart, dealt to the merchants in turn",
    }
    for place, (law, points) in enumerate(_points_by_law(int(weights.sum())).items()):
        y = 0.615 - 0.3 * place
        write(figure, 0.02, y + 0.262, law, 12.5, COLOURS[law])
        write(figure, 0.16, y + 0.261, said[law], 9.5, INK)
        axes = figure.add_axes((0.02, y, 0.96, 0.25))
        _draw_bar(axes, weights, shades)
        _draw_merchants(axes, points, COLOURS[law], int(weights.sum()))
    return figure


def _points_by_law(total: int) -> dict[str, list[Int64s]]:
    """Return each merchant's points by law."""
    offset = (_OFFSETS * 2.0**64).astype(np.uint64)
    ends = np.cumsum(_MERCHANTS)[:-1]
    sites = int(_MERCHANTS.sum())
    balanced = np.empty(sites, np.int64)
    (dealt,) = deal(balanced_phases(len(_MERCHANTS)), _MERCHANTS, sites)
    balanced[dealt] = balanced_points(0, sites, sites, total)
    found = {
        "systematic": systematic_points(offset, _MERCHANTS, total),
        "stable": stable_points(offset, _MERCHANTS, total),
        "balanced": balanced,
    }
    return {law: np.split(points, ends) for law, points in found.items()}


def _draw_merchants(axes: Axes, points: list[Int64s], colour: str, total: int) -> None:
    marks = ("o", "s", "^")
    for row, (own, mark) in enumerate(zip(points, marks, strict=True), 1):
        axes.plot([0, total], [row, row], color="#e4e8ec", linewidth=0.8, zorder=0)
        axes.text(-12, row, f"n = {len(own)}", ha="right", va="center", fontsize=9, color=INK)
        for height in (row, len(points) + 1):
            axes.plot(own, [height] * len(own), mark, color=colour, markersize=6)
    last = len(points) + 1
    axes.plot([0, total], [last, last], color=FAINT, linewidth=0.8, zorder=0)
    axes.text(-12, last, "all", ha="right", va="center", fontsize=9, color=INK)
    axes.set_axis_off()
    axes.set_xlim(-70, total + 5)
    axes.set_ylim(last + 0.6, -0.7)
