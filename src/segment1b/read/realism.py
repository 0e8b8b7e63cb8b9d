"""Compares the outlets of a run with real outlets: how alike are their distributions?

The law is docs/spec/realism.md#figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.contracts.states import TRADE_WEIGHTS
from segment1b.contracts.trades import EVERYTHING
from segment1b.errors import Segment1BError
from segment1b.geo.grid import Grid, read_grid
from segment1b.outlets.merchant_trades import find_table, in_use, trades_of
from segment1b.outlets.merchants import merchant_number
from segment1b.pipeline.decide import iso_set
from segment1b.read import likeness
from segment1b.read.cells import cell_grid, cells_at, read_cells, urban_cells
from segment1b.read.gate import Which, locate, proven_paths
from segment1b.read.likeness import Side
from segment1b.read.real_outlets import MAX_POINTS, read_real
from segment1b.reference.installing import RASTER, urban_layer
from segment1b.storage.reader import Reader
from segment1b.storage.site_tables import Wanted, site_tables
from segment1b.storage.snapshot import Snapshot

_SITES = ("merchant_id", "legal_country_iso", "lon_deg", "lat_deg")
#: The group of all outlets, where trades are not known on both sides.
ALL = "all"


def realism(
    root: str | Path,
    against: str | Path,
    *,
    plot: str | Path | None = None,
    countries: Sequence[str] = (),
    merchants: Sequence[int | str] = (),
    columns: Mapping[str, str] | None = None,
    **which: Unpack[Which],
) -> dict[str, Any]:
    """Compare the sites that passed with real outlets, which are read and not kept.

    Examples:
        >>> figures = segment1b.realism("segment1b-data", "stores.csv")
        >>> figures["groups"]["all"]["urban_share"]["real"]
        0.75

    Args:
        root: the data root.
        against: real outlets, in any format of an outlet list: columns lon, lat (degrees, WGS84),
            country (ISO alpha-2), and chain, trade or mcc.
        plot: an HTML file to write, which must not exist; None writes none.
        countries: ISO codes to compare; by default all that both sides have.
        merchants: merchants to compare, by the ids of the list; all by default.
        columns: names in the file by column, for example {"lon": "x_coord"}.
        **which: the identity, see `Which`.

    Returns:
        Identity, counts, `notes` and the figures of each group
        (docs/spec/realism.md#figures): a group a trade, where both sides have trades, else `all`.

    Raises:
        Segment1BError: as `read_site_locations`; E_OUTLETS_INVALID for bad rows, with their lines;
            E_INPUT_TOO_LARGE for more than two million outlets on a side; E_USAGE when no country
            has outlets on both sides, or for the file of the plot.
    """
    from segment1b.read import realism_plot
    from segment1b.read.export import check_new

    if plot is not None:
        check_new(Path(plot).absolute())
    wanted = Wanted(tuple(countries), tuple(map(merchant_number, merchants)))
    run = locate(root, **which)
    real = read_real(Path(against), iso_set(run.root, run.contracts), columns or {})
    placed, trades = _placed(run, proven_paths(run), wanted)
    tables = {"real": real.table, "placed": placed}
    codes = _shared(tables, countries)
    by_trade = "trade" in real.table.column_names and trades is not None
    sides, world = _sides(run, tables, codes, trades)
    groups = {
        name: likeness.compare(sides, chosen, world)
        for name, chosen in _groups(sides, by_trade=by_trade).items()
    }
    result = {
        **run.identity.tokens,
        "against": str(against),
        "outlets": {name: table.num_rows for name, table in tables.items()},
        "countries": [code for code, _ in world],
        "notes": [*real.notes, *_notes(real.table, sides, trades is not None)],
        "groups": groups,
    }
    if plot is not None:
        realism_plot.write(Path(plot).absolute(), result)
    return result


def _placed(run: Snapshot, paths: list[Path], wanted: Wanted) -> tuple[pa.Table, pa.Table | None]:
    """Return the sites of a run with a column for each of the file's, and merchants' trades."""
    tables, rows = [], 0
    for table in site_tables(paths, wanted, _SITES):
        rows += table.num_rows
        if rows > MAX_POINTS:
            what = f"the run has more than {MAX_POINTS:,} sites to compare"
            hint = "compare a part of them, with --country or --merchant"
            raise Segment1BError("E_INPUT_TOO_LARGE", what, hint)
        tables.append(table)
    if not tables:
        what = "no site has one of these countries and merchants"
        raise Segment1BError("E_USAGE", what, "see site_locations for what this root has")
    merchant, country, lon, lat = pa.concat_tables(tables).combine_chunks().columns
    columns = {"lon": lon, "lat": lat, "country": country, "chain": merchant}
    tokens = run.identity
    trades = find_table(run.root, run.contracts, tokens.seed, tokens.manifest_fingerprint)
    if trades is not None:
        columns["trade"] = trades_of(trades, merchant)
    return pa.table(columns), trades


def _shared(tables: Mapping[str, pa.Table], wanted: Sequence[str]) -> list[str]:
    """Return the sorted codes of the countries of both sides."""
    real, placed = (set(pc.unique(table["country"]).to_pylist()) for table in tables.values())
    codes = sorted(real & placed & (set(wanted) or real))
    if not codes:
        what = "no country has both real and placed outlets"
        hint = f"the real outlets are in {', '.join(sorted(real)[:20])}"
        raise Segment1BError("E_USAGE", what, hint)
    return codes


def _sides(
    run: Snapshot, tables: Mapping[str, pa.Table], codes: list[str], trades: pa.Table | None
) -> tuple[dict[str, Side], list[Any]]:
    """Return both sides in the shared countries, and the cells of these."""
    used = in_use(None if trades is None else tables["placed"]["trade"])
    names = ("tile_index", "tile_weights", *(f"{TRADE_WEIGHTS}/{one}" for one in used), RASTER)
    reader = Reader(run, names)
    reader.fetch(names)
    grid, side = cell_grid(read_grid(reader.file(RASTER)))
    world = read_cells(reader, grid, side, codes, used)
    layer, known = urban_layer(run.root, run.contracts), sorted(world)
    sides = {name: _side(table, known, grid, layer) for name, table in tables.items()}
    return sides, [(code, world[code]) for code in known]


def _side(table: pa.Table, codes: list[str], grid: Grid, layer: Path) -> Side:
    """Return the outlets of a table in some countries, in the order of `Side`."""
    country = pc.index_in(table["country"], pa.array(codes))
    table = table.append_column("number", country).filter(pc.is_valid(country))
    columns = {name: table[name].to_numpy() for name in table.column_names}
    chain = np.unique(columns.get("chain", columns["number"]), return_inverse=True)[1]
    lon, lat, number = columns["lon"], columns["lat"], columns["number"].astype(np.int64)
    order = np.lexsort((lat, lon, number, chain))
    lon, lat, number = lon[order], lat[order], number[order]
    cell = cells_at(grid, lon, lat)
    everyone = np.full(len(lon), EVERYTHING, object)
    return Side(
        lon,
        lat,
        number,
        chain[order] if "chain" in columns else None,
        columns["trade"][order] if "trade" in columns else everyone,
        cell,
        urban_cells(layer, grid, cell),
    )


def _groups(
    sides: Mapping[str, Side], *, by_trade: bool
) -> dict[str, dict[str, npt.NDArray[np.bool_]]]:
    """Return which outlets of each side are in each group."""
    if not by_trade:
        return {ALL: {name: np.ones(len(side.lon), np.bool_) for name, side in sides.items()}}
    shared = set.intersection(*(set(side.trade.tolist()) for side in sides.values()))
    if not shared:
        what = "no trade has both real and placed outlets"
        hint = "leave trade and mcc out of the file to compare all outlets together"
        raise Segment1BError("E_USAGE", what, hint)
    return {
        trade: {name: np.asarray(side.trade == trade) for name, side in sides.items()}
        for trade in sorted(shared)
    }


def _notes(real: pa.Table, sides: Mapping[str, Side], has_trades: bool) -> list[str]:
    """Return sentences about what could not be compared."""
    notes = []
    if left := real.num_rows - len(sides["real"].lon):
        notes.append(f"{left:,} real outlets are in countries that are not compared")
    if has_trades and "trade" not in real.column_names:
        notes.append("the file has no trades: all trades of the run are compared together")
    if "trade" in real.column_names and not has_trades:
        notes.append("the run has no trades: all outlets are compared together")
    if sides["real"].chain is None:
        notes.append("the file has no chains: no distances between outlets of a chain")
    if sides["real"].urban is None:
        notes.append("the urban cells do not fit the grid of the run: no urban share")
    return notes
