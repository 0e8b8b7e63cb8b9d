"""S0, gate: proves that 1A passed for a fingerprint, then seals the inputs that 1B may read."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from segment1b.errors import Segment1BError, file_error
from segment1b.outlets.directories import directory
from segment1b.outlets.merchant_trades import DATASET, read_trades
from segment1b.states.protocol import OnWorkers, Report, Run, ShardResult, State
from segment1b.storage.bundles import CHECKSUMS_SCHEMA, GATE_RULES, open_bundle
from segment1b.storage.durable import read_json
from segment1b.storage.failures import utc_now
from segment1b.storage.ingress import ingress_groups
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import file_names, hash_files

LOG = logging.getLogger("segment1b")
_CHECKSUM_KEYS = {"dataset_id", "seed", "manifest_fingerprint", "files", "composite_sha256_hex"}
_BUNDLE = "validation_bundle_1A"


class S0Gate(State):
    """The gate law, see docs/spec/s0-gate.md#gate-law; only the bundle is open before step 6."""

    id = "s0"

    def shards(self, run: Run, reader: Reader, _on_workers: OnWorkers) -> Sequence[str]:
        """Check steps 1 to 6 and the digests of step 7; return the outlet files."""
        bundle_files(run)
        for dataset_id in self._inputs(run):
            reader.file(dataset_id)
        outlets = check_outlet_digests(run, reader)
        if run.trades:
            _check_trades(run, reader)
        return [path for path, _, _ in outlets]

    def work(self, run: Run, reader: Reader, shard: str) -> ShardResult:
        """Check that every row of one outlet file carries the run's fingerprint and seed."""
        dataset = reader.dataset("outlet_catalogue")
        path = reader.file("outlet_catalogue") / shard
        expected = {
            "manifest_fingerprint": run.identity.manifest_fingerprint,
            "global_seed": run.identity.seed,
        }
        rows = 0
        for table in ingress_groups(reader, dataset, path, list(expected)):
            for name, value in expected.items():
                column = table.column(name)
                same = pc.fill_null(pc.equal(column, pa.scalar(value, column.type)), False)
                if not pc.all(same).as_py():
                    at = pc.index(same, False).as_py()
                    row = rows + at + 1
                    problem = f", row {row}: {name} is {column[at].as_py()}, the run has {value}"
                    hint = "the outlet partition belongs to another run of 1A"
                    raise file_error("E_PATH_EMBED_MISMATCH", path, problem, hint, row=row)
            rows += table.num_rows
        return ShardResult(rows)

    def report(self, run: Run, reader: Reader, rows: int, _counters: Sequence[Any]) -> Report:
        """Seal the inputs and return the receipt document."""
        files, flag = bundle_files(run)
        receipt = {
            **run.tokens,
            "validation_bundle_path": _shown(run, bundle_folder(run)),
            "flag_sha256_hex": flag,
            "verified_at_utc": utc_now(),
            "sealed_inputs": [sealed_input(run, reader, d) for d in self._inputs(run)],
            "notes": None,
        }
        body = {
            **run.tokens,
            "flag_sha256_hex": flag,
            "bundle_files": len(files),
            "outlet_rows": rows,
        }
        return Report(body, documents={"s0_gate_receipt_1B": receipt})

    def _inputs(self, run: Run) -> list[str]:
        """Return what is sealed, by id: all that the state reads but the bundle itself."""
        return sorted(set(self.inputs(run)) - {_BUNDLE})


def bundle_folder(run: Run) -> Path:
    """Return the bundle's folder: the one given, or the dictionary's."""
    return run.bundle or run.root / run.contracts[_BUNDLE].locate(run.places)


def bundle_files(run: Run) -> tuple[list[str], str]:
    """Check steps 1 to 5 of the gate law; return the indexed paths and the flag's hex."""
    # Nothing but the bundle may be opened before the flag is proven.
    closed = dataclasses.replace(
        run.reader(S0Gate()),
        allowed=(_BUNDLE,),
        disallowed_code="E_OUTLET_CATALOGUE_FORBIDDEN_BEFORE_PASS",
    )
    closed.dataset(_BUNDLE)
    folder = bundle_folder(run)
    files, flag = open_bundle(run.contracts, folder, GATE_RULES)
    for token in ("parameter_hash", "manifest_fingerprint"):
        path = folder / f"{token}_resolved.json"
        _check_tokens(run, path, _object(path), (token,))
    manifest = folder / "MANIFEST.json"
    named = _object(manifest)
    _check_tokens(run, manifest, named, [token for token in run.tokens if token in named])
    return files, flag


def _object(path: Path) -> dict[str, Any]:
    document = read_json(path)
    return document if isinstance(document, dict) else {}


def _check_tokens(run: Run, path: Path, document: dict[str, Any], tokens: Sequence[str]) -> None:
    # 1A may write the seed as a string, as in egress_checksums.json.
    for token in tokens:
        value = document.get(token)
        if str(value) != str(run.tokens[token]):
            problem = f"has {token} {value}, the run has {run.tokens[token]}"
            hint = f"give --{token.replace('_', '-')} as 1A resolved it"
            raise file_error("E_PATH_EMBED_MISMATCH", path, problem, hint)


def check_outlet_digests(run: Run, reader: Reader) -> tuple[tuple[str, int, str], ...]:
    """Check the outlet files (step 7); return (path, bytes, SHA-256) of each in ASCII order."""
    folder = reader.file("outlet_catalogue")
    path = bundle_folder(run) / "egress_checksums.json"
    checksums = read_json(path)
    problems = run.contracts.schemas.problems(CHECKSUMS_SCHEMA, checksums)
    if problems:
        raise _mismatch(path, f"{path}: {problems[0]}")
    extra = sorted(set(checksums) - _CHECKSUM_KEYS)
    if extra:
        LOG.warning("%s: no use is made of the keys %s", path, ", ".join(extra)[:200])
    _check_tokens(run, path, checksums, ("seed", "manifest_fingerprint"))
    prefix = reader.dataset("outlet_catalogue").locate(run.places) + "/"
    declared = {
        f["path"].removeprefix(prefix): (f["size_bytes"], f["sha256_hex"])
        for f in checksums["files"]
    }
    if len(declared) < len(checksums["files"]):
        raise _mismatch(path, f"{path} names a file twice")
    files, whole = hash_files(folder, file_names(folder))
    hashed = {name: (size, digest) for name, size, digest in files}
    for name in sorted(set(hashed) | set(declared)):
        if hashed.get(name) != declared.get(name):
            raise _mismatch(
                folder / name,
                f"{folder / name} is {hashed.get(name, 'absent')}, "
                f"{path.name} says {declared.get(name, 'nothing of it')} (bytes, SHA-256)",
            )
    if whole != checksums["composite_sha256_hex"]:
        raise _mismatch(
            path, f"{folder} hashes to {whole}, {path} says {checksums['composite_sha256_hex']}"
        )
    return files


def _check_trades(run: Run, reader: Reader) -> None:
    """Check merchant_trades against the directory of an imported list (step 8)."""
    fingerprint = run.identity.manifest_fingerprint
    found = directory(run.root, run.contracts, fingerprint, run.bundle)
    if found is None:
        return
    published = read_trades(reader)
    own = None if found.trades is None else found.trades.cast(published.schema)
    if own is None or not own.equals(published):
        what = "is not what merchant_directory has of the list"
        hint = "restore it from where the data came from, or import the list again"
        raise file_error("E_EGRESS_CHECKSUM_MISMATCH", reader.file(DATASET), what, hint)


def _mismatch(path: Path, problem: str) -> Segment1BError:
    hint = "restore the outlet partition and the bundle from 1A"
    return Segment1BError("E_EGRESS_CHECKSUM_MISMATCH", problem, hint, path=str(path))


def sealed_input(run: Run, reader: Reader, dataset_id: str) -> dict[str, Any]:
    """Return one entry of `sealed_inputs`: the digest over the bytes as they are now."""
    dataset = reader.dataset(dataset_id)
    path = reader.file(dataset_id)
    folder = path if path.is_dir() else path.parent
    files, whole = hash_files(folder, file_names(path) if path.is_dir() else [path.name])
    return {
        "id": dataset_id,
        "partition": dataset.partition(run.places),
        "schema_ref": dataset.schema_ref,
        "version_tag": dataset.version_tag,
        "path": dataset.locate(run.places),
        "size_bytes": sum(size for _, size, _ in files),
        "sha256_hex": whole,
    }


def _shown(run: Run, path: Path) -> str:
    return path.relative_to(run.root).as_posix() if path.is_relative_to(run.root) else str(path)
