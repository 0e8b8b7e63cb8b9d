"""The rows of outlet_catalogue: written from the pairs of a list, and counted back into pairs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts import Contracts, Dataset
from segment1b.errors import file_error
from segment1b.outlets.pairs import (
    MAX_OUTLETS,
    Int64s,
    Pairs,
    UInt64s,
    countries,
    letters,
    strings,
)
from segment1b.storage.ingress import ingress_groups
from segment1b.storage.parts import FILE_ROWS, constant, groups, part_name, write_part
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import key_words
from segment1b.storage.snapshot import Snapshot

_DIGITS = len(str(MAX_OUTLETS))
_POWERS = 10 ** np.arange(_DIGITS - 1, -1, -1)


def write_catalogue(
    folder: Path, dataset: Dataset, pairs: Pairs, tokens: Mapping[str, object]
) -> None:
    """Write the part files, a row group at a time."""
    ends = np.cumsum(pairs.n_sites)
    rows = int(ends[-1]) if len(ends) else 0
    for number, low in enumerate(range(0, max(rows, 1), FILE_ROWS)):
        stretches = groups(low, min(low + FILE_ROWS, rows))
        write_part(
            folder / part_name(number),
            dataset,
            (_group(dataset, pairs, ends, tokens, *stretch) for stretch in stretches),
        )


def _pair_columns(pairs: Pairs, own: slice) -> dict[str, npt.NDArray[Any]]:
    """Return the columns that each row of a pair repeats, arrays [p]; countries as uint8[p, 2]."""
    first, last = pairs.merchant_id[own.start], pairs.merchant_id[own.stop - 1]
    # A merchant's home and total come from all of its pairs.
    low = int(np.searchsorted(pairs.merchant_id, first, "left"))
    high = int(np.searchsorted(pairs.merchant_id, last, "right"))
    n, merchant = pairs.n_sites[low:high], pairs.merchant_id[low:high]
    starts, countries_of = pair_starts(merchant, merchant)
    owner = np.repeat(np.arange(len(starts)), countries_of)
    most = np.maximum.reduceat(n, starts)
    # Pairs ascend by country: the first with the most is the first in ASCII order, too.
    candidates = np.flatnonzero(n == most[owner])
    home = candidates[np.unique(owner[candidates], return_index=True)[1]]
    total = np.add.reduceat(n, starts)
    legal = letters(pairs.country[low:high])
    columns: dict[str, npt.NDArray[Any]] = {
        "merchant_id": merchant,
        "home_country_iso": legal[home][owner],
        "legal_country_iso": legal,
        "single_vs_multi_flag": (total > 1)[owner],
        "raw_nb_outlet_draw": total.astype(np.int32)[owner],
        "final_country_outlet_count": n.astype(np.int32),
    }
    return {name: values[own.start - low : own.stop - low] for name, values in columns.items()}


def _group(
    dataset: Dataset, pairs: Pairs, ends: Int64s, tokens: Mapping[str, Any], low: int, high: int
) -> pa.Table:
    """Return the catalogue's rows low <= row < high."""
    count = high - low
    first = int(np.searchsorted(ends, low, "right"))
    own = slice(first, int(np.searchsorted(ends, high, "left")) + 1)
    columns = _pair_columns(pairs, own)
    reach = np.clip(ends[own], low, high)
    repeats = np.diff(reach, prepend=np.int64(low))
    pair = np.repeat(np.arange(len(repeats)), repeats)
    begin = ends[own] - columns["final_country_outlet_count"]
    order = np.arange(low, high) - begin[pair] + 1
    digits = order[:, None] // _POWERS % 10 + ord("0")
    made: dict[str, Any] = {
        "manifest_fingerprint": constant(tokens["manifest_fingerprint"], count),
        "site_id": strings(digits.astype(np.uint8)),
        "site_order": order.astype(np.int32),
        "global_seed": np.full(count, tokens["seed"], np.uint64),
    }
    for name, values in columns.items():
        repeated = values[pair]
        made[name] = strings(repeated) if repeated.ndim == 2 else repeated
    arrays = [pa.array(made[c.name], c.arrow_type) for c in dataset.columns]
    return pa.Table.from_arrays(arrays, schema=dataset.arrow_schema)


def pairs_of(root: Path, contracts: Contracts, seed: int, fingerprint: str) -> Pairs:
    """Return the pairs of an imported list, counted from its catalogue.

    Raises:
        Segment1BError: E_PARTITION_MISPLACED when there is no catalogue; E_PATH_EMBED_MISMATCH when
            it does not hold the list of that fingerprint; E_INPUT_UNREADABLE,
            E_INPUT_SCHEMA_INVALID for a damaged file.
    """
    name, tokens = "outlet_catalogue", {"seed": seed, "manifest_fingerprint": fingerprint}
    absent = {name: "E_PARTITION_MISPLACED"}
    reader = Reader(Snapshot(root, contracts, tokens), (name,), missing=absent)
    reader.fetch([name])
    folder, dataset = reader.file(name), reader.dataset(name)
    merchants: list[UInt64s] = [np.empty(0, np.uint64)]
    codes: list[npt.NDArray[np.uint16]] = [np.empty(0, np.uint16)]
    counts: list[Int64s] = [np.empty(0, np.int64)]
    for path in sorted(folder.iterdir()):
        for table in ingress_groups(reader, dataset, path, ["merchant_id", "legal_country_iso"]):
            own = table.column(0).combine_chunks().fill_null(0).to_numpy()
            words = key_words(table.column(1).combine_chunks().fill_null(""))
            starts, n = pair_starts(own, words)
            merchants.append(own[starts])
            codes.append(words[starts])
            counts.append(n)
    merchant, code = np.concatenate(merchants), np.concatenate(codes)
    # A pair may continue in the next row group.
    starts, _ = pair_starts(merchant, code)
    ends = np.append(0, np.cumsum(np.concatenate(counts)))
    total = np.diff(ends[np.append(starts, len(merchant))])
    pairs = Pairs(merchant[starts], countries(code[starts]), total)
    if pairs.fingerprint != fingerprint:
        what = f"holds the list {pairs.fingerprint}, its path names {fingerprint}"
        hint = "published data was changed: import the list again into another data root"
        raise file_error("E_PATH_EMBED_MISMATCH", folder, what, hint)
    return pairs


def pair_starts(merchant: npt.NDArray[Any], code: npt.NDArray[Any]) -> tuple[Int64s, Int64s]:
    """Return where runs of the same (merchant, code) begin, and their lengths."""
    new = np.ones(len(merchant), np.bool_)
    new[1:] = (merchant[1:] != merchant[:-1]) | (code[1:] != code[:-1])
    starts = np.flatnonzero(new)
    return starts, np.diff(np.append(starts, len(merchant)))
