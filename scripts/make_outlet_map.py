"""Draw the README's last picture: every outlet of a proven data root at its coordinate."""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow.parquet as pq
import shapely

import segment1b
from segment1b.reference import embedded

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SEA, LAND, BORDER, DOT, TEXT = "#0b1622", "#1b2b3f", "#3c5470", "#ffb347", "#d7dee6"
SOURCES = (
    "Made with Natural Earth. © OpenStreetMap contributors, ODbL 1.0. Places: GeoNames, CC BY 4.0, "
    "modified. Country totals: UN WPP 2024, CC BY 3.0 IGO, modified."
)
WINDOWS = {
    "The world": (-180.0, 180.0, -57.0, 80.0),
    "Western Europe": (-11.0, 20.0, 36.0, 59.0),
}


def main() -> None:
    """Read proven site_locations and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, default=Path("segment1b-data"))
    parser.add_argument("--out", type=Path, default=Path("docs/pictures/outlets.png"))
    asked = parser.parse_args()
    sites = segment1b.open(asked.data_root).sites
    lon, lat = sites["lon_deg"].to_numpy(), sites["lat_deg"].to_numpy()
    figure, axes = plt.subplots(
        1, 2, figsize=(15, 6.2), width_ratios=[2.0, 1.0], facecolor=SEA, layout="constrained"
    )
    for axis, (title, window) in zip(axes, WINDOWS.items(), strict=True):
        draw(axis, window, lon, lat)
        axis.set_title(title, color=TEXT, loc="left", fontsize=12)
    figure.suptitle(
        f"{len(lon):,} outlets, each on land and inside its country", color=TEXT, x=0.01, ha="left"
    )
    figure.supxlabel(SOURCES, color="#7f8ea0", fontsize=7, x=0.01, ha="left")
    figure.savefig(asked.out, dpi=88, facecolor=SEA, pil_kwargs={"optimize": True})


def draw(
    axis: Axes, window: tuple[float, float, float, float], lon: np.ndarray, lat: np.ndarray
) -> None:
    """Draw countries and the outlets inside a window of degrees."""
    west, east, south, north = window
    box = shapely.box(west, south, east, north)
    table = pq.read_table(embedded.surface("world_countries.parquet"), columns=["geom"])
    shapes = shapely.simplify(shapely.from_wkb(table.column(0).to_pylist()), (east - west) / 4000)
    for part in shapely.get_parts(shapes[shapely.intersects(shapes, box)]):
        x, y = part.exterior.coords.xy
        axis.fill(x, y, facecolor=LAND, edgecolor=BORDER, linewidth=0.4)
    inside = (lon > west) & (lon < east) & (lat > south) & (lat < north)
    size = 0.5 if east - west > 100 else 2.2
    axis.scatter(lon[inside], lat[inside], s=size, c=DOT, alpha=0.55, linewidths=0, zorder=3)
    axis.set(xlim=(west, east), ylim=(south, north), facecolor=SEA)
    axis.set_aspect(1 / np.cos(np.radians((south + north) / 2 if east - west < 100 else 20)))
    axis.set_axis_off()


if __name__ == "__main__":
    main()
