"""S9, proof and gate: recheck everything by other means, then write the flag that opens S8."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segment1b.errors import Segment1BError
from segment1b.evidence.realism import breaches, measure
from segment1b.evidence.versions import versions
from segment1b.geo.countries import read_countries
from segment1b.states.by_country import stage_by_country
from segment1b.states.protocol import Report, Run, ShardResult
from segment1b.states.s9_bundle import write_bundle, write_flag
from segment1b.states.seal import sealed_inputs
from segment1b.storage.durable import make_folder, read_json
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import folder_receipt
from segment1b.storage.split import read_split
from segment1b.storage.working_copy import commit_of, origin
from segment1b.storage.write_through import commit_folder
from segment1b.validators.acceptance import STATES, Acceptance, accept, examine

_POINTS = ["tile_id", "lon_deg", "lat_deg"]
BUNDLE = "validation_bundle_1B"


class S9Validation:
    """The checks of place.md, section 6; a bundle that fails goes aside and carries no flag."""

    id = "s9"
    reads: tuple[str, ...] = (
        "s0_gate_receipt_1B",
        "s4_alloc_plan",
        "s5_site_tile_assignment",
        "s6_site_jitter",
        "s7_site_synthesis",
        "site_locations",
        "rng_event_site_tile_assign",
        "rng_event_in_cell_jitter",
        "tile_weights",
        "tile_bounds",
        "world_countries",
        "outlet_catalogue",
        "s3_run_report",
        "s4_run_report",
        "s5_run_report",
        "s6_run_report",
        "s8_run_report",
        "parameter_policy_1B",
    )
    writes: tuple[str, ...] = (BUNDLE,)
    disallowed_read = "E510_DISALLOWED_READ"
    stale_input = "E905_PARTITION_OR_IDENTITY"
    missing_input: Mapping[str, str] = {
        "s0_gate_receipt_1B": "E301_NO_PASS_FLAG",
        "site_locations": "E901_ROW_MISSING",
    }
    meters: Mapping[str, str] = {}

    def shards(self, run: Run, reader: Reader) -> Sequence[str]:
        """Check the seal and stage the points by country; a shard is a state, or realism."""
        sealed_inputs(run, reader, self.stale_input)
        stage_by_country(run, reader, "s7_site_synthesis", _POINTS)
        return (*STATES, "realism")

    def work(self, run: Run, shard: str) -> ShardResult:
        """Run the checks of one state, or measure realism."""
        reader = run.reader(self)
        if shard == "realism":
            return ShardResult(0, _realism(run, reader), reader.bytes_read)
        results = examine(shard, run.root, run.contracts, run.identity.tokens)
        return ShardResult(0, results, reader.bytes_read)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Stage the bundle; with failures put it aside and refuse."""
        *states, realism = (result.counters for result in results)
        examined = [check for state in states for check in state]
        verdicts = accept(run.root, run.contracts, run.identity.tokens, examined)
        figures: dict[str, Any] = realism
        broken = breaches(figures, run.policy.realism)
        verdicts.append(
            Acceptance("A916", "E917_REALISM_BOUND", len(broken), broken, "the policy's bounds")
        )
        folder = run.staging / BUNDLE
        folder.mkdir()
        reader = run.reader(self)
        write_bundle(folder, run, reader, verdicts, figures)
        failed = [v for v in verdicts if v.failures]
        if failed:
            raise _failure(failed, _put_aside(run, folder))
        flag = write_flag(folder)
        body = {
            **run.identity.tokens,
            "run_id": run.identity.run_id,
            "versions": versions(),
            "verdict": "PASS",
            "failures_by_code": {},
            "flag_sha256_hex": flag,
            "bundle_path": run.contracts[BUNDLE].locate(run.places),
        }
        return Report(body)


def _realism(run: Run, reader: Reader) -> dict[str, Any]:
    countries = reader.partition("s7_site_synthesis").report["by_country"]
    folder, dataset = run.staging / "s7_site_synthesis.split", run.contracts["s7_site_synthesis"]
    sites = {}
    for code, own in sorted(countries.items()):
        rows = read_split(folder, code, dataset, _POINTS, own["sites"])
        sites[code] = (rows["lon_deg"].copy(), rows["lat_deg"].copy(), rows["tile_id"].copy())
    shapes = read_countries(reader.whole_file("world_countries"))
    spans = {code: shapes[code].bounds[3] - shapes[code].bounds[1] for code in sites}
    weights = reader.partition("tile_weights").report["by_country"]
    quality = read_json(reader.file("s4_run_report"))["quality_by_country"]
    return measure(sites, sorted(weights), spans, quality, run.policy.realism, run.identity.seed)


def _put_aside(run: Run, folder: Path) -> Path:
    """Move a failed bundle, flagless, to its own place: no failure may hold the write-once one."""
    dataset, attempt = run.contracts["validation_failed_1B"], 1
    while (
        target := run.root / (relative := dataset.locate({**run.places, "attempt": attempt}))
    ).exists() or commit_of(run.root, relative):
        attempt += 1
    staged = shutil.copytree(folder, run.staging / "failed")
    if origin(run.root) is not None:
        receipt = folder_receipt(staged, dataset, relative, 1)
        commit_folder(run.root, staged, receipt, dataset.code("differs"))
        return target
    make_folder(target.parent)
    os.rename(staged, target)
    return target


def _failure(failed: list[Acceptance], where: Path) -> Segment1BError:
    listed = ", ".join(f"{v.check} {v.code} ({v.failures})" for v in failed)
    return Segment1BError(
        failed[0].code,
        f"the planet does not pass: {listed}; the bundle lies in {where}",
        "read s9_summary.json there; nothing opens site_locations until all checks pass",
        path=str(where),
        examples=failed[0].examples[:3],
    )
