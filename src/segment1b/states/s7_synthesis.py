"""S7, join: one checked coordinate per site from S5, S6 and the grid, without draws."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.errors import Segment1BError, pair_error, redo
from segment1b.laws.jitter import Tiles, inside_tile, point
from segment1b.states.by_country import (
    BOUNDS,
    CountryShard,
    country_shards,
    country_tables,
    read_bounds,
    stage_by_country,
    stage_pieces,
    staged_rows,
)
from segment1b.states.protocol import Report, Run, ShardResult, State, check_conserved
from segment1b.states.seal import sealed_inputs
from segment1b.storage.arrays import distinct
from segment1b.storage.durable import read_json
from segment1b.storage.ingress import ingress_groups
from segment1b.storage.reader import Reader
from segment1b.storage.records import COUNTRY, Records, read_split, split_by_country

_S5 = ["merchant_id", "site_order", "tile_id"]
_S6 = [*_S5, "delta_lat_deg", "delta_lon_deg"]
_KEY = ["merchant_id", "site_order"]
#: Counters of a country: sites whose tile has bounds, that lie in their tile, that are in the
#: catalogue, and outlets of the catalogue without a site.
_TESTED = ("known", "inside", "covered", "missed")


class S7Synthesis(State):
    """Merge by key, add, test again, cover the catalogue; see docs/spec/s7-join.md#law."""

    id = "s7"

    def shards(self, run: Run, reader: Reader) -> Sequence[CountryShard]:
        """Stage S5, S6 and the catalogue by country; their countries must agree."""
        sealed_inputs(run, reader, self.stale_input)
        with ThreadPoolExecutor(run.threads) as pool:
            staged = [
                pool.submit(stage_by_country, run, reader, "s5_site_tile_assignment", _S5),
                pool.submit(stage_by_country, run, reader, "s6_site_jitter", _S6),
                pool.submit(_stage_catalogue, run, reader),
            ]
        s5, s6, catalogue = (future.result() for future in staged)
        for code in sorted(set(s5) | set(s6)):
            if s5.get(code, 0) != s6.get(code, 0):
                extra = s6.get(code, 0) > s5.get(code, 0)
                fault = "E702_ROW_EXTRA" if extra else "E701_ROW_MISSING"
                problem = f"{code}: S5 has {s5.get(code, 0)} sites, S6 {s6.get(code, 0)}"
                raise Segment1BError(fault, problem, redo("s5"), country_iso=code)
        excluded = set(_excluded(reader))
        for code in sorted(set(s5) | (set(catalogue) - excluded)):
            if s5.get(code, 0) == catalogue.get(code, 0):
                continue
            raise Segment1BError(
                "E708_1A_COVERAGE_FAIL",
                f"{code}: {catalogue.get(code, 0)} outlets in the catalogue, {s5.get(code, 0)} "
                f"sites; excluded by policy are {sorted(excluded)}",
                country_iso=code,
            )
        return country_shards(reader, s5, "tile_bounds")

    def work(self, run: Run, shard: CountryShard) -> ShardResult:
        """Join the sites of a shard's countries and stage the piece."""
        reader = run.reader(self)
        joined = _joined(run, shard)
        used = {code: distinct(rows["tile_id"]) for code, rows in joined.items()}
        bounds = read_bounds(reader, shard, used, "E709_TILE_FK_VIOLATION")
        tables: list[pa.Table] = []
        counters = {}
        for code, rows in joined.items():
            covered, missed = _coverage(run, code, rows)
            tile = np.searchsorted(used[code], rows["tile_id"])
            tiles = Tiles(*(bounds[code][name][tile] for name in BOUNDS))
            lon, lat = point(rows["delta_lon_deg"], rows["delta_lat_deg"], tiles)
            known = np.isfinite(tiles.west)
            inside = inside_tile(lon, lat, tiles)
            _check_inside(code, rows, inside)
            columns = {
                "merchant_id": rows["merchant_id"],
                "legal_country_iso": code,
                "site_order": rows["site_order"],
                "tile_id": rows["tile_id"],
                "lon_deg": lon,
                "lat_deg": lat,
            }
            tables += country_tables(run, "s7_site_synthesis", columns, len(rows))
            counters[code] = {
                "sites": len(rows),
                "tiles": len(used[code]),
                "inside": int(np.count_nonzero(inside)),
                "known": int(np.count_nonzero(known)),
                "covered": covered,
                "missed": missed,
            }
        return stage_pieces(run, reader, shard, counters, {"s7_site_synthesis": tables})

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return the parity, coverage and containment counts."""
        reader = run.reader(self)
        counters = {code: country for r in results for code, country in r.counters.items()}
        sites = sum(result.rows for result in results)
        outlets = read_json(reader.file("s3_run_report"))["source_rows_total"]
        excluded = _excluded(reader)
        kept = outlets - sum(country["sites"] for country in excluded.values())
        check_conserved("outlets of the catalogue", sites, kept, "s3")
        for dataset_id in ("s5_site_tile_assignment", "s6_site_jitter"):
            expected = reader.partition(dataset_id).report["rows_emitted"]
            check_conserved(f"sites of {dataset_id}", sites, expected, dataset_id[:2])
        total = {name: sum(country[name] for country in counters.values()) for name in _TESTED}
        receipt = read_json(reader.file("s0_gate_receipt_1B"))
        body: dict[str, Any] = {
            **run.heading,
            "rows_emitted": sites,
            "sites_total_s5": reader.partition("s5_site_tile_assignment").receipt.rows,
            "sites_total_s6": reader.partition("s6_site_jitter").receipt.rows,
            "sites_total_s7": sites,
            "parity_s5_s7_ok": reader.partition("s5_site_tile_assignment").receipt.rows == sites,
            "parity_s5_s6_ok": reader.partition("s6_site_jitter").receipt.rows == sites,
            "fk_tile_ok_count": total["known"],
            "fk_tile_fail_count": sites - total["known"],
            "inside_pixel_ok_count": total["inside"],
            "inside_pixel_fail_count": sites - total["inside"],
            "coverage_1a_ok_count": total["covered"],
            "coverage_1a_miss_count": total["missed"],
            "excluded_by_policy": excluded,
            "flag_sha256_hex": receipt["flag_sha256_hex"],
            "by_country": {
                code: {name: country[name] for name in ("sites", "tiles", "inside")}
                for code, country in sorted(counters.items())
            },
        }
        return Report(body)


def _excluded(reader: Reader) -> dict[str, Any]:
    """Return what S3's policy left out; nothing else excuses a country."""
    report = read_json(reader.file("s3_run_report"))
    return dict(report["excluded_by_policy"])


def _stage_catalogue(run: Run, reader: Reader) -> dict[str, int]:
    folder = reader.file("outlet_catalogue")
    dataset = reader.dataset("outlet_catalogue")
    paths = sorted((p for p in folder.rglob("*") if p.is_file()), key=Path.as_posix)
    tables = (
        _coded(table)
        for path in paths
        for table in ingress_groups(reader, dataset, path, [*_KEY, COUNTRY])
    )
    return split_by_country(run.staging / "outlet_catalogue.split", dataset, _KEY, tables)


def _coded(table: pa.Table) -> pa.Table:
    at = table.column_names.index(COUNTRY)
    return table.set_column(at, COUNTRY, table.column(at).combine_chunks().dictionary_encode())


def _joined(run: Run, shard: CountryShard) -> dict[str, Records]:
    """Return S6's rows of each country once they are S5's."""
    assigned = staged_rows(run, "s5_site_tile_assignment", _S5, shard)
    placed = staged_rows(run, "s6_site_jitter", _S6, shard)
    for code, rows in placed.items():
        _check_same(code, assigned[code], rows)
    return placed


def _check_same(code: str, s5: Records, s6: Records) -> None:
    """Refuse rows of S6 that are not S5's, key by key and tile by tile."""
    for names, fault in ((_KEY, "E701_ROW_MISSING"), (["tile_id"], "E702_ROW_EXTRA")):
        same = np.ones(len(s5), bool)
        for name in names:
            same &= s5[name] == s6[name]
        if not same.all():
            problem = f"S5 and S6 differ in {', '.join(names)}"
            raise _site_error(fault, code, s5[~same][0], problem, redo("s5"))


def _coverage(run: Run, code: str, rows: Records) -> tuple[int, int]:
    """Return how many sites are outlets and how many outlets have no site, or raise E708."""
    dataset = run.contracts["outlet_catalogue"]
    folder = run.staging / "outlet_catalogue.split"
    outlets = read_split(folder, code, dataset, _KEY, len(rows))
    outlets = outlets[np.lexsort((outlets["site_order"], outlets["merchant_id"]))]
    same = np.ones(len(rows), bool)
    for name in _KEY:
        same &= outlets[name] == rows[name]
    covered = int(np.count_nonzero(same))
    if covered != len(rows):
        problem = f"{code}: the {len(rows)} sites are not the outlets of the catalogue"
        raise Segment1BError("E708_1A_COVERAGE_FAIL", problem, country_iso=code)
    return covered, len(outlets) - covered


def _check_inside(code: str, rows: Records, inside: npt.NDArray[np.bool_]) -> None:
    if not inside.all():
        problem = f"the point is outside its tile; {int((~inside).sum())} such sites"
        hint = f"s6_site_jitter was changed: {redo('s6')}"
        raise _site_error("E707_POINT_OUTSIDE_PIXEL", code, rows[~inside][0], problem, hint)


def _site_error(code: str, iso: str, row: Any, reason: str, hint: str) -> Segment1BError:
    order = int(row["site_order"])
    problem = f", site {order}: {reason}"
    return pair_error(code, row["merchant_id"], iso, problem, hint, site_order=order)
