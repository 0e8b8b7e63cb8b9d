"""Reads what the page tells of each outlet that it shows: its names, its weight and its draw."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from duckdb import DuckDBPyConnection as Database

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.trades import EVERYTHING
from segment1b.errors import Segment1BError
from segment1b.laws.philox import alloc_offsets
from segment1b.laws.points import stable_points
from segment1b.page.published import World
from segment1b.read.listed import Listed, listed

EVENTS, CENTRE_EVENTS = "rng_event_in_cell_jitter", "rng_event_centre_jitter"
_KEY = ("merchant_id", "legal_country_iso", "site_order")
_STEP = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Names:
    """What the owner of a list calls merchants and outlets; `problem`: why that is not known."""

    listed: Listed | None
    problem: str = ""

    def merchants(self, ids: npt.NDArray[np.uint64]) -> list[str] | None:
        """Return the text of each merchant, or None where each is its number."""
        if self.listed is None:
            return None
        texts = [str(text) for text in self.listed.directories.texts(ids).to_pylist()]
        return None if texts == [str(number) for number in ids] else texts

    def outlets(self, sites: dict[str, Any]) -> list[str] | None:
        """Return the key of each site's outlet, or None where the list has no keys."""
        if self.listed is None or "outlet_id" not in self.listed.names:
            return None
        keys = self.listed.join(pa.table({name: sites[name] for name in _KEY}))["outlet_id"]
        return [str(key) for key in keys.to_pylist()]


def names_of(world: World) -> Names:
    """Return the names in a list's directories; changed files are a problem, not an error."""
    try:
        return Names(listed(world.root, world.contracts, world.identity.manifest_fingerprint))
    except Segment1BError as error:
        raise_machine_fault(error)
        return Names(None, f"Names of the list are not shown: {error.code}.")


def shown_sites(world: World, database: Database, views: set[str], every: int) -> dict[str, Any]:
    """Return every k-th site in written order: key, point, tile, and why it is there.

    weight: that of the tile for the merchant's trade. blocks, lane: attempts of S6 and where they
    were drawn. centre: the tile's centre that the site is at, 0 for none. line: the site's point on
    its country's line of weights, for the method `stable`.
    """
    columns, joins = "s.lon_deg, s.lat_deg, s.tile_id, s.merchant_id, s.legal_country_iso", ""
    key = "USING (merchant_id, legal_country_iso, site_order)"
    if "tile_weights" in views:
        columns += ", coalesce(w.weight_fp, 0) AS weight"
        joins += (
            " LEFT JOIN merchant_trades AS t USING (merchant_id)"
            f" LEFT JOIN weights AS w ON w.trade = coalesce(t.trade, '{EVERYTHING}')"
            " AND w.country_iso = s.legal_country_iso AND w.tile_id = s.tile_id"
        )
    if EVENTS in views:
        joins += f" LEFT JOIN {EVENTS} AS e {key}"
        blocks = "e.blocks"
        if CENTRE_EVENTS in views:
            # A site at a centre is in this log alone.
            joins += f" LEFT JOIN {CENTRE_EVENTS} AS c {key}"
            columns += ", coalesce(c.centre, 0) AS centre"
            blocks = "e.blocks, c.blocks"
        columns += f", coalesce({blocks}, 0) AS blocks, coalesce(e.lane, 0) AS lane"
    rows: dict[str, Any] = database.execute(
        f"SELECT {columns}, s.site_order FROM "  # noqa: S608 - no text from outside
        "(SELECT * FROM s7_site_synthesis WHERE row_number % ? = 0) AS s"
        f"{joins} ORDER BY s.row_number",
        [every],
    ).fetchnumpy()
    if world.policy.get("allocation", {}).get("law") == "stable":
        rows["line"] = _points(world, rows)
    return rows


def _points(world: World, rows: dict[str, Any]) -> npt.NDArray[np.int64]:
    """Return the point of each site on its country's line (docs/spec/s4-allocation.md#stable)."""
    scale, seed = 10 ** int(world.policy["prep"]["dp"]), int(world.identity.seed)
    countries = np.asarray(rows["legal_country_iso"], "U2")
    merchants = np.asarray(rows["merchant_id"], np.uint64)
    # The method's j-th point is the first one of an offset that is j - 1 steps further on.
    steps = (np.asarray(rows["site_order"]).astype(np.uint64) - np.uint64(1)) * _STEP
    points = np.zeros(len(countries), np.int64)
    for code in np.unique(countries):
        mine = countries == code
        offsets = alloc_offsets(seed, merchants[mine], str(code)) + steps[mine]
        points[mine] = stable_points(offsets, np.ones(len(offsets), np.int64), scale)
    return points
