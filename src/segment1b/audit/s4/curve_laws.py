"""The curve laws derived again: points in exact integers, one full sort of the country.

Offsets come from numpy's own Philox, points of `stable` from the upper halves of products of 64
bits. Every other number below fits HUGEINT, which holds up to 2^127: fewer than 2^62 sites times
2^64 plus a phase, and 2^64 times K <= 10^15. One product would not, (j*2^64 + U) * K of
`systematic`; there U*K/2^64 is cut to whole units first, which changes no point, since what is cut
off is less than a unit and the division by n rounds down to whole ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.audit.case import Case
from segment1b.audit.merchants import EVERYTHING
from segment1b.audit.s4.hilbert import order_of, places
from segment1b.audit.session import repeated, together
from segment1b.audit.tiles import rows_of
from segment1b.audit.words import country_word, key_of, products, words
from segment1b.contracts.states import TRADE_WEIGHTS

_PAIRS_AT_ONCE, _SITES_AT_ONCE, _MOST_SITES = 1 << 16, 1 << 20, 1 << 25
_GOLDEN = np.uint64(11400714819323198485)
_TRADE = f"coalesce(trade, '{EVERYTHING}')"

# x_j = floor((j*2^64 + U) * K / (n * 2^64)), j = 0..n-1.
_SYSTEMATIC = """
SELECT
    merchant_id,
    (j + 1)::BIGINT AS site_order,
    ((j * (SELECT K FROM run) + (word::HUGEINT * (SELECT K FROM run) >> 64)) // n_sites)::BIGINT
        AS point
FROM (
    SELECT merchant_id, word, n_sites, unnest(range(n_sites))::HUGEINT AS j FROM offsets
)
"""

# The k-th of the country's sites by rank, k = 0..T-1, takes floor((2k+1) * K / (2T)). Site j of the
# pair m has the rank (j + u)/n with u = ((m+1)*G mod 2^64) / 2^64. Ranks are compared by the whole
# part of rank * 2^64 and, where it is the same, by 64 more binary digits: fractions with
# denominators below 2^32 that differ do so in these.
_BALANCED = """
CREATE OR REPLACE TABLE dealt AS
WITH phased AS (
    SELECT
        merchant_id, n_sites::HUGEINT AS n,
        row_number() OVER (ORDER BY merchant_id) * 11400714819323198485::HUGEINT
            % 18446744073709551616::HUGEINT AS phase
    FROM country_pairs
),
sites AS (
    SELECT merchant_id, n, phase, unnest(range(n::BIGINT))::HUGEINT AS j FROM phased
),
ranked AS (
    SELECT
        merchant_id, j,
        (j * 18446744073709551616::HUGEINT + phase) // n AS digits,
        (j * 18446744073709551616::HUGEINT + phase) % n * 18446744073709551616::HUGEINT // n
            AS more_digits
    FROM sites
),
placed AS (
    SELECT
        merchant_id, j,
        row_number() OVER (ORDER BY digits, more_digits, merchant_id, j) - 1 AS k
    FROM ranked
)
SELECT
    merchant_id, (j + 1)::BIGINT AS site_order,
    ((2 * k + 1)::HUGEINT * (SELECT K FROM run)
        // (2 * (SELECT sum(n) FROM phased)))::BIGINT AS point
FROM placed
"""
_DEALT = """
SELECT d.merchant_id, d.site_order, d.point
FROM dealt AS d
WHERE d.merchant_id BETWEEN ? AND ?
"""
Arrays = dict[str, npt.NDArray[Any]]


def make_expected_plan(case: Case) -> None:
    """Make expected_plan (merchant_id, legal_country_iso, tile_id, n_sites_tile), and solved.

    The curve laws have no floors, so solved has no rows to sum over.
    """
    session = case.session
    session.execute(
        "CREATE OR REPLACE TABLE expected_plan (merchant_id UBIGINT, legal_country_iso VARCHAR, "
        "tile_id UBIGINT, n_sites_tile BIGINT); "
        "CREATE OR REPLACE TABLE solved (country_iso VARCHAR, trade VARCHAR, n_sites BIGINT, "
        "pairs HUGEINT, "
        "shortfall HUGEINT, cut HUGEINT, ties HUGEINT)"
    )
    # Pairs are never cut, so that no tile of a pair is counted in two parts.
    for points in together(points_by_country(case, "s3_requirements")):
        session.table("points", points)
        session.execute(
            "INSERT INTO expected_plan SELECT merchant_id, legal_country_iso, tile_id, count(*) "
            "FROM points GROUP BY ALL"
        )


def points_by_country(case: Case, pairs: str) -> Iterator[dict[str, Any]]:
    """Yield sites (key and tile_id) by their points, whole pairs of a country together.

    Only under `stable` is the point numbered site_order that site's own.
    """
    of_trade = (
        f"(SELECT legal_country_iso AS code, {_TRADE} AS trade, merchant_id, "  # noqa: S608
        f"n_sites::BIGINT AS n_sites FROM {pairs} LEFT JOIN merchant_trade USING (merchant_id))"
    )
    counts = f"SELECT code, trade, count(*) AS n FROM {of_trade} GROUP BY ALL ORDER BY code, trade"  # noqa: S608
    whole = case.session.arrays(
        f"SELECT merchant_id, n_sites FROM {of_trade} ORDER BY code, trade, merchant_id"  # noqa: S608
    )
    start = 0
    for row in case.session.rows(counts):
        part = slice(start, start := start + row["n"])
        code, trade = str(row["code"]), str(row["trade"])
        tiles = _weighed_tiles(case, code, trade)
        if tiles is not None:
            mine = {name: values[part] for name, values in whole.items()}
            yield from _points_of(case, code, mine, tiles)


def _weighed_tiles(case: Case, code: str, trade: str) -> Arrays | None:
    """Return the tiles of one country that have weight by a trade, or None if there are none.

    No point lies in a tile without weight, which is what most of a large country is.
    """
    names = ("tile_id", "weight_fp")
    weights = "tile_weights" if trade == EVERYTHING else f"{TRADE_WEIGHTS}/{trade}"
    found = [
        table.filter(pc.greater(table.column("weight_fp"), 0))
        for table in rows_of(case, weights, code, names)
    ]
    if not any(map(len, found)):
        return None
    rows = pa.concat_tables(found)
    return {name: rows.column(name).to_numpy() for name in names}


def _points_of(case: Case, code: str, mine: Arrays, tiles: Arrays) -> Iterator[dict[str, Any]]:
    grid = case.grid
    assert grid is not None
    # Dividing once and multiplying back is faster than divmod.
    rows = tiles["tile_id"] // np.uint64(grid.ncols)
    cols = tiles["tile_id"] - rows * np.uint64(grid.ncols)
    along = _in_order(places(rows, cols, order_of(grid.nrows, grid.ncols)))
    line = np.cumsum(tiles["weight_fp"][along])
    of_pairs = _POINTS[case.policy("allocation")["law"]]
    for points in of_pairs(case, code, mine):
        # In ascending order points are found many times as fast. The point x lies in the tile whose
        # running sum is the first above x; weights that do not sum to K, which have a check of
        # their own, may leave points behind the last tile.
        order = np.argsort(points["point"])
        at = np.searchsorted(line, points["point"][order], "right")
        yield {
            "merchant_id": points["merchant_id"][order],
            "legal_country_iso": repeated(code, len(at)),
            "site_order": points["site_order"][order],
            "tile_id": tiles["tile_id"][along[np.minimum(at, len(line) - 1)]],
        }


def _in_order(places: npt.NDArray[np.unsignedinteger]) -> npt.NDArray[np.int64]:
    """Return the order of places; narrow ones are sorted with their position in one number."""
    if places.dtype != np.uint32:
        return np.argsort(places)
    half = np.uint64(32)
    both = np.sort(places.astype(np.uint64) << half | np.arange(len(places), dtype=np.uint64))
    return both.astype(np.uint32).astype(np.int64)


def _systematic(case: Case, code: str, pairs: Arrays) -> Iterator[Arrays]:
    seed = int(case.published.tokens["seed"])
    for part in _stretches(pairs):
        word = offsets(seed, pairs["merchant_id"][part], code)
        columns = {name: values[part] for name, values in pairs.items()}
        case.session.table("offsets", {**columns, "word": word})
        yield case.session.arrays(_SYSTEMATIC)


def _stable(case: Case, code: str, pairs: Arrays) -> Iterator[Arrays]:
    """Yield x_j = floor(((U + j*G) mod 2^64) * K / 2^64), j = 1..n, in arrays of 64 bits."""
    merchants, n = pairs["merchant_id"], np.maximum(pairs["n_sites"], 0)
    if n.max(initial=0) > _MOST_SITES:
        raise ValueError(f"{code}: a pair of {n.max()} sites")
    word = offsets(int(case.published.tokens["seed"]), merchants, code)
    scale = np.uint64(10 ** int(case.policy("prep")["dp"]))
    ends = np.cumsum(n)
    starts, low = ends - n, 0
    while low < len(n):
        high = max(low + 1, int(np.searchsorted(ends, starts[low] + _SITES_AT_ONCE, "right")))
        pair = np.repeat(np.arange(low, high), n[low:high])
        order = np.arange(starts[low], ends[high - 1]) - starts[pair] + 1
        phase = word[pair] + order.astype(np.uint64) * _GOLDEN
        points = products(phase, scale).astype(np.int64)
        yield {"merchant_id": merchants[pair], "site_order": order, "point": points}
        low = high


def _balanced(case: Case, _: str, pairs: Arrays) -> Iterator[Arrays]:
    case.session.table("country_pairs", pairs)
    case.session.execute(_BALANCED)
    for part in _stretches(pairs):
        merchants = pairs["merchant_id"][part]
        yield case.session.arrays(_DEALT, [int(merchants[0]), int(merchants[-1])])


def _stretches(pairs: Arrays) -> Iterator[slice]:
    for low in range(0, len(pairs["merchant_id"]), _PAIRS_AT_ONCE):
        yield slice(low, low + _PAIRS_AT_ONCE)


_POINTS: dict[str, Callable[[Case, str, Arrays], Iterator[Arrays]]] = {
    "systematic": _systematic,
    "stable": _stable,
    "balanced": _balanced,
}
LAWS = frozenset(_POINTS)


def offsets(seed: int, merchants: npt.NDArray[np.uint64], country: str) -> npt.NDArray[np.uint64]:
    """Return each pair's offset: the first word of its Philox block at counter
    (1, 0, merchant_id, country), uint64 [n].
    """
    none = np.zeros(len(merchants), np.uint64)
    letters = np.full(len(merchants), country_word(country), np.uint64)
    return words(key_of("alloc_offset", seed), none, merchants, letters)[:, 0]
