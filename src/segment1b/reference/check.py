"""Compares the surfaces of a data root with published figures and with each other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pv
import pyarrow.parquet as pq
import shapely
from rasterio.errors import RasterioError
from shapely.errors import GEOSException

from segment1b.contracts import Contracts
from segment1b.contracts.faults import coded_read_errors
from segment1b.contracts.locations import refuse_unknown
from segment1b.errors import Segment1BError, schema_invalid, unreadable
from segment1b.geo.areas import area_km2
from segment1b.geo.countries import read_countries
from segment1b.geo.edges import shifts
from segment1b.geo.grid import Grid, read_grid
from segment1b.geo.scanline import Runs, center_runs, overlap_runs, union
from segment1b.reference import embedded
from segment1b.reference.codes import read_codes
from segment1b.reference.installing import (
    COUNTRIES,
    ISO,
    PROVENANCE_KEYS,
    RASTER,
    SURFACES,
    ZONES,
    provenance_path,
)
from segment1b.reference.polygons import Shapes, pieces_of
from segment1b.reference.raster import windows
from segment1b.storage.durable import read_json, regular_file
from segment1b.storage.geometries import check_size, read_columns, shapes_of_wkb
from segment1b.storage.rasters import open_raster
from segment1b.storage.receipts import hash_files
from segment1b.storage.root import root_at

#: Published areas are whole km2: a square kilometre of difference is their rounding.
_ROUNDING_KM2: Final = 1.0
#: Cells of a raster in memory.
_PIECE: Final = 1 << 22


@dataclass(frozen=True)
class Bounds:
    """Bounds on the errors of surfaces."""

    #: Relative difference of a country's area from the published one, from `large_km2` on: in
    #: small countries, coast and sea outweigh any fault that could be found.
    area_error: float = 0.25
    large_km2: float = 1000.0
    #: People in cells that no country touches, of all people.
    uncovered_share: float = 0.02
    #: Places outside every polygon, of all places.
    outside_share: float = 0.05


class Places(NamedTuple):
    """Populated places: country code str[n], longitude and latitude float64[n] in degrees."""

    country: npt.NDArray[np.str_]
    lon: npt.NDArray[np.float64]
    lat: npt.NDArray[np.float64]


def read_places(path: Path) -> Places:
    """Return places from Parquet or CSV with columns country_iso, lon_deg and lat_deg.

    Raises E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID (columns, length of codes), E_INPUT_TOO_LARGE.
    """
    regular_file(path)
    types = pa.schema([("country_iso", pa.string()), ("lon_deg", "f8"), ("lat_deg", "f8")])
    kinds = (pa.ArrowException, OSError)
    with coded_read_errors(path, kinds, "is not a list of places", "give Parquet or CSV"):
        table = None
        if path.suffix.lower() == ".csv":
            # The six bytes of a short line take thirty in memory.
            check_size(path, 0, 5 * path.stat().st_size)
            table = pv.read_csv(path, convert_options=pv.ConvertOptions(column_types=types))
        names = pq.read_schema(path).names if table is None else table.column_names
        if absent := [name for name in types.names if name not in names]:
            what = f"has no column {', '.join(absent)}; it has {', '.join(names)}"
            raise schema_invalid(path, what, "places need country_iso, lon_deg and lat_deg")
        table = read_columns(path, types.names) if table is None else table.select(types.names)
        check_size(path, table.num_rows, 0)
        table = table.cast(types)
    # NumPy strings take the length of the longest one in every row.
    if (pc.max(pc.utf8_length(table.column("country_iso"))).as_py() or 0) > 2:
        what = "has a country_iso of more than two characters"
        raise schema_invalid(path, what, "write ISO 3166-1 alpha-2 codes")
    code, lon, lat = (table.column(name).to_numpy() for name in types.names)
    return Places(code.astype(np.str_), lon, lat)


def check(
    root: Path, contracts: Contracts, places: Places | None, bounds: Bounds
) -> dict[str, Any]:
    """Return figures about the surfaces of a root, and the `breaches` of bounds in words.

    Places are looked up in the polygons; None leaves them out. Raises E_REFERENCE_SURFACE_MISSING,
    and the errors of S1 for bad surfaces.
    """
    places_of = [contracts[dataset_id].locate({}) for dataset_id in SURFACES]
    root_at(root).fetch([*places_of, *(str(provenance_path(Path(place))) for place in places_of)])
    paths = {dataset_id: _path(root, contracts, dataset_id) for dataset_id in SURFACES}
    with _readable(paths[ISO]):
        codes = sorted(set(read_codes(paths[ISO]).values()))
    shapes = read_countries(paths[COUNTRIES], set(codes))
    grid = read_grid(paths[RASTER])
    found: dict[str, Any] = {
        "surfaces": {dataset_id: _about(path) for dataset_id, path in paths.items()},
        "countries": _areas(shapes),
        "iso_without_polygon": [code for code in codes if code not in shapes],
        "polygons_without_zone": _without_zone(shapes, paths[ZONES]),
        **_population(shapes, grid, paths[RASTER]),
        "beyond_raster": _beyond(shapes, grid),
        "places": None if places is None else _places(shapes, places),
    }
    found["breaches"] = _breaches(found, bounds)
    return found


def _path(root: Path, contracts: Contracts, dataset_id: str) -> Path:
    path = root / contracts[dataset_id].locate({})
    if not path.exists():
        code, what = "E_REFERENCE_SURFACE_MISSING", f"{dataset_id} is absent: {path}"
        raise Segment1BError(code, what, dataset=dataset_id, path=str(path))
    return path


def _readable(path: Path) -> AbstractContextManager[None]:
    """Turn the errors of libraries for a damaged surface into E_INPUT_UNREADABLE."""
    kinds = (pa.ArrowException, RasterioError, OSError, KeyError, GEOSException)
    return coded_read_errors(path, kinds, "is damaged")


def _about(path: Path) -> dict[str, Any]:
    digest, about = hash_files(path.parent, [path.name])[1], provenance_path(path)
    licences = {entry["sha256"]: entry["licence"] for entry in embedded.manifest()["files"]}
    licence = _provenance(about)["licence"] if about.exists() else licences.get(digest)
    return {"sha256_hex": digest, "licence": licence, "imported": about.exists()}


def _provenance(path: Path) -> dict[str, Any]:
    """Return the provenance of an imported surface."""
    document = read_json(path)
    if not isinstance(document, dict) or "licence" not in document:
        hint = "restore the provenance that 'segment1b reference import' wrote"
        raise unreadable(path, "names no licence", hint)
    refuse_unknown(document, PROVENANCE_KEYS, "E_INPUT_UNREADABLE", str(path), path=str(path))
    return document


def _areas(shapes: Shapes) -> list[dict[str, Any]]:
    """Return measured and published area of each country, km2, the worst first."""
    table = pq.read_table(embedded.surface("country_area.parquet")).to_pylist()
    published = {row["country_iso"]: row for row in table}
    rows = []
    for code, measured in zip(shapes, area_km2(shapes.values()).tolist(), strict=True):
        row = published.get(code)
        error = None
        if row:
            difference = measured - row["area_km2"]
            beyond = max(0.0, abs(difference) - _ROUNDING_KM2) / row["area_km2"]
            error = round(beyond if difference > 0 else -beyond, 6)
        rows.append(
            {
                "country_iso": code,
                "measured_km2": round(measured, 3),
                "published_km2": row and row["area_km2"],
                "published_by": row and row["source"],
                "error": error,
            }
        )
    return sorted(rows, key=lambda row: (-abs(row["error"] or 0.0), row["country_iso"]))


def _without_zone(shapes: Shapes, path: Path) -> list[str]:
    with _readable(path):
        blobs = read_columns(regular_file(path), ["geom"])["geom"].to_pylist()
        zones = shapes_of_wkb(np.array([*blobs, None], object)[:-1])
    tree, met = shapely.STRtree(zones), set()
    shapely.prepare(zones)
    for code, part in zip(*pieces_of(shapes), strict=True):
        # A country is settled by its first piece that intersects a zone.
        if code not in met and any(shapely.intersects(zones[k], part) for k in tree.query(part)):
            met.add(code)
    return [code for code in shapes if code not in met]


def _population(shapes: Shapes, grid: Grid, path: Path) -> dict[str, Any]:
    touched = {code: overlap_runs(shape, grid) for code, shape in shapes.items()}
    covered = {
        "uncovered": union(list(touched.values()), grid.ncols),
        "centre_uncovered": union([center_runs(s, grid) for s in shapes.values()], grid.ncols),
    }
    people, inside = 0.0, dict.fromkeys(covered, 0.0)
    for window in windows((grid.nrows, grid.ncols), max(1, _PIECE // grid.ncols), grid.ncols):
        # Reopened for each band of rows: blocks of an open file accumulate in the cache of GDAL.
        with _readable(path), open_raster(path) as raster:
            read = raster.read(1, window=window, masked=True)
        values = read.filled(0).astype(np.float64)
        people += float(values.sum())
        for name, runs in covered.items():
            inside[name] += float(values[_mask(runs, window.row_off, values.shape)].sum())
    counts = {name: round(people - value, 3) for name, value in inside.items()}
    return {
        "population": {"people": round(people, 3), **counts},
        "polygons_without_tiles": [code for code, runs in touched.items() if not runs.count],
    }


def _mask(runs: Runs, top: int, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return which cells of a band of rows are in the runs, bool of that shape."""
    height, width = shape
    first, last = np.searchsorted(runs.row, [top, top + height])
    some = slice(int(first), int(last))
    change = np.zeros((height, width + 1), np.int8)
    # Runs are disjoint and do not touch: no cell is opened or closed twice.
    change[runs.row[some] - top, runs.start[some]] += 1
    change[runs.row[some] - top, runs.stop[some]] -= 1
    mask: npt.NDArray[np.bool_] = np.cumsum(change, axis=1, dtype=np.int8)[:, :-1] > 0
    return mask


def _beyond(shapes: Shapes, grid: Grid) -> dict[str, float]:
    """Return the share of a country's area outside the raster, where there is any."""
    north, south = float(grid.north([0])[0]), float(grid.south([grid.nrows - 1])[0])
    west, east = (float(grid.plain_edge([col])[0]) for col in (0, grid.ncols))
    outside = {}
    for code, shape in shapes.items():
        inside = 0.0
        for shift in shifts(shape, grid):
            box = shapely.box(west - shift, south, east - shift, north)
            if box.contains(shapely.box(*shape.bounds)):
                inside = 1.0
                break
            part, total = area_km2([shapely.intersection(shape, box), shape]).tolist()
            inside += part / total
        if inside < 1 - 1e-6:
            outside[code] = round(1 - inside, 6)
    return outside


def _places(shapes: Shapes, places: Places) -> dict[str, Any]:
    codes, parts = pieces_of(shapes)
    points = shapely.points(places.lon, places.lat)
    # Polygons query for points, not points for polygons: each polygon is prepared once.
    part, point = shapely.STRtree(points).query(parts, predicate="intersects")
    anywhere, own = np.zeros(len(points), bool), np.zeros(len(points), bool)
    anywhere[point] = True
    own[point[codes[part].astype(np.str_) == places.country[point]]] = True
    outside = Counter(places.country[~anywhere].tolist())
    return {
        "places": len(points),
        "outside": outside.total(),
        "in_another_country": int((anywhere & ~own).sum()),
        "outside_by_country": dict(sorted(outside.items())),
    }


def _breaches(found: Mapping[str, Any], bounds: Bounds) -> list[str]:
    breaches = [
        f"{row['country_iso']}: {row['measured_km2']:,.0f} km2, published "
        f"{row['published_km2']:,.0f} ({row['error']:+.1%} exceeds the bound of "
        f"{bounds.area_error:.1%})"
        for row in found["countries"]
        if (row["published_km2"] or 0.0) >= bounds.large_km2
        and abs(row["error"]) > bounds.area_error
    ]
    people, places = found["population"], found["places"]
    if people["uncovered"] > bounds.uncovered_share * people["people"]:
        breaches.append(
            f"{people['uncovered']:,.0f} of {people['people']:,.0f} people live in cells that no "
            f"country touches, which exceeds the bound of {bounds.uncovered_share:.1%}"
        )
    if places and places["outside"] > bounds.outside_share * places["places"]:
        breaches.append(
            f"{places['outside']:,} of {places['places']:,} places lie outside every polygon, "
            f"which exceeds the bound of {bounds.outside_share:.1%}"
        )
    return breaches
