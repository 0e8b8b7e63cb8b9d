"""S8, egress: publish the coordinates as the segment's final, order-free dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from segment1b.errors import Segment1BError
from segment1b.evidence.versions import versions
from segment1b.states.protocol import Report, Run, ShardResult, check_conserved
from segment1b.states.seal import sealed_inputs
from segment1b.storage.gather import write_piece
from segment1b.storage.reader import Reader

_COLUMNS = ["merchant_id", "legal_country_iso", "site_order", "lon_deg", "lat_deg"]


class S8Egress:
    """place.md, section 5: bit-equal to S7; parameter_hash leaves the path, but is checked."""

    id = "s8"
    reads: tuple[str, ...] = ("s0_gate_receipt_1B", "s7_site_synthesis")
    writes: tuple[str, ...] = ("site_locations",)
    disallowed_read = "E510_DISALLOWED_READ"
    stale_input = "E809_PARTITION_SHIFT_VIOLATION"
    missing_input: Mapping[str, str] = {
        "s0_gate_receipt_1B": "E301_NO_PASS_FLAG",
        "s7_site_synthesis": "E801_ROW_MISSING",
    }
    meters: Mapping[str, str] = {}

    def shards(self, run: Run, reader: Reader) -> Sequence[int]:
        """Return the numbers of S7's part files."""
        sealed_inputs(run, reader, self.stale_input)
        dataset = run.contracts["site_locations"]
        if "parameter_hash" in dataset.tokens:
            raise Segment1BError(
                "E809_PARTITION_SHIFT_VIOLATION",
                f"the dictionary keys {dataset.id} by parameter_hash",
                "the fingerprint covers it: take it out of the path",
            )
        if not dataset.final_in_layer:
            raise Segment1BError(
                "E811_FINAL_FLAG_MISMATCH",
                f"the dictionary does not call {dataset.id} final_in_layer",
                "set final_in_layer: true",
            )
        return range(len(reader.partition("s7_site_synthesis").paths))

    def work(self, run: Run, shard: int) -> ShardResult:
        """Copy one part without tile_id."""
        reader = run.reader(self)
        dataset = run.contracts["site_locations"]
        by_country: Counter[str] = Counter()
        tables = []
        for table in reader.row_groups(
            reader.partition("s7_site_synthesis"), _COLUMNS, None, [shard]
        ):
            tables.append(table.cast(dataset.words_schema))
            for entry in table.column("legal_country_iso").value_counts().to_pylist():
                by_country[entry["values"]] += entry["counts"]
        rows = write_piece(run.staged("site_locations", shard), dataset, tables)
        return ShardResult(rows, by_country, reader.bytes_read, {dataset.id: rows})

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Return the parity with S7."""
        by_country: Counter[str] = Counter()
        for result in results:
            by_country.update(result.counters)
        rows = sum(result.rows for result in results)
        synthesis = run.reader(self).partition("s7_site_synthesis")
        s7 = synthesis.receipt.rows
        check_conserved("rows of s7_site_synthesis", rows, s7, "s7")
        for code, own in synthesis.report["by_country"].items():
            what = f"sites of s7_site_synthesis in {code}"
            check_conserved(what, by_country[code], own["sites"], "s7")
        return Report(
            {
                **run.identity.tokens,
                "run_id": run.identity.run_id,
                "versions": versions(),
                "parameter_hash_consumed": run.identity.parameter_hash,
                "rows_emitted": rows,
                "rows_s7": s7,
                "rows_s8": rows,
                "parity_ok": s7 == rows,
                "schema_fail_count": 0,
                "path_embed_mismatches": 0,
                "writer_sort_violations": 0,
                "order_leak_indicators": 0,
                "by_country": dict(sorted(by_country.items())),
            }
        )
