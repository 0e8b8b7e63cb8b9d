"""S8, site_locations: publishes the coordinates as the final, order-free dataset."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b.contracts import Dataset
from segment1b.errors import Segment1BError
from segment1b.states.protocol import OnWorkers, Report, Run, ShardResult, State, check_conserved
from segment1b.storage.arrays import rebatch
from segment1b.storage.durable import read_json
from segment1b.storage.parts import FILE_ROWS, GROUP_ROWS
from segment1b.storage.proofs import write_proven
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import key_words

# site_order numbers the sites of a pair; it is part of the key and ranks no country.
_RANKS = re.compile(r"rank|(?<!site_)order|priority|position|precedence", re.IGNORECASE)


class S8Egress(State):
    """Bit-equal to S7, without parameter_hash in the path: docs/spec/s8-site-locations.md#law.

    A part of S7 is a part of S8: both have the same rows in each file.
    """

    id = "s8"
    stages_parts = True

    def shards(self, run: Run, reader: Reader, _on_workers: OnWorkers) -> Sequence[int]:
        """Return the numbers of S7's part files."""
        self.sealed_inputs(run, reader)
        dataset = run.contracts["site_locations"]
        if "parameter_hash" in dataset.tokens:
            problem = f"the path of {dataset.id} in the dictionary has parameter_hash"
            raise Segment1BError("E809_PARTITION_SHIFT_VIOLATION", problem)
        if not dataset.final_in_layer:
            problem = f"{dataset.id} is not final_in_layer in the dictionary"
            raise Segment1BError("E811_FINAL_FLAG_MISMATCH", problem)
        return range(len(reader.partition("s7_site_synthesis").paths))

    def work(self, run: Run, reader: Reader, shard: int) -> ShardResult:
        """Write one part of S7 without tile_id."""
        dataset = run.contracts["site_locations"]
        by_country: Counter[str] = Counter()
        tables = []
        invalid = unsorted = 0
        last: list[Any] = []
        synthesis = reader.partition("s7_site_synthesis")
        for table in reader.row_groups(synthesis, dataset.arrow_schema.names, None, [shard]):
            tables.append(table.cast(dataset.words_schema))
            for entry in table.column("legal_country_iso").value_counts().to_pylist():
                by_country[entry["values"]] += entry["counts"]
            invalid += _invalid_rows(tables[-1], dataset)
            count, last = _unsorted_rows(tables[-1], dataset, last)
            unsorted += count
        groups = rebatch(tables, GROUP_ROWS)
        proof = write_proven(run.staged(dataset.id, shard), dataset, groups)
        expected = min(FILE_ROWS, synthesis.receipt.rows - shard * FILE_ROWS)
        name = f"rows of {synthesis.paths[shard].name} of s7_site_synthesis"
        check_conserved(name, proof.rows, expected, "s7")
        counters = {"by_country": by_country, "invalid": invalid, "unsorted": unsorted}
        return ShardResult.of_parts({dataset.id: [proof]}, counters)

    def report(self, run: Run, reader: Reader, rows: int, counters: Sequence[Any]) -> Report:
        """Return the parity with S7."""
        by_country: Counter[str] = Counter()
        for shard in counters:
            by_country.update(shard["by_country"])
        synthesis = reader.partition("s7_site_synthesis")
        s7 = synthesis.receipt.rows
        check_conserved("rows of s7_site_synthesis", rows, s7, "s7")
        for code, country in synthesis.report["by_country"].items():
            name = f"sites of s7_site_synthesis in {code}"
            check_conserved(name, by_country[code], country["sites"], "s7")
        parts = [run.staged("site_locations", number) for number in range(len(counters))]
        columns = {name for path in parts for name in pq.read_schema(path).names}
        return Report(
            {
                **run.heading,
                "parameter_hash_consumed": run.identity.parameter_hash,
                "rows_emitted": rows,
                "rows_s7": s7,
                "rows_s8": rows,
                "parity_ok": s7 == rows,
                "schema_fail_count": sum(shard["invalid"] for shard in counters),
                "path_embed_mismatches": _foreign_tokens(run, reader),
                "writer_sort_violations": sum(shard["unsorted"] for shard in counters),
                "order_leak_indicators": sum(bool(_RANKS.search(name)) for name in columns),
                "by_country": dict(sorted(by_country.items())),
            }
        )


def _invalid_rows(table: pa.Table, dataset: Dataset) -> int:
    """Count rows with a null, a NaN or a value outside what the schema allows."""
    invalid = np.zeros(len(table), bool)
    for column in dataset.columns:
        values = table.column(column.name).combine_chunks()
        if pa.types.is_dictionary(values.type):
            known = pc.match_substring_regex(values.dictionary, column.pattern or "")
            fits = known.take(values.indices)
        else:
            fits = pc.is_finite(values) if pa.types.is_floating(values.type) else values.is_valid()
        for test, bound in (
            (pc.greater_equal, column.minimum),
            (pc.greater, column.exclusive_minimum),
            (pc.less_equal, column.maximum),
        ):
            if bound is not None:
                fits = pc.and_(fits, test(values, pa.scalar(bound, values.type)))
        invalid |= ~fits.fill_null(False).to_numpy(zero_copy_only=False)
    return int(np.count_nonzero(invalid))


def _unsorted_rows(table: pa.Table, dataset: Dataset, last: list[Any]) -> tuple[int, list[Any]]:
    """Count rows whose key is not above the one before (`last`, if any); return the last key."""
    if not len(table):
        return 0, last
    keys = [key_words(table.column(name)) for name in dataset.key]
    previous = [
        np.concatenate(([before], key[:-1])).astype(key.dtype)
        for before, key in zip(last or [key[0] for key in keys], keys, strict=True)
    ]
    rises = np.zeros(len(table), bool)
    equal = np.ones(len(table), bool)
    for key, before in zip(keys, previous, strict=True):
        rises |= equal & (key > before)
        equal &= key == before
    count = np.count_nonzero(~rises) - (not last)
    return int(count), [key[-1] for key in keys]


def _foreign_tokens(run: Run, reader: Reader) -> int:
    """Count tokens of the egress path that are not those of the gate's receipt and of S7."""
    documents = (
        read_json(reader.file("s0_gate_receipt_1B")),
        reader.partition("s7_site_synthesis").report,
    )
    tokens = run.contracts["site_locations"].tokens
    return sum(document[token] != run.places[token] for document in documents for token in tokens)
