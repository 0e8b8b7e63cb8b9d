"""Draw the pictures of docs/realism.md: a city with and without trades, and how near chains are.

    segment1b run
    segment1b run --outlets LIST --columns none --set jitter.centres=null --data-root plain
    python scripts/make_realism_pictures.py segment1b-data plain

LIST is the sample, src/segment1b/reference/data/sample_outlets.csv; without its column of category
codes its outlets follow people alone.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Final

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from rasterio.windows import from_bounds

import segment1b
from picture_style import FAINT, INK, PAPER
from segment1b.page.measured import CENTRES
from segment1b.read.sphere import Floats, Points, other_chain_km
from segment1b.reference import embedded
from segment1b.storage.rasters import open_raster

mpl.use("Agg")
PICTURES: Final = Path(__file__).resolve().parents[1] / "docs" / "pictures"
NOTICE: Final = (
    "© OpenStreetMap contributors, ODbL 1.0. Urban cells: MODIS MCD12C1 v006. Places: GeoNames, "
    "CC BY 4.0, modified. Country totals: UN WPP 2024, CC BY 3.0 IGO, modified."
)
CITY: Final = "São Paulo"
#: Degrees west, east, south and north.
WINDOW: Final = (-46.9, -46.3, -23.8, -23.35)
TITLES: Final = ("People alone", "Trades and shared centres")
COLOURS: Final = ("#e2711d", "#00687a")
URBAN: Final = "#e6e9ed"
DISTANCES_KM: Final = np.geomspace(0.1, 10, 60)


def main() -> None:
    """Draw both pictures from two data roots, that with trades first."""
    traded, plain = (points_of(Path(root)) for root in sys.argv[1:3])
    save(draw_city((plain, traded)), "realism_city.png")
    save(draw_neighbours((plain, traded)), "realism_neighbours.png")


def points_of(root: Path) -> Points:
    """Return the outlets of a run that passed, merchants as chains."""
    sites = segment1b.open(root).sites
    lon, lat = (sites[name].to_numpy() for name in ("lon_deg", "lat_deg"))
    chain = np.unique(sites["merchant_id"].to_numpy(), return_inverse=True)[1]
    return Points(lon, lat, np.zeros(len(lon), np.int64), chain.astype(np.int64))


def draw_city(worlds: tuple[Points, Points]) -> Figure:
    """Draw the outlets in and around a city, urban cells grey."""
    west, east, south, north = WINDOW
    with open_raster(embedded.surface("urban_0p05deg.tif")) as source:
        cells = source.read(1, window=from_bounds(west, south, east, north, source.transform))
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.9), facecolor=PAPER, layout="constrained")
    for axis, world, title, colour in zip(axes, worlds, TITLES, COLOURS, strict=True):
        extent = (west, east, south, north)
        axis.imshow(cells > 0, extent=extent, cmap=mpl.colors.ListedColormap([PAPER, URBAN]))
        inside = (world.lon > west) & (world.lon < east)
        inside &= (world.lat > south) & (world.lat < north)
        axis.scatter(world.lon[inside], world.lat[inside], s=6, c=colour, linewidths=0)
        axis.set(xlim=(west, east), ylim=(south, north), xticks=[], yticks=[])
        axis.set_aspect(1 / np.cos(np.radians((south + north) / 2)))
        axis.set_title(f"{title}: {inside.sum()} outlets", loc="left", fontsize=10, color=INK)
    figure.suptitle(
        f"The same list around {CITY}; urban cells are grey", x=0.01, ha="left", color=INK
    )
    figure.supxlabel(NOTICE, x=0.01, ha="left", fontsize=6, color=FAINT)
    return figure


def draw_neighbours(worlds: tuple[Points, Points]) -> Figure:
    """Draw the share of outlets with another chain near: of the sample, and as measured once."""
    figure, (sample, chains) = plt.subplots(
        1, 2, figsize=(9, 3.6), facecolor=PAPER, layout="constrained", sharex=True
    )
    for world, title, colour in zip(worlds, TITLES, COLOURS, strict=True):
        found = nearest(world)
        share = [(found <= km).mean() for km in DISTANCES_KM]
        sample.plot(DISTANCES_KM, share, color=colour, label=title)
    km = (0.25, 0.5, 1.0)
    rows = CENTRES[: len(km)]
    lines = {
        "Real outlets": ([row.real for row in rows], INK),
        TITLES[0]: ([row.before for row in rows], COLOURS[0]),
        TITLES[1]: ([row.laws for row in rows], COLOURS[1]),
    }
    for title, (texts, colour) in lines.items():
        chains.plot(km, [float(text) for text in texts], "o-", color=colour, label=title)
    finish(sample, "The sample list: 3,000 invented merchants, all countries")
    finish(chains, "Measured once: 11 real chains")
    sample.set_ylabel("share of outlets with another chain within", fontsize=8, color=INK)
    return figure


def nearest(world: Points) -> Floats:
    """Return the distance of each outlet to the nearest of another chain, in km."""
    return other_chain_km(world, np.arange(len(world.lon)), float(DISTANCES_KM[-1]))


def finish(axis: Axes, title: str) -> None:
    """Give the axes of shares by distance their title, scale and legend."""
    axis.set_title(title, loc="left", fontsize=9, color=INK)
    axis.set(xscale="log", ylim=(0, 1), xlabel="km")
    axis.set_xticks([0.1, 0.25, 0.5, 1, 2, 5, 10], ["0.1", "0.25", "0.5", "1", "2", "5", "10"])
    axis.minorticks_off()
    axis.legend(frameon=False, fontsize=8, loc="upper left")
    axis.spines[["top", "right"]].set_visible(False)


def save(figure: Figure, name: str) -> None:
    """Write a figure as a PNG of few colours."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, facecolor=PAPER)
    picture = Image.open(buffer).convert("RGB").quantize(64, dither=Image.Dither.NONE)
    picture.save(PICTURES / name, optimize=True)


if __name__ == "__main__":
    main()
