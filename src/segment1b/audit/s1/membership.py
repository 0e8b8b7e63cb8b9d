"""Which cells each country lists, against those that its rule includes, window by window."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.audit.case import COUNTRIES, Case
from segment1b.audit.grid import Grid
from segment1b.audit.published_files import part_of
from segment1b.audit.results import SHOWN_ROWS, Found, Row
from segment1b.audit.s1.cells import Window, cells_of, windows_of
from segment1b.audit.s1.polygons import Country, read_countries
from segment1b.audit.s1.settled import TALLIES
from segment1b.audit.tiles import rows_of

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
_ABOVE = 1 << 64


@dataclass
class Counts:
    """Cells that one rule includes, and where the listed ones differ: a count, the first rows."""

    cells: int = 0
    wrong: int = 0
    rows: list[Row] = field(default_factory=list)

    def add(self, other: Counts) -> None:
        """Add what was counted in more of the country."""
        self.cells, self.wrong = self.cells + other.cells, self.wrong + other.wrong
        self.rows = [*self.rows, *other.rows][:SHOWN_ROWS]


@dataclass
class Listed:
    """What a country lists in some windows.

    Attributes:
        tiles: their number.
        by_overlap: whether any claims to be listed by overlap.
        by_rule: what each rule includes instead.
    """

    tiles: int = 0
    by_overlap: bool = False
    by_rule: dict[str, Counts] = field(
        default_factory=lambda: {"center": Counts(), "any_overlap": Counts()}
    )

    def add(self, other: Listed) -> None:
        """Add what it lists in more windows, further south."""
        self.tiles, self.by_overlap = self.tiles + other.tiles, self.by_overlap or other.by_overlap
        for rule, counts in self.by_rule.items():
            counts.add(other.by_rule[rule])


class Strip(NamedTuple):
    """A window of a country and the tiles, from low and below high, that are compared with it."""

    country: Country
    window: Window | None
    low: int
    high: int


def countries(case: Case) -> list[Country]:
    """Return the polygons, read once; what is prepared of them is of no other thread."""
    if "countries" not in case.memo:
        case.memo["countries"] = list(read_countries(case.published.path(COUNTRIES)))
    found: list[Country] = case.memo["countries"]
    return found


def judged(case: Case, looked: Iterable[tuple[str, Listed]]) -> Found:
    """Return the cells that are wrongly listed or left out, from a look at all windows."""
    policy, total, shown = case.policy("prep"), 0, list[Row]()
    known = {country.code: country for country in countries(case)}
    by_country: dict[str, Listed] = {}
    for code, listed in looked:
        by_country.setdefault(code, Listed()).add(listed)
    tiles = _tiles(case)
    for code in sorted(tiles.keys() | known.keys()):
        if code not in known:
            wrong = Counts(wrong=1, rows=[{"tiles": tiles[code], "reason": "has no polygon"}])
        elif known[code].fault:
            continue
        elif code not in by_country:
            wrong = Counts(wrong=1, rows=[{"reason": "its polygon was another before"}])
        else:
            wrong = _judge_country(by_country[code], policy)
            wrong.add(_unseen(by_country[code].tiles, tiles.get(code, 0)))
        total += wrong.wrong
        shown += [{"country_iso": code, **row} for row in wrong.rows[: SHOWN_ROWS - len(shown)]]
    return Found(shown, count=total)


def look(case: Case, number: int = 0, of: int = 1) -> Iterator[tuple[str, Listed]]:
    """Yield what countries list in their windows; of so many parts of all windows, one."""
    assert case.grid is not None
    strips = [one for country in countries(case) for one in _strips(country, case.grid)]
    for one in part_of(strips, number, of):
        yield one.country.code, _look_into(case, one)


def _tiles(case: Case) -> dict[str, int]:
    """Return the number of tiles of each country of tile_index, from its values alone."""
    if TALLIES in case.memo:
        counts = Counter[str]()
        for own in (one for tally in case.memo[TALLIES] for one in tally.stretches):
            counts[own.code] += own.rows
        return counts
    rows = case.session.rows(
        "SELECT country_iso, count(*) AS tiles FROM tile_index "
        "WHERE tile_id IS NOT NULL AND inclusion_rule IS NOT NULL GROUP BY country_iso"
    )
    return {str(row["country_iso"]): row["tiles"] for row in rows}


def _unseen(seen: int, listed: int) -> Counts:
    """Count tiles in row groups that are not found where the statistics of their file tell."""
    row = {"found": seen, "expected": listed, "reason": "statistics of row groups do not hold"}
    return Counts(0, abs(listed - seen), [row] if seen != listed else [])


def _strips(country: Country, grid: Grid) -> Iterator[Strip]:
    """Yield the windows of a usable country; tiles outside all rows are with the first or last."""
    if country.fault:
        return
    windows = windows_of(country, grid)
    edges = [window.first * grid.ncols for window in windows[1:]]
    for window, low, high in zip(windows or (None,), (0, *edges), (*edges, _ABOVE), strict=True):
        yield Strip(country, window, low, high)


def _look_into(case: Case, strip: Strip) -> Listed:
    """Return what a country lists in a window, and tiles that are far from it."""
    country, window, low, high = strip
    grid, parts, overlap = case.grid, [np.empty(0, np.int64)], False
    assert grid is not None
    columns = ["tile_id", "inclusion_rule"]
    for table in rows_of(case, "tile_index", country.code, columns, range(low, high)):
        parts.append(table.column("tile_id").to_numpy().astype(np.int64))
        overlap = overlap or "any_overlap" in table.column("inclusion_rule").unique().to_pylist()
    ids = np.concatenate(parts)
    if not (ids[1:] >= ids[:-1]).all():
        ids.sort()
    listed, far = Listed(len(ids), overlap), ids
    if window is not None:
        rows, cols = np.divmod(ids, grid.ncols)
        here = window.holds(rows, cols)
        far = ids[~here]
        claimed = np.zeros(window.shape, np.bool_)
        claimed[rows[here] - window.first, cols[here] - window.left] = True
        cells = cells_of(country, window, claimed, by_overlap=overlap)
        for rule, included in ("center", cells.center), ("any_overlap", cells.overlap):
            listed.by_rule[rule].add(_compared(window, claimed, included, rule))
    # What lies outside every window cannot belong to the country.
    outside = list(_rows(grid, far, itertools.repeat(False), reason="far from the country"))
    for counts in listed.by_rule.values():
        counts.add(Counts(0, len(far), outside))
    return listed


def _compared(window: Window, claimed: Bools, included: Bools, rule: str) -> Counts:
    """Count the cells that a rule includes, and those that are wrongly claimed or left out."""
    grid = window.grid
    row, col = np.divmod(np.flatnonzero(included != claimed), window.shape[1])
    tiles = (row + window.first) * grid.ncols + col + window.left
    inside = included[row[:SHOWN_ROWS], col[:SHOWN_ROWS]].tolist()
    shown = list(_rows(grid, tiles, inside, rule=rule))
    return Counts(int(np.count_nonzero(included)), len(tiles), shown)


def _rows(grid: Grid, tiles: Ints, included: Iterable[bool], **more: str) -> Iterator[Row]:
    """Yield the first tiles that are wrongly listed or not."""
    for tile, inside in zip(tiles[:SHOWN_ROWS].tolist(), included, strict=False):
        row, col = divmod(tile, grid.ncols)
        yield {
            "tile_id": tile,
            "raster_row": row,
            "raster_col": col,
            "centre_lon": grid.x0 + grid.a * (col + 0.5),
            "centre_lat": grid.y0 - grid.b * (row + 0.5),
            "found": "out" if inside else "in",
            "expected": "in" if inside else "out",
            **more,
        }


def _judge_country(listed: Listed, policy: dict[str, Any]) -> Counts:
    claimed = "any_overlap" if listed.by_overlap else "center"
    center, overlap = (counts.cells for counts in listed.by_rule.values())
    expected = expected_rule(policy, center, overlap)
    if expected is None:
        row = {"tiles": listed.tiles, "reason": "is to be left out: no centre inside"}
        return Counts(wrong=listed.tiles, rows=[row] if listed.tiles else [])
    counts = listed.by_rule[expected]
    if listed.tiles and expected != claimed:
        counted = {"center_cells": center, "overlap_cells": overlap}
        counts.wrong += 1
        counts.rows.insert(0, {"found": claimed, "expected": expected, **counted})
    return counts


def expected_rule(policy: dict[str, Any], center: int, overlap: int) -> str | None:
    """Return the rule by which a country with so many cells is listed, or None when it is not."""
    if policy["inclusion_rule"] == "any_overlap":
        return "any_overlap"
    if center == 0:
        return "any_overlap" if policy["on_empty_country"] == "any_overlap" else None
    return "any_overlap" if center < policy["widen_below"] * overlap else "center"
