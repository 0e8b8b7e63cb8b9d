"""Files that people bring, made from the embedded world: polygons of any format, rasters."""

from __future__ import annotations

import functools
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from pyogrio.raw import write
from rasterio.transform import Affine

from segment1b.errors import Segment1BError
from segment1b.reference import embedded
from segment1b.reference.importing import Imported, Request, import_countries

DRIVERS = {
    ".gpkg": "GPKG",
    ".shp": "ESRI Shapefile",
    ".geojson": "GeoJSON",
    ".fgb": "FlatGeobuf",
}
SOME = ("NL", "VA")
SQUARE = '{"type":"Polygon","coordinates":[[[4,51],[5,51],[5,52],[4,51]]]}'
TERMS = {"licence": "CC0-1.0", "attribution": "The Testers"}


@functools.cache
def _world() -> dict[str, bytes]:
    table = pq.read_table(embedded.surface("world_countries.parquet"))
    return dict(zip(table["country_iso"].to_pylist(), table["geom"].to_pylist(), strict=True))


def country(code: str) -> Any:
    return shapely.from_wkb(_world()[code])


def all_codes() -> list[str]:
    return list(_world())


def as_objects(values: Sequence[Any]) -> npt.NDArray[np.object_]:
    """Return an object array of values that numpy alone would take apart."""
    return np.array([*values, None], object)[:-1]


def polygons(
    path: Path,
    keys: Sequence[Any],
    shapes: Sequence[Any],
    column: str = "code",
    crs: str | None = "EPSG:4326",
    layer: str = "places",
) -> Path:
    """Write polygons in the format that the file's name asks for; GeoPandas writes GeoParquet."""
    if path.suffix == ".parquet":
        import geopandas

        frame = geopandas.GeoDataFrame({column: list(keys)}, geometry=list(shapes), crs=crs)
        frame.to_parquet(path)
        return path
    options = {"COORDINATE_PRECISION": "17"} if path.suffix == ".geojson" else {}
    values = np.array(keys)
    write(
        path,
        as_objects([shapely.to_wkb(shape) for shape in shapes]),
        [values.astype(object) if values.dtype.kind == "U" else values],
        [column],
        geometry_type="MultiPolygon",
        promote_to_multi=True,
        crs=crs,
        driver=DRIVERS[path.suffix],
        layer=layer,
        layer_options=options,
    )
    return path


def raster(
    path: Path,
    people: npt.NDArray[Any],
    transform: Affine | None,
    crs: str | None = "EPSG:4326",
    **profile: Any,
) -> Path:
    """Write people per cell as a GeoTIFF."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=people.shape[0],
        width=people.shape[1],
        count=1,
        dtype=people.dtype,
        crs=crs,
        transform=transform,
        **profile,
    ) as target:
        target.write(people, 1)
    return path


def tiff_header(path: Path, width: int, height: int, tile: int = 0, **more: int) -> Path:
    """Write the header of a TIFF, whose tags are 32-bit numbers, and hardly any data."""
    tags = {256: width, 257: height, 258: more.get("bits", 32), 259: more.get("compression", 1)}
    tags |= {262: 1, 277: more.get("bands", 1), 284: 1, 339: more.get("kind", 1)}
    if tile:
        tags |= {322: tile, 323: tile, 324: 8, 325: 8}
    else:
        tags |= {273: 8, 278: more.get("strip", height), 279: 8}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, n) for tag, n in sorted(tags.items()))
    path.write_bytes(b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + b"\0" * 64)
    return path


def request(file: Path, root: Path, **columns: str) -> Request:
    """Return a request to import a file under the testers' terms; countries are in `code`."""
    columns = columns or {"country_iso": "code"}
    return Request(file, TERMS["licence"], TERMS["attribution"], root, None, columns)


def imported(
    path: Path,
    root: str | Path = "root",
    column: str = "code",
    importer: Callable[..., Imported] = import_countries,
    **options: Any,
) -> Imported:
    """Import a file, by default country polygons, into a root beside it."""
    return importer(request(path, path.parent / root, country_iso=column), **options)


def refused(path: Path, code: str = "", **options: Any) -> Segment1BError:
    """Return the error of an import that must be refused, with nothing written."""
    with pytest.raises(Segment1BError, match=f"^{code}") as caught:
        imported(path, **options)
    assert str(path) in caught.value.message
    suffixes = {file.suffix for file in (path.parent / "root").rglob("*.*")}
    assert suffixes.isdisjoint({".parquet", ".json", ".tif"})
    return caught.value


def run_python(program: str, *arguments: object) -> str:
    """Run a program in a process of its own; return what it prints."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


def some(path: Path) -> Path:
    return polygons(path, SOME, [country(code) for code in SOME])


def geojson(path: Path, crs: str = "null", geometry: str = SQUARE) -> Path:
    path.write_text(
        f'{{"type":"FeatureCollection","crs":{crs},"features":[{{"type":"Feature",'
        f'"properties":{{"code":"NL"}},"geometry":{geometry}}}]}}'
    )
    return path


def zipped(folder: Path, name: str, pattern: str) -> Path:
    with zipfile.ZipFile(folder / name, "w") as archive:
        for path in folder.glob(pattern):
            archive.write(path, f"deep/{path.name}")
    return folder / name
