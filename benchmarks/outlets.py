"""A seeded generator of outlet lists of any size: heavy-tailed merchants over real countries."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.reference import embedded

_PAIR_MEAN = 12  # outlets of a mean pair
_LARGEST = 999_999


def write_outlets(path: Path, outlets: int, seed: int = 1) -> int:
    """Write a Parquet outlet list (merchant_id, country_iso, n_outlets) of about that many outlets.

    Sites per pair follow a Pareto law with index 1.2; a country's share of pairs goes with its
    population to the power 0.7. Only raw Philox words are used, so the list never changes.

    Args:
        path: the file to write.
        outlets: how many outlets, about.
        seed: another seed gives another list.

    Returns:
        How many outlets the list has.
    """
    people = pq.read_table(embedded.surface("country_population.parquet"))
    codes = np.array(people.column("country_iso").to_pylist())
    share = people.column("population").to_numpy().astype(np.float64) ** 0.7
    codes, share = codes[share > 0], share[share > 0]
    count = max(len(codes), outlets // _PAIR_MEAN)
    words = np.random.Philox(key=seed).random_raw(2 * count)
    u = ((words >> np.uint64(12)) + 0.5) * 2.0**-52
    country = np.searchsorted(np.cumsum(share) / share.sum(), u[:count])
    sites = np.minimum(np.floor(u[count:] ** (-1 / 1.2)), _LARGEST).astype(np.int64)
    sites = np.maximum(1, np.rint(sites * (outlets / sites.sum()))).astype(np.int64)
    sites = np.minimum(sites, _LARGEST)
    # One merchant has up to three pairs, in different countries.
    merchant = np.arange(count) // 3 + 1
    order = np.lexsort((country, merchant))
    keep = np.ones(count, bool)
    keep[1:] = (merchant[order][1:] != merchant[order][:-1]) | (
        country[order][1:] != country[order][:-1]
    )
    order = order[keep]
    table = pa.table(
        {
            "merchant_id": merchant[order].astype(np.uint64),
            "country_iso": pa.DictionaryArray.from_arrays(country[order].astype(np.int32), codes),
            "n_outlets": sites[order],
        }
    )
    pq.write_table(table, path, compression="zstd")
    return int(sites[order].sum())
