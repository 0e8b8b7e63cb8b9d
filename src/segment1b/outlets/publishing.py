"""Publishes an imported list as a catalogue and a validation bundle like those of 1A."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError, file_error
from segment1b.identity import Identity, canonical_json
from segment1b.outlets.catalogue import write_catalogue
from segment1b.outlets.pairs import Pairs
from segment1b.storage.arrays import distinct
from segment1b.storage.bundles import FLAG, flag_line, joined_digest
from segment1b.storage.durable import (
    make_folder,
    read_json,
    write_file,
)
from segment1b.storage.parts import part_name, write_part
from segment1b.storage.publisher import publish_folder
from segment1b.storage.receipts import file_names, hash_files
from segment1b.storage.root import root_at

PRODUCER = "segment1b outlets import"
_INDEX_KINDS = {"egress_checksums.json": "table"}


def issue(
    root: Path, contracts: Contracts, pairs: Pairs, seed: int, parameter_hash: str, scratch: Path
) -> Path:
    """Publish the catalogue of an imported list and the bundle with its digests; return the bundle.

    Published data with the same content stays. The bundle comes last, so that the next import
    completes one that was killed. Files are staged below `scratch`, on the root's filesystem.

    Raises:
        Segment1BError: E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL when another catalogue or the
            bundle of another producer is there; E_PATH_EMBED_MISMATCH when this list is sealed with
            another seed or parameter_hash; E_USAGE for a malformed token. Nothing is changed then.
    """
    tokens = Identity(seed, pairs.fingerprint, parameter_hash).tokens
    names = ("outlet_catalogue", "s3_candidate_set", "validation_bundle_1A")
    root_at(root).fetch([contracts[name].locate(tokens) for name in names])
    bundle = check_issue(root, contracts, tokens)
    make_folder(scratch)
    with tempfile.TemporaryDirectory(prefix="outlets-", dir=scratch) as name:
        stage = Path(name)
        catalogue = _publish_catalogue(root, contracts, tokens, pairs, bundle, stage)
        _publish_candidates(root, contracts["s3_candidate_set"], tokens, stage)
        if _held(bundle) != tokens:
            files = _bundle_files(tokens, pairs, catalogue)
            _publish_bundle(root, contracts["validation_bundle_1A"], tokens, files, stage)
    return bundle


def check_issue(root: Path, contracts: Contracts, tokens: Mapping[str, object]) -> Path:
    """Return where `issue` publishes a bundle; raise as it does, before anything is written."""
    bundle = root / contracts["validation_bundle_1A"].locate(tokens)
    _check_bundle(bundle, tokens)
    _check_seal(root, contracts, bundle, tokens)
    return bundle


def imported(folder: Path) -> dict[str, Any] | None:
    """Return the MANIFEST of a bundle that `issue` published, or None for any other folder."""
    try:
        manifest = read_json(folder / "MANIFEST.json")
    except (Segment1BError, OSError) as error:
        raise_machine_fault(error, folder)
        return None
    if not isinstance(manifest, dict) or manifest.get("producer") != PRODUCER:
        return None
    return manifest


def _held(bundle: Path) -> dict[str, Any] | None:
    """Return the tokens of an imported bundle, or None."""
    manifest = imported(bundle)
    if manifest is None:
        return None
    return {name: manifest.get(name) for name in ("seed", "manifest_fingerprint", "parameter_hash")}


def _check_bundle(bundle: Path, tokens: Mapping[str, object]) -> None:
    """Refuse the bundle of another producer."""
    if imported(bundle) is None and bundle.is_dir() and any(bundle.iterdir()):
        code, what = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL", f"was not made by {PRODUCER}"
        hint = "import the list into another data root, or move that bundle away"
        raise file_error(code, bundle, what, hint, **tokens)


def _check_seal(
    root: Path, contracts: Contracts, bundle: Path, tokens: Mapping[str, object]
) -> None:
    """Refuse other tokens for a list that S0 has sealed already."""
    path = root / contracts["s0_gate_receipt_1B"].locate(tokens)
    if not path.exists():
        return
    receipt = read_json(path)
    for sealed in (_held(bundle) or {}, receipt if isinstance(receipt, dict) else {}):
        if any(sealed.get(name, value) != value for name, value in tokens.items()):
            what = (
                f"the list {tokens['manifest_fingerprint']} is sealed in this data root for seed "
                f"{sealed.get('seed')} and parameter_hash {sealed.get('parameter_hash')}; wanted "
                f"are seed {tokens['seed']} and parameter_hash {tokens['parameter_hash']}"
            )
            hint = "use another --data-root for another policy or seed"
            raise Segment1BError("E_PATH_EMBED_MISMATCH", what, hint, path=str(path), **tokens)


def _publish_catalogue(
    root: Path,
    contracts: Contracts,
    tokens: Mapping[str, object],
    pairs: Pairs,
    bundle: Path,
    stage: Path,
) -> Path:
    """Publish the catalogue unless the same one is there; return its folder."""
    dataset = contracts["outlet_catalogue"]
    target = root / dataset.locate(tokens)
    if _is_vouched(target, bundle, tokens):
        return target
    staged = _folder(stage, dataset)
    write_catalogue(staged, dataset, pairs, tokens)
    publish_folder(root, dataset, tokens, staged, 1)
    return target


def _is_vouched(catalogue: Path, bundle: Path, tokens: Mapping[str, object]) -> bool:
    """Return whether an imported bundle has the digests of exactly these files and this seed."""
    held = _held(bundle)
    if held is None or held["seed"] != tokens["seed"] or not catalogue.is_dir():
        return False
    try:
        return bool(read_json(bundle / "egress_checksums.json") == _checksums(tokens, catalogue))
    except (Segment1BError, OSError) as error:
        raise_machine_fault(error)
        return False


def _publish_candidates(
    root: Path, dataset: Dataset, tokens: Mapping[str, object], stage: Path
) -> None:
    """Publish a candidate set without rows, unless there is one.

    A list states no order between countries. Without rows the set is the same for every list, and
    so can be stored under its parameter_hash alone.
    """
    target = root / dataset.locate(tokens)
    if target.is_dir() and any(target.iterdir()):
        return
    staged = _folder(stage, dataset)
    write_part(staged / part_name(0), dataset, [dataset.arrow_schema.empty_table()])
    publish_folder(root, dataset, tokens, staged, 1)


def _publish_bundle(
    root: Path,
    dataset: Dataset,
    tokens: Mapping[str, object],
    files: Mapping[str, bytes],
    stage: Path,
) -> None:
    staged = _folder(stage, dataset)
    for name, data in files.items():
        write_file(staged / name, data)
    # The tokens of another bundle were never sealed (see _check_seal): nothing depends on it.
    publish_folder(root, dataset, tokens, staged, 1, replace=True)


def _folder(stage: Path, dataset: Dataset) -> Path:
    folder = stage / dataset.id
    folder.mkdir()
    return folder


def _bundle_files(tokens: Mapping[str, Any], pairs: Pairs, catalogue: Path) -> dict[str, bytes]:
    """Return the bundle's files by name; the same list and tokens give the same bytes."""
    counts = {"pairs": len(pairs.n_sites), "outlets": int(pairs.n_sites.sum())}
    merchants, countries = len(distinct(pairs.merchant_id)), len(distinct(pairs.country))
    resolved = ("parameter_hash", "manifest_fingerprint")
    documents: dict[str, Any] = {
        "MANIFEST.json": {"producer": PRODUCER, **tokens, **counts},
        **{f"{name}_resolved.json": {name: tokens[name]} for name in resolved},
        # An import draws no random numbers.
        "rng_accounting.json": {"streams": [], "draws": 0},
        "s9_summary.json": {"merchants": merchants, **counts, "countries": countries},
        "egress_checksums.json": _checksums(tokens, catalogue),
    }
    names = sorted([*documents, "index.json"])
    documents["index.json"] = [
        {
            "artifact_id": name.removesuffix(".json"),
            "kind": _INDEX_KINDS.get(name, "summary"),
            "path": name,
            "mime": "application/json",
        }
        for name in names
    ]
    files = {name: canonical_json(documents[name]) for name in names}
    files[FLAG] = flag_line(joined_digest(files))
    return files


def _checksums(tokens: Mapping[str, Any], catalogue: Path) -> dict[str, Any]:
    files, composite = hash_files(catalogue, file_names(catalogue))
    return {
        "dataset_id": "outlet_catalogue",
        "seed": tokens["seed"],
        "manifest_fingerprint": tokens["manifest_fingerprint"],
        "files": [
            {"path": path, "sha256_hex": digest, "size_bytes": size} for path, size, digest in files
        ],
        "composite_sha256_hex": composite,
    }
