"""Changes of tables in SQL, which checks have to find."""

from __future__ import annotations

import duckdb

SWAP = "UPDATE {t} SET part_row = 3 - part_row WHERE part_row IN (1, 2)"
TWICE = "INSERT INTO {t} FROM {t} LIMIT 1"
DROP = "DELETE FROM {t} WHERE part_row = 1"
NONE = "DELETE FROM {t}"
NO_PT = "DELETE FROM {t} WHERE country_iso = 'PT'"
NO_PT_OUTLETS = "DELETE FROM {t} WHERE legal_country_iso = 'PT'"
# A number twice where number and rows of the pair stay, and the least and the largest.
REPEAT = (
    "UPDATE {t} SET site_order = 2 WHERE site_order = 3 AND (merchant_id, legal_country_iso) IN "
    "(SELECT (merchant_id, legal_country_iso) FROM {t} WHERE site_order = 4)"
)


def spoil(database: duckdb.DuckDBPyConnection, table: str, change: str) -> None:
    """Change a table or view by way of a changed copy."""
    database.execute(f"CREATE TABLE spoiled AS FROM {table}")
    database.execute(change.format(t="spoiled"))
    if database.execute("FROM duckdb_tables() WHERE table_name = ?", [table]).fetchall():
        database.execute(f"DROP TABLE {table}")
    database.execute(f"CREATE OR REPLACE VIEW {table} AS FROM spoiled")


def every(change: str) -> str:
    return f"UPDATE {{t}} SET {change}"  # noqa: S608 - of these tests


def row(change: str) -> str:
    return f"{every(change)} WHERE part_row = 1"


def placed(change: str) -> str:
    return every(f"{change} WHERE centre > 0")


def portugal(change: str) -> str:
    return f"{every(change)} WHERE country_iso = 'PT'"


def raised(report: str, *fields: str) -> list[tuple[str, str]]:
    return [(report, every(f"{field} = {field} + 1")) for field in fields]
