"""Importing surfaces: read, check, write as the contract says, publish with their provenance."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.contracts import Contracts
from segment1b.contracts.program import VERSION
from segment1b.errors import Segment1BError
from segment1b.reference import embedded
from segment1b.reference.codes import Codes, mapped, read_code_list, read_codes, unknown_keys
from segment1b.reference.files import write_parquet, write_shapes
from segment1b.reference.installing import RASTER
from segment1b.reference.overlaps import audit, audit_text
from segment1b.reference.polygons import Drawn, draw_mended, draw_strictly
from segment1b.reference.publishing import publish_surface
from segment1b.reference.raster import copy_people, open_source
from segment1b.reference.sources import Features, read_features, source_files
from segment1b.storage.durable import coded_os_errors, write_file
from segment1b.storage.root import open_root
from segment1b.storage.staging import staging
from segment1b.storage.versions import versions

ISO, COUNTRIES, ZONES = "iso3166_canonical_2024", "world_countries", "tz_world_2025a"
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True)
class Request:
    """What is brought, on which terms, and into which root.

    Attributes:
        file: the source.
        licence, attribution: the source's; neither may be empty.
        data_root: where the surface goes.
        dictionary: another dictionary than the packaged one.
        columns: the source's column by the surface's name, where they differ.
    """

    file: Path
    licence: str
    attribution: str
    data_root: Path
    dictionary: Path | None = None
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("licence", "attribution"):
            if not getattr(self, name).strip():
                raise Segment1BError(
                    "E_USAGE",
                    f"--{name} is empty",
                    "say under which terms the source is given and whom to name",
                )


@dataclass(frozen=True)
class Imported:
    """What became of an import.

    Attributes:
        path: the surface.
        provenance: the document beside it.
        no_op: the same surface was there already.
        audit: of countries, what is odd about them.
    """

    path: Path
    provenance: dict[str, Any]
    no_op: bool
    audit: dict[str, Any] | None = None


def import_countries(
    request: Request, *, layer: str | None, make_valid: bool, drop_unknown: bool
) -> Imported:
    """Import country polygons: codes made alpha-2, cut at the date line, dissolved, audited.

    Args:
        request: the source; its column country_iso holds alpha-2, alpha-3 or numeric codes.
        layer: which layer, where the file has several.
        make_valid: mend invalid polygons, and record it; else they are refused.
        drop_unknown: leave rows with unknown codes out, and record it; else they are refused.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID, E007_CRS_MISMATCH, E005_ISO_FK,
            E001_GEO_INVALID, E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL, E_STORAGE_FULL.
    """
    column = _columns(request, "country_iso")["country_iso"]
    features = read_features(request.file, column, layer)
    with _staged(request, COUNTRIES) as (root, known, staged):
        codes = _codes(root, known)
        dropped = unknown_keys(features.keys, codes) if drop_unknown else {}
        if dropped:
            features = _without(features, set(dropped))
        keys = mapped(request.file, column, features.keys, codes)
        drawn = _drawn(features, keys, make_valid=make_valid)
        write_shapes(staged, "country_iso", drawn.shapes)
        found = audit(drawn.shapes, drawn.repairs)
        beside = staged.with_name(f"{staged.stem}.audit")
        text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write_file(beside.with_suffix(".audit.json"), text.encode())
        write_file(beside.with_suffix(".audit.txt"), audit_text(found).encode())
        about = _about(
            request,
            columns={"country_iso": column},
            options={"layer": layer, "make_valid": make_valid, "drop_unknown": drop_unknown},
            counts={
                "source_rows": len(keys) + sum(dropped.values()),
                "rows_dropped": dropped,
                "rows_mended": len(drawn.repairs),
                "countries": len(drawn.shapes),
            },
            notes=features.notes,
        )
        about["iso_without_polygon"] = [code for code in codes.all if code not in drawn.shapes]
        return _published(root, known, COUNTRIES, staged, len(drawn.shapes), about, found)


def import_zones(request: Request, *, layer: str | None, make_valid: bool) -> Imported:
    """Import time zone polygons, keyed by the name that the tz database gives them.

    Args:
        request: the source; its column tzid holds names such as Europe/Paris.
        layer: which layer, where the file has several.
        make_valid: mend invalid polygons, and record it; else they are refused.

    Raises:
        Segment1BError: as `import_countries`; E_INPUT_SCHEMA_INVALID for what is no zone's name.
    """
    column = _columns(request, "tzid")["tzid"]
    features = read_features(request.file, column, layer)
    for row, key in enumerate(features.keys, 1):
        if not _ZONE.fullmatch(key):
            raise Segment1BError(
                "E_INPUT_SCHEMA_INVALID",
                f"{request.file}, row {row}: column {column} holds '{key}', no zone's name",
                "choose another with --column tzid=COLUMN",
                path=str(request.file),
                row=row,
            )
    with _staged(request, ZONES) as (root, known, staged):
        drawn = _drawn(features, features.keys, make_valid=make_valid)
        write_shapes(staged, "tzid", drawn.shapes)
        about = _about(
            request,
            columns={"tzid": column},
            options={"layer": layer, "make_valid": make_valid},
            counts={"source_rows": len(features.keys), "zones": len(drawn.shapes)},
            notes=features.notes,
        )
        about["repairs"] = [repair._asdict() for repair in drawn.repairs]
        return _published(root, known, ZONES, staged, len(drawn.shapes), about)


def import_population(request: Request, *, band: int | None, nodata: float | None) -> Imported:
    """Import a raster of people per cell; see `raster`.

    Args:
        request: the source.
        band: which band, where it has several.
        nodata: a value that means no data, besides those the file declares.

    Raises:
        Segment1BError: E007_CRS_MISMATCH, E002_RASTER_MISMATCH, E004_BOUNDS with the gdalwarp line,
            E105_NORMALIZATION, E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID,
            E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL, E_STORAGE_FULL.
    """
    _columns(request)
    source = open_source(request.file, band, nodata)
    with _staged(request, RASTER) as (root, known, staged):
        count = copy_people(source, staged)
        about = _about(
            request,
            columns={},
            options={"band": source.band, "nodata": None if nodata is None else str(nodata)},
            counts={
                "people": f"{count.micro_persons // 10**6}.{count.micro_persons % 10**6:06}",
                "largest_cell": count.largest,
                "cells_with_people": count.cells_with_people,
                "cells_without_data": count.cells_without_data,
            },
            notes=[],
        )
        about["grid"] = {**asdict(source.grid), "dtype": source.dtype}
        cells = source.grid.nrows * source.grid.ncols
        return _published(root, known, RASTER, staged, cells, about)


def import_codes(request: Request) -> Imported:
    """Import an ISO 3166-1 table from CSV; see `codes.read_code_list`.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID,
            E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL, E_STORAGE_FULL.
    """
    columns = _columns(request, "country_iso", "alpha3", "numeric", "name", "status")
    table = read_code_list(request.file, columns)
    with _staged(request, ISO) as (root, known, staged):
        write_parquet(staged, table)
        about = _about(
            request,
            columns={name: columns[name] for name in table.column_names},
            options={},
            counts={"countries": table.num_rows},
            notes=[],
        )
        return _published(root, known, ISO, staged, table.num_rows, about)


def _columns(request: Request, *names: str) -> dict[str, str]:
    """Return the source's column for each of the surface's, which bears its name by default."""
    for name in request.columns:
        if name not in names:
            raise Segment1BError(
                "E_USAGE",
                f"--column {name}=...: this surface has no such column",
                f"it has {', '.join(names)}" if names else "a raster takes no --column",
            )
    return {name: request.columns.get(name, name) for name in names}


def _drawn(features: Features, keys: list[str], *, make_valid: bool) -> Drawn:
    draw: Callable[[Features, list[str]], Drawn] = draw_mended if make_valid else draw_strictly
    drawn = draw(features, keys)
    if not drawn.shapes:
        raise Segment1BError(
            "E_INPUT_SCHEMA_INVALID",
            f"{features.path}: no row is left",
            "check the column of keys and the layer",
            path=str(features.path),
        )
    return drawn


def _without(features: Features, dropped: set[str]) -> Features:
    kept = [row for row, key in enumerate(features.keys) if key not in dropped]
    return Features(
        features.path,
        features.layer,
        features.column,
        [features.keys[row] for row in kept],
        features.geometries[kept],
        features.notes,
    )


def _codes(root: Path, known: Contracts) -> Codes:
    path = root / known[ISO].locate({})
    return read_codes(path if path.exists() else embedded.surface("iso3166.parquet"))


@contextmanager
def _staged(request: Request, dataset_id: str) -> Iterator[tuple[Path, Contracts, Path]]:
    """Give the root, its contracts and the name under which the surface is to be staged."""
    known = contracts.load(str(request.dictionary) if request.dictionary else None)
    root = open_root(request.data_root)
    with staging(root) as scratch:
        folder = scratch / dataset_id
        with coded_os_errors(folder):
            folder.mkdir()
            yield root, known, folder / Path(known[dataset_id].locate({})).name


def _about(request: Request, **facts: Any) -> dict[str, Any]:
    return {
        "licence": request.licence.strip(),
        "attribution": request.attribution.strip(),
        "source": source_files(request.file),
        **facts,
        "tool": {"segment1b": VERSION, **versions()},
    }


def _published(
    root: Path,
    known: Contracts,
    dataset_id: str,
    staged: Path,
    rows: int,
    about: dict[str, Any],
    found: dict[str, Any] | None = None,
) -> Imported:
    document, there = publish_surface(root, known, dataset_id, staged.parent, rows, about)
    return Imported(root / known[dataset_id].locate({}), document, there, found)
