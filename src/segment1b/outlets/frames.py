"""Outlet lists as tables in memory: anything with an Arrow stream, rows, or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError
from segment1b.outlets.column_names import recognise
from segment1b.outlets.columnar import ColumnarSource
from segment1b.outlets.columns import Held, ranks
from segment1b.outlets.lists import COLUMNS as IMPORTED
from segment1b.outlets.lists import Reading, refusal
from segment1b.outlets.merchants import merchant_numbers
from segment1b.outlets.readers import open_source
from segment1b.storage.durable import coded_os_errors

#: What the error about a table in memory calls it, in place of a file.
TABLE = Path("the table")
#: pandas adds an index that is no range as columns of these names.
_INDEX = "__index_level_"


def table_of(outlets: Any, mapped: Mapping[str, str] | None = None) -> pa.Table:
    """Return an outlet list as a table with the names of a list's columns, the others stripped.

    Args:
        outlets: an object with `__arrow_c_stream__` (pandas, polars, pyarrow, a DuckDB relation), a
            sequence of mappings, or the path of a file in any format of `open_source`.
        mapped: columns of the outlets by those of a list, see `column_names.recognise`.

    Raises:
        Segment1BError: E_USAGE for another type, E_OUTLETS_INVALID for values that are no columns,
            E_INPUT_TOO_LARGE.
    """
    if isinstance(outlets, (str, Path)):
        return _of_file(Path(outlets), mapped or {})
    try:
        if hasattr(outlets, "__arrow_c_stream__") or hasattr(outlets, "__arrow_c_array__"):
            table = pa.table(outlets)
        elif isinstance(outlets, Sequence) and all(hasattr(row, "keys") for row in outlets):
            names = dict.fromkeys(name for row in outlets for name in row)
            table = pa.table({str(name): [row.get(name) for row in outlets] for name in names})
        else:
            what = f"outlets are given as {type(outlets).__name__}"
            hint = "give a data frame, a pyarrow.Table, a list of dicts, or the path of a file"
            raise Segment1BError("E_USAGE", what, hint)
    except (pa.ArrowException, TypeError, ValueError) as error:
        hint = "give each column values of one type"
        raise refusal(TABLE, f"has values that Arrow cannot hold: {error}", hint) from None
    kept = [name for name in table.column_names if not name.startswith(_INDEX)]
    table = _plain(table.select(kept))
    columns = recognise(TABLE, table.column_names, mapped or {})
    names = {name: target for target, name in columns.items()}
    return table.rename_columns([names.get(name, name) for name in table.column_names])


def corrected(table: pa.Table, path: Path, reading: Reading, iso: set[str]) -> pa.Table:
    """Return a list's table with the columns that an import reads as it corrects them.

    Args:
        table: the list, of which an import has found no fault.
        path: its file.
        reading: how the import read it.
        iso: the country codes that are known.
    """
    names = [name for name in IMPORTED if name in table.column_names]
    fixed = pa.Table.from_batches(open_source(path, reading, iso).batches(names))
    for name in names:
        table = table.set_column(table.column_names.index(name), name, fixed[name])
    return table


def chosen(table: pa.Table, columns: Sequence[str] | None) -> pa.Table:
    """Return the columns that an import reads and those to carry; None carries all."""
    if columns is None:
        return table
    for name in columns:
        if name not in table.column_names:
            hint = nearest(name, table.column_names)
            raise Segment1BError("E_USAGE", f"the outlets have no column '{name}'", hint)
    return table.select([name for name in table.column_names if name in (*IMPORTED, *columns)])


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table as the Parquet file that an import reads."""
    try:
        with coded_os_errors(path):
            pq.write_table(table, path)
    except pa.ArrowException as error:
        hint = "leave it out: name the columns to carry in columns="
        raise refusal(TABLE, f"has a column that Parquet cannot hold: {error}", hint) from None


def rows_of_sites(
    table: pa.Table, sites: pa.Table, outlets: pa.Table | None
) -> npt.NDArray[np.int64]:
    """Return the row of an imported list that each site comes from, int64[s].

    A row that stands for several outlets is repeated. Rows that stand for one are taken in the
    order of their positions (docs/spec/outlet-lists.md#positions), never in that of the list.

    Args:
        table: the list, of which an import has found no fault.
        sites: merchant_id (number) and legal_country_iso in key order.
        outlets: the outlet_directory of the list, which has the positions of its outlet_id.
    """
    merchant = merchant_numbers(_texts(table, "merchant_id"))
    country = _texts(table, "country_iso")
    counted = "n_outlets" in table.column_names
    within = [] if counted else _within(table, merchant, outlets)
    # The sort is stable, and its last key counts first.
    rows = np.lexsort((*reversed(within), ranks(country), merchant))
    # Countries that the policy excludes have no sites.
    placed = pc.is_in(country, value_set=pc.unique(sites.column("legal_country_iso")))
    rows = rows[placed.to_numpy(zero_copy_only=False)[rows]]
    if counted:
        n = pc.cast(table.column("n_outlets"), pa.int64()).to_numpy()
        rows = np.repeat(rows, n[rows])
    if not np.array_equal(merchant[rows], sites.column("merchant_id").to_numpy()):
        raise Segment1BError("E_INTERNAL", "the sites are not those of the outlets' merchants")
    return np.asarray(rows)


def _plain(table: pa.Table) -> pa.Table:
    """Return a table with stripped names; views of text, which few functions take, as text."""
    fields = [
        field.with_name(field.name.strip()).with_type(
            pa.string() if pa.types.is_string_view(field.type) else field.type
        )
        for field in table.schema
    ]
    return pa.table(
        [table.column(at).cast(field.type) for at, field in enumerate(fields)],
        schema=pa.schema(fields),
    )


def _within(table: pa.Table, merchant: Any, outlets: pa.Table | None) -> list[npt.NDArray[Any]]:
    """Return the keys by which the rows of a pair are ordered, first things first, [r]."""
    if outlets is not None and "outlet_id" in table.column_names:
        positions = outlets["site_order"].to_numpy()
        order = np.empty_like(positions)
        order[_by_key(table, merchant)] = positions[_by_key(outlets, outlets["merchant_id"])]
        return [order]
    if "site_order" in table.column_names:
        return [pc.cast(table.column("site_order"), pa.int64()).to_numpy()]
    held, names = Held(TABLE), sorted(set(table.column_names).difference(IMPORTED))
    for name in names:
        for chunk in table.column(name).chunks:
            held.add(name, chunk)
    return [ranks(held.column(name)) for name in names]


def _by_key(table: pa.Table, merchant: Any) -> npt.NDArray[np.int64]:
    """Return the rows of a table in the order of merchant (number), country and outlet_id."""
    key, country = (ranks(_texts(table, name)) for name in ("outlet_id", "country_iso"))
    return np.asarray(np.lexsort((key, country, np.asarray(merchant))))


def _texts(table: pa.Table, name: str) -> pa.StringArray:
    """Return a column as text, in one piece."""
    texts = pc.cast(table.column(name), pa.string())
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _of_file(path: Path, mapped: Mapping[str, str]) -> pa.Table:
    source = open_source(path, Reading(mapped=mapped))
    if isinstance(source, ColumnarSource):
        return _plain(source.table())
    return pa.Table.from_batches(source.batches(source.names))
