"""The commands of reference surfaces: parse, call, print."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from segment1b.cli.options import ROOT, AsJson, DataRoot, Dictionary

if TYPE_CHECKING:
    from segment1b.reference.importing import Imported, Request

Source = Annotated[Path, typer.Argument(help="The file to bring in.")]
Licence = Annotated[str, typer.Option(help="The source's licence, for example CC-BY-4.0.")]
Attribution = Annotated[str, typer.Option(help="Whom the licence asks to name.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", help="NAME=COLUMN where the source's column has another name."),
]
Layer = Annotated[str | None, typer.Option(help="Which layer, where there are several.")]
MakeValid = Annotated[
    bool, typer.Option("--make-valid", help="Repair invalid polygons, and record it.")
]
_WORST = 10

reference_app = typer.Typer(no_args_is_help=True, help="Reference surfaces.")
import_app = typer.Typer(no_args_is_help=True, help="Bring in surfaces of your own.")
reference_app.add_typer(import_app, name="import")


def register(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.add_typer(reference_app, name="reference")


@reference_app.command("build")
def build(
    resolution_arcsec: Annotated[int, typer.Option(help="Cell size in arc-seconds.")],
    data_root: DataRoot = ROOT,
    dictionary: Dictionary = None,
) -> None:
    """Lay the embedded surfaces into a root at another resolution."""
    from segment1b.pipeline.prepare import build_reference

    _print_laid(build_reference(data_root, resolution_arcsec, dictionary))


@reference_app.command("fill")
def fill(
    data_root: DataRoot = ROOT,
    resolution_arcsec: Annotated[
        int, typer.Option(help="Cell size of the population in arc-seconds, if it is lacking.")
    ] = 360,
    dictionary: Dictionary = None,
) -> None:
    """Lay the embedded surfaces that a root lacks beside imported ones."""
    from segment1b.pipeline.prepare import fill_reference

    _print_laid(fill_reference(data_root, resolution_arcsec, dictionary))


@import_app.command("countries")
def import_countries(
    file: Source,
    licence: Licence,
    attribution: Attribution,
    data_root: DataRoot = ROOT,
    column: Columns = None,
    layer: Layer = None,
    make_valid: MakeValid = False,
    drop_unknown: Annotated[
        bool, typer.Option("--drop-unknown", help="Leave rows with unknown codes out.")
    ] = False,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Country polygons: GeoPackage, Shapefile (zipped too), GeoJSON, GeoParquet, FlatGeobuf."""
    from segment1b.reference import importing
    from segment1b.reference import overlaps as audit

    request = _request(file, licence, attribution, data_root, column, dictionary)
    found = importing.import_countries(
        request, layer=layer, make_valid=make_valid, drop_unknown=drop_unknown
    )
    _print_imported(found, as_json=as_json)
    if not as_json and found.audit is not None:
        print()
        print(audit.audit_text(found.audit), end="")


@import_app.command("zones")
def import_zones(
    file: Source,
    licence: Licence,
    attribution: Attribution,
    data_root: DataRoot = ROOT,
    column: Columns = None,
    layer: Layer = None,
    make_valid: MakeValid = False,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Time zone polygons, keyed by tzid."""
    from segment1b.reference import importing

    request = _request(file, licence, attribution, data_root, column, dictionary)
    found = importing.import_zones(request, layer=layer, make_valid=make_valid)
    _print_imported(found, as_json=as_json)


@import_app.command("population")
def import_population(
    file: Source,
    licence: Licence,
    attribution: Attribution,
    data_root: DataRoot = ROOT,
    band: Annotated[int | None, typer.Option(help="Which band, where there are several.")] = None,
    nodata: Annotated[
        float | None, typer.Option(help="A value that means no data and is not declared so.")
    ] = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """A raster of people per cell: GeoTIFF or COG, EPSG:4326, north up."""
    from segment1b.reference import importing

    request = _request(file, licence, attribution, data_root, None, dictionary)
    found = importing.import_population(request, band=band, nodata=nodata)
    _print_imported(found, as_json=as_json)


@import_app.command("codes")
def import_codes(
    file: Source,
    licence: Licence,
    attribution: Attribution,
    data_root: DataRoot = ROOT,
    column: Columns = None,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """An ISO 3166-1 table: CSV with country_iso, and alpha3, numeric, name, status if known."""
    from segment1b.reference import importing

    request = _request(file, licence, attribution, data_root, column, dictionary)
    _print_imported(importing.import_codes(request), as_json=as_json)


@reference_app.command("check")
def check(
    data_root: DataRoot = ROOT,
    places: Annotated[
        Path | None, typer.Option(help="Places to look up: country_iso, lon_deg, lat_deg.")
    ] = None,
    max_area_error: Annotated[
        float, typer.Option(min=0, help="Relative, of countries of 1,000 km2 and more.")
    ] = 0.25,
    max_uncovered: Annotated[
        float, typer.Option(min=0, help="Share of people in cells that no country touches.")
    ] = 0.02,
    max_outside: Annotated[
        float, typer.Option(min=0, help="Share of places outside every polygon.")
    ] = 0.05,
    dictionary: Dictionary = None,
    as_json: AsJson = False,
) -> None:
    """Measure the surfaces of a root; exit code 1 when a bound is passed."""
    from segment1b import contracts
    from segment1b.cli import console
    from segment1b.reference import check as measuring
    from segment1b.storage.root import find_root

    known = contracts.load(str(dictionary) if dictionary else None)
    bounds = measuring.Bounds(
        area_error=max_area_error, uncovered_share=max_uncovered, outside_share=max_outside
    )
    looked_up = None if places is None else measuring.read_places(places)
    found = measuring.check(find_root(data_root), known, looked_up, bounds)
    if as_json:
        console.print_json(found)
    else:
        _print_check(found)
    if found["breaches"]:
        raise typer.Exit(1)


def _request(
    file: Path,
    licence: str,
    attribution: str,
    data_root: Path,
    columns: list[str] | None,
    dictionary: Path | None,
) -> Request:
    from segment1b.errors import Segment1BError
    from segment1b.reference.importing import Request

    named = {}
    for text in columns or ():
        name, equals, column = text.partition("=")
        if not (name and equals and column):
            raise Segment1BError("E_USAGE", f"--column {text}: no NAME=COLUMN", "see --help")
        named[name] = column
    return Request(file, licence, attribution, data_root, dictionary, named)


def _print_laid(laid: dict[str, Path]) -> None:
    for dataset_id, path in laid.items():
        print(f"{dataset_id:<25} {path}")


def _print_imported(found: Imported, *, as_json: bool) -> None:
    from segment1b.cli import console

    document = found.provenance
    if as_json:
        audit = {} if found.audit is None else {"audit": found.audit}
        console.print_json({**document, "path": str(found.path), "no_op": found.no_op, **audit})
        return
    print(f"{document['dataset']:<25} {found.path}" + (" (there already)" if found.no_op else ""))
    print(f"{'sha256':<25} {document['receipt']['sha256_hex']}")
    print(f"{'licence':<25} {document['licence']}; {document['attribution']}")
    for name, value in document["counts"].items():
        print(f"{name:<25} {value}")
    for note in document.get("notes", ()):
        print(f"{'note':<25} {note}")


def _print_check(found: dict[str, Any]) -> None:
    print(f"{'country':<8} {'measured km2':>16} {'published km2':>16} {'error':>8}  published by")
    for row in found["countries"][:_WORST]:
        if row["error"] is not None:
            print(
                f"{row['country_iso']:<8} {row['measured_km2']:>16,.0f} "
                f"{row['published_km2']:>16,.0f} {row['error']:>+8.1%}  {row['published_by']}"
            )
    left = len(found["countries"]) - _WORST
    if left > 0:
        print(f"and {left} more, closer or without a published area (--json lists all)")
    people, places = found["population"], found["places"]
    rows: dict[str, Any] = {
        "people": f"{people['people']:,.0f}",
        "in cells no country touches": f"{people['uncovered']:,.0f}",
        "in cells centred in none": f"{people['centre_uncovered']:,.0f}",
        "ISO codes without polygon": _listed(found["iso_without_polygon"]),
        "polygons without tile": _listed(found["polygons_without_tiles"]),
        "polygons without zone": _listed(found["polygons_without_zone"]),
        "partly beyond the raster": _listed(
            [f"{code} {share:.0%}" for code, share in found["beyond_raster"].items()]
        ),
    }
    if places:
        rows["places"] = f"{places['places']:,}"
        rows["outside every polygon"] = f"{places['outside']:,}"
        rows["in another country"] = f"{places['in_another_country']:,}"
    print()
    for name, value in rows.items():
        print(f"{name:<28} {value}")
    for dataset_id, about in found["surfaces"].items():
        print(f"{dataset_id:<28} {about['licence'] or 'licence not recorded'}")
    print()
    for line in found["breaches"]:
        print(f"BOUND PASSED {line}")
    if not found["breaches"]:
        print("within bounds")


def _listed(names: list[str]) -> str:
    return f"{len(names)}" + (f": {', '.join(names)}" if names else "")
