"""S9, proof: rechecks S1 to S8 independently, then writes the flag that opens S8."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from segment1b.audit import CheckResult, criteria, tile_proof, validate_published
from segment1b.audit.acceptance import Acceptance, accept, examine, examined_states
from segment1b.audit.published_files import Published
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.identity import canonical_json
from segment1b.states.by_country import stage_by_country
from segment1b.states.protocol import Report, Run, ShardResult, State
from segment1b.states.realism import breaches, measure
from segment1b.states.s9_bundle import verdict_of, write_bundle, write_flag
from segment1b.states.seal import sealed_inputs
from segment1b.storage.durable import read_json
from segment1b.storage.failures import utc_now
from segment1b.storage.publisher import publish_folder
from segment1b.storage.reader import Reader
from segment1b.storage.root import root_at
from segment1b.storage.split import read_split

_POINTS = ["tile_id", "lon_deg", "lat_deg"]
BUNDLE = "validation_bundle_1B"
_REALISM = "realism"


class S9Validation(State):
    """The checks of docs/spec/s9-proof.md#checks; a bundle that fails is put aside without a flag.

    S1 and S2 are proven once for a world: their tile proof is stored and holds for the same files
    and program. S3 and S5 to S8 are examined at every run, S4 too unless S5's points prove it.
    """

    id = "s9"

    def shards(self, run: Run, reader: Reader) -> Sequence[str | Tiles]:
        """Check the seal, prove the tiles and stage the points by country.

        The tiles are proven before the other shards, each a state or realism, start: the database
        of S1 and S2 is the largest, and its time is reported by itself.
        """
        sealed_inputs(run, reader, self.stale_input)
        stage_by_country(run, reader, "s7_site_synthesis", _POINTS)
        return (_prove_tiles(run), *examined_states(run.policy.allocation.law), _REALISM)

    def work(self, run: Run, shard: str | Tiles) -> ShardResult:
        """Run the checks of one state, or measure realism; hand on what became of the tiles."""
        if isinstance(shard, Tiles):
            return ShardResult(0, shard)
        reader = run.reader(self)
        if shard == _REALISM:
            return ShardResult(0, _realism(run, reader), reader.bytes_read)
        results = examine(shard, _published(run))
        return ShardResult(0, results, reader.bytes_read)

    def report(self, run: Run, results: Sequence[ShardResult]) -> Report:
        """Stage the bundle; with failures put it aside and refuse."""
        tiles: Tiles
        tiles, *states, figures = (result.counters for result in results)
        examined = [*tiles.results, *(check for state in states for check in state)]
        verdicts = accept(_published(run), examined, tiles_proven=tiles.stored)
        verdicts.append(_within_bounds(breaches(figures, run.policy.realism)))
        folder = run.staging / BUNDLE
        folder.mkdir()
        reader = run.reader(self)
        write_bundle(folder, run, reader, verdicts, figures)
        failed = [v for v in verdicts if v.failures]
        if failed:
            raise _failure(failed, _put_aside(run, folder))
        flag = write_flag(folder)
        proof = {} if tiles.proof is None else {tile_proof.DATASET: canonical_json(tiles.proof)}
        body = {
            **run.heading,
            "verdict": verdict_of(verdicts),
            "failures_by_code": {v.code: v.failures for v in failed},
            "proved_at_utc": utc_now(),
            "flag_sha256_hex": flag,
            "bundle_path": run.contracts[BUNDLE].locate(run.places),
        }
        resources = {"tile_proof_seconds": tiles.seconds, "tile_proof_stored": tiles.stored}
        return Report(body, side_files=proof, resources=resources)


class Tiles(NamedTuple):
    """What became of the tile proof.

    Attributes:
        results: of the checks of S1 and S2; none when a stored proof holds.
        proof: to be stored; None when a stored proof holds or a check failed.
        stored: a stored proof holds.
        seconds: wall-clock time.
    """

    results: list[CheckResult]
    proof: dict[str, Any] | None
    stored: bool
    seconds: float


def _prove_tiles(run: Run) -> Tiles:
    start = time.perf_counter()
    published, results, proof = _published(run), list[CheckResult](), None
    stored = tile_proof.is_stored(published)
    if not stored:
        results = validate_published(published, tile_proof.STATES, threads=run.threads)
        if all(result.ok for result in results):
            proof = tile_proof.document(published)
    return Tiles(results, proof, stored, round(time.perf_counter() - start, 6))


def _published(run: Run) -> Published:
    return Published(run.root, run.contracts, run.identity.tokens)


def _within_bounds(broken: list[dict[str, Any]]) -> Acceptance:
    names = ", ".join(str(breach["figure"]) for breach in broken)
    detail = f"beyond the policy's bounds: {names}" if broken else criteria.REALISM.passed
    return Acceptance("A916", criteria.REALISM.code, len(broken), broken, detail)


def _realism(run: Run, reader: Reader) -> dict[str, Any]:
    countries = reader.partition("s7_site_synthesis").report["by_country"]
    folder, dataset = run.staging / "s7_site_synthesis.split", run.contracts["s7_site_synthesis"]
    sites = {}
    for code, country in sorted(countries.items()):
        rows = read_split(folder, code, dataset, _POINTS, country["sites"])
        sites[code] = (rows["lon_deg"].copy(), rows["lat_deg"].copy(), rows["tile_id"].copy())
    shapes = read_countries(reader.whole_file("world_countries"))
    spans = {code: shapes[code].bounds[3] - shapes[code].bounds[1] for code in sites}
    weights = reader.partition("tile_weights").report["by_country"]
    quality = read_json(reader.file("s4_run_report"))["quality_by_country"]
    return measure(sites, sorted(weights), spans, quality, run.policy.realism, run.identity.seed)


def _put_aside(run: Run, folder: Path) -> Path:
    """Move a failed bundle aside, without flag: no failure may hold the write-once place."""
    dataset, attempt = run.contracts["validation_failed_1B"], 1
    while root_at(run.root).sizes(dataset.locate({**run.places, "attempt": attempt})) is not None:
        attempt += 1
    staged = shutil.copytree(folder, run.staging / "failed")
    receipt = publish_folder(run.root, dataset, {**run.places, "attempt": attempt}, staged, 1)
    return run.root / receipt.partition_path


def _failure(failed: list[Acceptance], where: Path) -> Segment1BError:
    listed = ", ".join(f"{v.check} {v.code} ({v.failures})" for v in failed)
    what = f"checks failed: {listed}; the bundle is in {where}"
    hint = "read s9_summary.json there; site_locations stays closed until all checks pass"
    return Segment1BError(
        failed[0].code, what, hint, path=str(where), examples=failed[0].examples[:3]
    )
