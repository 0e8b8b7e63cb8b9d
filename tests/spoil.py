"""Published small worlds, and changes of rows that validators have to find."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import worlds
from segment1b import contracts
from segment1b.audit import CheckResult, validate
from segment1b.audit.proofs import prove_table
from segment1b.audit.published_files import Published, blocks_by, declared_columns
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.pipeline.outcome import RunResult

Rows = list[dict[str, Any]]
Change = Callable[[Any], object]
KNOWN = contracts.load()
PAIR = ("merchant_id", "legal_country_iso")

INDEX, BOUNDS, WEIGHTS = "tile_index", "tile_bounds", "tile_weights"
CENTRES, CENTRE_LOG = "tile_centres", "rng_event_centre_jitter"
NEEDS, PLAN = "s3_requirements", "s4_alloc_plan"
ASSIGNED, ASSIGN_LOG = "s5_site_tile_assignment", "rng_event_site_tile_assign"
JITTERED, JITTER_LOG = "s6_site_jitter", "rng_event_in_cell_jitter"
JOINED, LOCATED = "s7_site_synthesis", "site_locations"
#: The state that publishes a table.
STATE = {
    **dict.fromkeys((INDEX, BOUNDS), "s1"),
    **dict.fromkeys((WEIGHTS, CENTRES), "s2"),
    NEEDS: "s3",
    PLAN: "s4",
    **dict.fromkeys((ASSIGNED, ASSIGN_LOG), "s5"),
    **dict.fromkeys((JITTERED, JITTER_LOG, CENTRE_LOG), "s6"),
    JOINED: "s7",
    LOCATED: "s8",
}


class Failing(dict[str, CheckResult]):
    """Failing checks by state and name."""

    def of_code(self, code: str) -> CheckResult:
        results = [result for result in self.values() if result.code == code]
        assert results, f"no check has {code}, but {[(n, r.code) for n, r in self.items()]}"
        return results[0]

    def rows(self, code: str) -> Rows:
        return [row for result in self.values() if result.code == code for row in result.rows]


@dataclass(frozen=True)
class World:
    """A data root with everything published at one identity."""

    name: str
    root: Path
    tokens: dict[str, Any]

    @property
    def identity(self) -> dict[str, Any]:
        return {name: value for name, value in self.tokens.items() if name != "run_id"}

    def run(self, from_state: str, to_state: str = "s9", **more: Any) -> RunResult:
        settings = WORLDS[self.name][1:]
        return worlds.run(
            self.root, settings=settings, from_state=from_state, to_state=to_state, **more
        )

    def refused(self, state: str, to_state: str = "", **more: Any) -> Segment1BError:
        """Run a state again and expect a coded refusal that is recorded; nothing stays staged."""
        with pytest.raises(Segment1BError) as caught:
            self.run(state, to_state or state, **more)
        records = [json.loads(p.read_text()) for p in (self.root / "control/failures").iterdir()]
        assert caught.value.code in {record["code"] for record in records}
        assert not [path for path in (self.root / ".staging").iterdir() if path.is_dir()]
        return caught.value

    def remove(self, *states: str) -> None:
        for dataset in KNOWN:
            if dataset.owner.lower() in states and self.tokens.keys() >= set(dataset.tokens):
                path = self.path(dataset.id)
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)

    def path(self, dataset_id: str) -> Path:
        return self.root / KNOWN[dataset_id].locate(self.tokens)

    @property
    def published(self) -> Published:
        """The root as the validators see it, nothing read yet."""
        return Published(self.root, KNOWN, self.tokens)

    def part(self, dataset_id: str) -> Path:
        return self.path(dataset_id) / "part-00000.parquet"

    def failing(self, *states: str) -> Failing:
        results = validate(self.root, KNOWN, self.tokens, states)
        return Failing({f"{r.state} {r.name}": r for r in results if not r.ok})

    def edit(self, dataset_id: str, change: Change) -> None:
        """Rewrite a part file with changed rows, in the row groups it had."""
        with pq.ParquetFile(self.part(dataset_id)) as file:
            schema = file.schema_arrow
            rows = [
                {**row, "_group": group}
                for group in range(file.num_row_groups)
                for row in file.read_row_group(group).to_pylist()
            ]
        change(rows)
        with pq.ParquetWriter(self.part(dataset_id), schema) as writer:
            for group in sorted({row["_group"] for row in rows}):
                mine = [{n: r[n] for n in schema.names} for r in rows if r["_group"] == group]
                writer.write_table(pa.Table.from_pylist(mine, schema=schema))

    def forge(self, dataset_id: str, change: Change) -> None:
        """Change rows of a part file, and its receipt to fit."""
        self.edit(dataset_id, change)
        self.forge_receipt(dataset_id)

    def write(
        self, dataset_id: str, change: Callable[[pa.Table], pa.Table], **options: Any
    ) -> None:
        """Rewrite a part file as another table."""
        table = pq.read_table(self.part(dataset_id))
        pq.write_table(change(table), self.part(dataset_id), **options)

    def rewrite(self, dataset_id: str, change: Change, name: str = "") -> None:
        """Rewrite a JSON document, or one by name in a folder; a list replaces it whole."""
        path = self.path(dataset_id) / name if name else self.path(dataset_id)
        value = json.loads(path.read_bytes())
        changed = change(value)
        path.write_text(json.dumps(changed if isinstance(changed, list) else value))

    def rewrite_lines(self, dataset_id: str, change: Change) -> None:
        path = self.path(dataset_id)
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        change(rows)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def forge_receipt(self, dataset_id: str) -> None:
        """Make the run report's receipt fit the files as they are now."""
        dataset, folder = KNOWN[dataset_id], self.path(dataset_id)
        files = sorted(folder.iterdir())
        proof = prove_table(folder, files, declared_columns(dataset), blocks_by(dataset))
        receipt = {
            "rows": proof.rows,
            "sha256_hex": proof.composite,
            "content_sha256_hex": proof.content,
            "files": [
                {"path": f.name, "bytes": f.size, "sha256_hex": f.sha256} for f in proof.files
            ],
        }
        assert dataset.receipt_in is not None
        self.rewrite(
            dataset.receipt_in, lambda report: report[dataset.receipt_field].update(receipt)
        )


#: Small worlds by name: the last state that is published, and the settings.
WORLDS = {
    "systematic": ("s9", "allocation.law=systematic"),
    "balanced": ("s9", "allocation.law=balanced"),
    "ties": (
        *("s4", "allocation.law=largest_remainder", "prep.basis=uniform"),
        "prep.exclude_countries=[LS]",
    ),
    # Sites with points of their own, and sites that are permuted over the tiles of their pair.
    "stable": ("s9", "allocation.law=stable"),
    "permuted": ("s9", "allocation.law=largest_remainder", "prep.exclude_countries=[LS]"),
    # Merchants of three trades, in tiles of 20 by 20 cells of the layers.
    "trades": ("s9", "allocation.law=stable"),
    # With every figure that is taken only where it is bounded, none of which fails S9.
    "trades_bounded": (
        *("s9", "allocation.law=stable", "realism.few_sites=5", "realism.many_sites=10"),
        *("realism.max_fullest_tile_share=0.0", "realism.min_nearest_outlet_m=1000000"),
        "realism.urban_share={everything: [0, 0], fuel: [1, 1]}",
    ),
    "trades_balanced": ("s5", "allocation.law=balanced"),
    "trades_permuted": ("s5", "allocation.law=largest_remainder"),
    # One attempt a site: many end in the last lane.
    "hurried": (
        *("s6", "jitter.max_attempts_tile=1", "jitter.max_attempts_clip=0"),
        "jitter.centres=null",
    ),
}


def publish(folder: Path, name: str) -> World:
    """Publish one of WORLDS."""
    to_state, *settings = WORLDS[name]
    root = worlds.lay_small_world(folder / "root", degrees=1.0)
    outlets = worlds.outlet_list(folder / "outlets.csv", merchants=20)
    if name.startswith("trades"):
        worlds.lay_layers(root)
        worlds.add_trades(outlets)
    result = worlds.run(
        root, outlets=outlets, settings=settings, merchant_summaries=True, to_state=to_state
    )
    return World(name, root, Identity(**result.identity).places)  # type: ignore[arg-type]


# ------------------------------------------------------------------ changes of rows


def no_inputs(report: dict[str, Any]) -> None:
    """Let a run report name no inputs, so that its state runs again."""
    report["input_digests"] = {}


def first(**values: Any) -> Change:
    """Change fields of the first row."""
    return lambda rows: rows[0].update(values)


def middle(rows: Rows) -> int:
    """Return a row in Portugal, or the middle one, that has a neighbour in its row group."""
    for at, row in enumerate(rows[:-1]):
        if row.get("country_iso") == "PT" and rows[at + 1]["_group"] == row["_group"]:
            return at
    return len(rows) // 2


def drop(rows: Rows) -> None:
    del rows[middle(rows)]


def swap(rows: Rows) -> None:
    at = middle(rows)
    rows[at], rows[at + 1] = rows[at + 1], rows[at]


def repeat(rows: Rows) -> None:
    at = middle(rows)
    rows.insert(at, dict(rows[at]))


def put(column: str, value: object) -> Change:
    return lambda rows: rows[middle(rows)].update({column: value})


def add(column: str, value: float = 1) -> Change:
    """Add to a column of one row."""

    def change(rows: Rows) -> None:
        rows[middle(rows)][column] += value

    return change


def move_unit(column: str) -> Change:
    """Take one from a row and give it to its neighbour, so that sums still hold."""

    def change(rows: Rows) -> None:
        at = middle(rows)
        rows[at][column] -= 1
        rows[at + 1][column] += 1

    return change


def move_site(rows: Rows) -> None:
    """Give a site of a pair's first tile to its second."""
    at = next(
        at
        for at, row in enumerate(rows)
        if row["n_sites_tile"] > 1 and all(rows[at + 1][n] == row[n] for n in PAIR)
    )
    rows[at]["n_sites_tile"] -= 1
    rows[at + 1]["n_sites_tile"] += 1


def exchange(column: str) -> Change:
    """Exchange the values of two sites of a pair, so that counts still hold."""

    def change(rows: Rows) -> None:
        at = next(
            at
            for at, row in enumerate(rows[:-1])
            if all(rows[at + 1][n] == row[n] for n in PAIR) and rows[at + 1][column] != row[column]
        )
        rows[at][column], rows[at + 1][column] = rows[at + 1][column], rows[at][column]

    return change
