"""The law `stable` derived again: offsets by numpy's Philox, points in HUGEINT, one full sort."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from segment1b.validators.case import Case
from segment1b.validators.s4.hilbert import order_of, places
from segment1b.validators.words import country_word, key_of, words

_PAIRS_AT_ONCE = 1 << 16

# x_j = floor(((U + j*G) mod 2^64) * K / 2^64), j = 1..n, with G the golden ratio's 64-bit fraction.
_POINTS = """
SELECT
    merchant_id,
    site::BIGINT AS site_order,
    ((word::HUGEINT + site * 11400714819323198485::HUGEINT) % 18446744073709551616::HUGEINT
        * (SELECT K FROM run) // 18446744073709551616::HUGEINT)::BIGINT AS point
FROM (
    SELECT merchant_id, word, unnest(range(1, n_sites + 1))::HUGEINT AS site FROM offsets
)
ORDER BY merchant_id, site
"""
Arrays = dict[str, npt.NDArray[np.generic]]


def make_expected_plan(case: Case) -> None:
    """Make expected_plan (merchant_id, legal_country_iso, tile_id, n_sites_tile), and solved.

    The curve laws have no floors, so solved has no rows to sum over.
    """
    session = case.session
    session.execute(
        "CREATE OR REPLACE TABLE expected_plan (merchant_id UBIGINT, legal_country_iso VARCHAR, "
        "tile_id UBIGINT, n_sites_tile BIGINT); "
        "CREATE OR REPLACE TABLE solved (country_iso VARCHAR, n_sites BIGINT, pairs HUGEINT, "
        "shortfall HUGEINT, cut HUGEINT, ties HUGEINT)"
    )
    for code, points in points_by_country(case, "s3_requirements"):
        session.append("expected_plan", _counted(points["merchant_id"], points["tile_id"], code))


def points_by_country(case: Case, pairs: str) -> Iterator[tuple[str, Arrays]]:
    """Yield each country's sites with the tiles in which their own points lie, in key order.

    Args:
        case: with tile_weights, grid and policy.
        pairs: a view or table (merchant_id, legal_country_iso, n_sites).

    Yields:
        The country, and merchant_id uint64, site_order int64, tile_id uint64 [n] of some pairs.
    """
    codes = case.session.rows(
        f"SELECT DISTINCT legal_country_iso AS code FROM {pairs} "  # noqa: S608
        "WHERE legal_country_iso IN (SELECT country_iso FROM tile_weights) ORDER BY code"
    )
    for code in [row["code"] for row in codes]:
        for points in _points_of(case, code, pairs):
            yield code, points


def _points_of(case: Case, code: str, pairs: str) -> Iterator[Arrays]:
    session, grid = case.session, case.grid
    assert grid is not None
    tiles = session.arrays(
        "SELECT tile_id, weight_fp FROM tile_weights WHERE country_iso = ?", [code]
    )
    rows, cols = np.divmod(tiles["tile_id"], np.uint64(grid.ncols))
    along = np.argsort(places(rows, cols, order_of(grid.nrows, grid.ncols)))
    line = np.cumsum(tiles["weight_fp"][along])
    mine = session.arrays(
        f"SELECT merchant_id, n_sites::BIGINT AS n_sites FROM {pairs} "  # noqa: S608
        "WHERE legal_country_iso = ? ORDER BY merchant_id",
        [code],
    )
    for low in range(0, len(mine["merchant_id"]), _PAIRS_AT_ONCE):
        merchants = mine["merchant_id"][low : low + _PAIRS_AT_ONCE]
        session.table(
            "offsets",
            {
                "merchant_id": merchants,
                "n_sites": mine["n_sites"][low : low + _PAIRS_AT_ONCE],
                "word": offsets(int(case.published.tokens["seed"]), merchants, code),
            },
        )
        points = session.arrays(_POINTS)
        # The point x lies in the tile whose running sum is the first above x; weights that do not
        # sum to K, which have a check of their own, may leave points behind the last tile.
        at = np.minimum(np.searchsorted(line, points["point"], "right"), len(line) - 1)
        yield {
            "merchant_id": points["merchant_id"],
            "site_order": points["site_order"],
            "tile_id": tiles["tile_id"][along[at]],
        }


def _counted(
    merchants: npt.NDArray[np.generic], tiles: npt.NDArray[np.generic], code: str
) -> Arrays:
    both, often = np.unique(np.stack([merchants, tiles]), axis=1, return_counts=True)
    return {
        "merchant_id": both[0],
        "legal_country_iso": np.full(len(often), code),
        "tile_id": both[1],
        "n_sites_tile": often,
    }


def offsets(seed: int, merchants: npt.NDArray[np.uint64], country: str) -> npt.NDArray[np.uint64]:
    """Return each pair's offset: the first word of its Philox block at counter
    (1, 0, merchant_id, country), uint64 [n].
    """
    none = np.zeros(len(merchants), np.uint64)
    letters = np.full(len(merchants), country_word(country), np.uint64)
    return words(key_of("alloc_offset", seed), none, merchants, letters)[:, 0]
