"""S9, proof: rechecks S1 to S8 independently, then writes the flag that opens S8."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from segment1b.contracts.policy import RealismPolicy
from segment1b.contracts.states import URBAN
from segment1b.errors import Segment1BError, redo
from segment1b.geo.countries import read_countries
from segment1b.geo.grid import read_grid
from segment1b.identity import canonical_json
from segment1b.outlets.merchant_trades import read_trades, trades_of
from segment1b.states.bounds import Located, add_bounded, concerns
from segment1b.states.bundle import verdict_of, write_bundle
from segment1b.states.by_country import stage_by_country
from segment1b.states.protocol import OnWorkers, Report, Run, ShardResult, State
from segment1b.states.quality import breaches, measure
from segment1b.storage.bundles import FLAG, flag_line
from segment1b.storage.durable import read_json, write_file
from segment1b.storage.failures import utc_now
from segment1b.storage.publisher import publish_folder
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import file_names, hash_files
from segment1b.storage.records import Split, read_split
from segment1b.storage.root import root_at

if TYPE_CHECKING:  # a run that reuses everything needs no checks
    from segment1b.audit import CheckResult
    from segment1b.audit.acceptance import Acceptance
    from segment1b.audit.published_files import Published
    from segment1b.audit.sites import Batch

_POINTS = ["tile_id", "lon_deg", "lat_deg"]
BUNDLE = "validation_bundle_1B"
_S7 = "s7_site_synthesis"


class S9Validation(State):
    """The checks of docs/spec/s9-proof.md#checks; a bundle that fails is put aside without a flag.

    S1 and S2 are proven once for a world: their tile proof is stored and holds for the same files
    and program. S3 and S5 to S8 are examined at every run, S4 too unless S5's points prove it.
    """

    id = "s9"

    def shards(self, run: Run, reader: Reader, on_workers: OnWorkers) -> Sequence[Any]:
        """Check the seal, look for a stored proof of the tiles and stage the points by country.

        Each state is a shard, and parts of its sites; or its tiles or parts of them are, unless
        they are proven; so is realism.
        """
        from segment1b.audit import tile_proof
        from segment1b.audit.acceptance import examined_states
        from segment1b.audit.criteria import wanted
        from segment1b.audit.parts import parts_of
        from segment1b.audit.sites import copy_in_parts

        self.sealed_inputs(run, reader)
        staged = stage_by_country(reader, {_S7: _columns(run)}, on_workers)
        start = time.perf_counter()
        stored = StoredProof(
            holds=tile_proof.is_stored(_published(run)), seconds=time.perf_counter() - start
        )
        states = examined_states(run.policy.allocation.law, trades=bool(run.trades))
        asked = {state: wanted(state) for state in states}
        folder = run.staging / "sites"
        sites = copy_in_parts(_published(run), asked, folder, partial(on_workers, _copy))
        cut = sites[0].checks if sites else ()
        examined = [Examination(state, in_parts=state in cut) for state in states]
        tiles: list[Any] = []
        for state in () if stored.holds else tile_proof.SHARDS:
            tiles += parts_of(_published(run), state) or [state]
        return (stored, Realism(staged[_S7]), *sites, *examined, *tiles)  # the longest first

    def work(self, run: Run, reader: Reader, shard: Any) -> ShardResult:
        """Run the checks of one state, look at part of the tiles or sites, or measure realism; hand
        on what is stored.
        """
        if isinstance(shard, StoredProof):
            return ShardResult(0, shard)
        if isinstance(shard, Realism):
            return ShardResult(0, _realism(run, reader, shard.points))
        from segment1b.audit import validate_published
        from segment1b.audit.acceptance import examine
        from segment1b.audit.parts import Part, look_at
        from segment1b.audit.sites import SitePart, check_part

        start = time.perf_counter()
        if isinstance(shard, Part):
            seen = look_at(_published(run), shard)
            return ShardResult(0, Looked(shard.state, seen, time.perf_counter() - start))
        if isinstance(shard, SitePart):
            return ShardResult(0, Clean(check_part(_published(run), shard)))
        if isinstance(shard, Examination):
            results = examine(shard.state, _published(run), in_parts=shard.in_parts)
            return ShardResult(0, Examined(shard.state, results, time.perf_counter() - start))
        results = validate_published(_published(run), (shard,), threads=1)
        return ShardResult(0, Examined(shard, results, time.perf_counter() - start))

    def report(self, run: Run, reader: Reader, _rows: int, counters: Sequence[Any]) -> Report:
        """Stage the bundle; with failures put it aside and refuse."""
        from segment1b.audit import tile_proof
        from segment1b.audit.acceptance import accept

        stored: StoredProof
        stored, figures, *states = counters
        published, looked = _published(run), [one for one in states if isinstance(one, Looked)]
        clean = [one for one in states if isinstance(one, Clean)]
        states = [one for one in states if isinstance(one, Examined)]
        states = _whole(published, states, clean) + _judged(published, looked)
        examined = [check for one in states for check in one.results]
        tiles = [one for one in looked + states if one.state in tile_proof.SHARDS]
        verdicts = accept(published, examined, tiles_proven=stored.holds)
        plan = read_json(reader.file("s4_run_report"))
        verdicts.append(_within_bounds(_broken(plan, figures, run.policy.realism)))
        folder = run.staging / BUNDLE
        folder.mkdir()
        write_bundle(folder, run, reader, verdicts, figures)
        failed = [v for v in verdicts if v.failures]
        if failed:
            raise _failure(failed, _put_aside(run, folder))
        flag = hash_files(folder, file_names(folder))[1]
        write_file(folder / FLAG, flag_line(flag))
        proof = {}
        if not stored.holds:
            proof[tile_proof.DATASET] = canonical_json(tile_proof.document(published))
        body = {
            **run.heading,
            "verdict": verdict_of(verdicts),
            "failures_by_code": {v.code: v.failures for v in failed},
            "proved_at_utc": utc_now(),
            "flag_sha256_hex": flag,
            "bundle_path": run.contracts[BUNDLE].locate(run.places),
        }
        seconds = stored.seconds + sum(one.seconds for one in tiles)
        resources = {
            "tile_proof_seconds": round(seconds, 6),
            "tile_proof_stored": stored.holds,
        }
        return Report(body, side_files=proof, resources=resources)


class StoredProof(NamedTuple):
    """Whether a stored tile proof holds, and the wall-clock seconds that this took."""

    holds: bool
    seconds: float


class Realism(NamedTuple):
    """The points of all sites, as they are staged, to be measured."""

    points: Split


class Examination(NamedTuple):
    """A state to be examined, and whether parts of its sites are checked beside it."""

    state: str
    in_parts: bool


class Examined(NamedTuple):
    """The results of the checks of a state, and their wall-clock seconds."""

    state: str
    results: list[CheckResult]
    seconds: float


class Clean(NamedTuple):
    """Whether the checks of a part of the sites have found nothing, by state."""

    states: dict[str, bool]


class Looked(NamedTuple):
    """What a part of the tiles of a state has shown, and the wall-clock seconds that it took."""

    state: str
    seen: dict[str, list[Any]]
    seconds: float


def _whole(
    published: Published, examined: Sequence[Examined], parts: Sequence[Clean]
) -> list[Examined]:
    """Return the results of states; one of which a part is not clean is examined whole."""
    from segment1b.audit.acceptance import examine

    unclean = {state for one in parts for state, clean in one.states.items() if not clean}
    return [
        one._replace(results=examine(one.state, published)) if one.state in unclean else one
        for one in examined
    ]


def _judged(published: Published, looked: Sequence[Looked]) -> list[Examined]:
    """Return the results of the states whose tiles were looked at in parts."""
    from segment1b.audit import validate_published
    from segment1b.audit.parts import put_together

    judged = []
    for state in sorted({one.state for one in looked}):
        start = time.perf_counter()
        put_together(published, [one.seen for one in looked if one.state == state])
        results = validate_published(published, (state,), threads=1)
        judged.append(Examined(state, results, time.perf_counter() - start))
    return judged


def _copy(run: Run, _reader: Reader, batch: Batch) -> bool:
    from segment1b.audit.sites import copy

    return copy(_published(run), batch)


def _published(run: Run) -> Published:
    from segment1b.audit.published_files import Published

    return Published(run.root, run.contracts, run.identity.tokens)


def _broken(
    plan: dict[str, Any], figures: dict[str, Any], policy: RealismPolicy
) -> list[dict[str, Any]]:
    """Return the figures beyond a bound, those that only warn where the policy enforces them."""
    warned = concerns(plan, figures, policy) if policy.enforce else []
    return [
        *breaches(figures, policy),
        *({"figure": one.bound, **one._asdict()} for one in warned),
    ]


def _within_bounds(broken: list[dict[str, Any]]) -> Acceptance:
    from segment1b.audit import criteria
    from segment1b.audit.acceptance import Acceptance

    names = ", ".join(dict.fromkeys(str(breach["figure"]) for breach in broken))
    detail = f"beyond the policy's bounds: {names}" if broken else criteria.REALISM.passed
    return Acceptance("A916", criteria.REALISM.code, len(broken), broken, detail)


def _columns(run: Run) -> list[str]:
    return ["merchant_id", *_POINTS] if run.policy.realism.urban_share else _POINTS


def _realism(run: Run, reader: Reader, staged: Split) -> dict[str, Any]:
    policy, seed, sites = run.policy.realism, run.identity.seed, {}
    merchants = read_trades(reader) if policy.urban_share else None
    shapes = read_countries(reader.whole_file("world_countries"))
    quality = read_json(reader.file("s4_run_report"))["quality_by_country"]
    if strange := sorted(staged.keys() - (shapes.keys() & quality.keys())):
        what = f"{', '.join(strange)}: sites, and no polygon or no figures in S4's report"
        code = "E918_UPSTREAM_NOT_PROVEN"
        raise Segment1BError(code, what, redo("s4"), country_iso=strange[0])
    for code in sorted(staged):
        rows = read_split(run.contracts[_S7], _columns(run), {code: staged[code]})[code]
        columns = (rows["lon_deg"].copy(), rows["lat_deg"].copy(), rows["tile_id"].copy())
        trade = None
        if merchants is not None:
            ids = pa.array(rows["merchant_id"].copy())
            trade = trades_of(merchants, ids).to_numpy(zero_copy_only=False)
        sites[code] = Located(*columns, trade)
    spans = {code: shapes[code].bounds[3] - shapes[code].bounds[1] for code in sites}
    weights = reader.partition("tile_weights").report["by_country"]
    points = {code: own[:3] for code, own in sites.items()}
    figures = measure(points, sorted(weights), spans, quality, policy, seed)
    urban = None
    if merchants is not None:
        urban = (reader.file(URBAN), read_grid(reader.file("population_raster_2025")))
    add_bounded(figures, sites, policy, seed, urban)
    return figures


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
