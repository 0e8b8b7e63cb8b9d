"""Sites in batches of one country, as arrays."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from segment1b.audit.case import Case
from segment1b.audit.results import Row

# Many, for each batch is cut into the world's countries.
_ROWS_AT_ONCE = 1 << 20
Arrays = dict[str, npt.NDArray[Any]]
# The counter word of a country, in SQL: 256*A + B.
COUNTRY = "(256 * ascii(legal_country_iso[1]) + ascii(legal_country_iso[2]))::UBIGINT AS country"


def by_country(case: Case, query: str) -> Iterator[tuple[str, Arrays]]:
    """Yield the rows of a query, which has `country`, by country, a country many times."""
    for batch in case.session.batches(query, _ROWS_AT_ONCE):
        # Sorting some rows at a time is cheap; an ORDER BY would sort the world's sites on disk.
        order = np.argsort(batch["country"], kind="stable")
        rows = {name: values[order] for name, values in batch.items()}
        for own in _runs(rows, rows["country"]):
            yield letters_of(int(own["country"][0])), own


def portions(rows: Arrays, weight: str, most: int) -> Iterator[Arrays]:
    """Return consecutive rows whose weights sum to about `most`, one row at least."""
    return _runs(rows, np.cumsum(rows[weight].astype(np.int64)) // most)


def _runs(rows: Arrays, labels: npt.NDArray[Any]) -> Iterator[Arrays]:
    """Yield consecutive rows with one label."""
    starts = [0, *(np.flatnonzero(np.diff(labels)) + 1).tolist(), len(labels)]
    for low, high in itertools.pairwise(starts):
        yield {name: values[low:high] for name, values in rows.items()}


def site_key(rows: Arrays, at: int) -> Row:
    """Return the key of a site as the start of an offending row."""
    return {
        "merchant_id": int(rows["merchant_id"][at]),
        "legal_country_iso": letters_of(int(rows["country"][at])),
        "site_order": int(rows["site_order"][at]),
    }


def letters_of(word: int) -> str:
    """Return the two letters of a counter word 256*A + B."""
    return chr(word >> 8) + chr(word & 255)
