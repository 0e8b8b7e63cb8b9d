"""The data sample: pairs drawn by the run id, with their rows in every published table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from segment1b.contracts import Dataset
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.read.gate import open_parts
from segment1b.storage.parts import write_part
from segment1b.storage.snapshot import Partition, Snapshot

COUNTRY = "legal_country_iso"
_PAIR = ["merchant_id", COUNTRY]
_TILE = ["country_iso", "tile_id"]


@dataclass(frozen=True)
class Sampled:
    """Number of pairs, the pair that the README shows, and rows sampled and in all by dataset."""

    pairs: int
    shown: tuple[int, str]
    rows: dict[str, int]
    of_rows: dict[str, int]


def write_sample(run: Snapshot, sites: int, folder: Path) -> Sampled:
    """Write the sample of every published table to `folder` as Parquet and as CSV.

    It has at most `sites` outlets, unless the smallest pair has more.

    Raises:
        Segment1BError: the receipt code of a dataset whose files are not those of its receipt.
    """
    published = [d for d in run.receipted() if d.kind == "table"]
    partitions = {d.id: _partition(run, d) for d in published}
    pairs = _chosen(_table(partitions["s3_requirements"]), run.identity, sites)
    plan = _about(partitions["s4_alloc_plan"], pairs, _PAIR)
    tiles = plan.select([COUNTRY, "tile_id"]).rename_columns(_TILE).group_by(_TILE).aggregate([])
    rows = {}
    for dataset in published:
        wanted = (pairs, _PAIR) if dataset.key[:2] == _PAIR else (tiles, _TILE)
        table = _about(partitions[dataset.id], *wanted)
        stem = dataset.id.replace("/", "-")
        write_part(folder / f"{stem}.parquet", dataset, [table])
        pacsv.write_csv(table, folder / f"{stem}.csv")
        rows[dataset.id] = table.num_rows
    whole = {name: partition.receipt.rows for name, partition in partitions.items()}
    return Sampled(pairs.num_rows, _readable(pairs, plan), rows, whole)


def _chosen(requirements: pa.Table, identity: Identity, sites: int) -> pa.Table:
    """Return pairs that fit, drawn in the order of words under the run id, in key order.

    No pair takes more than a quarter of the sites, so that there are several; where none fits, the
    smallest is taken.
    """
    n = requirements.column("n_sites").to_numpy()
    words = np.random.Philox(key=int(identity.run_id, 16)).random_raw(len(n))
    order = np.argsort(words, kind="stable")
    chosen: list[int] = []
    left = sites
    for at in order[n[order] <= max(1, sites // 4)].tolist():
        if n[at] <= left:
            chosen.append(at)
            left -= int(n[at])
        if not left:
            break
    rows: npt.NDArray[np.int64] = np.array(sorted(chosen or [int(np.argmin(n))]), np.int64)
    return requirements.take(pa.array(rows)).combine_chunks()


def _readable(pairs: pa.Table, plan: pa.Table) -> tuple[int, str]:
    """Return the smallest pair of those with six tiles, or the one with the most tiles."""
    tiles = plan.group_by(_PAIR).aggregate([("tile_id", "count")])
    rows = tiles.join(pairs, _PAIR).sort_by([(name, "ascending") for name in _PAIR]).to_pylist()
    best = max(rows, key=lambda row: (min(row["tile_id_count"], 6), -row["n_sites"]))
    return best["merchant_id"], best[COUNTRY]


def _about(partition: Partition, wanted: pa.Table, keys: list[str]) -> pa.Table:
    """Return a table's rows with the wanted keys, in key order."""
    # Filters on single columns skip row groups by their statistics; the join is exact.
    near = [pc.field(key).isin(wanted.column(key).unique()) for key in keys]
    candidates = _table(partition, near[0] & near[1])
    dataset = partition.dataset
    rows = candidates.join(wanted.select(keys), keys, join_type="left semi")
    rows = rows.sort_by([(name, "ascending") for name in dataset.key])
    return rows.select(dataset.arrow_schema.names).cast(dataset.arrow_schema)


def _table(partition: Partition, where: pc.Expression | None = None) -> pa.Table:
    return open_parts(partition.paths, partition.dataset).to_table(filter=where)


def _partition(run: Snapshot, dataset: Dataset) -> Partition:
    partition = run.partition(dataset.id)
    if partition is None:
        what = f"{run.path(dataset.id)} is absent or has no run report"
        hint = "run the states first"
        raise Segment1BError(dataset.code("receipt"), what, hint, dataset=dataset.id)
    return partition
