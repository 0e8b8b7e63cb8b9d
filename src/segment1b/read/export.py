"""Exports the proven sites as GeoParquet, CSV, GeoJSON text sequence or FlatGeobuf."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, Unpack

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError, file_error
from segment1b.outlets.merchants import merchant_number
from segment1b.read.added import Added
from segment1b.read.gate import EGRESS, Which, locate, prove_sites
from segment1b.read.geoparquet import features, write_geoparquet
from segment1b.read.listed import Listed, json_texts, listed, plain_types
from segment1b.storage import site_tables as rows
from segment1b.storage.durable import coded_os_errors, fsync_file, fsync_folder
from segment1b.storage.scratch import scratch_beside

#: FlatGeobuf's index is built in memory; larger exports go without it.
INDEXED_ROWS = 4_194_304
_OGR_SCHEMA = pa.schema(
    [
        ("merchant_id", pa.int64()),
        ("legal_country_iso", pa.string()),
        ("site_order", pa.int64()),
        ("geometry", pa.binary()),
    ]
)
# The text before each value of a GeoJSON feature.
_FEATURE = (
    ('{"type":"Feature","properties":{"merchant_id":', "merchant_id"),
    (',"legal_country_iso":"', "legal_country_iso"),
    ('","site_order":', "site_order"),
    ('},"geometry":{"type":"Point","coordinates":[', "lon_deg"),
    (",", "lat_deg"),
)


@dataclass(frozen=True)
class _Job:
    """What one export writes: the wanted sites of part files, by way of an empty folder."""

    paths: Sequence[Path]
    wanted: rows.Wanted
    schema: pa.Schema
    folder: Path
    about: Mapping[str, Any]
    listed: Listed | None  # what the list has beside the sites
    added: Added | None  # columns of other datasets

    def tables(self) -> Iterator[pa.Table]:
        """Yield the wanted sites in key order, with all columns of each."""
        tables = rows.site_tables(self.paths, self.wanted)
        if self.listed:
            tables = map(self.listed.join, tables)
        yield from self.added.joined(tables) if self.added else tables

    @property
    def extra(self) -> pa.Schema:
        """Return the columns that the list and other datasets add."""
        return pa.schema([f for one in (self.listed, self.added) if one for f in one.schema])


def export(
    root: str | Path,
    out: str | Path,
    *,
    format: str | None = None,  # noqa: A002 - as on the command line
    countries: Sequence[str] = (),
    merchants: Sequence[int | str] = (),
    with_columns: Sequence[str] = (),
    **which: Unpack[Which],
) -> int:
    """Write the sites that passed into one new file; return their number.

    A list with other ids than numbers, with outlet keys or other columns has them joined to its
    sites: merchant, outlet_id, then the columns by name.

    Examples:
        >>> segment1b.export("segment1b-data", "nl.csv", countries=["NL"]) > 0
        True

    Args:
        root: the data root.
        out: the file, which must not exist; it appears only when it is complete.
        format: geoparquet, csv, geojsonseq or flatgeobuf; None: by the suffix, see `format_of`.
        countries: ISO codes to write; all by default.
        merchants: merchants to write, by the ids of the list; all by default.
        with_columns: columns of other datasets to add: tzid, tile_id, weight_fp, pixel_area_m2,
            see docs/spec/outlet-lists.md#columns-of-an-export.
        **which: the identity, see `Which`.

    Raises:
        Segment1BError: as `read_site_locations`; E_USAGE for an unknown format or column, a file
            that exists, or when no site matches; the receipt code of an added column's dataset that
            has changed, E306_TOKEN_MISMATCH of the time zones; E_DATA_ROOT_UNUSABLE,
            E_STORAGE_FULL.
    """
    form = format_of(out, format)
    out = Path(os.path.abspath(out))
    wanted = rows.Wanted(tuple(countries), tuple(map(merchant_number, merchants)))
    check_new(out)
    run = locate(root, **which)
    proof, dataset = prove_sites(run), run.contracts[EGRESS]
    about = {
        **{name: proof[name] for name in ("seed", "manifest_fingerprint", "parameter_hash")},
        "dataset_id": EGRESS,
        "sha256_hex": proof["egress"]["composite_sha256_hex"],
        "licence": dataset.licence,
    }
    paths = sorted(run.path(EGRESS).iterdir())
    names = tuple(dict.fromkeys(with_columns))
    beside = listed(run.root, run.contracts, run.identity.manifest_fingerprint, names)
    added = Added(run, wanted, names) if names else None
    with new_file(out) as (fresh, scratch):
        job = _Job(paths, wanted, dataset.arrow_schema, scratch, about, beside, added)
        count = _WRITERS[form](fresh, job)
        if not count and not wanted.everything:
            what = "no site has one of these countries and merchants"
            raise Segment1BError("E_USAGE", what, "see site_locations for what this root has")
    return count


def format_of(out: str | Path, named: str | None) -> str:
    """Return the format of a file: the named one, or by its suffix; of stdout (`-`) csv.

    Raises:
        Segment1BError: E_USAGE for an unknown format or suffix, or a format that stdout cannot
            have, as its writer goes back in the file.
    """
    if named is not None and named not in _WRITERS:
        raise Segment1BError("E_USAGE", f"format '{named}' is unknown", nearest(named, _WRITERS))
    if str(out) == "-":
        form = named or "csv"
        if form not in _STREAMS:
            what = f"{form} cannot be written to stdout"
            raise Segment1BError("E_USAGE", what, f"give a file, or --format {_STREAMS[1]}")
        return form
    suffix = Path(out).suffix.lower()
    if named is None and suffix not in _SUFFIXES:
        what = f"the name {Path(out).name} tells no format"
        hint = f"give --format, or a name with one of {', '.join(_SUFFIXES)}"
        raise Segment1BError("E_USAGE", what, hint)
    return named or _SUFFIXES[suffix]


def check_new(out: Path) -> None:
    """Refuse a file that exists, or whose folder does not."""
    if os.path.lexists(out):
        raise file_error("E_USAGE", out, "exists already", "remove it, or give another --out")
    if not out.parent.is_dir():
        raise file_error("E_USAGE", out.parent, "is not a directory", "create it first")


@contextmanager
def new_file(out: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a path to write to and an empty folder; on success the file is renamed to `out`."""
    with coded_os_errors(out), scratch_beside(out) as folder:
        fresh, scratch = folder / out.name, folder / "scratch"
        scratch.mkdir()
        yield fresh, scratch
        check_new(out)
        fsync_file(fresh)
        os.rename(fresh, out)
        fsync_folder(out.parent)


def _write_geoparquet(path: Path, job: _Job) -> int:
    return write_geoparquet(path, job.tables(), job.folder, job.about, job.extra)


def _write_csv(path: Path, job: _Job) -> int:
    quoting = "needed" if len(job.extra) else "none"
    options = pyarrow.csv.WriteOptions(
        batch_size=rows.BATCH_ROWS, quoting_style=quoting, quoting_header=quoting
    )
    count, schema = 0, pa.schema([*job.schema, *job.extra])
    with pyarrow.csv.CSVWriter(path, schema, write_options=options) as writer:
        for table in job.tables():
            writer.write_table(table.cast(schema))
            count += table.num_rows
    return count


def _write_geojsonseq(path: Path, job: _Job) -> int:
    """Write one feature a line, RFC 8142 without its separators, as GDAL does by default."""
    # Arrow prints the shortest digits that read back as the same number; GDAL rounds, or pads.
    count, names = 0, job.extra.names
    with path.open("wb") as file:
        for table in job.tables():
            pieces: list[Any] = []
            for text, name in _FEATURE:
                if name == "lon_deg":
                    for own in names:
                        pieces += [f",{json.dumps(own)}:", json_texts(table.column(own))]
                pieces += [text, table.column(name).cast(pa.string())]
            lines = pc.binary_join_element_wise(*pieces, "]}}\n", "").combine_chunks()
            # The texts of a string column lie in one piece, up to the last offset.
            _, offsets, text = lines.buffers()
            file.write(memoryview(text)[: np.frombuffer(offsets, np.int32)[len(lines)]])
            count += table.num_rows
    return count


def _write_flatgeobuf(path: Path, job: _Job) -> int:
    import pyogrio
    from pyogrio.errors import DataLayerError, DataSourceError

    tables = rows.site_tables(job.paths, job.wanted, ["site_order"])
    count = sum(int(table.num_rows) for table in tables)
    schema = pa.schema([*_OGR_SCHEMA, *plain_types(job.extra)])
    # GDAL makes a folder of any other suffix.
    target = path.with_name("one.fgb")
    stopped: list[BaseException] = []
    try:
        pyogrio.write_arrow(
            pa.RecordBatchReader.from_batches(schema, _point_batches(job, schema, stopped)),
            target,
            layer=EGRESS,
            driver="FlatGeobuf",
            geometry_name="geometry",
            geometry_type="Point",
            crs="OGC:CRS84",
            layer_options={"SPATIAL_INDEX": "YES" if count <= INDEXED_ROWS else "NO"},
        )
        # Read it again: GDAL does not report what fails while it closes a file.
        with pyogrio.open_arrow(target, columns=[], use_pyarrow=True) as (_, written):
            written_rows = sum(batch.num_rows for batch in written)
        if written_rows != count:
            raise DataSourceError(f"{written_rows:,} of {count:,} sites read back")
    except (DataSourceError, DataLayerError, OSError) as error:
        if stopped:
            raise stopped[0] from None
        raise_machine_fault(error, path)
        # GDAL's errors carry no number; once the folder is there, it is room that is missing.
        what = f"{path.name} could not be written whole: {error}"
        raise Segment1BError("E_STORAGE_FULL", what, path=str(path)) from None
    os.rename(target, path)
    return count


def _point_batches(
    job: _Job, schema: pa.Schema, stopped: list[BaseException]
) -> Iterator[pa.RecordBatch]:
    """Yield the sites as GDAL takes them; keep an error, of which GDAL passes on the text only."""
    try:
        for table in job.tables():
            names = schema.names[len(_OGR_SCHEMA) :]
            added = [table.column(name).cast(schema.field(name).type) for name in names]
            yield from pa.Table.from_arrays([*features(table), *added], schema=schema).to_batches()
    except (Exception, KeyboardInterrupt) as error:
        stopped.append(error)
        raise


_Writer: TypeAlias = Callable[[Path, _Job], int]
_WRITERS: dict[str, _Writer] = {
    "geoparquet": _write_geoparquet,
    "csv": _write_csv,
    "geojsonseq": _write_geojsonseq,
    "flatgeobuf": _write_flatgeobuf,
}
FORMATS = tuple(_WRITERS)
_STREAMS = ("csv", "geojsonseq")
_SUFFIXES = {
    ".parquet": "geoparquet",
    ".geoparquet": "geoparquet",
    ".csv": "csv",
    ".geojsonl": "geojsonseq",
    ".geojsonseq": "geojsonseq",
    ".fgb": "flatgeobuf",
}
