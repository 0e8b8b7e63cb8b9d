"""S3, requirements: counts the sites of every pair (merchant_id, legal_country_iso)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.errors import Segment1BError, pair_error
from segment1b.states.protocol import (
    OnWorkers,
    Report,
    Run,
    ShardResult,
    State,
    catalogue_files,
    check_conserved,
    check_known,
    total,
)
from segment1b.storage.arrays import distinct
from segment1b.storage.gather import write_piece
from segment1b.storage.ingress import ingress_groups, iso_codes
from segment1b.storage.parts import FILE_ROWS, GROUP_ROWS
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import coded_parquet_errors, file_names, hash_files, key_words

_COLUMNS = [
    "merchant_id",
    "legal_country_iso",
    "site_order",
    "site_id",
    "final_country_outlet_count",
]
_MAX_MERCHANT = 2**63 - 1
Int64s = npt.NDArray[np.int64]
UInt64s = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class MerchantRange:
    """Merchants low <= m < high, in whichever files of the catalogue their rows are."""

    number: int
    low: int
    high: int


class S3Requirements(State):
    """Counts sites whatever the row order; see docs/spec/s3-requirements.md#law."""

    id = "s3"

    def shards(self, run: Run, reader: Reader, _on_workers: OnWorkers) -> Sequence[MerchantRange]:
        """Check the seal, then cut the catalogue into ranges of merchants."""
        sealed = self.sealed_inputs(run, reader)
        folder = reader.file("outlet_catalogue")
        _, digest = hash_files(folder, file_names(folder))
        self.check_sealed(sealed, "outlet_catalogue", digest, folder)
        reader.partition("tile_weights")
        excluded, problem = run.policy.prep.exclude_countries, "prep.exclude_countries names {}"
        check_known(excluded, iso_codes(reader), "E315_POLICY_ISO_UNKNOWN", problem)
        return merchant_ranges(catalogue_files(reader))

    def work(self, run: Run, reader: Reader, shard: MerchantRange) -> ShardResult:
        """Count the sites of one range of merchants and stage the piece."""
        outlets = _read_outlets(reader, shard)
        pairs, by_country = count_pairs(outlets, run.policy.prep.exclude_countries)
        tables = [pairs.slice(at, GROUP_ROWS) for at in range(0, len(pairs), GROUP_ROWS)]
        dataset = run.contracts["s3_requirements"]
        rows = write_piece(run.staged(dataset.id, shard.number), dataset, tables)
        counters = {
            "source_rows": len(outlets.merchant),
            "by_country": by_country,
            "merchants": len(distinct(pairs.column("merchant_id").to_numpy())),
            "max_n": int(pairs.column("n_sites").to_numpy().max(initial=0)),
        }
        return ShardResult(rows, counters, {dataset.id: rows})

    def report(self, run: Run, reader: Reader, rows: int, counters: Sequence[Any]) -> Report:
        """Check coverage and totals over all ranges; return the counters."""
        totals: dict[str, Counter[str]] = {}
        for shard in counters:
            for code, counts in shard["by_country"].items():
                totals.setdefault(code, Counter()).update(counts)
        kept = total(totals, "sites")
        excluded = set(run.policy.prep.exclude_countries) & set(totals)
        left_out = {code: dict(totals.pop(code)) for code in sorted(excluded)}
        _check_weights(reader, {code: counts["sites"] for code, counts in totals.items()})
        source = sum(shard["source_rows"] for shard in counters)
        check_conserved("outlets", kept, source)
        expected = sum(map(_footer_rows, catalogue_files(reader)))
        check_conserved("rows of outlet_catalogue", source, expected)
        return Report(
            {
                **run.tokens,
                "rows_emitted": rows,
                "merchants_total": sum(shard["merchants"] for shard in counters),
                "countries_total": len(totals),
                "source_rows_total": source,
                "excluded_by_policy": left_out,
                "max_n_sites": max((shard["max_n"] for shard in counters), default=0),
                "ingress_versions": {
                    "iso3166": run.contracts["iso3166_canonical_2024"].version_tag
                },
            }
        )


def merchant_ranges(paths: Sequence[Path]) -> list[MerchantRange]:
    """Cut merchants into ranges of about FILE_ROWS rows, from row-group statistics alone."""
    groups: list[tuple[int, int]] = []
    for path in paths:
        with coded_parquet_errors(path), pq.ParquetFile(path) as file:
            names = file.schema_arrow.names
            for group in range(file.num_row_groups if "merchant_id" in names else 0):
                info = file.metadata.row_group(group)
                stats = info.column(names.index("merchant_id")).statistics
                low = stats.min if stats is not None and stats.has_min_max else 0
                if not isinstance(low, int):
                    return [MerchantRange(0, 0, 2**64)]  # of another type: the reader will say so
                groups.append((max(low, 0), info.num_rows))
    edges, rows = [0], 0
    for low, count in sorted(groups):
        if rows >= FILE_ROWS and low > edges[-1]:
            edges.append(low)
            rows = 0
        rows += count
    return [
        MerchantRange(number, low, high)
        for number, (low, high) in enumerate(zip(edges, [*edges[1:], 2**64], strict=True))
    ]


class Outlets(NamedTuple):
    """Rows of the catalogue, arrays [n]; -1 for a number that is null or malformed.

    Attributes:
        merchant: uint64.
        country: uint16, 256*A + B.
        order: int64, site_order.
        number: int64, the number in site_id.
        declared: int64, final_country_outlet_count.
    """

    merchant: UInt64s
    country: npt.NDArray[np.uint16]
    order: Int64s
    number: Int64s
    declared: Int64s


def count_pairs(
    outlets: Outlets, excluded: Collection[str]
) -> tuple[pa.Table, dict[str, dict[str, int]]]:
    """Count the sites of each pair and check that each is dense, or raise E314 or E308.

    Returns:
        (merchant_id, legal_country_iso, n_sites) in key order without the excluded countries, and
        the pairs and sites of every country.
    """
    index: Any = _key_order(outlets)
    rows = Outlets(*(column[index] for column in outlets))
    merchant, country = rows.merchant, rows.country
    first = np.ones(len(merchant), bool)
    first[1:] = (merchant[1:] != merchant[:-1]) | (country[1:] != country[:-1])
    starts = np.flatnonzero(first)
    n = np.diff(np.append(starts, len(first)))
    order = np.arange(1, len(first) + 1) - np.repeat(starts, n)
    rule = "site_order is not dense 1..n"
    _refuse(rows, rows.order != order, "E314_SITE_ORDER_INTEGRITY", rule, rows.order)
    rule = "site_id is not site_order in six digits"
    _refuse(rows, rows.number != order, "E314_SITE_ORDER_INTEGRITY", rule, rows.order)
    rule = "final_country_outlet_count is not the number of rows"
    _refuse(rows, rows.declared != np.repeat(n, n), "E308_COUNTS_MISMATCH", rule, rows.declared)
    words, which = np.unique(country[starts], return_inverse=True)
    codes = [_letters(word) for word in words]
    counts = zip(codes, np.bincount(which).tolist(), np.bincount(which, n).tolist(), strict=True)
    by_country = {code: {"pairs": pairs, "sites": int(sites)} for code, pairs, sites in counts}
    kept = ~np.isin(codes, list(excluded))[which] if codes else np.empty(0, bool)
    table = pa.table(
        {
            "merchant_id": merchant[starts][kept],
            "legal_country_iso": pa.array(codes, pa.string()).take(pa.array(which[kept])),
            "n_sites": n[kept],
        }
    )
    return table, by_country


def _key_order(outlets: Outlets) -> Int64s | slice:
    """Return the order that sorts rows by key; all of them as they are when they are sorted."""
    rises = outlets.order[1:] >= outlets.order[:-1]
    for key in (outlets.country, outlets.merchant):
        rises = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & rises)
    if rises.all():
        return slice(None)
    return np.lexsort((outlets.order, outlets.country, outlets.merchant))


def _refuse(
    rows: Outlets, bad: npt.NDArray[np.bool_], code: str, rule: str, values: Int64s
) -> None:
    """Raise `code` when a row is bad; the first one's value is shown."""
    if bad.any():
        at = int(np.flatnonzero(bad)[0])
        merchant, iso = rows.merchant[at], _letters(rows.country[at])
        pairs = {*zip(rows.merchant[bad].tolist(), rows.country[bad].tolist(), strict=True)}
        problem = f"{rule} (found {values[at]}); {len(pairs)} such pairs"
        hint = "correct the outlet list and let 1A validate it again"
        raise pair_error(code, merchant, iso, problem, hint)


def _letters(word: np.integer) -> str:
    return int(word).to_bytes(2, "big").decode()


def _footer_rows(path: Path) -> int:
    with coded_parquet_errors(path):
        return int(pq.read_metadata(path).num_rows)


def _read_outlets(reader: Reader, shard: MerchantRange) -> Outlets:
    dataset = reader.dataset("outlet_catalogue")
    where = {"merchant_id": (shard.low, shard.high - 1)}
    tables = []
    for path in catalogue_files(reader):
        for table in ingress_groups(reader, dataset, path, _COLUMNS, where):
            merchant = _filled(table.column("merchant_id"), 0).to_numpy()
            inside = (merchant >= np.uint64(shard.low)) & (merchant <= np.uint64(shard.high - 1))
            tables.append(table if inside.all() else table.filter(pa.array(inside)))
    table = pa.concat_tables(tables or [dataset.arrow_schema.empty_table().select(_COLUMNS)])
    merchant = _filled(table.column("merchant_id"), 0).to_numpy()
    _check_merchants(merchant)
    codes = _filled(table.column("legal_country_iso"), "").dictionary_encode()
    _check_codes(codes, merchant, set(iso_codes(reader)))
    site_ids = _filled(table.column("site_id"), "").dictionary_encode()
    digits = pc.match_substring_regex(site_ids.dictionary, r"\A[0-9]{6}\z")
    numbers = _whole(pc.if_else(digits, site_ids.dictionary, "-1"))
    return Outlets(
        merchant,
        key_words(codes),
        _whole(table.column("site_order")),
        numbers[site_ids.indices.to_numpy()],
        _whole(table.column("final_country_outlet_count")),
    )


def _filled(column: pa.Array | pa.ChunkedArray, value: int | str) -> pa.Array:
    """Return a column as one array, its nulls replaced."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.fill_null(value) if array.null_count else array


def _whole(column: pa.Array | pa.ChunkedArray) -> Int64s:
    filled = _filled(column.cast(pa.int64()), -1)
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _check_merchants(merchant: UInt64s) -> None:
    bad = (merchant < 1) | (merchant > _MAX_MERCHANT)
    if bad.any():
        what = f"merchant_id {merchant[bad][0]} is not in 1..2^63-1; {int(bad.sum())} such rows"
        raise Segment1BError("E305_SCHEMA_INVALID", what, merchant_id=int(merchant[bad][0]))


def _check_codes(codes: pa.DictionaryArray, merchant: UInt64s, iso: set[str]) -> None:
    names = codes.dictionary.to_pylist()
    unknown = sorted(set(names) - iso, key=str)
    if unknown:
        at = int(np.flatnonzero(codes.indices.to_numpy() == names.index(unknown[0]))[0])
        problem = f"{unknown[0]!r} is not in the ISO table; all such codes: {unknown}"
        raise pair_error("E302_FK_COUNTRY", merchant[at], str(unknown[0]), problem)


def _check_weights(reader: Reader, sites: dict[str, int]) -> None:
    """Refuse outlets in countries that have no weights; statistics name the countries."""
    weighted = set(reader.partition("tile_weights").report["by_country"])
    missing = {code: count for code, count in sorted(sites.items()) if code not in weighted}
    if missing:
        listed = ", ".join(f"{code} ({count} outlets)" for code, count in missing.items())
        what = f"tile_weights has no tile for {listed}"
        raise Segment1BError(
            "E303_MISSING_WEIGHTS", what, country_iso=next(iter(missing)), countries=missing
        )
