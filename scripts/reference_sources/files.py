"""The files of the embedded world: GeoParquet, Parquet, cloud-optimised GeoTIFF, manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import rasterio
import rasterio.shutil
from rasterio.transform import Affine

from reference_sources.archives import LAND_COVER, ROADS, TARBALLS, WHEELS, ZONES
from reference_sources.tables import YEAR, Area, IsoRow, People, Places
from segment1b.reference.installing import write_parquet

#: Licences by the beginning of a file's name.
LICENCES: Final = {
    "iso3166": "MIT (package iso3166)",
    "populated_places": "CC BY 4.0 (GeoNames)",
    "country_zones": "public domain (IANA tz)",
    "country_area": "CC BY 4.0 (GeoNames); public domain (CIA World Factbook) where marked",
    "country_population": "CC BY 3.0 IGO (UN WPP 2024); GeoNames CC BY 4.0 where marked",
    "world_countries": "ODbL 1.0 (OpenStreetMap) over public domain (Natural Earth)",
    "tz_world": "ODbL 1.0 (timezone-boundary-builder 2026c, OpenStreetMap)",
    "urban_": "NASA LP DAAC, no restrictions on use; cite MCD12C1 v006, "
    "doi 10.5067/MODIS/MCD12C1.006",
    "road_metres_": "ODbL 1.0 (OpenStreetMap contributors)",
    "population_": "CC BY 4.0 (GeoNames) and CC BY 3.0 IGO (UN WPP 2024)",
}
PUBLIC_DOMAIN_COUNTRIES: Final = {"world_countries": "public domain (Natural Earth)"}


def write_tables(
    folder: Path,
    iso: list[IsoRow],
    places: Places,
    people: Mapping[str, People],
    areas: Mapping[str, Area],
    zones: Sequence[tuple[str, str]],
) -> None:
    """Write the five tables without geometry as Parquet."""
    columns = map(list, zip(*iso, strict=True))
    tables: dict[str, dict[str, Any]] = {
        "iso3166": dict(zip(IsoRow._fields, columns, strict=True)),
        "populated_places": {
            "geonameid": places.geonameid,
            "name": places.name,
            "country_iso": pa.array(places.country_iso).dictionary_encode(),
            "lon_deg": places.lon_deg,
            "lat_deg": places.lat_deg,
            "population": places.population.astype(np.int32),
            "tzid": pa.array(places.tzid).dictionary_encode(),
        },
        "country_population": {
            "country_iso": list(people),
            "population": [p.total for p in people.values()],
            "source": [p.source for p in people.values()],
        },
        "country_area": {
            "country_iso": list(areas),
            "area_km2": [area.km2 for area in areas.values()],
            "source": [area.source for area in areas.values()],
        },
        "country_zones": {
            "country_iso": [code for code, _ in zones],
            "tzid": [zone for _, zone in zones],
        },
    }
    for name, table in tables.items():
        write_parquet(folder / f"{name}.parquet", pa.table(table))


def write_raster(
    path: Path,
    cells: npt.NDArray[np.int64],
    degrees: float,
    text: str = f"people per cell, {YEAR}",
    *,
    dtype: str = "uint32",
    predictor: str = "YES",
) -> None:
    """Write a cloud-optimised GeoTIFF, EPSG:4326, without nodata.

    Args:
        path: the file.
        cells: int64[180/degrees, 360/degrees], north-west first.
        degrees: cell size.
        text: description of the band.
        dtype: type in the file.
        predictor: of the compression, YES or NO.
    """
    # The driver for such files only copies; it cannot be written to.
    with rasterio.MemoryFile() as memory:
        with memory.open(
            driver="GTiff",
            height=cells.shape[0],
            width=cells.shape[1],
            count=1,
            dtype=dtype,
            crs="EPSG:4326",
            transform=Affine(degrees, 0, -180, 0, -degrees, 90),
        ) as plain:
            plain.write(cells.astype(dtype), 1)
            plain.set_band_description(1, text)
        with memory.open() as plain:
            # One thread: the order of tiles in the file must not depend on timing.
            rasterio.shutil.copy(
                plain,
                path,
                driver="COG",
                COMPRESS="DEFLATE",
                LEVEL=9,
                PREDICTOR=predictor,
                BLOCKSIZE=256,
                OVERVIEWS="NONE",
                NUM_THREADS=1,
            )


def write_manifest(folder: Path, licences: Mapping[str, str]) -> None:
    """Write MANIFEST.json: the pinned inputs, and digest and licence of each file made.

    Args:
        folder: where the files are.
        licences: licence by the beginning of a file's name.
    """
    made = sorted(folder.glob("*.parquet")) + sorted(folder.glob("*.tif"))
    inputs = [
        {"package": pin.package, "version": pin.version, "archive_sha256": pin.sha256}
        for pin in (*WHEELS, *TARBALLS, LAND_COVER, ROADS)
    ]
    document = {
        "inputs": [*inputs, {"package": ZONES.package, "version": ZONES.version}],
        "files": [_entry(path, licences) for path in made],
    }
    (folder / "MANIFEST.json").write_text(json.dumps(document, indent=1) + "\n")


def _entry(path: Path, licences: Mapping[str, str]) -> dict[str, Any]:
    licence = next(text for start, text in licences.items() if path.name.startswith(start))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return {"file": path.name, "bytes": path.stat().st_size, "sha256": digest, "licence": licence}
