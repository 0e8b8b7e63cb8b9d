"""S7, join: one checked coordinate per site from S5, S6 and the grid, without draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from segment1b.errors import Segment1BError, pair_error, redo
from segment1b.laws.jitter import Tiles, inside_tile, point
from segment1b.states.by_country import (
    BOUNDS,
    CountryShard,
    CountryState,
    Job,
    add_split,
    country_shards,
    split_path,
    stage_by_country,
)
from segment1b.states.protocol import (
    Countries,
    OnWorkers,
    Report,
    Run,
    catalogue_files,
    check_conserved,
    total,
)
from segment1b.storage.durable import read_json
from segment1b.storage.ingress import ingress_groups
from segment1b.storage.reader import Reader
from segment1b.storage.records import COUNTRY, Records, Split, rows_of, split_by_country

_KEY = ["merchant_id", "site_order"]
_S5 = "s5_site_tile_assignment"


class S7Synthesis(CountryState):
    """Merge by key, add, test again, cover the catalogue; see docs/spec/s7-join.md#law."""

    id = "s7"
    source = "s6_site_jitter"
    columns = (*_KEY, "tile_id", "delta_lat_deg", "delta_lon_deg")
    unlisted = "E709_TILE_FK_VIOLATION"

    def shards(self, run: Run, reader: Reader, on_workers: OnWorkers) -> Sequence[CountryShard]:
        """Stage S5, S6 and the catalogue by country; their countries must agree."""
        self.sealed_inputs(run, reader)
        sources = {_S5: self.columns[:3], self.source: self.columns}
        staged, outlets = stage_by_country(reader, sources, on_workers), Split()
        for split in on_workers(_split_catalogue, range(len(catalogue_files(reader)))):
            add_split(outlets, split)
        staged["outlet_catalogue"] = outlets
        s5, s6, catalogue = map(rows_of, staged.values())
        excluded = _s3_report(reader)["excluded_by_policy"]
        for code in sorted(set(s5) | set(s6)):
            if s5.get(code, 0) != s6.get(code, 0):
                extra = s6.get(code, 0) > s5.get(code, 0)
                fault = "E702_ROW_EXTRA" if extra else "E701_ROW_MISSING"
                problem = f"{code}: S5 has {s5.get(code, 0)} sites, S6 {s6.get(code, 0)}"
                raise Segment1BError(fault, problem, redo("s5"), country_iso=code)
        for code in sorted(set(s5) | (set(catalogue) - set(excluded))):
            if s5.get(code, 0) != catalogue.get(code, 0):
                raise Segment1BError(
                    "E708_1A_COVERAGE_FAIL",
                    f"{code}: {catalogue.get(code, 0)} outlets in the catalogue, "
                    f"{s5.get(code, 0)} sites; excluded by policy are {sorted(excluded)}",
                    country_iso=code,
                )
        return country_shards(reader, staged, "tile_bounds")

    def law(self, job: Job, rows: Mapping[str, Records]) -> Iterator[dict[str, Any]]:
        """Join the sites of each country."""
        assigned, outlets = job.rows(_S5, self.columns[:3]), job.rows("outlet_catalogue", _KEY)
        for code, sites in rows.items():
            _check_same(code, assigned[code], sites)
        used, at = {}, {}
        for code, sites in rows.items():
            used[code], at[code] = np.unique(sites["tile_id"], return_inverse=True)
        bounds = job.tiles("tile_bounds", BOUNDS, used, self.unlisted)
        for code, sites in rows.items():
            covered, missed = _coverage(code, outlets[code], sites)
            tile = at[code]
            tiles = Tiles(*(bounds[code][name][tile] for name in BOUNDS))
            lon, lat = point(sites["delta_lon_deg"], sites["delta_lat_deg"], tiles)
            inside = inside_tile(lon, lat, tiles)
            if not inside.all():
                problem = f"the point is outside its tile; {int((~inside).sum())} such sites"
                hint = f"s6_site_jitter was changed: {redo('s6')}"
                raise _site_error(
                    "E707_POINT_OUTSIDE_PIXEL", code, sites[~inside][0], problem, hint
                )
            job.counters[code] = {
                "used": used[code],
                "sites": len(sites),
                "tiles": len(used[code]),
                "inside": int(np.count_nonzero(inside)),
                "known": int(np.count_nonzero(bounds[code]["listed"][tile])),
                "covered": covered,
                "missed": missed,
            }
            yield {
                "merchant_id": sites["merchant_id"],
                "legal_country_iso": code,
                "site_order": sites["site_order"],
                "tile_id": sites["tile_id"],
                "lon_deg": lon,
                "lat_deg": lat,
            }

    def summary(self, run: Run, reader: Reader, rows: int, countries: Countries) -> Report:
        """Return the parity, coverage and containment counts."""
        s3, s5, s6 = _s3_report(reader), reader.partition(_S5), reader.partition(self.source)
        excluded = s3["excluded_by_policy"]
        kept = s3["source_rows_total"] - total(excluded, "sites")
        check_conserved("outlets of the catalogue", rows, kept, "s3")
        for source in (s5, s6):
            name, state = source.dataset.id, source.dataset.owner.lower()
            check_conserved(f"sites of {name}", rows, source.report["rows_emitted"], state)
        known, inside = total(countries, "known"), total(countries, "inside")
        receipt = read_json(reader.file("s0_gate_receipt_1B"))
        body: dict[str, Any] = {
            **run.heading,
            "rows_emitted": rows,
            "sites_total_s5": s5.receipt.rows,
            "sites_total_s6": s6.receipt.rows,
            "sites_total_s7": rows,
            "parity_s5_s7_ok": s5.receipt.rows == rows,
            "parity_s5_s6_ok": s6.receipt.rows == rows,
            "fk_tile_ok_count": known,
            "fk_tile_fail_count": rows - known,
            "inside_pixel_ok_count": inside,
            "inside_pixel_fail_count": rows - inside,
            "coverage_1a_ok_count": total(countries, "covered"),
            "coverage_1a_miss_count": total(countries, "missed"),
            "excluded_by_policy": excluded,
            "flag_sha256_hex": receipt["flag_sha256_hex"],
            "by_country": {
                code: {name: country[name] for name in ("sites", "tiles", "inside")}
                for code, country in countries.items()
            },
        }
        return Report(body)


def _s3_report(reader: Reader) -> dict[str, Any]:
    """Return S3's report: it names what the policy left out; nothing else excuses a country."""
    return dict(read_json(reader.file("s3_run_report")))


def _split_catalogue(run: Run, reader: Reader, number: int) -> Split:
    dataset, path = reader.dataset("outlet_catalogue"), catalogue_files(reader)[number]
    tables = map(_coded, ingress_groups(reader, dataset, path, [*_KEY, COUNTRY]))
    return split_by_country(split_path(run, dataset.id, number), dataset, _KEY, tables)


def _coded(table: pa.Table) -> pa.Table:
    at = table.column_names.index(COUNTRY)
    return table.set_column(at, COUNTRY, table.column(at).combine_chunks().dictionary_encode())


def _check_same(code: str, s5: Records, s6: Records) -> None:
    """Refuse rows of S6 that are not S5's, key by key and tile by tile."""
    for names, fault in ((_KEY, "E701_ROW_MISSING"), (["tile_id"], "E702_ROW_EXTRA")):
        same = np.ones(len(s5), bool)
        for name in names:
            same &= s5[name] == s6[name]
        if not same.all():
            problem = f"S5 and S6 differ in {', '.join(names)}"
            raise _site_error(fault, code, s5[~same][0], problem, redo("s5"))


def _coverage(code: str, outlets: Records, rows: Records) -> tuple[int, int]:
    """Return how many sites are outlets and how many outlets have no site, or raise E708."""
    outlets = outlets[np.lexsort((outlets["site_order"], outlets["merchant_id"]))]
    same = np.ones(len(rows), bool)
    for name in _KEY:
        same &= outlets[name] == rows[name]
    covered = int(np.count_nonzero(same))
    if covered != len(rows):
        problem = f"{code}: the {len(rows)} sites are not the outlets of the catalogue"
        raise Segment1BError("E708_1A_COVERAGE_FAIL", problem, country_iso=code)
    return covered, len(outlets) - covered


def _site_error(code: str, iso: str, row: Any, reason: str, hint: str) -> Segment1BError:
    order = int(row["site_order"])
    problem = f", site {order}: {reason}"
    return pair_error(code, row["merchant_id"], iso, problem, hint, site_order=order)
