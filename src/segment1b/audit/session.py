"""The database of the checks: published Parquet as views, reports and policy as small views."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.audit.grid import Grid
from segment1b.audit.published_files import Published
from segment1b.contracts.texts import read_regular
from segment1b.storage.sql import open_database, parquet_copy, parquet_table, text_literal

_TYPES = {
    "string": "VARCHAR",
    "binary": "BLOB",
    "bool": "BOOLEAN",
    "uint8": "UTINYINT",
    "uint16": "USMALLINT",
    "uint32": "UINTEGER",
    "uint64": "UBIGINT",
    "int32": "INTEGER",
    "int64": "BIGINT",
    "float64": "DOUBLE",
}
SITE_KEY = ("merchant_id", "legal_country_iso", "site_order")
# Columns whose zeros have signs.
_FLOATS = {"lon_deg", "lat_deg"}
_ROWS_TOGETHER = 1 << 20
# One a file, by its name.
_MACROS = Path(__file__).parent / "macros"
# Shapes of report fields that may be empty, where no value shows them.
_EMPTY = {
    "by_country": (
        *("cells_visited", "cells_included", "cells_excluded_outside", "cells_excluded_hole"),
        *("tile_id_min", "tile_id_max", "tiles", "mass_sum", "postquant_sum_fp"),
        *("residue_allocations", "zero_weight_tiles", "zero_mass_fallback"),
    ),
    "excluded_by_policy": ("pairs", "sites"),
    "quality_by_country": ("pairs", "rows", "sites", "distinct_tiles"),
    "country_timings": ("pairs", "rows"),
}


class Session(ExitStack):
    """One in-memory database over one identity of a data root."""

    def __init__(self, published: Published, threads: int = 2) -> None:
        super().__init__()
        self.published, self.threads = published, threads
        self.compared: dict[tuple[str, ...], bool] = {}
        # What each table was made from by a preparation.
        self.made: dict[str, object] = {}
        # The identity by trade, and what one look at all of them has settled of each.
        self.trades: Sequence[Published] = ()
        self.settled_of_trades: dict[str, set[str]] | None = None
        self.statements: dict[str, str] = {}
        self.connection = self.enter_context(open_database(threads))
        for path in sorted(_MACROS.glob("*.sql")):
            self.statements[path.stem] = read_regular(path).decode().rstrip()
            self.connection.execute(self.statements[path.stem])

    def open_table(self, dataset_id: str) -> None:
        """Make a view with the dataset's name over its files.

        Beside the declared columns it has part_name and part_row, which give the written order.
        """
        dataset = self.published.dataset(dataset_id)
        columns = [
            f"CAST({_name(c.name)} AS {_TYPES[c.type]}) AS {_name(c.name)}"
            for c in dataset.columns
            # Shapes are no business of SQL, and need an extension to be read as such.
            if c.type != "binary"
        ]
        folder = self.published.path(dataset_id)
        skip = len(str(folder)) + 2 if folder.is_dir() else 1
        columns += [f"substr(filename, {skip}) AS part_name", "file_row_number AS part_row"]
        files = self.published.files(dataset_id)
        source = parquet_table(files, "filename = true", "file_row_number = true")
        self.make_view(dataset_id, f"SELECT {', '.join(columns)} FROM {source}")  # noqa: S608

    def scan(self, view: str) -> None:
        """Read every value of a view once; raises duckdb.Error when that is not possible."""
        query = f"SELECT max(hash(COLUMNS(*))) FROM {_name(view)}"  # noqa: S608
        self.connection.execute(query).fetchall()

    def open_report(self, report_id: str) -> None:
        """Make views of a run report.

        `<report>` has its plain fields in one row, `<report>_<field>` the rows of a field that is a
        list of rows or of countries, maps countries to figures, or is a small mapping.
        """
        report = self.published.document(report_id)
        self.define(report_id, [{n: v for n, v in report.items() if not _nested(v)}])
        for field, value in report.items():
            # One line a merchant is too much for a view of literals.
            rows = None if field == "merchant_summaries" else _rows_of(value)
            if rows is not None:
                empty = {"country_iso": "", **dict.fromkeys(_EMPTY.get(field, ()), 0)}
                self.define(f"{report_id}_{field}", rows, empty)

    def open_run(self, grid: Grid | None, policy: Mapping[str, Any] | None) -> None:
        """Make the one-row view `run`: tokens, policy and grid; what is unknown is null."""
        prep = dict(policy["policy"]["prep"]) if policy else {}
        names = ("dp", "basis", "inclusion_rule", "on_empty_country", "widen_below")
        row: dict[str, Any] = {
            **self.published.tokens,
            **{name: prep.get(name) for name in (*names, "min_units_per_tile", "grid")},
            "K": 10 ** prep["dp"] if prep else None,
            "law": policy["policy"]["allocation"].get("law") if policy else None,
            **self._centres_policy(policy),
            **{n: getattr(grid, n, None) for n in ("nrows", "ncols", "x0", "y0", "a", "b")},
        }
        row["widen_below"] = None if row["widen_below"] is None else float(row["widen_below"])
        self.define("run", [row])
        excluded = [{"country_iso": code} for code in prep.get("exclude_countries", [])]
        self.define("excluded_countries", excluded, {"country_iso": ""})

    @staticmethod
    def _centres_policy(policy: Mapping[str, Any] | None) -> dict[str, Any]:
        centres = policy["policy"]["jitter"].get("centres") if policy else None
        names = ("people_per_centre", "radius_m", "tail_permille")
        return {name: (centres or {}).get(name) for name in names}

    def same(self, one: str, other: str, columns: Sequence[str] = ()) -> bool:
        """Return whether two tables of sites have the same rows in the same order of reading.

        Floats are compared bit for bit; nulls are never the same.
        """
        key = (one, other, *columns)
        if key not in self.compared:
            names = [*SITE_KEY, *columns]
            equal = " AND ".join(f"a.{n} = b.{n}" for n in names)
            equal += "".join(f" AND signbit(a.{n}) = signbit(b.{n})" for n in _FLOATS & {*columns})
            listed = ", ".join(names)
            query = (
                f"SELECT count(*) FROM (SELECT {listed} FROM {one}) AS a "  # noqa: S608
                f"POSITIONAL JOIN (SELECT {listed} FROM {other}) AS b "
                f"WHERE NOT coalesce({equal}, false)"
            )
            self.compared[key] = self.connection.execute(query).fetchall() == [(0,)]
        return self.compared[key]

    def define(
        self, name: str, rows: Sequence[Mapping[str, Any]], empty: Mapping[str, Any] | None = None
    ) -> None:
        """Make a small view from rows of plain values; integers become HUGEINT."""
        shape = rows[0] if rows else empty or {}
        values = [f"({', '.join(_literal(row[n]) for n in shape)})" for row in rows]
        lines = values or [f"({', '.join(_literal(v) for v in shape.values())})"]
        self.make_view(
            name,
            f"SELECT * FROM (VALUES {', '.join(lines)}) "  # noqa: S608
            f"AS t({', '.join(_name(n) for n in shape)})" + ("" if values else " WHERE false"),
        )

    def make_view(self, name: str, query: str) -> None:
        """Make a view from a query."""
        self.statements[name] = f"CREATE OR REPLACE VIEW {_name(name)} AS {query}"
        self.connection.execute(self.statements[name])

    def copy_out(self, name: str, folder: Path) -> Path:
        """Write a table to a Parquet file in a folder; return the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{name}.parquet"
        self.connection.execute(parquet_copy(_name(name), path))
        return path

    def table(self, name: str, columns: Mapping[str, Any]) -> None:
        """Copy arrays into a table of the database."""
        self._copy(f"CREATE OR REPLACE TABLE {_name(name)} AS", columns)

    def append(self, name: str, columns: Mapping[str, Any]) -> None:
        """Append arrays to a table of the database."""
        self._copy(f"INSERT INTO {_name(name)}", columns)

    def append_all(self, name: str, parts: Iterable[Mapping[str, Any]]) -> None:
        """Append small parts to a table, many together: each statement has its price."""
        for whole in together(parts):
            self.append(name, whole)

    def _copy(self, into: str, columns: Mapping[str, Any]) -> None:
        self.connection.register("incoming", pa.table(dict(columns)))
        self.connection.execute(f"{into} FROM incoming")
        self.connection.unregister("incoming")

    def rows(self, query: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a query as mappings; raises duckdb.Error."""
        cursor = self.connection.cursor().execute(query)
        names = [column[0] for column in cursor.description or ()]
        while batch := cursor.fetchmany(10_000):
            for values in batch:
                yield dict(zip(names, values, strict=True))

    def arrays(self, query: str, values: Sequence[Any] = ()) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of a query as arrays; raises duckdb.Error, ValueError for a null."""
        found = self.connection.cursor().sql(query, params=list(values)).to_arrow_table()
        if any(column.null_count for column in found.columns):
            raise ValueError("a column has nulls")
        return {name: found.column(name).to_numpy() for name in found.column_names}

    def batches(self, query: str, rows: int = 1 << 18) -> Iterator[dict[str, npt.NDArray[Any]]]:
        """Yield the columns of a query without nulls as arrays, some rows at a time."""
        for batch in self.connection.cursor().sql(query).to_arrow_reader(rows):
            if batch.num_rows:
                yield {name: batch.column(name).to_numpy(False) for name in batch.schema.names}

    def execute(self, script: str) -> None:
        """Run statements that make tables; raises duckdb.Error."""
        self.connection.execute(script)


def together(parts: Iterable[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the rows of small parts as columns of whole parts together."""
    waiting, rows = list[pa.Table](), 0
    for part in parts:
        waiting.append(pa.table(dict(part)))
        rows += waiting[-1].num_rows
        if rows >= _ROWS_TOGETHER:
            yield _joined(waiting)
            waiting, rows = [], 0
    if waiting:
        yield _joined(waiting)


def _joined(tables: Sequence[pa.Table]) -> dict[str, Any]:
    whole = pa.concat_tables(tables).unify_dictionaries()
    return dict(zip(whole.column_names, whole.columns, strict=True))


def repeated(text: str, rows: int) -> pa.DictionaryArray:
    """Return a column that holds one text in every row."""
    return pa.DictionaryArray.from_arrays(np.zeros(rows, np.int16), [text])


def _nested(value: Any) -> bool:
    return isinstance(value, (dict, list))


def _rows_of(value: Any) -> list[dict[str, Any]] | None:
    """Return a report's field as rows of plain values, or None when it is no table."""
    if isinstance(value, list):
        rows = [one if isinstance(one, dict) else {"country_iso": one} for one in value]
    elif isinstance(value, dict) and any(map(_nested, value.values())):
        if not all(isinstance(own, dict) for own in value.values()):
            return None
        rows = [{"country_iso": code, **own} for code, own in sorted(value.items())]
    elif isinstance(value, dict):
        rows = [value] if value else []
    else:
        return None
    return None if any(_nested(one) for row in rows for one in row.values()) else rows


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"{value}::HUGEINT"
    if isinstance(value, float):
        return f"{value!r}::DOUBLE"
    return text_literal(str(value))
