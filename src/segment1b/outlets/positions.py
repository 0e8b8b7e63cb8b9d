"""Which position (site_order) each outlet has, from one list to the next.

The law is docs/spec/outlet-lists.md#positions: an outlet that stays keeps its position, and so
its coordinate.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.outlets.directories import KEY, Directories
from segment1b.storage.sql import open_database

#: The columns that identify an outlet from one list to the next.
OUTLET = ("merchant_id", "country_iso", "outlet_id")
_POSITIONS = """
    WITH kept AS (
        SELECT now.*, was.site_order AS previous,
               count(*) OVER (PARTITION BY merchant_id, country_iso) AS n
        FROM now LEFT JOIN was USING (merchant_id, country_iso, outlet_id)
    ), free AS (
        -- positions up to the pair's size that no outlet keeps, from the lowest
        SELECT merchant_id, country_iso, position,
               row_number() OVER (PARTITION BY merchant_id, country_iso ORDER BY position) AS turn
        FROM (
            SELECT merchant_id, country_iso, unnest(range(1, n + 1)) AS position
            FROM kept GROUP BY merchant_id, country_iso, n
        ) ANTI JOIN (
            SELECT merchant_id, country_iso, previous AS position FROM kept WHERE previous <= n
        ) USING (merchant_id, country_iso, position)
    ), seeking AS (
        -- outlets above the pair's size, in their order, then new ones by key
        SELECT *, row_number() OVER (
            PARTITION BY merchant_id, country_iso ORDER BY previous NULLS LAST, outlet_id
        ) AS turn
        FROM kept WHERE previous IS NULL OR previous > n
    )
    SELECT merchant_id, country_iso, outlet_id, row, previous, previous AS site_order
    FROM kept WHERE previous <= n
    UNION ALL
    SELECT merchant_id, country_iso, outlet_id, row, previous, position
    FROM seeking JOIN free USING (merchant_id, country_iso, turn)
    ORDER BY merchant_id, country_iso, site_order
"""
_NONE = pa.schema(
    [
        ("merchant_id", pa.uint64()),
        ("country_iso", pa.string()),
        ("outlet_id", pa.string()),
        ("site_order", pa.int32()),
    ]
).empty_table()


def positions(now: pa.Table, was: pa.Table = _NONE) -> pa.Table:
    """Return the position of each outlet of a list.

    Args:
        now: merchant_id (uint64), country_iso and outlet_id (string), a row an outlet; no two
            rows are the same.
        was: an earlier list with its positions: the same columns and site_order (int32).

    Returns:
        The rows of `now` with row (int64: its number in `now`), previous (int32: the position in
        `was`, null for a new outlet) and site_order (int32; 1, 2, ... in each pair), by merchant,
        country and site_order.
    """
    with open_database() as database:
        database.register("now", now.append_column("row", pa.array(np.arange(len(now)))))
        database.register("was", was)
        found: pa.Table = database.sql(_POSITIONS).to_arrow_table()
    at = found.schema.get_field_index("site_order")
    return found.set_column(at, "site_order", found["site_order"].cast(pa.int32()))


@dataclass(frozen=True, eq=False)
class Succession:
    """How the outlets of a list follow those of an earlier one.

    Attributes:
        fingerprint: the manifest_fingerprint of the earlier list.
        kept, opened, closed: numbers of outlets; those kept have their position.
        moved: merchant, country_iso, outlet_id, from and to (int32): the outlets that stay and
            have another position, as their pair has become smaller.
        renamed: sentences about outlets whose keys may have been changed, see `suspects`.
    """

    fingerprint: str
    kept: int
    opened: int
    closed: int
    moved: pa.Table
    renamed: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, Any]:
        """Return the earlier list and the numbers of outlets."""
        counts = {"kept": self.kept, "opened": self.opened, "closed": self.closed}
        return {"manifest_fingerprint": self.fingerprint, **counts, "moved": self.moved.num_rows}

    @property
    def document(self) -> dict[str, Any]:
        """Return the counts and all outlets that move, as JSON."""
        return self.counts | {"moved": self.moved.to_pylist()}


def follow(
    directories: Directories, was: pa.Table, fingerprint: str
) -> tuple[Directories, Succession]:
    """Return the directories of a list with the positions that follow an earlier one.

    Args:
        directories: those of a list that has outlet_id.
        was: the outlet_directory of the earlier list, which has outlet_id.
        fingerprint: the earlier list's.
    """
    assert directories.outlets is not None
    found = positions(directories.outlets.select(OUTLET), was.select([*KEY, "outlet_id"]))
    at = directories.outlets.schema.get_field_index("site_order")
    outlets = directories.outlets.take(found["row"])
    outlets = outlets.set_column(at, "site_order", found["site_order"])
    stays = pc.is_valid(found["previous"])
    moves = pc.fill_null(pc.not_equal(found["previous"], found["site_order"]), False)
    stayed, moved = pc.sum(stays).as_py() or 0, found.filter(moves)
    columns = {
        "merchant": directories.texts(moved["merchant_id"]),
        "country_iso": moved["country_iso"],
        "outlet_id": moved["outlet_id"],
        "from": moved["previous"],
        "to": moved["site_order"],
    }
    succession = Succession(
        fingerprint,
        stayed - moved.num_rows,
        len(found) - stayed,
        len(was) - stayed,
        pa.table(columns),
    )
    return dataclasses.replace(directories, outlets=outlets), succession
