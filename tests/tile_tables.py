"""Tile tables changed by SQL, written as passes need them: a row group for each country."""

from __future__ import annotations

import itertools
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.audit.session import Session
from spoil import BOUNDS, CENTRES, INDEX, WEIGHTS, World
from sql_changes import spoil
from sql_spoils import SPOILS

TABLES = (INDEX, BOUNDS, WEIGHTS, CENTRES)
OWN = {"s1": {INDEX, BOUNDS}, "s2": {WEIGHTS, CENTRES}}
CASES = [
    (name[:2], name.partition("_")[2], table, change)
    for name, spoils in SPOILS.items()
    for table, change in spoils
    if name[:2] in OWN and table in TABLES and "weighed" not in change
]


def write(path: Path, rows: pa.Table) -> None:
    """Write rows with a row group for each run of rows of one country."""
    codes = rows["country_iso"].to_pylist()
    with pq.ParquetWriter(path, rows.schema) as writer:
        start = 0
        for _, run in itertools.groupby(codes):
            size = len(list(run))
            writer.write_table(rows.slice(start, size), row_group_size=size)
            start += size


def rewrite(world: World, table: str, change: str) -> None:
    """Change the file of a table by SQL."""
    schema = pq.read_schema(world.part(table))
    with Session(world.published) as session:
        session.open_table(table)
        spoil(session.connection, table, change)
        found = session.connection.table(table).order("part_row").to_arrow_table()
        rows = found.select(schema.names).cast(schema)
    write(world.part(table), rows)
