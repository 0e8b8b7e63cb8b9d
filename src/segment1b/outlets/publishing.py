"""Publishes an imported list as a catalogue and a validation bundle like those of 1A."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError, file_error
from segment1b.identity import Identity, canonical_json
from segment1b.outlets import merchant_trades
from segment1b.outlets.directories import (
    DOCUMENT,
    content_digest,
    directory,
    holds,
    seal,
    write_directory,
)
from segment1b.outlets.lists import MAX_OUTLETS, Findings
from segment1b.outlets.pairs import (
    Int64s,
    Pairs,
    UInt16s,
    UInt64s,
    begins,
    letters,
    strings,
)
from segment1b.storage.arrays import distinct
from segment1b.storage.bundles import FLAG, GATE_RULES, flag_line, joined_digest, open_bundle
from segment1b.storage.durable import make_folder, read_json, write_file
from segment1b.storage.ingress import ingress_groups
from segment1b.storage.parts import FILE_ROWS, constant, groups, part_name, write_part
from segment1b.storage.publisher import publish_folder
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import file_names, hash_files, key_words
from segment1b.storage.root import root_at
from segment1b.storage.snapshot import Snapshot

PRODUCER = "segment1b outlets import"
_DIGITS = len(str(MAX_OUTLETS))
_POWERS = 10 ** np.arange(_DIGITS - 1, -1, -1)


def issue(
    root: Path, contracts: Contracts, pairs: Pairs, seed: int, parameter_hash: str, scratch: Path
) -> Path:
    """Publish catalogue and directories of a list and the bundle that seals them; return it.

    Published data with the same content stays. The bundle comes last, so that the next import
    completes one that was killed. Files are staged below `scratch`, on the root's filesystem.

    Raises:
        Segment1BError: E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL when another catalogue or the
            bundle of another producer is there; E_PATH_EMBED_MISMATCH when this list is sealed with
            another seed or parameter_hash; E_USAGE for a malformed token. Nothing is changed then.
    """
    tokens = Identity(seed, pairs.fingerprint, parameter_hash).tokens
    names = ("outlet_catalogue", "s3_candidate_set", "validation_bundle_1A")
    catalogue, candidates, bundle = (contracts[name] for name in names)
    root_at(root).fetch([dataset.locate(tokens) for dataset in (catalogue, candidates, bundle)])
    target = check_issue(root, contracts, tokens)
    outlets = root / catalogue.locate(tokens)
    make_folder(scratch)
    with tempfile.TemporaryDirectory(prefix="outlets-", dir=scratch) as stage:

        def publish(
            dataset: Dataset, write: Callable[[Path], object], *, replace: bool = False
        ) -> None:
            staged = Path(stage) / dataset.id
            staged.mkdir()
            write(staged)
            publish_folder(root, dataset, tokens, staged, 1, replace=replace)

        if not _is_vouched(outlets, target, tokens):
            publish(catalogue, lambda folder: _write_catalogue(folder, catalogue, pairs, tokens))
        if not _has_files(root / candidates.locate(tokens)):
            # A list states no order between countries. Without rows the set is the same for every
            # list, and so can be stored under its parameter_hash alone.
            empty = candidates.arrow_schema.empty_table()
            publish(
                candidates, lambda folder: write_part(folder / part_name(0), candidates, [empty])
            )
        _publish_merchants(root, contracts, pairs, tokens, publish)
        if _tokens_of(target) != tokens:
            # The tokens of another bundle were never sealed (see check_issue): nothing depends on
            # it.
            sealed = seal(root, contracts, pairs.directories, tokens) if pairs.directories else None
            publish(
                bundle,
                lambda folder: _write_bundle(folder, tokens, pairs, outlets, sealed),
                replace=True,
            )
    return target


def _publish_merchants(
    root: Path,
    contracts: Contracts,
    pairs: Pairs,
    tokens: Mapping[str, object],
    publish: Callable[[Dataset, Callable[[Path], object]], None],
) -> None:
    """Publish the directories of a list that the root lacks, and its trades."""
    tables = pairs.directories.tables if pairs.directories else {}
    for name, table in tables.items():
        dataset = contracts[name]
        root_at(root).fetch([dataset.locate(tokens)])
        if not holds(root / dataset.locate(tokens), content_digest(table)):
            publish(dataset, functools.partial(write_directory, table=table))
    if pairs.trades is not None:
        dataset = contracts[merchant_trades.DATASET]
        root_at(root).fetch([dataset.locate(tokens)])
        write = functools.partial(merchant_trades.write_trades, dataset=dataset, table=pairs.trades)
        publish(dataset, write)


def check_issue(root: Path, contracts: Contracts, tokens: Mapping[str, object]) -> Path:
    """Return where `issue` publishes a bundle; raise as it does, before anything is written."""
    bundle = root / contracts["validation_bundle_1A"].locate(tokens)
    if imported(bundle) is None and _has_files(bundle):
        code, what = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL", f"was not made by {PRODUCER}"
        hint = "import the list into another data root, or move that bundle away"
        raise file_error(code, bundle, what, hint, **tokens)
    path = root / contracts["s0_gate_receipt_1B"].locate(tokens)
    if not path.exists():
        return bundle
    receipt = read_json(path)
    for sealed in (_tokens_of(bundle) or {}, receipt if isinstance(receipt, dict) else {}):
        if any(sealed.get(name, value) != value for name, value in tokens.items()):
            what = (
                f"the list {tokens['manifest_fingerprint']} is sealed in this data root for seed "
                f"{sealed.get('seed')} and parameter_hash {sealed.get('parameter_hash')}; wanted "
                f"are seed {tokens['seed']} and parameter_hash {tokens['parameter_hash']}"
            )
            hint = (
                "use another --data-root for another policy or seed; 'segment1b scenario compare' "
                "makes one for each policy"
            )
            raise Segment1BError("E_PATH_EMBED_MISMATCH", what, hint, path=str(path), **tokens)
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


def pairs_of(root: Path, contracts: Contracts, seed: int, fingerprint: str) -> Pairs:
    """Return the pairs of an imported list, counted from its catalogue, with its corrections.

    Raises:
        Segment1BError: E_PARTITION_MISPLACED when there is no catalogue; E_PATH_EMBED_MISMATCH when
            it does not hold the list of that fingerprint; E_INPUT_UNREADABLE,
            E_INPUT_SCHEMA_INVALID for a damaged file; the code of a bundle whose corrections have
            changed.
    """
    name, tokens = "outlet_catalogue", {"seed": seed, "manifest_fingerprint": fingerprint}
    absent = {name: "E_PARTITION_MISPLACED"}
    reader = Reader(Snapshot(root, contracts, tokens), (name,), missing=absent)
    reader.fetch([name])
    folder, dataset = reader.file(name), reader.dataset(name)
    merchants: list[UInt64s] = [np.empty(0, np.uint64)]
    codes: list[UInt16s] = [np.empty(0, np.uint16)]
    counts: list[Int64s] = [np.empty(0, np.int64)]
    for path in sorted(folder.iterdir()):
        for table in ingress_groups(reader, dataset, path, ["merchant_id", "legal_country_iso"]):
            own = table.column(0).combine_chunks().fill_null(0).to_numpy()
            words = key_words(table.column(1).combine_chunks().fill_null(""))
            starts, n = _pair_starts(own, words)
            merchants.append(own[starts])
            codes.append(words[starts])
            counts.append(n)
    merchant, code = np.concatenate(merchants), np.concatenate(codes)
    # A pair may continue in the next row group.
    starts, _ = _pair_starts(merchant, code)
    ends = np.append(0, np.cumsum(np.concatenate(counts)))
    total = np.diff(ends[np.append(starts, len(merchant))])
    pairs = Pairs(
        merchant[starts],
        code[starts],
        total,
        directories=directory(root, contracts, fingerprint),
        findings=_sealed_corrections(root, contracts, tokens),
    )
    if pairs.fingerprint != fingerprint:
        what = f"holds the list {pairs.fingerprint}, its path names {fingerprint}"
        hint = "published data was changed: import the list again into another data root"
        raise file_error("E_PATH_EMBED_MISMATCH", folder, what, hint)
    return pairs


def _tokens_of(bundle: Path) -> dict[str, Any] | None:
    """Return the tokens of an imported bundle, or None."""
    names = ("seed", "manifest_fingerprint", "parameter_hash")
    manifest = imported(bundle)
    return None if manifest is None else {name: manifest.get(name) for name in names}


def _has_files(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _is_vouched(catalogue: Path, bundle: Path, tokens: Mapping[str, object]) -> bool:
    """Return whether an imported bundle has the digests of exactly these files and this seed."""
    held = _tokens_of(bundle)
    if held is None or held["seed"] != tokens["seed"] or not catalogue.is_dir():
        return False
    try:
        return bool(read_json(bundle / "egress_checksums.json") == _checksums(tokens, catalogue))
    except (Segment1BError, OSError) as error:
        raise_machine_fault(error)
        return False


def _write_bundle(
    folder: Path,
    tokens: Mapping[str, Any],
    pairs: Pairs,
    catalogue: Path,
    sealed: Mapping[str, Any] | None,
) -> None:
    """Write the bundle's files; the same list and tokens give the same bytes."""
    counts = {"pairs": len(pairs.n_sites), "outlets": int(pairs.n_sites.sum())}
    merchants, countries = len(distinct(pairs.merchant_id)), len(distinct(pairs.country))
    resolved = ("parameter_hash", "manifest_fingerprint")
    documents: dict[str, Any] = {
        "MANIFEST.json": {"producer": PRODUCER, **tokens, **counts, **_corrections(pairs)},
        **{f"{name}_resolved.json": {name: tokens[name]} for name in resolved},
        # An import draws no random numbers.
        "rng_accounting.json": {"streams": [], "draws": 0},
        "s9_summary.json": {"merchants": merchants, **counts, "countries": countries},
        "egress_checksums.json": _checksums(tokens, catalogue),
    }
    if sealed:
        documents[DOCUMENT] = sealed
    names = sorted([*documents, "index.json"])
    documents["index.json"] = [
        {
            "artifact_id": name.removesuffix(".json"),
            "kind": "table" if name in ("egress_checksums.json", DOCUMENT) else "summary",
            "path": name,
            "mime": "application/json",
        }
        for name in names
    ]
    files = {name: canonical_json(documents[name]) for name in names}
    files[FLAG] = flag_line(joined_digest(files))
    for name, data in files.items():
        write_file(folder / name, data)


def _corrections(pairs: Pairs) -> dict[str, Any]:
    """Return what was corrected in the list's file; nothing for a file that was exact."""
    found = pairs.findings
    if not found.corrections:
        return {}
    counts = {"by_kind": found.corrections, "unlisted": found.unlisted}
    return {"corrections": {**counts, "values": found.values}}


def _sealed_corrections(root: Path, contracts: Contracts, tokens: Mapping[str, object]) -> Findings:
    """Return what `_corrections` has sealed in the bundle of a list."""
    bundle = root / contracts["validation_bundle_1A"].locate(tokens)
    document = (imported(bundle) or {}).get("corrections")
    if document is None:
        return Findings()
    open_bundle(contracts, bundle, GATE_RULES)
    return Findings(
        corrections=document["by_kind"], values=document["values"], unlisted=document["unlisted"]
    )


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


def _write_catalogue(
    folder: Path, dataset: Dataset, pairs: Pairs, tokens: Mapping[str, object]
) -> None:
    """Write the part files, a row group at a time."""
    ends = np.cumsum(pairs.n_sites)
    rows = int(ends[-1]) if len(ends) else 0
    for number, low in enumerate(range(0, max(rows, 1), FILE_ROWS)):
        stretches = groups(low, min(low + FILE_ROWS, rows))
        write_part(
            folder / part_name(number),
            dataset,
            (_group(dataset, pairs, ends, tokens, *stretch) for stretch in stretches),
        )


def _pair_columns(pairs: Pairs, own: slice) -> dict[str, npt.NDArray[Any]]:
    """Return the columns that each row of a pair repeats, arrays [p]; countries as uint8[p, 2]."""
    first, last = pairs.merchant_id[own.start], pairs.merchant_id[own.stop - 1]
    # A merchant's home and total come from all of its pairs.
    low = int(np.searchsorted(pairs.merchant_id, first, "left"))
    high = int(np.searchsorted(pairs.merchant_id, last, "right"))
    n, merchant = pairs.n_sites[low:high], pairs.merchant_id[low:high]
    starts, countries_of = _pair_starts(merchant, merchant)
    owner = np.repeat(np.arange(len(starts)), countries_of)
    most = np.maximum.reduceat(n, starts)
    # Pairs ascend by country: the first with the most is the first in ASCII order, too.
    candidates = np.flatnonzero(n == most[owner])
    home = candidates[np.unique(owner[candidates], return_index=True)[1]]
    total = np.add.reduceat(n, starts)
    legal = letters(pairs.country[low:high])
    columns: dict[str, npt.NDArray[Any]] = {
        "merchant_id": merchant,
        "home_country_iso": legal[home][owner],
        "legal_country_iso": legal,
        "single_vs_multi_flag": (total > 1)[owner],
        "raw_nb_outlet_draw": total.astype(np.int32)[owner],
        "final_country_outlet_count": n.astype(np.int32),
    }
    return {name: values[own.start - low : own.stop - low] for name, values in columns.items()}


def _group(
    dataset: Dataset, pairs: Pairs, ends: Int64s, tokens: Mapping[str, Any], low: int, high: int
) -> pa.Table:
    """Return the catalogue's rows low <= row < high."""
    count = high - low
    first = int(np.searchsorted(ends, low, "right"))
    own = slice(first, int(np.searchsorted(ends, high, "left")) + 1)
    columns = _pair_columns(pairs, own)
    reach = np.clip(ends[own], low, high)
    repeats = np.diff(reach, prepend=np.int64(low))
    pair = np.repeat(np.arange(len(repeats)), repeats)
    begin = ends[own] - columns["final_country_outlet_count"]
    order = np.arange(low, high) - begin[pair] + 1
    digits = order[:, None] // _POWERS % 10 + ord("0")
    made: dict[str, Any] = {
        "manifest_fingerprint": constant(tokens["manifest_fingerprint"], count),
        "site_id": strings(digits.astype(np.uint8)),
        "site_order": order.astype(np.int32),
        "global_seed": np.full(count, tokens["seed"], np.uint64),
    }
    for name, values in columns.items():
        repeated = values[pair]
        made[name] = strings(repeated) if repeated.ndim == 2 else repeated
    arrays = [pa.array(made[c.name], c.arrow_type) for c in dataset.columns]
    return pa.Table.from_arrays(arrays, schema=dataset.arrow_schema)


def _pair_starts(merchant: npt.NDArray[Any], code: npt.NDArray[Any]) -> tuple[Int64s, Int64s]:
    """Return where runs of the same (merchant, code) begin, and their lengths."""
    starts = np.flatnonzero(begins(merchant, code))
    return starts, np.diff(np.append(starts, len(merchant)))
