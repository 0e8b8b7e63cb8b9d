"""One call from Python: places the outlets of a table, and holds the result as a table."""

from __future__ import annotations

import functools
import logging
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from segment1b import contracts
from segment1b.config import RunSettings, run_settings
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.outlets.column_names import parse_map
from segment1b.outlets.directories import directory
from segment1b.outlets.frames import (
    TABLE,
    chosen,
    corrected,
    rows_of_sites,
    table_of,
    write_table,
)
from segment1b.outlets.merchant_names import Naming
from segment1b.outlets.pairs import read_outlets
from segment1b.pipeline import worlds
from segment1b.pipeline.decide import foresee, iso_set, reading_of, surface_digests
from segment1b.pipeline.execution import Progress, run_pipeline, silent
from segment1b.pipeline.outcome import RunResult
from segment1b.read import explanation, replay
from segment1b.read.gate import open_parts
from segment1b.read.zones import Zones
from segment1b.reference.installing import COUNTRIES, SURFACES, ZONES, missing
from segment1b.storage.durable import make_temporary, remove_temporary
from segment1b.storage.root import find_root
from segment1b.storage.snapshot import Snapshot

if TYPE_CHECKING:
    import geopandas as gpd
    import pandas as pd
    import polars as pl

    from segment1b.audit import CheckResult

__all__ = ["Placed", "place"]

LOG = logging.getLogger("segment1b")
#: Bad rows that an error lists at most.
LISTED = 10_000
_SYNTHESIS = "s7_site_synthesis"
#: The columns that the sites have beside those of the list.
ADDED = ("country_iso", "site_order", "lon_deg", "lat_deg", "tile_id", "tzid")


def place(
    outlets: Any,
    *,
    seed: int | None = None,
    method: str | None = None,
    world: str | Path | None = None,
    since: Placed | str | Path | None = None,
    proof: bool = False,
    columns: Sequence[str] | None = None,
    normalise: bool = False,
    map_columns: Sequence[str] = (),
    progress: Progress | None = None,
) -> Placed:
    """Give every outlet of a table a coordinate, as `segment1b run --outlets` does.

    Examples:
        >>> outlets = [{"merchant_id": 7, "country_iso": "NL", "n_outlets": 3, "name": "Acme"}]
        >>> with segment1b.place(outlets, world="segment1b-data") as placed:
        ...     print(placed.sites.column_names[:5])
        ['merchant_id', 'n_outlets', 'name', 'country_iso', 'site_order']

    Args:
        outlets: a table of pandas, polars, pyarrow or DuckDB (anything with an Arrow C stream), a
            list of dicts, or the path of a file. Its columns are merchant_id, country_iso and
            n_outlets, one row a merchant and country; or without n_outlets, one row an outlet, with
            outlet_id or site_order if it has them. A merchant_id is any text or whole number.
        seed: of all random draws, an unsigned 64-bit number; 42 by default.
        method: the allocation method: stable (the default), systematic, balanced or
            largest_remainder.
        world: the name of a prepared world, or a data root with its surfaces. By default the
            embedded world, prepared once and kept in the user's cache.
        since: placed outlets, or ROOT or ROOT:LIST, that these outlets follow by outlet_id: those
            that stay keep their position, and under stable their coordinate. Seed, method and
            surfaces are the earlier ones, and `Placed.result.since` tells who moved.
        proof: run S9 too, which checks the result independently; `Placed.save` does it otherwise.
        columns: names of the list's other columns to carry to the sites; all by default.
        normalise: correct spaces, numbers, codes and names of countries; `Placed.sites` has the
            corrected values.
        map_columns: columns of the outlets, for example `country_iso=Land`; common names of a
            list's columns are recognised without.
        progress: called with every event of the run, as for `segment1b.run`.

    Returns:
        The placed outlets. Their files are in a temporary folder, removed by `Placed.close`, at
        the end of a `with` block, or with the object.

    Raises:
        Segment1BError: E_OUTLETS_INVALID with all bad rows as a table (as data: `error.scope`,
            rows of line, column and reason; line 1 is the first row of a table in memory); E_USAGE
            for another kind of object, E_POLICY_INVALID for an unknown method; else as
            `segment1b.run`.
    """
    table = chosen(table_of(outlets, parse_map(map_columns)), columns)
    clash = [name for name in ADDED[2:] if name in table.column_names]
    if clash:
        what = f"the outlets have the column {clash[0]}, which the sites have too"
        raise Segment1BError("E_USAGE", what, "rename it, or leave it out of columns=")
    folder = make_temporary("segment1b-")
    try:
        file = _list_file(outlets, table, folder)
        earlier = since._snapshot.root if isinstance(since, Placed) else since
        settings = run_settings(
            {
                "data_root": folder / "root",
                "outlets": file,
                "columns": "all" if columns is None else ",".join(columns) or "none",
                "normalise": normalise,
                # A table in memory is written with the names of a list's columns.
                "map_columns": tuple(map_columns) if isinstance(outlets, (str, Path)) else (),
                "world": None if world is None else Path(world),
                "since": None if earlier is None else Path(earlier),
                "seed": seed,
                "settings": () if method is None else (f"allocation.law={method}",),
                "to_state": "s9" if proof else "s8",
            },
            "place",
        )
        result = _run(settings, progress or silent)
        if world is None and since is None:
            _keep_world(settings, result)
        if normalise:
            iso = iso_set(result.root, contracts.load(settings.dictionary))
            table = corrected(table, file, reading_of(settings), iso)
        return Placed(folder, settings, table, result)
    except BaseException:
        remove_temporary(folder)
        raise


class Placed:
    """Placed outlets: a table, and the run that made it.

    Attributes:
        result: what the run did, state by state, as `segment1b.run` returns it.
        sites: pyarrow.Table, a row an outlet, by merchant, country and site_order: the columns of
            the list, country_iso (string), site_order (int64, 1..n of a merchant in a country),
            lon_deg and lat_deg (float64, degrees, WGS84), tile_id (uint64) and tzid (string, the
            time zone, see `zones.Zones.at`).
    """

    def __init__(
        self, folder: Path, settings: RunSettings, table: pa.Table, result: RunResult
    ) -> None:
        self._settings = settings
        # Removes the folder with the object, or when the program ends.
        self._remove = weakref.finalize(self, remove_temporary, folder)
        self.result = result
        self.sites = self._joined(table)

    def __enter__(self) -> Placed:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        merchants = self.sites.column("merchant_id").combine_chunks().unique()
        countries = self.sites.column("country_iso").combine_chunks().unique()
        return (
            f"<{self.sites.num_rows:,} outlets of {len(merchants):,} merchants "
            f"in {len(countries):,} countries>"
        )

    def close(self) -> None:
        """Remove the temporary files; `sites` and what is made of it stay."""
        self._remove()

    def to_pandas(self) -> pd.DataFrame:
        """Return the sites as a pandas.DataFrame; E_USAGE without `segment1b[notebook]`."""
        _extra("pandas")
        frame: pd.DataFrame = self.sites.to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """Return the sites as a polars.DataFrame; E_USAGE without `segment1b[notebook]`."""
        frame: pl.DataFrame = _extra("polars").from_arrow(self.sites)
        return frame

    def to_geopandas(self) -> gpd.GeoDataFrame:
        """Return the sites as a GeoDataFrame of points in EPSG:4326, longitude first.

        E_USAGE without `segment1b[notebook]`.
        """
        geopandas, frame = _extra("geopandas"), self.to_pandas()
        points = geopandas.points_from_xy(frame["lon_deg"], frame["lat_deg"])
        return geopandas.GeoDataFrame(frame, geometry=points, crs="EPSG:4326")

    def explore(self) -> Any:
        """Return an interactive map as a plotly.graph_objects.Figure; it works offline.

        Of more than 60,000 outlets every k-th is shown.
        """
        from segment1b.read.figure import site_map

        return site_map(self.sites, self._snapshot.path(COUNTRIES))

    def explain(self, merchant: str | int, country: str) -> dict[str, Any]:
        """Explain why a merchant's outlets are in their tiles, as `segment1b.explain`."""
        return explanation.explain(self._snapshot.root, merchant, country)

    def replay(self, merchant: str | int, country: str, site: int) -> dict[str, Any]:
        """Derive the coordinate of one outlet again, draw by draw, as `segment1b.replay`."""
        return replay.replay(self._snapshot.root, merchant, country, site)

    def validate(self) -> list[CheckResult]:
        """Check what the states published, independently, as `segment1b.validate`."""
        from segment1b.audit import validate_published, with_trades
        from segment1b.audit.published_files import Published

        snapshot = self._snapshot
        published = Published(snapshot.root, snapshot.contracts, self.result.identity)
        states = with_trades([one.state for one in self.result.outcomes])
        results = validate_published(published, states)
        fingerprint = snapshot.identity.manifest_fingerprint
        naming = Naming(snapshot.root, snapshot.contracts, fingerprint)
        return [replace(result, rows=naming.rows(result.rows)) for result in results]

    def save(
        self, root: str | Path, progress: Progress | None = None, *, name: str | None = None
    ) -> None:
        """Publish the result in a data root, a folder or a store's URL, and prove it there with S9.

        The root is new or empty, or holds the same reference surfaces. Once S9 has passed,
        `segment1b.open(root).sites` has the coordinates. The root may hold other lists: this one is
        imported last, and `name` is its name there, by default that of its file or `outlets`.

        Raises:
            Segment1BError: E_USAGE when the root holds another world, E_LIST_NAME_TAKEN when it has
                another list of that name; else as `segment1b.run`.
        """
        own = self._snapshot
        target = Snapshot(find_root(root), own.contracts, {})
        target.fetch(SURFACES)
        absent = missing(target.root, own.contracts)
        held = surface_digests(target.root, own.contracts, absent)
        mine = surface_digests(own.root, own.contracts)
        if any(digest != mine[name] for name, digest in held.items()):
            what = f"{root} holds other reference surfaces than the outlets were placed on"
            raise Segment1BError("E_USAGE", what, "save into a new folder")
        update = {"data_root": Path(root), "list_name": name, "world": own.root, "to_state": "s9"}
        if self._settings.since is not None:
            # The earlier list may be gone; this one has the positions that followed from it.
            update["since"] = own.root
        run_pipeline(self._settings.model_copy(update=update), progress or silent)

    @functools.cached_property
    def _published(self) -> Snapshot:
        identity = Identity(**self.result.identity)  # type: ignore[arg-type]
        known = contracts.load(self._settings.dictionary)
        return Snapshot(self.result.root, known, identity.places)

    @property
    def _snapshot(self) -> Snapshot:
        """Return the run's files; E_USAGE when they are removed."""
        if not self._remove.alive:
            what = "the files of the placed outlets are removed"
            raise Segment1BError("E_USAGE", what, "do this before close() or the end of 'with'")
        return self._published

    def _joined(self, table: pa.Table) -> pa.Table:
        """Return the sites in key order with the columns of the list, tiles and time zones."""
        snapshot = self._snapshot
        names = ["merchant_id", "legal_country_iso", *ADDED[1:5]]
        paths = sorted(snapshot.path(_SYNTHESIS).iterdir())
        sites = open_parts(paths, snapshot.contracts[_SYNTHESIS]).to_table(columns=names)
        sites = sites.combine_chunks()
        carried = [name for name in table.column_names if name not in ADDED]
        fingerprint = str(snapshot.tokens["manifest_fingerprint"])
        listed = directory(snapshot.root, snapshot.contracts, fingerprint)
        outlets = listed.outlets if listed else None
        joined = table.select(carried).take(rows_of_sites(table, sites, outlets))
        lon, lat = (sites.column(name).to_numpy() for name in ("lon_deg", "lat_deg"))
        zones = Zones(snapshot.path(ZONES)).at(lon, lat)
        added = [*(sites.column(name) for name in names[1:]), zones]
        arrays = [*joined.columns, *added]
        return pa.table(dict(zip([*carried, *ADDED], arrays, strict=True)))


def _list_file(outlets: Any, table: pa.Table, folder: Path) -> Path:
    """Return the file to import: the user's own, or one with the table in the folder."""
    if isinstance(outlets, (str, Path)):
        return Path(outlets)
    file = folder / "outlets.parquet"
    write_table(table, file)
    return file


def _run(settings: RunSettings, progress: Progress) -> RunResult:
    """Run the states; an error about bad rows lists them all as a table."""
    try:
        return run_pipeline(settings, progress)
    except Segment1BError as error:
        if error.code != "E_OUTLETS_INVALID":
            raise
        file = settings.outlets
        assert file is not None
        in_memory = file.parent == settings.data_root.parent
        raise _as_table(_whole(error, settings, file), file, TABLE if in_memory else file) from None


def _whole(error: Segment1BError, settings: RunSettings, file: Path) -> Segment1BError:
    """Return the error about an outlet list with all of its bad rows."""
    if error.scope.get("total", 0) <= len(error.scope.get("rows", ())):
        return error
    iso = iso_set(settings.data_root, contracts.load(settings.dictionary))
    try:
        read_outlets(file, iso, reading_of(settings), settings.columns, LISTED)
    except Segment1BError as whole:
        return whole
    return error


def _as_table(error: Segment1BError, file: Path, name: Path) -> Segment1BError:
    """Return the error under the name of what the user gave, its rows under each other."""
    rows: Sequence[Mapping[str, Any]] = error.scope.get("rows", ())
    message, scope = error.message.replace(str(file), str(name)), {**error.scope, "path": str(name)}
    if rows:
        total = error.scope["total"]
        width = max(6, *(len(str(row["column"] or "")) for row in rows))
        lines = [f"{name} has {total:,} bad row{'s' if total > 1 else ''}:"]
        lines.append(f"{'row':>10}  {'column':{width}}  reason")
        lines += [f"{r['line']:>10}  {r['column'] or '':{width}}  {r['reason']}" for r in rows]
        if total > len(rows):
            lines.append(f"  and {total - len(rows):,} more")
        message = "\n".join(lines)
    hint = error.hint if not rows else "correct them and place the outlets again"
    return Segment1BError(error.code, message, hint, **scope)


def _keep_world(settings: RunSettings, result: RunResult) -> None:
    """Keep tiles and weights that had to be computed in the cache, if it can be written."""
    if all(result.state(name).what == "adopted" for name in worlds.ADOPTED):
        return
    try:
        run, _ = foresee(result.root, settings)
        worlds.keep(run)
    except Segment1BError as error:
        LOG.warning("the prepared world is not kept, the next call makes it again: %s", error)


def _extra(name: str) -> Any:
    """Import a package of the extra `notebook`; E_USAGE names the extra."""
    try:
        return import_module(name)
    except ImportError:
        what = f"this needs the package '{name}', which is not installed"
        raise Segment1BError("E_USAGE", what, "pip install 'segment1b[notebook]'") from None
