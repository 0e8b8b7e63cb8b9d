"""Prepared worlds: tiles and weights are adopted from a run with the same surfaces and policy.

S1 and S2 read nothing of the outlets. What can be adopted, and from where, is in
docs/spec/prepared-worlds.md#adoption.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from segment1b import contracts
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.locations import nearest
from segment1b.contracts.policy import Policy
from segment1b.contracts.program import program
from segment1b.errors import Segment1BError, file_error
from segment1b.identity import canonical_json, sha256_hex
from segment1b.reference.installing import LAYERS, SURFACES, missing
from segment1b.states import STATES, TRADES
from segment1b.states.protocol import Run, State
from segment1b.storage.durable import (
    coded_os_errors,
    fsync_file,
    make_folder,
    read_object,
)
from segment1b.storage.publisher import publish_folder
from segment1b.storage.receipts import document_receipt, file_names, hash_files
from segment1b.storage.root import find_root, root_at
from segment1b.storage.snapshot import BOUND, Snapshot
from segment1b.storage.store_root import default_cache

LOG = logging.getLogger("segment1b")
#: The states whose datasets are adopted.
ADOPTED = ("s1", "s2")
#: Bytes that the worlds of the cache may take together; the least recently used go first.
DEFAULT_CACHE_GB = 20
_ROOT = "root"
#: What the run report of S2 has of centres alone.
_OF_CENTRES = ("centres", "tile_centres_receipt")
_WORLD_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def adopt(
    state: State, run: Run, inputs: Mapping[str, str], named: Path | None
) -> dict[str, Any] | None:
    """Publish a state's datasets as another run made them; return the body of the run report.

    None where no run used the same inputs, preparation policy and program.

    Args:
        state: S1 or S2.
        run: the run that needs its datasets.
        inputs: the `input_digests` of today.
        named: the data root of a prepared world, looked at before the cache.
    """
    for source in _sources(run, state, named):
        if (report := _same_world(source, state, run, inputs)) is None:
            continue
        try:
            receipts = _publish(source, state, run)
        except Segment1BError as error:
            if error.code in ("E_STORAGE_FULL", "E_DATA_ROOT_UNUSABLE"):
                raise
            LOG.warning("%s of %s is not adopted: %s", state.id, source.root, error)
            continue
        LOG.info("%s is adopted from %s", state.id, source.root)
        if source.root.parent.parent == worlds_folder():
            with suppress(OSError):  # a cache that is only read has no order of use
                os.utime(source.root.parent)
        if not run.policy.jitter.centres:  # this run does without those of the source
            report = {name: value for name, value in report.items() if name not in _OF_CENTRES}
        own = {"parameter_hash": run.identity.parameter_hash, "input_digests": dict(inputs)}
        if "policy_sha256" in report:
            own["policy_sha256"] = sha256_hex(canonical_json(run.policy.document()))
        held = source.tokens["parameter_hash"]
        return {**report, **own, **receipts, "adopted_from": held}
    return None


def _sources(run: Run, state: State, named: Path | None) -> Iterator[Snapshot]:
    """Yield what holds a run report of the state at any parameter hash, nearest first."""
    roots = [run.root, *([find_world(named)] if named else []), *cached_worlds()]
    own = run.snapshot.path(f"{state.id}_run_report")
    place = run.contracts[f"{state.id}_run_report"].locate({"parameter_hash": "*"})
    for root in roots:
        for path in sorted(root.glob(place)):
            if path != own:
                tokens = {"parameter_hash": path.parent.name.partition("=")[2]}
                yield Snapshot(root, run.contracts, tokens)


def _same_world(
    source: Snapshot, state: State, run: Run, inputs: Mapping[str, str]
) -> dict[str, Any] | None:
    """Return the run report of a source whose inputs, policy and program are the run's."""
    try:
        report = source.document(f"{state.id}_run_report")
        bound = source.document(BOUND)
        then = dict(report["input_digests"])
        digest = document_receipt("", canonical_json(bound)).content_sha256_hex
        policy = Policy.model_validate_json(canonical_json(bound["policy"]))
    except (Segment1BError, OSError, KeyError, TypeError, ValueError, ValidationError) as error:
        raise_machine_fault(error, source.root)
        return None
    wanted = {name: value for name, value in inputs.items() if name != BOUND}
    same = then == {**wanted, BOUND: digest} and policy.prep == run.policy.prep
    same &= state.id != TRADES.id or policy.trades == run.policy.trades
    if state.id == "s2" and run.policy.jitter.centres:
        same &= policy.people_per_centre == run.policy.people_per_centre
    return report if same and report.get("program") == program() else None


def _publish(source: Snapshot, state: State, run: Run) -> dict[str, Any]:
    """Publish the datasets of a source; return their receipts by their field in the report."""
    writes = run.used(state.writes)
    source.fetch(writes)
    receipts, committed = {}, run.snapshot.path(f"{state.id}_run_report").exists()
    for dataset in (run.contracts[name] for name in writes):
        if (partition := source.partition(dataset.id)) is None:
            raise file_error("E_INPUT_UNREADABLE", source.path(dataset.id), "is not complete")
        receipt, names = partition.receipt, [path.name for path in partition.paths]
        staged = run.staging / f"{dataset.id}.adopted"
        link_files(source.path(dataset.id), staged, names)
        if hash_files(staged, names)[0] != receipt.files:
            what = "does not hash to its receipt"
            raise file_error("E_INPUT_UNREADABLE", source.path(dataset.id), what)
        own = dataclasses.replace(receipt, partition_path=dataset.locate(run.places))
        made = publish_folder(
            run.root,
            dataset,
            run.places,
            staged,
            run.threads,
            is_committed=committed,
            receipt=own,
        )
        receipts[dataset.receipt_field] = made.as_json()
    return receipts


def link_files(source: Path, target: Path, names: Iterable[str]) -> None:
    """Put files of one folder into a new one: hard links where the filesystem has them."""
    make_folder(target)
    for name in names:
        place = target / name
        with coded_os_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source / name, place, follow_symlinks=False)
            except FileNotFoundError:
                raise
            except OSError:
                shutil.copyfile(source / name, place, follow_symlinks=False)
            # What is linked may be a file of `place`, which does not flush it.
            fsync_file(place)


def install_world(root: Path, named: Path, dictionary: Path | None, scratch: Path) -> None:
    """Install the surfaces of a prepared world in a root that has none of its own."""
    world, known = find_world(named), contracts.load(dictionary)
    if absent := missing(world, known):
        what = f"is no prepared world: it has no {', '.join(absent)}"
        raise file_error("E_REFERENCE_SURFACE_MISSING", world, what)
    own, lacking = root_at(root), missing(root, known)
    # The raster is last: a run that was killed leaves only some of the first surfaces.
    held = [name for name in LAYERS if (world / known[name].locate({})).exists()]
    held = [name for name in held if not (root / known[name].locate({})).exists()]
    wanted = [name for name in (*held, *SURFACES) if name in held or name in lacking]
    for place in (known[name].locate({}) for name in wanted):
        folder = (world / place).parent
        link_files(folder, scratch / folder.name, file_names(folder))
        names = sorted(file_names(folder), key=lambda name: name == Path(place).name)
        for name in names:
            own.create((Path(place).parent / name).as_posix(), scratch / folder.name / name)


def worlds_folder() -> Path:
    """Return the folder of the user's cache that holds prepared worlds."""
    return default_cache() / "worlds"


def cached_worlds() -> list[Path]:
    """Return the roots of the cached worlds, the last used first."""
    folder, used = worlds_folder(), {}
    for path in folder.iterdir() if folder.is_dir() else ():
        # Another run may remove it at the same time.
        with suppress(OSError):
            if _WORLD_NAME.fullmatch(path.name) and (path / _ROOT).is_dir():
                used[path / _ROOT] = path.stat().st_mtime
    return sorted(used, key=lambda root: (-used[root], root))


def find_world(named: Path) -> Path:
    """Return the root of a world: a data root, its URL, or the name of one in the cache."""
    if _WORLD_NAME.fullmatch(str(named)) and not named.exists():
        cached = worlds_folder() / named / _ROOT
        if cached.is_dir():
            return cached
    return find_root(named)


def keep(run: Run, name: str | None = None) -> Path:
    """Keep the tiles and weights of a run in the cache; return the root of the world.

    The name is by default the first digits of the digest of surfaces, preparation policy, people
    per centre and program. One that is there already stays.
    """
    prep, people = run.policy.prep.model_dump(mode="json"), run.policy.people_per_centre
    key = {"surfaces": dict(run.surfaces), "program": program(), "prep": prep, "people": people}
    folder = worlds_folder()
    target = folder / _checked(name or sha256_hex(canonical_json(key))[:16])
    make_folder(folder)
    with coded_os_errors(folder):
        if not (target / _ROOT).is_dir():
            made = Path(tempfile.mkdtemp(prefix=".", dir=folder))
            try:
                _copy_world(run, made / _ROOT)
                with suppress(FileExistsError, NotADirectoryError):
                    os.rename(made, target)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        os.utime(target)
    _evict(target)
    return target / _ROOT


def remove_world(name: str) -> None:
    """Remove a world from the cache; E_USAGE, naming those there, when there is none."""
    world = worlds_folder() / _checked(name)
    if not (world / _ROOT).is_dir():
        there = [path.parent.name for path in cached_worlds()]
        raise Segment1BError("E_USAGE", f"there is no world '{name}'", nearest(name, there))
    gone = world.with_name(f".{world.name}.removed")
    with coded_os_errors(world):
        os.rename(world, gone)
        shutil.rmtree(gone)


def describe(root: Path) -> dict[str, Any]:
    """Return what there is to say of a cached world; `current` says that runs can adopt it."""
    known = contracts.load()
    place = known["s1_run_report"].locate({"parameter_hash": "*"})
    reports = [read_object(path) for path in root.glob(place)]
    grids = [report.get("grid_dims") or {} for report in reports]
    return {
        "name": root.parent.name,
        "rows": sum(grid.get("nrows", 0) for grid in grids),
        "columns": sum(grid.get("ncols", 0) for grid in grids),
        "tiles": sum(report.get("rows_emitted", 0) for report in reports),
        "bytes": world_bytes(root),
        "current": any(report.get("program") == program() for report in reports),
    }


def _checked(name: str) -> str:
    if not _WORLD_NAME.fullmatch(name):
        hint = "use up to 64 letters, digits, '-' and '_', a letter or digit first"
        raise Segment1BError("E_USAGE", f"'{name}' cannot be the name of a world", hint)
    return name


def _copy_world(run: Run, root: Path) -> None:
    layers = [name for name in LAYERS if run.snapshot.path(name).exists()]
    for dataset_id in (*SURFACES, *layers):
        folder = run.snapshot.path(dataset_id).parent
        link_files(folder, root / folder.relative_to(run.root), file_names(folder))
    documents = [BOUND, *(f"{name}_run_report" for name in ADOPTED)]
    for path in (run.snapshot.path(name) for name in documents):
        link_files(path.parent, root / path.parent.relative_to(run.root), [path.name])
    for name in run.used(name for state in ADOPTED for name in STATES[state].writes):
        folder = run.snapshot.path(name)
        link_files(folder, root / folder.relative_to(run.root), file_names(folder))
    for name in (f"{one}/{trade}" for trade in run.trades for one in TRADES.writes):
        folder = run.snapshot.path(name)
        link_files(folder, root / folder.relative_to(run.root), file_names(folder))
        path = run.snapshot.path(str(run.contracts[name].receipt_in))
        link_files(path.parent, root / path.parent.relative_to(run.root), [path.name])


def _evict(kept: Path) -> None:
    """Remove the worlds used longest ago while all together are above the limit."""
    asked = os.environ.get("SEGMENT1B_CACHE_GB") or str(DEFAULT_CACHE_GB)
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", asked, re.ASCII):
        what = f"SEGMENT1B_CACHE_GB is '{asked}', not a number of gigabytes"
        raise Segment1BError("E_USAGE", what, "set it to a number such as 20")
    limit = float(asked) * 1e9
    total = 0
    for world in (path.parent for path in cached_worlds()):
        total += world_bytes(world)
        if total > limit and world != kept:
            shutil.rmtree(world, ignore_errors=True)


def world_bytes(world: Path) -> int:
    """Return the bytes of the files of a world."""
    return sum(path.stat().st_size for path in world.rglob("*") if path.is_file())
