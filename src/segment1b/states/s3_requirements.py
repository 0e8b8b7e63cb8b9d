"""S3, requirements: count the sites of every pair (merchant_id, legal_country_iso)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.errors import Segment1BError
from segment1b.states.protocol import Report, Run, ShardResult, State, check_conserved
from segment1b.states.seal import check_sealed, sealed_inputs
from segment1b.storage.arrays import distinct
from segment1b.storage.gather import write_piece
from segment1b.storage.ingress import ingress_groups, iso_codes
from segment1b.storage.parts import FILE_ROWS, GROUP_ROWS
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import coded_parquet_errors, hash_files, key_words

_SHARD_ROWS = FILE_ROWS
_COLUMNS = [
    "merchant_id",
    "legal_country_iso",
    "site_order",
    "site_id",
    "final_country_outlet_count",
]
_MAX_MERCHANT = 2**63 - 1


@dataclass(frozen=True)
class MerchantRange:
    """Merchants low <= m < high, wherever in the catalogue's files their rows stand."""

    number: int
    low: int
    high: int


class S3Requirements(State):
    """The law of prepare.md, section 5: count whatever the row order; sites must be dense."""

    id = "s3"

    def shards(self, run: Run, reader: Reader) -> Sequence[MerchantRange]:
        """Check the seal, then cut the catalogue into ranges of merchants."""
        sealed = sealed_inputs(run, reader, self.stale_input)
        folder = reader.file("outlet_catalogue")
        paths = _files(folder)
        _, digest = hash_files(folder, [p.relative_to(folder).as_posix() for p in paths])
        check_sealed(sealed, "outlet_catalogue", digest, self.stale_input, folder)
        reader.partition("tile_weights")
        unknown = sorted(set(run.policy.prep.exclude_countries) - set(iso_codes(reader)))
        if unknown:
            raise Segment1BError(
                "E315_POLICY_ISO_UNKNOWN",
                f"prep.exclude_countries names {', '.join(unknown)}",
                "use upper-case ISO 3166-1 alpha-2 codes",
                country_iso=unknown[0],
            )
        return merchant_ranges(paths)

    def work(self, run: Run, shard: MerchantRange) -> ShardResult:
        """Count the sites of one range of merchants and stage the piece."""
        reader = run.reader(self)
        rows = _rows_of(run, reader, shard)
        _check_merchants(rows["merchant_id"])
        pairs, excluded = count_pairs(
            rows, set(iso_codes(reader)), set(run.policy.prep.exclude_countries)
        )
        dataset = run.contracts["s3_requirements"]
        written = write_piece(
            run.staged("s3_requirements", shard.number),
            dataset,
            [pairs.slice(at, GROUP_ROWS) for at in range(0, len(pairs), GROUP_ROWS)],
        )
        countries = pairs.column("legal_country_iso").combine_chunks().dictionary_encode()
        n = pairs.column("n_sites").to_numpy()
        sites = np.bincount(countries.indices.to_numpy(), n, len(countries.dictionary))
        counters = {
            "source_rows": len(rows["merchant_id"]),
            "sites": dict(
                zip(countries.dictionary.to_pylist(), sites.astype(int).tolist(), strict=True)
            ),
            "excluded": excluded,
            "merchants": len(distinct(pairs.column("merchant_id").to_numpy())),
            "max_n": int(n.max(initial=0)),
        }
        staged = {"s3_requirements": written}
        return ShardResult(len(pairs), counters, reader.bytes_read, staged)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Check coverage and totals over all ranges; return the counters."""
        sites: dict[str, int] = {}
        excluded: dict[str, dict[str, int]] = {}
        for result in results:
            for code, count in result.counters["sites"].items():
                sites[code] = sites.get(code, 0) + count
            for code, own in result.counters["excluded"].items():
                total = excluded.setdefault(code, {"pairs": 0, "sites": 0})
                for name in total:
                    total[name] += own[name]
        _check_weights(run.reader(self), sites)
        source = sum(result.counters["source_rows"] for result in results)
        kept = sum(sites.values()) + sum(own["sites"] for own in excluded.values())
        check_conserved("outlets", kept, source)
        files = _files(run.reader(self).file("outlet_catalogue"))
        check_conserved("rows of outlet_catalogue", source, sum(map(_footer_rows, files)))
        return Report(
            {
                **run.tokens,
                "rows_emitted": sum(result.rows for result in results),
                "merchants_total": sum(result.counters["merchants"] for result in results),
                "countries_total": len(sites),
                "source_rows_total": source,
                "excluded_by_policy": dict(sorted(excluded.items())),
                "max_n_sites": max((r.counters["max_n"] for r in results), default=0),
                "ingress_versions": {
                    "iso3166": run.contracts["iso3166_canonical_2024"].version_tag
                },
            }
        )


def merchant_ranges(paths: Sequence[Path]) -> list[MerchantRange]:
    """Cut merchants into ranges of about _SHARD_ROWS rows, from row-group statistics alone.

    A file sorted by merchant is read once over all ranges; a shuffled one is read by each.
    """
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
        if rows >= _SHARD_ROWS and low > edges[-1]:
            edges.append(low)
            rows = 0
        rows += count
    return [
        MerchantRange(number, low, high)
        for number, (low, high) in enumerate(zip(edges, [*edges[1:], 2**64], strict=True))
    ]


def count_pairs(
    rows: dict[str, Any], iso: set[str], excluded: set[str]
) -> tuple[pa.Table, dict[str, dict[str, int]]]:
    """Count the sites of each pair and check that each is dense.

    Args:
        rows: arrays of equal length: merchant_id uint64, code int (place in `codes`, the list of
            country codes), country uint16 (256*A + B), site_order int64 (-1 for null), site_number
            int64 (the number in site_id, -1 where it is no six digits), declared int64 (-1 for
            null).
        iso: known country codes.
        excluded: countries left out by policy.

    Returns:
        (merchant_id, legal_country_iso, n_sites) in key order, and pairs and sites left out.

    Raises:
        Segment1BError: E302_FK_COUNTRY, E314_SITE_ORDER_INTEGRITY, E308_COUNTS_MISMATCH.
    """
    unknown = sorted(set(rows["codes"]) - iso, key=str)
    if unknown:
        at = int(np.flatnonzero(rows["code"] == rows["codes"].index(unknown[0]))[0])
        raise Segment1BError(
            "E302_FK_COUNTRY",
            f"merchant {rows['merchant_id'][at]} has outlets in "
            f"{unknown[0]!r}, which is no code of the ISO table; unknown in all: {unknown}",
            "codes are never changed on the way: mend the outlet list",
            merchant_id=int(rows["merchant_id"][at]),
            country_iso=str(unknown[0]),
        )
    order = _key_order(rows["merchant_id"], rows["country"], rows["site_order"])
    merchant, country = rows["merchant_id"][order], rows["country"][order]
    first = np.ones(len(merchant), bool)
    first[1:] = (merchant[1:] != merchant[:-1]) | (country[1:] != country[:-1])
    starts = np.flatnonzero(first)
    n = np.diff(np.append(starts, len(merchant)))
    place = np.arange(1, len(merchant) + 1) - np.repeat(starts, n)
    site = rows["site_order"][order]
    _check_pairs(
        merchant,
        country,
        site != place,
        "E314_SITE_ORDER_INTEGRITY",
        "site_order is not dense 1..n",
        site,
    )
    _check_pairs(
        merchant,
        country,
        rows["site_number"][order] != place,
        "E314_SITE_ORDER_INTEGRITY",
        "site_id is not site_order in six digits",
        site,
    )
    declared = rows["declared"][order]
    _check_pairs(
        merchant,
        country,
        declared != np.repeat(n, n),
        "E308_COUNTS_MISMATCH",
        "final_country_outlet_count is not the number of rows",
        declared,
    )
    names = {word: code for code, word in rows["words"].items()}
    letters, which = np.unique(country[starts], return_inverse=True)
    codes = np.array([names[word] for word in letters], dtype="U2")
    out = np.isin(codes, sorted(excluded))
    left_out = {
        str(codes[c]): {
            "pairs": int(np.count_nonzero(which == c)),
            "sites": int(n[which == c].sum()),
        }
        for c in np.flatnonzero(out)
    }
    kept = ~out[which] if len(which) else np.empty(0, bool)
    pairs = pa.table(
        {
            "merchant_id": merchant[starts][kept],
            "legal_country_iso": pa.DictionaryArray.from_arrays(
                which[kept].astype(np.int32), pa.array(codes.tolist(), pa.string())
            ).cast(pa.string()),
            "n_sites": n[kept].astype(np.int64),
        }
    )
    return pairs, left_out


def _key_order(
    merchant: npt.NDArray[np.uint64],
    country: npt.NDArray[np.uint16],
    site: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64] | slice:
    """Return what puts rows in key order: all of them as they are, or the places of a sort."""
    rises = site[1:] >= site[:-1]
    for key in (country, merchant):
        rises = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & rises)
    return slice(None) if rises.all() else np.lexsort((site, country, merchant))


def _check_pairs(
    merchant: npt.NDArray[np.uint64],
    country: npt.NDArray[np.uint16],
    bad: npt.NDArray[np.bool_],
    code: str,
    what: str,
    values: npt.NDArray[np.int64],
) -> None:
    if not bad.any():
        return
    at = int(np.flatnonzero(bad)[0])
    iso = int(country[at]).to_bytes(2, "big").decode()
    pairs = np.unique(np.stack([merchant[bad], country[bad].astype(np.uint64)]), axis=1).shape[1]
    raise Segment1BError(
        code,
        f"merchant {merchant[at]} in {iso}: {what} (found {values[at]}); {pairs} such pairs",
        "mend the outlet list and let 1A validate it again",
        merchant_id=int(merchant[at]),
        country_iso=iso,
    )


def _files(folder: Path) -> list[Path]:
    return sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.as_posix())


def _footer_rows(path: Path) -> int:
    with coded_parquet_errors(path):
        return int(pq.read_metadata(path).num_rows)


def _rows_of(run: Run, reader: Reader, shard: MerchantRange) -> dict[str, Any]:
    dataset = reader.dataset("outlet_catalogue")
    where = {"merchant_id": (shard.low, shard.high - 1)}
    tables = []
    for path in _files(run.root / dataset.locate(run.places)):
        for table in ingress_groups(reader, dataset, path, _COLUMNS, where):
            merchant = _filled(table.column("merchant_id"), 0).to_numpy()
            inside = (merchant >= np.uint64(shard.low)) & (merchant <= np.uint64(shard.high - 1))
            tables.append(table if inside.all() else table.filter(pa.array(inside)))
    table = (
        pa.concat_tables(tables) if tables else dataset.arrow_schema.empty_table().select(_COLUMNS)
    )
    codes = _filled(table.column("legal_country_iso"), "").dictionary_encode()
    names = codes.dictionary.to_pylist()
    site_ids = _filled(table.column("site_id"), "").dictionary_encode()
    digits = pc.match_substring_regex(site_ids.dictionary, r"\A[0-9]{6}\z")
    numbers = _whole(pc.if_else(digits, site_ids.dictionary, "-1"))
    words = key_words(codes)
    return {
        "merchant_id": _filled(table.column("merchant_id"), 0).to_numpy(),
        "country": words,
        "code": codes.indices.to_numpy(),
        "codes": names,
        "words": {name: int.from_bytes(name.encode()[:2], "big") for name in names},
        "site_order": _whole(table.column("site_order")),
        "site_number": numbers[site_ids.indices.to_numpy()],
        "declared": _whole(table.column("final_country_outlet_count")),
    }


def _filled(column: pa.Array | pa.ChunkedArray, value: int | str) -> pa.Array:
    """Return a column as one array, its nulls replaced."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.fill_null(value) if array.null_count else array


def _whole(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    filled = _filled(column.cast(pa.int64()), -1)
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _check_merchants(merchant: npt.NDArray[np.uint64]) -> None:
    bad = (merchant < 1) | (merchant > _MAX_MERCHANT)
    if bad.any():
        raise Segment1BError(
            "E305_SCHEMA_INVALID",
            f"merchant_id {merchant[bad][0]} is not in 1..2^63-1; {int(bad.sum())} such rows",
            "mend the outlet list",
            merchant_id=int(merchant[bad][0]),
        )


def _check_weights(reader: Reader, sites: dict[str, int]) -> None:
    """Refuse outlets in countries that have no weights; statistics name the countries."""
    weighted = set(reader.partition("tile_weights").report["by_country"])
    missing = {code: count for code, count in sorted(sites.items()) if code not in weighted}
    if missing:
        listed = ", ".join(f"{code} ({count} outlets)" for code, count in missing.items())
        raise Segment1BError(
            "E303_MISSING_WEIGHTS",
            f"tile_weights has no tile for {listed}",
            "add polygons for them, or leave them out with prep.exclude_countries",
            country_iso=next(iter(missing)),
            countries=missing,
        )
