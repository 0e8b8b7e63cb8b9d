"""Draw the pictures of README.md and docs/ from the embedded world, and print their figures.

    python scripts/make_pictures.py [--out docs/pictures] [--work FOLDER]

Runs the embedded world under all laws (under a minute, 2 GB of memory) and draws five PNG files.
The Markdown table on stdout is the one in docs/laws.md. With --work the four data roots are kept
there, and reused by the next call.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq
import shapely
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from PIL import Image

from picture_of_the_line import draw_laws, draw_line
from picture_style import COLOURS, FAINT, INK, PAPER, map_axes, write
from segment1b.cli.console import LogProgress
from segment1b.config import RunSettings
from segment1b.pipeline.execution import run_pipeline
from segment1b.reference import embedded

Floats = npt.NDArray[np.float64]
Int64s = npt.NDArray[np.int64]

NOTICE: Final = (
    "Made with Natural Earth. © OpenStreetMap contributors, ODbL 1.0. Places: GeoNames, CC BY 4.0, "
    "modified. Country totals: UN WPP 2024, CC BY 3.0 IGO, modified."
)
COUNTRY, COUNTRY_NAME = "FR", "France"
#: What is drawn of it, degrees west, east, south and north; every tile with sites is there.
WINDOW: Final = (-5.4, 9.9, 41.2, 51.3)
NAMED: Final = {
    "IN": "India", "CN": "China", "BR": "Brazil", "NG": "Nigeria", "US": "United States",
    "FR": "France", "ID": "Indonesia",
}  # fmt: skip


@dataclass(frozen=True)
class World:
    """One run of the embedded world.

    Attributes:
        report: the run report of S4.
        country: str[r], country of each row of the plan.
        tile_id: uint64[r].
        sites: int64[r], sites of one merchant in one tile.
        weights: folder of tile_weights.
        ncols: columns of the raster; its cells are square and start at 180 W, 90 N.
    """

    report: dict[str, Any]
    country: npt.NDArray[np.str_]
    tile_id: npt.NDArray[np.uint64]
    sites: Int64s
    weights: Path
    ncols: int

    def tiles(self, country: str | None = None) -> tuple[Floats, Floats, Int64s]:
        """Return longitude, latitude (degrees, centres) and sites of the tiles that have sites."""
        mine = slice(None) if country is None else self.country == country
        ids, which = np.unique(self.tile_id[mine], return_inverse=True)
        total = np.zeros(len(ids), np.int64)
        np.add.at(total, which, self.sites[mine])
        step = 360 / self.ncols
        rows, cols = np.divmod(ids.astype(np.int64), self.ncols)
        return -180 + step * (cols + 0.5), 90 - step * (rows + 0.5), total


def run_world(root: Path, law: str) -> World:
    """Run the embedded world under one law."""
    asked = RunSettings(data_root=root, settings=(f"allocation.law={law}",))
    outcomes = {o.state: o for o in run_pipeline(asked, LogProgress()).outcomes}
    plan = pq.ParquetDataset(outcomes["s4"].datasets[0]).read()
    country = plan["legal_country_iso"].to_numpy().astype("U2")
    tile_id, sites = plan["tile_id"].to_numpy(), plan["n_sites_tile"].to_numpy()
    ncols = outcomes["s1"].report["grid_dims"]["ncols"]
    return World(outcomes["s4"].report, country, tile_id, sites, outcomes["s2"].datasets[0], ncols)


def rings(country: str | None = None) -> list[tuple[Floats, bool]]:
    """Return the rings of the embedded countries, outer before inner ones, large before small.

    Returns:
        (degrees [k, 2], longitude first; whether the ring is an outer one) of each ring.
    """
    table = pq.read_table(embedded.surface("world_countries.parquet"))
    if country is not None:
        table = table.filter(pc.equal(table["country_iso"], country))
    shapes = shapely.from_wkb(table["geom"].to_numpy())
    parts = shapely.get_parts(shapely.simplify(shapes, 0.01 if country else 0.08))
    found = []
    for part in sorted(parts, key=lambda p: -float(p.area)):
        if part.area > (0 if country else 0.02):
            holes = [ring for ring in part.interiors if shapely.Polygon(ring).area > 0.05]
            found.append((np.asarray(part.exterior.coords), True))
            found.extend((np.asarray(ring.coords), False) for ring in holes)
    return found


def equal_earth(lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
    """Project degrees by Equal Earth (Savric, Patterson, Jenny 2018), which keeps areas."""
    a, b, c, d = 1.340264, -0.081106, 0.000893, 0.003796
    m = np.sqrt(3) / 2
    t = np.arcsin(m * np.sin(np.radians(lat)))
    t2, t6 = t**2, t**6
    x = np.radians(lon) * np.cos(t) / (m * (a + 3 * b * t2 + t6 * (7 * c + 9 * d * t2)))
    return x, t * (a + b * t2 + t6 * (c + d * t2))


def draw_world(world: World) -> Figure:
    """Draw the sites of every tile of the world over the countries' outlines."""
    sea, land, border = "#0d1826", "#1c2c3f", "#4a6078"
    figure = plt.figure(figsize=(12, 6.3), facecolor=sea)
    axes = map_axes(figure, (0.0, 0.035, 1.0, 0.86))
    shapes = [(np.column_stack(equal_earth(*ring.T)), outer) for ring, outer in rings()]
    axes.add_collection(
        PolyCollection(
            [ring for ring, _ in shapes], edgecolors=border, linewidths=0.3,
            facecolors=[land if outer else sea for _, outer in shapes],
        )
    )  # fmt: skip
    lon, lat, sites = world.tiles()
    order = np.argsort(sites, kind="stable")
    points = axes.scatter(
        *equal_earth(lon[order], lat[order]), c=sites[order], linewidths=0,
        s=0.8 + 2.2 * np.log2(sites[order]), cmap="inferno", norm=LogNorm(0.12, float(sites.max())),
    )  # fmt: skip
    axes.set_xlim(-2.71, 2.71)
    axes.set_ylim(-1.0, 1.32)
    _scale(figure, points, int(sites.max()))
    quality = world.report["quality_by_country"]
    told = (
        f"{int(sites.sum()):,} outlets of {world.report['merchants_total']:,} made-up merchants in "
        f"{len(quality)} countries, in {sum(q['distinct_tiles'] for q in quality.values()):,} "
        "tiles of 0.1 degree; law 'stable'"
    )
    write(figure, 0.014, 0.962, "Where the plan puts the embedded world's outlets", 15, "white")
    write(figure, 0.014, 0.922, told, 9.5, "#b9c6d3")
    write(figure, 0.014, 0.02, NOTICE, 6.5, "#7c8b9a")
    return figure


def _scale(figure: Figure, points: Any, most: int) -> None:
    """Draw the colour scale of the world map, with whole sites as ticks."""
    axes = figure.add_axes((0.055, 0.2, 0.15, 0.018))
    bar = figure.colorbar(points, cax=axes, orientation="horizontal")
    axes.set_xlim(1, most)
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200, 500) if t <= most]
    bar.set_ticks(ticks, labels=[str(t) for t in ticks])
    bar.ax.minorticks_off()
    bar.ax.tick_params(colors="#b9c6d3", labelsize=7.5, length=2)
    bar.ax.set_title("sites in a tile", fontsize=8.5, color="#b9c6d3", loc="left", pad=4)


def draw_country(worlds: dict[str, World]) -> Figure:
    """Draw one country's plan under all four laws over its weights."""
    figure = plt.figure(figsize=(11, 12.2), facecolor=PAPER)
    write(figure, 0.02, 0.976, f"The same {COUNTRY_NAME}, the same outlets, four laws", 15, INK)
    quality = worlds["stable"].report["quality_by_country"][COUNTRY]
    told = "A circle is a tile with sites, its area their number; grey is the tile's weight."
    counts = f"{quality['sites']} outlets of {quality['pairs']} merchants."
    write(figure, 0.02, 0.952, f"{counts} {told}", 9.5, FAINT)
    for place, (law, world) in enumerate(worlds.items()):
        x, y = 0.02 + 0.49 * (place % 2), 0.5 - 0.475 * (place // 2)
        axes = map_axes(figure, (x, y, 0.47, 0.39))
        _draw_weights(axes, world)
        lon, lat, sites = world.tiles(COUNTRY)
        axes.scatter(
            lon, lat, s=14.0 * sites, color=COLOURS[law], alpha=0.7, linewidths=0.6,
            edgecolors="white", zorder=3,
        )  # fmt: skip
        axes.set_xlim(WINDOW[:2])
        axes.set_ylim(WINDOW[2:])
        axes.set_aspect(1 / np.cos(np.radians(46.5)))
        own = world.report["quality_by_country"][COUNTRY]
        write(figure, x, y + 0.428, law, 12.5, COLOURS[law])
        told = f"{own['distinct_tiles']} tiles, at most {int(sites.max())} sites in one; "
        told += f"collapse index {own['collapse_index']:.2f}, "
        told += f"load error at most {own['tile_load_error_max']:.1f}"
        write(figure, x, y + 0.406, told, 9.5, INK)
    write(figure, 0.02, 0.012, NOTICE, 6.5, FAINT)
    return figure


def _draw_weights(axes: Axes, world: World) -> None:
    """Shade a country's tiles by weight and draw its outline."""
    where = [("country_iso", "=", COUNTRY)]
    table = pq.ParquetDataset(world.weights, filters=where).read(["tile_id", "weight_fp"])
    ids = table["tile_id"].to_numpy()
    rows, cols = np.divmod(ids.astype(np.int64), world.ncols)
    image = np.full((np.ptp(rows) + 1, np.ptp(cols) + 1), np.nan)
    image[rows - rows.min(), cols - cols.min()] = table["weight_fp"].to_numpy() / 1e12
    step = 360 / world.ncols
    west, north = -180 + step * cols.min(), 90 - step * rows.min()
    axes.imshow(
        image, cmap="Greys", norm=LogNorm(1e-6, 8e-2), interpolation="nearest",
        extent=(west, west + step * image.shape[1], north - step * image.shape[0], north),
    )  # fmt: skip
    outline = [ring for ring, _ in rings(COUNTRY)]
    axes.add_collection(LineCollection(outline, colors=FAINT, linewidths=0.7))


def draw_collapse(worlds: dict[str, World]) -> Figure:
    """Draw the collapse index of every country under every law against its number of outlets."""
    figure = plt.figure(figsize=(10, 5.6), facecolor=PAPER)
    write(figure, 0.02, 0.95, "Collapse index by country, four laws", 15, INK)
    told = "1: as many distinct tiles as independent draws would reach; 0.2: a fifth of them. "
    write(figure, 0.02, 0.9, f"{told}With few outlets chance decides.", 9.5, FAINT)
    axes = figure.add_axes((0.065, 0.105, 0.915, 0.75))
    axes.axhline(1, color=FAINT, linewidth=0.8, zorder=0)
    for law, world in worlds.items():
        quality = world.report["quality_by_country"]
        sites = [own["sites"] for own in quality.values()]
        index = [own["collapse_index"] for own in quality.values()]
        axes.scatter(sites, index, s=18, color=COLOURS[law], alpha=0.7, linewidths=0, label=law)
    for code, name in NAMED.items():
        ends = [world.report["quality_by_country"][code] for world in worlds.values()]
        heights = [own["collapse_index"] for own in ends]
        axes.plot(
            [ends[0]["sites"]] * 2,
            [min(heights), max(heights)],
            color=FAINT,
            linewidth=0.8,
            zorder=0,
        )
        aside = code == COUNTRY  # below it stand other countries
        axes.annotate(
            name, (ends[0]["sites"], min(heights)), (7, -3) if aside else (0, -12),
            ha="left" if aside else "center", textcoords="offset points", fontsize=8.5, color=INK,
        )  # fmt: skip
    axes.set(xscale="log", xlim=(0.8, 1.1e4), ylim=(0, 1.65))
    axes.set_xticks([1, 10, 100, 1000], labels=["1", "10", "100", "1,000"])
    axes.set_xlabel("outlets in the country", color=INK, fontsize=9.5)
    axes.set_ylabel("collapse index", color=INK, fontsize=9.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#c9d1d9")
    axes.tick_params(colors=INK, labelsize=9, length=3)
    axes.legend(frameon=False, loc="upper right", fontsize=10, ncols=4, markerscale=1.6)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as a PNG of at most 256 colours, the same bytes each time."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, facecolor=figure.get_facecolor())
    plt.close(figure)
    image = Image.open(buffer).convert("RGB")
    few = image.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def top_five_weights(world: World) -> dict[str, float]:
    """Return the share of each country's weight that its five heaviest tiles hold."""
    table = pq.ParquetDataset(world.weights).read(["country_iso", "weight_fp"])
    codes, starts = np.unique(table["country_iso"].to_numpy().astype("U2"), return_index=True)
    parts = np.split(table["weight_fp"].to_numpy(), starts[1:])
    scale = 10 ** world.report["dp"]
    return {c: np.sort(w)[-5:].sum() / scale for c, w in zip(codes.tolist(), parts, strict=True)}


def figures(worlds: dict[str, World]) -> Iterator[str]:
    """Yield the lines of the table that compares the laws."""
    yield "| | law | distinct tiles | collapse index | top five: sites | weight | tile load error |"
    yield "|---|---|---|---|---|---|---|"
    heavy = top_five_weights(worlds["stable"])
    for code in ("world", "CN", "IN", "US", "FR", "NG"):
        for law, world in worlds.items():
            quality = world.report["quality_by_country"]
            mine = quality if code == "world" else {code: quality[code]}
            index = world.report if code == "world" else quality[code]
            sites = sum(own["sites"] for own in mine.values())
            top = sum(own["top_five_share"] * own["sites"] for own in mine.values())
            weight = sum(heavy[one] * own["sites"] for one, own in mine.items())
            yield (
                f"| {code} | `{law}` | {sum(own['distinct_tiles'] for own in mine.values()):,} "
                f"| {index['collapse_index']:.2f} | {100 * top / sites:.1f} % "
                f"| {100 * weight / sites:.1f} % "
                f"| {max(own['tile_load_error_max'] for own in mine.values()):.1f} |"
            )


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--work", type=Path, help="folder that keeps the data roots")
    arguments = parser.parse_args()
    mpl.use("agg")
    arguments.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = arguments.work or Path(scratch)
        worlds = {law: run_world(work / law, law) for law in COLOURS}
        save(draw_world(worlds["stable"]), arguments.out / "world.png")
        save(draw_country(worlds), arguments.out / "four_laws.png")
        save(draw_collapse(worlds), arguments.out / "collapse.png")
        save(draw_line(), arguments.out / "line_of_weights.png")
        save(draw_laws(), arguments.out / "points_of_laws.png")
        print(*figures(worlds), sep="\n")


if __name__ == "__main__":
    main()
