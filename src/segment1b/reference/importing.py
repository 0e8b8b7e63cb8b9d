"""Imports reference surfaces: read, check, write as the contract says, publish with provenance."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.contracts import Contracts
from segment1b.contracts.program import VERSION
from segment1b.errors import Segment1BError, schema_invalid
from segment1b.reference import embedded
from segment1b.reference.codes import Codes, mapped, read_code_list, read_codes, unknown_keys
from segment1b.reference.files import write_parquet, write_shapes
from segment1b.reference.installing import COUNTRIES, ISO, RASTER, ZONES, publish_surface
from segment1b.reference.overlaps import audit, audit_text
from segment1b.reference.polygons import Drawn, draw
from segment1b.reference.raster import copy_people, open_source
from segment1b.reference.sources import Features, read_features, source_files
from segment1b.storage.durable import coded_os_errors, write_file
from segment1b.storage.root import open_root
from segment1b.storage.staging import staging
from segment1b.storage.versions import versions

_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")


@dataclass(frozen=True)
class Request:
    """A source, its terms, and the root it is imported into."""

    file: Path
    licence: str
    attribution: str
    data_root: Path
    dictionary: Path | None = None  # the packaged one by default
    # The source's columns by the names of the surface, where they differ.
    columns: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("licence", "attribution"):
            if not getattr(self, name).strip():
                hint = "give the licence of the source and the attribution it requires"
                raise Segment1BError("E_USAGE", f"--{name} is empty", hint)

    def source_columns(self, *names: str) -> dict[str, str]:
        """Return the source's column for each of the surface's, the same name by default."""
        for name in self.columns:
            if name not in names:
                hint = f"it has {', '.join(names)}" if names else "a raster takes no --column"
                what = f"--column {name}=...: this surface has no such column"
                raise Segment1BError("E_USAGE", what, hint)
        return {name: self.columns.get(name, name) for name in names}


@dataclass(frozen=True)
class Imported:
    """The result of an import."""

    path: Path
    provenance: dict[str, Any]
    no_op: bool  # the same surface was there already
    audit: dict[str, Any] | None = None  # of countries: overlaps, gaps and slivers


@dataclass(frozen=True)
class _Stage:
    """A surface that is being imported, staged at `path`."""

    request: Request
    root: Path
    contracts: Contracts
    dataset_id: str
    path: Path

    def publish(self, rows: int, about: Mapping[str, Any]) -> Imported:
        """Publish the staged folder; `about` has columns, options, counts, notes and more."""
        terms = {
            "licence": self.request.licence.strip(),
            "attribution": self.request.attribution.strip(),
            "source": source_files(self.request.file),
            "tool": {"segment1b": VERSION, **versions()},
        }
        provenance, no_op = publish_surface(
            self.root, self.contracts, self.dataset_id, self.path.parent, rows, {**about, **terms}
        )
        return Imported(self.root / self.contracts[self.dataset_id].locate({}), provenance, no_op)


def import_countries(
    request: Request, *, layer: str | None, make_valid: bool, drop_unknown: bool
) -> Imported:
    """Import country polygons: codes made alpha-2, cut at the date line, dissolved, compared.

    Column country_iso holds alpha-2, alpha-3 or numeric codes. `make_valid` repairs invalid
    polygons, `drop_unknown` leaves out rows with unknown codes; both are recorded, else such rows
    are refused.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID, E007_CRS_MISMATCH, E005_ISO_FK,
            E001_GEO_INVALID, E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL, E_STORAGE_FULL.
    """
    columns = request.source_columns("country_iso")
    features = read_features(request.file, columns["country_iso"], layer)
    source_rows = len(features.keys)
    with _staged(request, COUNTRIES) as stage:
        codes = _codes(stage.root, stage.contracts)
        dropped = unknown_keys(features.keys, codes) if drop_unknown else {}
        if dropped:
            features = _without(features, dropped)
        keys = mapped(request.file, features.column, features.keys, codes)
        drawn = _drawn(features, keys, make_valid=make_valid)
        write_shapes(stage.path, "country_iso", drawn.shapes)
        found = audit(drawn.shapes, drawn.repairs)
        text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write_file(stage.path.with_suffix(".audit.json"), text.encode())
        write_file(stage.path.with_suffix(".audit.txt"), audit_text(found).encode())
        about = {
            "columns": columns,
            "options": {"layer": layer, "make_valid": make_valid, "drop_unknown": drop_unknown},
            "counts": {
                "source_rows": source_rows,
                "rows_dropped": dropped,
                "rows_mended": len(drawn.repairs),
                "countries": len(drawn.shapes),
            },
            "notes": features.notes,
            "iso_without_polygon": [code for code in codes.all if code not in drawn.shapes],
        }
        return replace(stage.publish(len(drawn.shapes), about), audit=found)


def import_zones(request: Request, *, layer: str | None, make_valid: bool) -> Imported:
    """Import time zone polygons; column tzid holds names of the tz database such as Europe/Paris.

    Raises the errors of `import_countries`; E_INPUT_SCHEMA_INVALID also for malformed names.
    """
    columns = request.source_columns("tzid")
    features = read_features(request.file, columns["tzid"], layer)
    for row, key in enumerate(features.keys, 1):
        if not _ZONE.fullmatch(key):
            what = f", row {row}: column {features.column} holds '{key}', not the name of a zone"
            hint = "choose another with --column tzid=COLUMN"
            raise schema_invalid(request.file, what, hint, row=row)
    with _staged(request, ZONES) as stage:
        drawn = _drawn(features, features.keys, make_valid=make_valid)
        write_shapes(stage.path, "tzid", drawn.shapes)
        about = {
            "columns": columns,
            "options": {"layer": layer, "make_valid": make_valid},
            "counts": {"source_rows": len(features.keys), "zones": len(drawn.shapes)},
            "notes": features.notes,
            "repairs": [repair._asdict() for repair in drawn.repairs],
        }
        return stage.publish(len(drawn.shapes), about)


def import_population(request: Request, *, band: int | None, nodata: float | None) -> Imported:
    """Import a raster of people per cell from one band; see `raster`.

    `nodata` is a value that means no data, besides those the file declares.

    Raises:
        Segment1BError: E007_CRS_MISMATCH, E002_RASTER_MISMATCH, E004_BOUNDS with the gdalwarp line,
            E105_NORMALIZATION, E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID,
            E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL, E_STORAGE_FULL.
    """
    columns = request.source_columns()
    source = open_source(request.file, band, nodata)
    with _staged(request, RASTER) as stage:
        count = copy_people(source, stage.path)
        about = {
            "columns": columns,
            "options": {"band": source.band, "nodata": None if nodata is None else str(nodata)},
            "counts": {
                "people": f"{count.micro_persons // 10**6}.{count.micro_persons % 10**6:06}",
                "largest_cell": count.largest,
                "cells_with_people": count.cells_with_people,
                "cells_without_data": count.cells_without_data,
            },
            "notes": [],
            "grid": {**asdict(source.grid), "dtype": source.dtype},
        }
        return stage.publish(source.grid.nrows * source.grid.ncols, about)


def import_codes(request: Request) -> Imported:
    """Import an ISO 3166-1 table from CSV.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID,
            E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL, E_STORAGE_FULL.
    """
    columns = request.source_columns("country_iso", "alpha3", "numeric", "name", "status")
    table = read_code_list(request.file, columns)
    with _staged(request, ISO) as stage:
        write_parquet(stage.path, table)
        about = {
            "columns": {name: columns[name] for name in table.column_names},
            "options": {},
            "counts": {"countries": table.num_rows},
            "notes": [],
        }
        return stage.publish(table.num_rows, about)


def _drawn(features: Features, keys: Sequence[str], *, make_valid: bool) -> Drawn:
    drawn = draw(features, keys, make_valid=make_valid)
    if not drawn.shapes:
        hint = "check the column of keys and the layer"
        raise schema_invalid(features.path, ": no row is left", hint)
    return drawn


def _without(features: Features, dropped: Mapping[str, int]) -> Features:
    kept = [row for row, key in enumerate(features.keys) if key not in dropped]
    keys = [features.keys[row] for row in kept]
    return replace(features, keys=keys, geometries=features.geometries[kept])


def _codes(root: Path, known: Contracts) -> Codes:
    path = root / known[ISO].locate({})
    return read_codes(path if path.exists() else embedded.surface("iso3166.parquet"))


@contextmanager
def _staged(request: Request, dataset_id: str) -> Iterator[_Stage]:
    """Yield the path at which to write a surface; its folder is removed at the end."""
    known = contracts.load(str(request.dictionary) if request.dictionary else None)
    root = open_root(request.data_root)
    with staging(root) as scratch:
        folder = scratch / dataset_id
        with coded_os_errors(folder):
            folder.mkdir()
            path = folder / Path(known[dataset_id].locate({})).name
            yield _Stage(request, root, known, dataset_id, path)
