"""The commands that build, import and check reference surfaces."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from segment1b.cli.options import ROOT, AsJson, DataRoot, Dictionary, option, show

Columns = Annotated[
    list[str] | None,
    option("NAME=COLUMN if the source's column has another name.", "--column"),
]
Layer = Annotated[str | None, option("Layer, if there are several.")]
MakeValid = Annotated[bool, option("Repair invalid polygons, and record it.", "--make-valid")]


@dataclass
class Source:
    """A file to import, and the root to import it into."""

    file: Annotated[Path, typer.Argument(help="The file to import.")]
    licence: Annotated[str, option("The source's licence, for example CC-BY-4.0.")]
    attribution: Annotated[str, option("The attribution that the licence requires.")]
    data_root: DataRoot = ROOT


def build(
    resolution_arcsec: Annotated[int, option("Cell size in arc-seconds.")],
    data_root: DataRoot = ROOT,
    dictionary: Dictionary = None,
) -> None:
    """Lay the embedded surfaces into a root at another resolution."""
    from segment1b.cli.tables import print_fields
    from segment1b.pipeline.prepare import build_reference

    print_fields(build_reference(data_root, resolution_arcsec, dictionary), 25)


def fill(
    data_root: DataRoot = ROOT,
    resolution_arcsec: Annotated[
        int, option("Cell size of the population in arc-seconds, if it is lacking.")
    ] = 360,
    dictionary: Dictionary = None,
) -> None:
    """Lay the embedded surfaces that a root lacks beside imported ones."""
    from segment1b.cli.tables import print_fields
    from segment1b.pipeline.prepare import fill_reference

    print_fields(fill_reference(data_root, resolution_arcsec, dictionary), 25)


def import_countries(
    source: Source,
    column: Columns = None,
    layer: Layer = None,
    make_valid: MakeValid = False,
    drop_unknown: Annotated[
        bool, option("Leave rows with unknown codes out.", "--drop-unknown")
    ] = False,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Country polygons: GeoPackage, Shapefile (zipped too), GeoJSON, GeoParquet, FlatGeobuf."""
    options = {"layer": layer, "make_valid": make_valid, "drop_unknown": drop_unknown}
    _import("countries", source, column, dictionary, as_json=as_json, **options)


def import_zones(
    source: Source,
    column: Columns = None,
    layer: Layer = None,
    make_valid: MakeValid = False,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Time zone polygons, keyed by tzid."""
    options = {"layer": layer, "make_valid": make_valid}
    _import("zones", source, column, dictionary, as_json=as_json, **options)


def import_population(
    source: Source,
    band: Annotated[int | None, option("Band, if there are several.")] = None,
    nodata: Annotated[
        float | None, option("A value that means no data and is not declared so.")
    ] = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """A raster of people per cell: GeoTIFF or COG, EPSG:4326, north up."""
    _import("population", source, None, dictionary, as_json=as_json, band=band, nodata=nodata)


def import_codes(
    source: Source,
    column: Columns = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """An ISO 3166-1 table: CSV with country_iso, and alpha3, numeric, name, status if known."""
    _import("codes", source, column, dictionary, as_json=as_json)


def import_layer(
    source: Source,
    name: Annotated[str, option("urban (urban cells) or roads (metres of main road).")],
    band: Annotated[int | None, option("Band, if there are several.")] = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """A raster that trades mix with people: whole numbers, on the tiles' grid or a multiple."""
    _import("layer", source, None, dictionary, as_json=as_json, name=name, band=band)


def check(
    data_root: DataRoot = ROOT,
    places: Annotated[
        Path | None, option("Places to look up: country_iso, lon_deg, lat_deg.")
    ] = None,
    max_area_error: Annotated[
        float, option("Relative, of countries of 1,000 km2 and more.", min=0)
    ] = 0.25,
    max_uncovered: Annotated[
        float, option("Share of people in cells that no country touches.", min=0)
    ] = 0.02,
    max_outside: Annotated[float, option("Share of places outside every polygon.", min=0)] = 0.05,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Measure the surfaces of a root; exit code 1 when a measure exceeds its bound."""
    from segment1b import contracts
    from segment1b.cli import tables
    from segment1b.reference import check as measuring
    from segment1b.storage.root import find_root

    known = contracts.load(str(dictionary) if dictionary else None)
    bounds = measuring.Bounds(
        area_error=max_area_error, uncovered_share=max_uncovered, outside_share=max_outside
    )
    looked_up = None if places is None else measuring.read_places(places)
    result = measuring.check(find_root(data_root), known, looked_up, bounds)
    show(result, tables.print_surface_check, as_json=as_json)
    if result["breaches"]:
        raise typer.Exit(1)


def _import(
    kind: str,
    source: Source,
    columns: list[str] | None,
    dictionary: Path | None,
    *,
    as_json: bool,
    **options: Any,
) -> None:
    """Import one surface by its function in `reference.importing`, and print what it published."""
    from segment1b.cli import tables
    from segment1b.errors import Segment1BError
    from segment1b.reference import importing

    named = {}
    for text in columns or ():
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            raise Segment1BError("E_USAGE", f"--column {text}: no NAME=COLUMN", "see --help")
        named[name] = column
    request = importing.Request(
        source.file, source.licence, source.attribution, source.data_root, dictionary, named
    )
    result = getattr(importing, f"import_{kind}")(request, **options)
    document = {**result.provenance, "path": str(result.path), "no_op": result.no_op}
    if result.audit is not None:
        document["audit"] = result.audit
    show(document, tables.print_imported, as_json=as_json)
