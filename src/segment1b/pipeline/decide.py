"""Decides which run is asked for, from the settings and what is in the root; writes nothing."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from pydantic import ValidationError

from segment1b import contracts
from segment1b.config import RunSettings, load_policy, parameter_document, parameter_hash
from segment1b.contracts import Contracts
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.policy import Policy
from segment1b.errors import Segment1BError, unreadable
from segment1b.identity import TOKENS, Identity, canonical_json
from segment1b.outlets.column_names import parse_map
from segment1b.outlets.earlier import find_earlier, followed, moves
from segment1b.outlets.list_names import default_list, find_list
from segment1b.outlets.lists import Reading, warnings_about
from segment1b.outlets.merchant_trades import find_trades, in_use
from segment1b.outlets.pairs import Pairs, read_outlets
from segment1b.outlets.publishing import check_issue, imported
from segment1b.pipeline.finding import find_identity
from segment1b.reference import embedded
from segment1b.reference.installing import LAYERS, SURFACES, is_embedded, layer_digests, missing
from segment1b.states.protocol import Run
from segment1b.storage.durable import read_json
from segment1b.storage.ingress import iso_codes
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import hash_files
from segment1b.storage.snapshot import BOUND, Snapshot
from segment1b.storage.staging import STAGING

DEFAULT_SEED = 42
LOG = logging.getLogger("segment1b")
#: The files of a validation bundle that name the tokens.
_TOKEN_FILES = {
    "seed": "egress_checksums.json",
    **{name: f"{name}_resolved.json" for name in TOKENS[1:]},
}


@dataclass(frozen=True)
class Decision:
    """What a run is to be.

    Attributes:
        run: root, identity, policy and surfaces.
        pairs: the outlet list to bring in; None for what is in the root.
        sealed: the tokens of the bundle that vouches for an imported list in the root; None where
            it is 1A's, or `pairs` has none yet.
    """

    run: Run
    pairs: Pairs | None
    sealed: Mapping[str, Any] | None


def decide(root: Path, settings: RunSettings, given: Pairs | None, scratch: Path) -> Decision:
    """Return what the settings mean in a root with surfaces; nothing is written.

    Without a list or a bundle, the sample list is chosen for the embedded world. Tokens that are
    not given come from the validation bundle of the list that is named, or of the default list
    (docs/spec/outlet-lists.md#names); the parameter hash of an imported list is that of the policy
    in force.

    Raises:
        Segment1BError: E_USAGE for what cannot be decided, E_REFERENCE_SURFACE_MISSING,
            E_BUNDLE_MISSING, E_POLICY_INVALID.
    """
    known = contracts.load(settings.dictionary)
    if settings.manifest_fingerprint is not None:
        fingerprint = find_list(root, known, settings.manifest_fingerprint)
        settings = settings.model_copy(update={"manifest_fingerprint": fingerprint})
    surfaces = surface_digests(root, known)
    pairs = given or _sample(root, known, settings, surfaces)
    bundle = None if pairs is not None else _bundle(root, known, settings)
    own = pairs is not None or (bundle is not None and imported(bundle) is not None)
    policy = load_policy(settings.policy_files, settings.settings, imported=own)
    sealed = tokens_of(bundle) if bundle else {}
    listed = pairs.fingerprint if pairs else sealed.get("manifest_fingerprint")
    seed = first(settings.seed, sealed.get("seed"), DEFAULT_SEED)
    fingerprint = first(settings.manifest_fingerprint, listed)
    trades = _trades(root, known, pairs, seed, fingerprint)
    if trades:
        policy = policy.with_trades()
        surfaces = surfaces | layer_digests(root, known, surfaces)
    elif policy.realism.urban_share:
        what = "realism.urban_share bounds trades, and no merchant has one"
        raise Segment1BError("E_POLICY_INVALID", what, "remove it, or add trade or mcc to the list")
    # A hash that came from 1A with the data is adopted; an imported list has none of its own.
    adopted = None if own else sealed.get("parameter_hash")
    parameters = first(settings.parameter_hash, adopted, parameter_hash(policy, surfaces))
    identity = Identity(seed, fingerprint, parameters)
    run = Run(
        root,
        identity,
        policy,
        surfaces,
        scratch,
        settings.validation_bundle,
        os.path.abspath(settings.dictionary) if settings.dictionary else None,
        settings.merchant_summaries,
        trades=trades,
    )
    return Decision(run, pairs, sealed if own else None)


def _trades(
    root: Path, known: Contracts, pairs: Pairs | None, seed: int, fingerprint: str
) -> tuple[str, ...]:
    """Return the trades in use of a list, or of what is in the root for its fingerprint."""
    if pairs is None:
        return find_trades(root, known, seed, fingerprint)
    return in_use(None if pairs.trades is None else pairs.trades["trade"])


def foresee(root: Path, settings: RunSettings) -> tuple[Run, str]:
    """Return the run that the settings would mean, and why it would be refused, or "".

    Raises:
        Segment1BError: as `decide`; E_REFERENCE_SURFACE_MISSING also for an empty root.
    """
    given = named_outlets(root, settings)
    decision = decide(root, settings, given, root / STAGING)
    run = decision.run
    refusal = binding_refusal(run)
    if decision.pairs is not None or decision.sealed is not None:
        run.snapshot.fetch(["s0_gate_receipt_1B"])
        try:
            check_issue(root, run.contracts, run.tokens)
        except Segment1BError as error:
            refusal = f"{error.code}: {error.message}"
    return run, refusal


def binding_refusal(run: Run) -> str:
    """Return why a run's parameter hash cannot be bound; empty where it can, or is."""
    bound, path = run.contracts[BOUND], run.snapshot.path(BOUND)
    run.snapshot.fetch([BOUND])
    if not path.exists():
        return ""
    then, now = read_json(path), parameter_document(run.policy, run.surfaces)
    if then == now:
        return ""
    code, surfaces = bound.code("differs"), then.get("surfaces", {})
    # A layer that is gone is one of the bound document alone.
    gone = dict.fromkeys(surfaces, "") if run.trades else {}
    for name, digest in {**gone, **run.surfaces}.items():
        was = str(surfaces.get(name, "absent"))[:8]
        if digest and surfaces.get(name) != digest:
            return f"{code}: {name} was {was}, is {digest[:8]}"
        # A run lays what the embedded world lacks again; `layer_digests` has its layers.
        if not digest and (name not in run.surfaces or not is_embedded(surfaces)):
            return f"E_REFERENCE_SURFACE_MISSING: {name} was {was}, is absent"
    return "" if then.get("policy") == now["policy"] else f"{code}: it is another policy's"


def named_outlets(root: Path, settings: RunSettings) -> Pairs | None:
    """Return the outlet list that is named, or None; fetch what decides about a run."""
    known = contracts.load(settings.dictionary)
    Snapshot(root, known, {"manifest_fingerprint": "*"}).fetch(
        [*SURFACES, *LAYERS, "validation_bundle_1A"]
    )
    if settings.outlets is None:
        return None
    iso = iso_set(root, known)
    pairs = read_outlets(settings.outlets, iso, reading_of(settings), settings.columns)
    notes = warnings_about(pairs.findings)
    if settings.since is not None:
        pairs = followed(pairs, settings.outlets, find_earlier(settings.since, settings.dictionary))
    notes += moves(pairs.since) if pairs.since else []
    for note in notes:
        LOG.warning("%s: %s", settings.outlets, note)
    return pairs


def reading_of(settings: RunSettings) -> Reading:
    """Return how a run reads its outlet list."""
    return Reading(settings.normalise, parse_map(settings.map_columns))


def surface_digests(root: Path, known: Contracts, without: Collection[str] = ()) -> dict[str, str]:
    """Return the SHA-256 of each reference surface in the root, by dataset id."""
    reader = Reader(Snapshot(root, known, {}), SURFACES)
    files = {name: reader.file(name) for name in SURFACES if name not in without}
    return {name: hash_files(file.parent, [file.name])[1] for name, file in files.items()}


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
        return root / known["validation_bundle_1A"].locate(settings.tokens)
    bundles = _bundles(root, known)
    if not bundles:
        raise Segment1BError("E_BUNDLE_MISSING", f"{root} holds no validation bundle")
    fingerprint = default_list(root, known, [path.name.partition("=")[2] for path in bundles])
    return root / known["validation_bundle_1A"].locate({"manifest_fingerprint": fingerprint})


def tokens_of(bundle: Path) -> dict[str, Any]:
    """Return the tokens a bundle names; what is absent or malformed is for the gate to judge."""
    found: dict[str, Any] = {}
    for name, file in _TOKEN_FILES.items():
        try:
            document = read_json(bundle / file)
        except (Segment1BError, OSError) as error:
            raise_machine_fault(error, bundle / file)
            document = None
        found[name] = document.get(name) if isinstance(document, dict) else None
    seed = str(found["seed"])
    return found | {"seed": int(seed) if seed.isdecimal() else None}


def first(*values: Any) -> Any:
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), "")


def bound_parameters(snapshot: Snapshot) -> tuple[Policy, dict[str, str]]:
    """Return the policy and the digests of surfaces that a parameter hash is bound to.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE for a document that is absent or names no policy.
    """
    path = snapshot.path(BOUND)
    try:
        document = read_json(path)
        policy = Policy.model_validate_json(canonical_json(document["policy"]))
        return policy, {name: str(document["surfaces"][name]) for name in SURFACES}
    except (FileNotFoundError, KeyError, TypeError, ValidationError) as error:
        hint = "restore it from where the data came from, or run again"
        raise unreadable(path, f"names no policy: {type(error).__name__}", hint) from None


def published_run(root: Path, dictionary: Path | None, given: Mapping[str, Any]) -> tuple[Run, str]:
    """Return the run that made what is published, and why it would be refused, as `foresee`.

    Its policy is the one its parameter hash is bound to, its surfaces are those of today; a
    surface that is gone has the digest "".
    """
    known, identity = find_identity(root, dictionary, given)
    snapshot = Snapshot(root, known, identity.places)
    snapshot.fetch([*SURFACES, BOUND])
    policy, _ = bound_parameters(snapshot)
    absent = missing(root, known)
    surfaces = dict.fromkeys(absent, "") | surface_digests(root, known, absent)
    elsewhere = os.path.abspath(dictionary) if dictionary else None
    trades = find_trades(root, known, identity.seed, identity.manifest_fingerprint)
    if trades:
        surfaces |= layer_digests(root, known, surfaces)
    staging = root / STAGING
    run = Run(root, identity, policy, surfaces, staging, None, elsewhere, trades=trades)
    return run, binding_refusal(run)
