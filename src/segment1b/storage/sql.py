"""Paths and texts as SQL: the only place where a file name becomes part of a DuckDB query."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from segment1b.contracts.faults import coded
from segment1b.errors import Segment1BError

if TYPE_CHECKING:
    import duckdb

# Two or three databases are open side by side; what does not fit goes to disk.
_MEMORY_BYTES = 768 << 20
_GLOB = re.compile(r"[*?\[]")


@contextmanager
def open_database(threads: int = 2) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open an empty database of bounded memory; what it spills to disk is removed in the end.

    Raises:
        Segment1BError: the code of an error that the database raises.
    """
    import duckdb  # most runs need no database

    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with tempfile.TemporaryDirectory(prefix="segment1b-query-") as folder:
        settings: dict[str, str | bool | int | float | list[str]] = {
            "threads": threads,
            "memory_limit": f"{min(_MEMORY_BYTES, physical // 2)}B",
            "temp_directory": folder,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
        try:
            with duckdb.connect(config=settings) as database:
                database.execute("SET TimeZone = 'UTC'")
                yield database
        except duckdb.Error as error:
            raise coded(error) from error


def text_literal(text: str) -> str:
    """Return a text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def parquet_table(paths: Iterable[Path], *options: str) -> str:
    """Return the table function that reads these Parquet files and no others, as SQL.

    DuckDB expands wildcards in every file name, also in bound parameters, so they are escaped. A
    path with a wildcard and a backslash is E_DATA_ROOT_UNUSABLE: in a pattern DuckDB takes the
    backslash for a separator and would read another file.
    """
    names = ", ".join(text_literal(_without_wildcards(str(path))) for path in paths)
    return f"read_parquet([{names}], {', '.join(('hive_partitioning = false', *options))})"


def parquet_copy(table: str, path: Path) -> str:
    """Return the statement that writes a table, given as SQL, to a Parquet file."""
    return f"COPY {table} TO {text_literal(str(path))}"


def _without_wildcards(path: str) -> str:
    if _GLOB.search(path) is None:
        return path
    if "\\" in path:
        what = f"{path}: a path with one of * ? [ must not contain a backslash"
        raise Segment1BError("E_DATA_ROOT_UNUSABLE", what, "rename the directory", path=path)
    return _GLOB.sub(r"[\g<0>]", path)
