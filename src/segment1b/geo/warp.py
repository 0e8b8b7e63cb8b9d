"""The gdalwarp command that brings a raster of people to a north-up grid of degrees.

People are counts: `-r sum` shares out each source cell by the area that falls into each target
cell. `-te` and `-tr` give cells that divide a degree, written in full: a step rounded in its 15th
digit loses the people along one edge. `-et 0` projects exactly. Shares are no whole numbers:
`-ot Float64`.
"""

from __future__ import annotations

import math
import shlex
from pathlib import Path

from rasterio import Affine
from rasterio.crs import CRS
from rasterio.errors import RasterioError
from rasterio.warp import calculate_default_transform, transform_bounds

from segment1b.storage.rasters import open_raster

_ARC_SECONDS = 3600
# Cells that people use; all divide a degree.
_SIZES = [n for n in range(1, _ARC_SECONDS + 1) if _ARC_SECONDS % n == 0]
_WORLD = (-180.0, -90.0, 180.0, 90.0)


def warp_line(path: Path, band: int = 1) -> str:
    """Return the command for a raster that cannot be used as it is, from its header alone."""
    with open_raster(path) as source:
        crs, bands = source.crs, source.count
        size, transform = (source.width, source.height), source.transform
    words = ["gdalwarp"]
    if bands > 1:
        words.append(f"-b {band}")
    if not crs:
        words.append("-s_srs '<its CRS>'")
    words += [
        "-t_srs EPSG:4326",
        _grid_options(crs, size, transform),
        "-r sum -et 0 -ot Float64 -co TILED=YES -co COMPRESS=DEFLATE -co BIGTIFF=IF_SAFER",
        shlex.quote(str(path)),
        shlex.quote(str(path.with_name(f"{path.stem}_wgs84.tif"))),
    ]
    return " ".join(words)


def _grid_options(crs: CRS | None, size: tuple[int, int], transform: Affine) -> str:
    """Return -te and -tr of the grid nearest to a raster's own cells that covers it.

    Edges are whole cells from the zero meridian and equator, in degrees that read back as these.
    """
    step, bounds = 30 / _ARC_SECONDS, _WORLD
    if crs and transform.determinant:
        corners = [transform * corner for corner in ((0, 0), (size[0], 0), (0, size[1]), size)]
        x, y = zip(*corners, strict=True)
        around = (min(x), min(y), max(x), max(y))
        try:
            bounds = transform_bounds(crs, "EPSG:4326", *around, densify_pts=21)
            step = _step(crs, size, transform, around)
        except RasterioError:
            bounds = _WORLD  # a corner that is not on the globe: the world's grid holds it
    if not all(map(math.isfinite, bounds)) or bounds[0] >= bounds[2]:
        bounds = _WORLD
    per_degree = _ARC_SECONDS // min(_SIZES, key=lambda n: abs(math.log(n / _ARC_SECONDS / step)))
    low = [max(edge, end) * per_degree for edge, end in zip(bounds[:2], _WORLD[:2], strict=True)]
    high = [min(edge, end) * per_degree for edge, end in zip(bounds[2:], _WORLD[2:], strict=True)]
    # A thousandth of a cell beyond an edge is rounding, and no further row or column.
    west, south = (math.floor(edge + 1e-3) for edge in low)
    east, north = (math.ceil(edge - 1e-3) for edge in high)
    edges = " ".join(_number(edge / per_degree) for edge in (west, south, east, north))
    step_text = _number(1 / per_degree)
    return f"-te {edges} -tr {step_text} {step_text}"


def _step(
    crs: CRS, size: tuple[int, int], transform: Affine, around: tuple[float, float, float, float]
) -> float:
    """Return the size of a raster's cells in degrees, as GDAL would choose it."""
    if crs.is_geographic:
        return float(math.sqrt(abs(transform.determinant)))
    affine, _, _ = calculate_default_transform(crs, "EPSG:4326", *size, *around)
    return float(affine.a)


def _number(value: float) -> str:
    return repr(value).removesuffix(".0")
