"""Writes reference surfaces, and puts them into a data root, never over others.

Embedded surfaces are single files. An imported surface is published as a folder, with its
`<name>.provenance.json` (receipt, licence, attribution, source, options, counts) and, for
countries, a report on overlaps beside it.
"""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import shapely
from shapely import MultiPolygon

from segment1b.contracts import Contracts
from segment1b.contracts.states import ROADS, URBAN
from segment1b.errors import Segment1BError, file_error
from segment1b.geo.areas import as_array
from segment1b.reference import embedded
from segment1b.reference.raster import build_population
from segment1b.storage.durable import fsync_file
from segment1b.storage.receipts import hash_files
from segment1b.storage.root import root_at

ISO, COUNTRIES, ZONES = "iso3166_canonical_2024", "world_countries", "tz_world_2025a"
RASTER = "population_raster_2025"
#: The surfaces in the order of their installation: a root that has the last has them all.
SURFACES = (ISO, COUNTRIES, ZONES, RASTER)
#: Surfaces that only lists with trades need.
LAYERS = (URBAN, ROADS)
LAYER_NAMES = {"urban": URBAN, "roads": ROADS}
_FILES = {
    ISO: "iso3166.parquet",
    COUNTRIES: "world_countries.parquet",
    ZONES: "tz_world.parquet",
    URBAN: "urban_0p05deg.tif",
    ROADS: "road_metres_0p05deg.tif",
}
#: The keys that the provenance of a surface may have.
PROVENANCE_KEYS = (
    *("dataset", "licence", "attribution", "source", "columns", "options", "counts", "notes"),
    *("iso_without_polygon", "repairs", "grid", "tool", "receipt"),
)


def provenance_path(surface: Path) -> Path:
    """Return the path of the provenance of an imported surface."""
    return surface.with_name(f"{surface.stem}.provenance.json")


def install_embedded(
    root: Path, contracts: Contracts, grid: float, scratch: Path
) -> dict[str, Path]:
    """Install the embedded world with the raster of that grid (degrees per cell).

    Raises:
        Segment1BError: E_POLICY_INVALID for a grid that is not embedded, and
            E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL where another surface is published.
    """
    name = embedded.RESOLUTIONS.get(f"{grid:g}")
    if name is None:
        sizes = ", ".join(embedded.RESOLUTIONS)
        hint = f"embedded are {sizes}; 'segment1b reference build' makes others"
        what = f"prep.grid = {grid:g}: no such raster is embedded"
        raise Segment1BError("E_POLICY_INVALID", what, hint)
    raster = embedded.surface(name)
    return _install(root, contracts, lambda path: shutil.copyfile(raster, path), scratch, SURFACES)


def install_at_resolution(
    root: Path,
    contracts: Contracts,
    resolution_arcsec: int,
    scratch: Path,
    wanted: Sequence[str] = SURFACES,
) -> dict[str, Path]:
    """Install embedded surfaces, the prior at another resolution (see `raster`)."""
    make_raster = functools.partial(build_population, resolution_arcsec)
    return _install(root, contracts, make_raster, scratch, wanted)


def install_layers(
    root: Path, contracts: Contracts, names: Collection[str], scratch: Path
) -> dict[str, Path]:
    """Install the embedded layers among some surfaces that a root lacks; return their paths."""
    absent = [name for name in LAYERS if not (root / contracts[name].locate({})).exists()]
    wanted = [name for name in absent if name in names]
    return _install(root, contracts, lambda _: None, scratch, wanted)


def layer_digests(root: Path, contracts: Contracts, surfaces: Mapping[str, str]) -> dict[str, str]:
    """Return the SHA-256 of the layers that a run with trades uses, by dataset id.

    A root of the embedded world gets those that it lacks. A layer of roads may be absent.

    Raises:
        Segment1BError: E_REFERENCE_SURFACE_MISSING when there are no urban cells.
    """
    digests = {}
    own = is_embedded(surfaces) and not is_imported(root, contracts)
    root_at(root).fetch([contracts[name].locate({}) for name in LAYERS])
    for name in LAYERS:
        path = root / contracts[name].locate({})
        if not path.exists() and own:
            path = embedded.path_of(_FILES[name])
        if path.exists():
            digests[name] = _digest(path)
        elif name == URBAN:
            hint = "import it ('segment1b reference import layer'), or fill the root with the "
            hint += "embedded one ('segment1b reference fill')"
            what = "is absent, and merchants of the list have trades"
            raise file_error("E_REFERENCE_SURFACE_MISSING", path, what, hint, dataset=name)
    return digests


def urban_layer(root: Path, contracts: Contracts) -> Path:
    """Return the urban cells of a root, or the embedded ones where it has none."""
    place = contracts[URBAN].locate({})
    root_at(root).fetch([place])
    own = root / place
    return own if own.exists() else embedded.surface(_FILES[URBAN])


def missing(root: Path, contracts: Contracts) -> list[str]:
    """Return the surfaces that a root lacks."""
    return [d for d in SURFACES if not (root / contracts[d].locate({})).exists()]


def is_imported(root: Path, contracts: Contracts) -> bool:
    """Return whether any surface of a root was imported."""
    return any(provenance_path(root / contracts[d].locate({})).exists() for d in SURFACES)


def is_embedded(surfaces: Mapping[str, str]) -> bool:
    """Return whether the countries among these digests are the embedded ones."""
    return surfaces[COUNTRIES] == _digest(embedded.surface(_FILES[COUNTRIES]))


def write_shapes(path: Path, key: str, shapes: Mapping[str, MultiPolygon]) -> None:
    """Write shapes as GeoParquet: column `key`, ascending, and `geom` as WKB, longitude first."""
    keys = sorted(shapes)
    array = as_array(shapes[k] for k in keys)
    column = {
        "encoding": "WKB",
        "geometry_types": ["MultiPolygon"],
        "edges": "planar",
        "bbox": [float(v) for v in shapely.total_bounds(array)],
    }
    meta = {"version": "1.1.0", "primary_column": "geom", "columns": {"geom": column}}
    wkb = shapely.to_wkb(array, byte_order=1).tolist()
    table = pa.table({key: pa.array(keys), "geom": pa.array(wkb, pa.binary())})
    write_parquet(path, table.replace_schema_metadata({"geo": json.dumps(meta)}))


def write_parquet(path: Path, table: pa.Table) -> None:
    """Write a table of a surface: the same content gives the same bytes."""
    pq.write_table(table, path, compression="zstd", compression_level=19)


def _install(
    root: Path,
    contracts: Contracts,
    make_raster: Callable[[Path], object],
    scratch: Path,
    wanted: Sequence[str],
) -> dict[str, Path]:
    """Install surfaces in their order; return their paths."""
    places = {dataset_id: contracts[dataset_id].locate({}) for dataset_id in wanted}
    own = root_at(root)
    own.fetch(list(places.values()))
    for dataset_id, place in places.items():
        target = root / place
        made = scratch / target.name
        if dataset_id == RASTER:
            make_raster(made)
        else:
            shutil.copyfile(embedded.surface(_FILES[dataset_id]), made)
        if not target.exists():
            fsync_file(made)
            if own.create(place, made):
                continue
        refuse_other(dataset_id, target, _digest(made), "embedded")
    return {dataset_id: root / place for dataset_id, place in places.items()}


def _digest(path: Path) -> str:
    return hash_files(path.parent, [path.name])[1]


def refuse_other(dataset_id: str, target: Path, digest: str, kind: str) -> None:
    """Refuse a surface of another digest than that of the `kind` one to publish."""
    if (held := _digest(target)) != digest:
        code = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
        what = f"is another {dataset_id}: SHA-256 {held}, the {kind} one would be {digest}"
        hint = f"published data never changes: use another --data-root for the {kind} surface"
        raise file_error(code, target, what, hint, dataset=dataset_id)
