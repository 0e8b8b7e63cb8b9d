"""Imports reference surfaces: read, check, write as the contract says, publish with provenance."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.contracts import Contracts
from segment1b.contracts.locations import nearest
from segment1b.contracts.program import VERSION
from segment1b.errors import Segment1BError, schema_invalid
from segment1b.identity import canonical_json
from segment1b.reference import embedded
from segment1b.reference.codes import read_code_list, read_codes, with_alpha2
from segment1b.reference.installing import (
    COUNTRIES,
    ISO,
    LAYER_NAMES,
    RASTER,
    ZONES,
    provenance_path,
    refuse_other,
    write_parquet,
    write_shapes,
)
from segment1b.reference.overlaps import audit, audit_text
from segment1b.reference.polygons import draw
from segment1b.reference.raster import copy_people, open_source
from segment1b.reference.sources import read_features, source_files
from segment1b.storage.durable import coded_os_errors, fsync_file, write_file
from segment1b.storage.folder_root import creating
from segment1b.storage.publisher import publish_folder
from segment1b.storage.receipts import Receipt, hash_files
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
                what = f"--column {name}=...: this surface has no such column"
                raise Segment1BError("E_USAGE", what, f"it has {', '.join(names)}")
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
    """A surface that is being imported, staged at `path` in a folder of its own."""

    request: Request
    root: Path
    contracts: Contracts
    dataset_id: str
    path: Path

    def publish(
        self,
        rows: int,
        columns: Mapping[str, str],
        options: Mapping[str, Any],
        counts: Mapping[str, Any],
        **more: Any,
    ) -> Imported:
        """Publish the staged folder with its provenance; a published surface keeps its own.

        `rows` counts the rows of a table or the cells of a raster.
        """
        dataset = self.contracts[self.dataset_id]
        target = self.root / dataset.locate({})
        folder = target.parent.relative_to(self.root).as_posix()
        files, digest = hash_files(self.path.parent, [target.name])
        document = {
            "dataset": self.dataset_id,
            "columns": columns,
            "options": options,
            "counts": counts,
            "notes": [],
            **more,
            "licence": self.request.licence.strip(),
            "attribution": self.request.attribution.strip(),
            "source": source_files(self.request.file),
            "tool": {"segment1b": VERSION, **versions()},
            "receipt": Receipt(folder, rows, files, digest, digest).as_json(),
        }
        if target.exists():
            refuse_other(self.dataset_id, target, digest, "imported")
            return Imported(target, document, no_op=True)
        write_file(provenance_path(self.path), canonical_json(document))
        for path in self.path.parent.iterdir():
            fsync_file(path)
        own = dataset.model_copy(update={"kind": "folder", "path": folder})
        with creating(self.root):
            publish_folder(self.root, own, {}, self.path.parent, 1)
        return Imported(target, document, no_op=False)


def import_countries(
    request: Request,
    *,
    layer: str | None = None,
    make_valid: bool = False,
    drop_unknown: bool = False,
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
    source = read_features(request.file, columns["country_iso"], layer)
    with _staged(request, COUNTRIES) as stage:
        table = stage.root / stage.contracts[ISO].locate({})
        codes = read_codes(table if table.exists() else embedded.surface("iso3166.parquet"))
        features, dropped = with_alpha2(source, codes, drop_unknown=drop_unknown)
        shapes, repairs = draw(features, make_valid=make_valid)
        write_shapes(stage.path, "country_iso", shapes)
        found = audit(shapes, repairs)
        text = json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        write_file(stage.path.with_suffix(".audit.json"), text.encode())
        write_file(stage.path.with_suffix(".audit.txt"), audit_text(found).encode())
        counts = {
            "source_rows": len(source.keys),
            "rows_dropped": dropped,
            "rows_mended": len(repairs),
            "countries": len(shapes),
        }
        options = {"layer": layer, "make_valid": make_valid, "drop_unknown": drop_unknown}
        missing = sorted(set(codes.values()) - shapes.keys())
        more = {"notes": source.notes, "iso_without_polygon": missing}
        return replace(stage.publish(len(shapes), columns, options, counts, **more), audit=found)


def import_zones(
    request: Request, *, layer: str | None = None, make_valid: bool = False
) -> Imported:
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
        shapes, repairs = draw(features, make_valid=make_valid)
        write_shapes(stage.path, "tzid", shapes)
        options = {"layer": layer, "make_valid": make_valid}
        counts = {"source_rows": len(features.keys), "zones": len(shapes)}
        more = {"notes": features.notes, "repairs": [repair._asdict() for repair in repairs]}
        return stage.publish(len(shapes), columns, options, counts, **more)


def import_population(
    request: Request, *, band: int | None = None, nodata: float | None = None
) -> Imported:
    """Import a raster of people per cell from one band; see `raster`.

    `nodata` is a value that means no data, besides those the file declares.

    Raises:
        Segment1BError: E007_CRS_MISMATCH, E002_RASTER_MISMATCH, E004_BOUNDS with the gdalwarp line,
            E105_NORMALIZATION, E_INPUT_UNREADABLE, E_INPUT_SCHEMA_INVALID,
            E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL, E_STORAGE_FULL.
    """
    source = open_source(request.file, band, nodata)
    with _staged(request, RASTER) as stage:
        count = copy_people(source, stage.path)
        options = {"band": source.band, "nodata": None if nodata is None else str(nodata)}
        counts = {
            "people": f"{count.micro_persons // 10**6}.{count.micro_persons % 10**6:06}",
            "largest_cell": count.largest,
            "cells_with_people": count.cells_with_people,
            "cells_without_data": count.cells_without_data,
        }
        grid = {**asdict(source.grid), "dtype": source.dtype}
        return stage.publish(math.prod(source.shape), {}, options, counts, grid=grid)


def import_layer(request: Request, *, name: str, band: int | None = None) -> Imported:
    """Import a layer that trades mix with people: `urban` (cells) or `roads` (metres).

    Raises:
        Segment1BError: as `import_population`; E_USAGE for another name.
    """
    if name not in LAYER_NAMES:
        what = f"--name {name}: there is no such layer"
        raise Segment1BError("E_USAGE", what, nearest(name, LAYER_NAMES))
    source = open_source(request.file, band, None)
    with _staged(request, LAYER_NAMES[name]) as stage:
        count = copy_people(source, stage.path, name)
        counts = {
            "total": str(count.micro_persons // 10**6),
            "largest_cell": count.largest,
            "cells_with_value": count.cells_with_people,
            "cells_without_data": count.cells_without_data,
        }
        grid = {**asdict(source.grid), "dtype": source.dtype}
        options = {"band": source.band, "nodata": None}
        return stage.publish(math.prod(source.shape), {}, options, counts, grid=grid)


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
        used = {name: columns[name] for name in table.column_names}
        return stage.publish(table.num_rows, used, {}, {"countries": table.num_rows})


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
