"""Resolution: from what was asked to one run: surfaces, outlets, policy and identity."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from segment1b import contracts
from segment1b.config import Policy, RunSettings, load_policy, parameter_document, parameter_hash
from segment1b.contracts import Contracts
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError
from segment1b.identity import Identity, canonical_json, check_seed
from segment1b.outlets.bundle import check_issue, imported, issue
from segment1b.outlets.catalogue import pairs_of
from segment1b.outlets.importing import Pairs, read_outlets
from segment1b.reference import embedded
from segment1b.reference.installing import (
    SURFACES,
    is_embedded,
    is_imported,
    lay_at_resolution,
    lay_embedded,
    lay_missing,
    missing,
)
from segment1b.states.protocol import Run
from segment1b.storage.durable import read_json, read_object
from segment1b.storage.ingress import iso_codes
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import hash_files
from segment1b.storage.root import open_root, root_at
from segment1b.storage.snapshot import Snapshot
from segment1b.storage.staging import STAGING, staging

LOG = logging.getLogger("segment1b")
DEFAULT_SEED = 42
TOKENS = ("seed", "manifest_fingerprint", "parameter_hash")
DEFAULT_GRID = 0.1
_BOUND = "parameter_policy_1B"


def resolve(root: Path, settings: RunSettings, scratch: Path) -> tuple[Run, Pairs | None]:
    """Return the run that the settings mean, and the outlet list that was brought in for it.

    An empty root gets the embedded world and, when no outlets are named or there, the sample
    list. Tokens that are not given come from the one validation bundle in the root; the
    parameter hash of an imported list is that of the policy in force.

    Raises:
        Segment1BError: E_USAGE for what cannot be decided, E_REFERENCE_SURFACE_MISSING,
            E_BUNDLE_MISSING, E_POLICY_INVALID, E_OUTLETS_INVALID.
    """
    known = _contracts(settings.dictionary)
    asked = load_policy(settings.policy_files, settings.settings)
    # The list is read first: one with bad rows leaves the root without surfaces too.
    given = _given(root, known, settings)
    _lay_if_empty(root, known, settings, asked, scratch)
    run, pairs, said = _decided(root, known, settings, given, scratch)
    _issue_bundle(root, known, run.identity, pairs, said, scratch)
    return run, pairs


def foresee(root: Path, settings: RunSettings) -> tuple[Run, str]:
    """Return the run that the settings would mean, and why it would be refused; write nothing.

    The reason is empty for a run that would start.

    Raises:
        Segment1BError: as `resolve`; E_REFERENCE_SURFACE_MISSING also for an empty root.
    """
    known = _contracts(settings.dictionary)
    given = _given(root, known, settings)
    run, pairs, said = _decided(root, known, settings, given, root / STAGING)
    refusal = binding_refusal(run)
    if pairs is not None or said is not None:
        root_at(root).fetch([known["s0_gate_receipt_1B"].locate(run.places)])
        try:
            check_issue(root, known, run.identity.tokens)
        except Segment1BError as error:
            refusal = f"{error.code}: {error.message}"
    return run, refusal


def binding_refusal(run: Run) -> str:
    """Return why a run's parameter hash cannot be bound; empty where it can, or is."""
    bound = run.contracts[_BOUND]
    root_at(run.root).fetch([bound.locate(run.places)])
    path = run.root / bound.locate(run.places)
    if not path.exists():
        return ""
    then, now = read_json(path), parameter_document(run.policy, run.surfaces)
    if then == now:
        return ""
    code, surfaces = bound.code("differs"), then.get("surfaces", {})
    for name, digest in run.surfaces.items():
        was = str(surfaces.get(name))[:8]
        if digest and surfaces.get(name) != digest:
            return f"{code}: {name} was {was}, is {digest[:8]}"
        # A run lays what the embedded world lacks again.
        if not digest and not is_embedded(surfaces):
            return f"E_REFERENCE_SURFACE_MISSING: {name} was {was}, is absent"
    return "" if then.get("policy") == now["policy"] else f"{code}: it is another policy's"


def _given(root: Path, known: Contracts, settings: RunSettings) -> Pairs | None:
    """Return the outlet list that is named, if one is; bring what decides about a run."""
    root_at(root).fetch([known[dataset_id].locate({}) for dataset_id in SURFACES])
    root_at(root).fetch([known["validation_bundle_1A"].locate({"manifest_fingerprint": "*"})])
    if settings.outlets is None:
        return None
    pairs = read_outlets(settings.outlets, iso_set(root, known))
    if pairs.ignored:
        names = ", ".join(pairs.ignored)[:200]
        LOG.warning("%s: no use is made of the columns %s", settings.outlets, names)
    return pairs


def _decided(
    root: Path, known: Contracts, settings: RunSettings, given: Pairs | None, scratch: Path
) -> tuple[Run, Pairs | None, Mapping[str, Any] | None]:
    """Return the run, the outlet list to bring in, and what the bundle of an imported list says."""
    surfaces = surface_digests(root, known)
    pairs = given or _sample(root, known, settings, surfaces)
    bundle = None if pairs is not None else _bundle(root, known, settings)
    own = pairs is not None or (bundle is not None and imported(bundle) is not None)
    policy = load_policy(
        settings.policy_files, settings.settings, embedded=own and is_embedded(surfaces)
    )
    said: Mapping[str, Any] = _tokens_of(bundle) if bundle else {}
    computed = parameter_hash(policy, surfaces)
    identity = Identity(
        seed=_first(settings.seed, said.get("seed"), DEFAULT_SEED),
        manifest_fingerprint=_first(
            settings.manifest_fingerprint,
            pairs.fingerprint if pairs else None,
            said.get("manifest_fingerprint"),
        ),
        # A hash that came from 1A with the data is adopted; an imported list has none of its own.
        parameter_hash=_first(
            settings.parameter_hash, None if own else said.get("parameter_hash"), computed
        ),
    )
    run = Run(
        root,
        identity,
        policy,
        surfaces,
        scratch,
        settings.validation_bundle,
        os.path.abspath(settings.dictionary) if settings.dictionary else None,
        settings.merchant_summaries,
    )
    return run, pairs, said if own else None


def surface_digests(root: Path, known: Contracts, without: Collection[str] = ()) -> dict[str, str]:
    """Return the SHA-256 of each reference surface in the root, by dataset id."""
    reader = Reader(Snapshot(root, known, {}), SURFACES)
    digests = {}
    for dataset_id in (name for name in SURFACES if name not in without):
        path = reader.file(dataset_id)
        digests[dataset_id] = hash_files(path.parent, [path.name])[1]
    return digests


def _lay_if_empty(
    root: Path, known: Contracts, settings: RunSettings, asked: Policy, scratch: Path
) -> None:
    # Somebody who names a parameter hash brings the surfaces it was made with.
    if settings.parameter_hash is not None:
        return
    absent = missing(root, known)
    if absent and is_imported(root, known):
        raise Segment1BError(
            "E_REFERENCE_SURFACE_MISSING",
            f"{root} has imported surfaces, but no {', '.join(absent)}",
            "import them too, or lay the embedded ones with 'segment1b reference fill'",
            path=str(root),
        )
    there = [d for d in SURFACES if d not in absent]
    # The raster is laid last: a run that was killed while laying leaves the first few.
    if there == list(SURFACES[: len(there)]) and len(there) < len(SURFACES):
        lay_embedded(root, known, _first(asked.prep.grid, DEFAULT_GRID), scratch)


def _sample(
    root: Path, known: Contracts, settings: RunSettings, surfaces: Mapping[str, str]
) -> Pairs | None:
    """Return the sample list for an embedded world without outlets; None where a bundle says."""
    named = settings.manifest_fingerprint or settings.validation_bundle
    if named or _bundles(root, known) or not is_embedded(surfaces):
        return None
    return read_outlets(embedded.SAMPLE_OUTLETS, iso_set(root, known))


def iso_set(root: Path, known: Contracts) -> set[str]:
    """Return the country codes of the root's ISO table; a root without one gets the embedded."""
    if not (root / known["iso3166_canonical_2024"].locate({})).exists():
        return set(pq.read_table(embedded.surface("iso3166.parquet"))["country_iso"].to_pylist())
    return set(iso_codes(Reader(Snapshot(root, known, {}), SURFACES)))


def _bundles(root: Path, known: Contracts) -> list[Path]:
    pattern = known["validation_bundle_1A"].locate({"manifest_fingerprint": "*"})
    return sorted(path for path in root.glob(pattern) if path.is_dir())


def _bundle(root: Path, known: Contracts, settings: RunSettings) -> Path | None:
    if settings.validation_bundle is not None:
        return settings.validation_bundle
    if settings.manifest_fingerprint is not None:
        tokens = {"manifest_fingerprint": settings.manifest_fingerprint}
        return root / known["validation_bundle_1A"].locate(tokens)
    there = _bundles(root, known)
    if len(there) > 1:
        raise Segment1BError(
            "E_USAGE",
            f"{root} holds several validation bundles: "
            + ", ".join(path.name.partition("=")[2] for path in there),
            "choose one with --manifest-fingerprint",
        )
    if not there:
        raise Segment1BError(
            "E_BUNDLE_MISSING",
            f"{root} holds no validation bundle",
            "bring 1A's bundle, or an outlet list with --outlets FILE",
        )
    return there[0]


def _tokens_of(bundle: Path) -> dict[str, Any]:
    """Return the tokens a bundle names; what is absent or malformed is for the gate to judge."""
    found: dict[str, Any] = {}
    for name in ("parameter_hash", "manifest_fingerprint"):
        found[name] = _field(bundle / f"{name}_resolved.json", name)
    seed = _field(bundle / "egress_checksums.json", "seed")
    found["seed"] = int(seed) if seed is not None and str(seed).isdecimal() else None
    return found


def _field(path: Path, name: str) -> Any:
    try:
        document = read_json(path)
    except (Segment1BError, OSError) as error:
        raise_machine_fault(error, path)
        return None
    return document.get(name) if isinstance(document, dict) else None


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), "")


def _issue_bundle(
    root: Path,
    known: Contracts,
    identity: Identity,
    pairs: Pairs | None,
    said: Mapping[str, Any] | None,
    scratch: Path,
) -> None:
    """Issue the bundle of an imported list for this identity, if it has no such bundle yet."""
    if pairs is None:
        if said is None or all(said[name] == value for name, value in identity.tokens.items()):
            return
        if said["manifest_fingerprint"] != identity.manifest_fingerprint:
            return
        pairs = pairs_of(root, known, check_seed(said["seed"]), identity.manifest_fingerprint)
    issue(root, known, pairs, identity.seed, identity.parameter_hash, scratch)


def import_outlets(settings: RunSettings) -> tuple[Run, Pairs]:
    """Bring an outlet list into a root: catalogue, bundle; return the run it belongs to.

    Raises:
        Segment1BError: E_OUTLETS_INVALID naming the bad rows; nothing is written then.
    """
    load_policy(settings.policy_files, settings.settings)
    root = open_root(settings.data_root)
    with staging(root) as scratch:
        run, pairs = resolve(root, settings, scratch)
    assert pairs is not None
    return run, pairs


def build_reference(
    data_root: Path, resolution_arcsec: int, dictionary: Path | None
) -> dict[str, Path]:
    """Lay the embedded surfaces into a root at another resolution; return their paths."""
    root = open_root(data_root)
    with staging(root) as scratch:
        return lay_at_resolution(root, _contracts(dictionary), resolution_arcsec, scratch)


def fill_reference(
    data_root: Path, resolution_arcsec: int, dictionary: Path | None
) -> dict[str, Path]:
    """Lay the embedded surfaces that a root lacks; return their paths."""
    root = open_root(data_root)
    with staging(root) as scratch:
        return lay_missing(root, _contracts(dictionary), resolution_arcsec, scratch)


def find_identity(
    data_root: Path, dictionary: Path | None, given: Mapping[str, Any]
) -> tuple[Contracts, Identity]:
    """Return the identity of what is published in a root, from its S0 receipts.

    Args:
        data_root: the root.
        dictionary: another dictionary than the packaged one.
        given: tokens by name; None where the one receipt that fits shall say.

    Raises:
        Segment1BError: E301_NO_PASS_FLAG when no receipt fits, E_USAGE when several do,
            E_PATH_EMBED_MISMATCH when one lies in the folder of another fingerprint.
    """
    known = _contracts(dictionary)
    pattern = known["s0_gate_receipt_1B"].locate({"manifest_fingerprint": "*"})
    wanted = {name: value for name, value in given.items() if value is not None}
    root_at(data_root).fetch([pattern])
    found = []
    for path in sorted(data_root.glob(pattern)):
        receipt = read_object(path)
        named = known["s0_gate_receipt_1B"].locate(receipt)
        if named != path.relative_to(data_root).as_posix():
            raise Segment1BError(
                "E_PATH_EMBED_MISMATCH",
                f"{path} belongs at {named}: its tokens are not those of its path",
                "restore the receipt from where the data came from",
                path=str(path),
            )
        if all(receipt.get(name) == value for name, value in wanted.items()):
            found.append({name: receipt[name] for name in TOKENS})
    if not found:
        raise Segment1BError(
            "E301_NO_PASS_FLAG",
            f"{root_at(data_root)} holds no S0 receipt" + (f" with {wanted}" if wanted else ""),
            "run 'segment1b run' first",
        )
    if len(found) > 1:
        listed = ", ".join(str(one["manifest_fingerprint"]) for one in found)
        raise Segment1BError(
            "E_USAGE",
            f"{root_at(data_root)} holds several fingerprints: {listed}",
            "choose one with --manifest-fingerprint",
        )
    return known, Identity(**found[0])


def published_run(root: Path, dictionary: Path | None, given: Mapping[str, Any]) -> tuple[Run, str]:
    """Return the run that made what is published, over the surfaces of today; write nothing.

    Its policy is the one its parameter hash is bound to. Beside it stands why a run would be
    refused, as in `foresee`. A surface that is gone has the digest "".

    Raises:
        Segment1BError: as `find_identity`; E_INPUT_UNREADABLE when the root names no policy.
    """
    known, identity = find_identity(root, dictionary, given)
    root_at(root).fetch([known[name].locate(identity.places) for name in (*SURFACES, _BOUND)])
    path = root / known[_BOUND].locate(identity.places)
    try:
        policy = Policy.model_validate_json(canonical_json(read_json(path)["policy"]))
    except (FileNotFoundError, KeyError, TypeError, ValidationError) as error:
        raise Segment1BError(
            "E_INPUT_UNREADABLE",
            f"{path} names no policy: {type(error).__name__}",
            "restore it from where the data came from, or run again",
            path=str(path),
        ) from None
    absent = missing(root, known)
    surfaces = dict.fromkeys(absent, "") | surface_digests(root, known, absent)
    elsewhere = os.path.abspath(dictionary) if dictionary else None
    run = Run(root, identity, policy, surfaces, root / STAGING, None, elsewhere)
    return run, binding_refusal(run)


def _contracts(dictionary: Path | None) -> Contracts:
    return contracts.load(str(dictionary) if dictionary else None)
