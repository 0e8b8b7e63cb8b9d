"""Prepares a data root for a run: lays surfaces, issues the bundle of a list, binds the policy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from segment1b import contracts
from segment1b.config import RunSettings, load_policy, parameter_document
from segment1b.errors import Segment1BError, file_error
from segment1b.identity import check_seed
from segment1b.outlets.column_names import parse_map
from segment1b.outlets.dividing import divide
from segment1b.outlets.list_names import free_name, record_list
from segment1b.outlets.pairs import Pairs
from segment1b.outlets.publishing import issue, pairs_of
from segment1b.pipeline.decide import (
    Decision,
    binding_refusal,
    decide,
    first,
    iso_set,
    named_outlets,
)
from segment1b.pipeline.since import continued
from segment1b.pipeline.worlds import install_world
from segment1b.reference.embedded import SAMPLE_OUTLETS
from segment1b.reference.installing import (
    LAYERS,
    SURFACES,
    install_at_resolution,
    install_embedded,
    install_layers,
    is_imported,
    missing,
)
from segment1b.states.protocol import Run
from segment1b.storage.publisher import publish_document
from segment1b.storage.root import find_root, open_root
from segment1b.storage.snapshot import BOUND
from segment1b.storage.staging import staging

DEFAULT_GRID = 0.1


def lay_and_decide(root: Path, settings: RunSettings, scratch: Path) -> Decision:
    """Lay the embedded world into an empty root, and decide."""
    # The list is read first: one with bad rows leaves the root without surfaces too.
    given = named_outlets(root, settings)
    if settings.world is not None:
        install_world(root, settings.world, settings.dictionary, scratch)
    _install_if_empty(root, settings, scratch)
    return decide(root, settings, given, scratch)


def prepare(decision: Decision, settings: RunSettings) -> str | None:
    """Issue the bundle of an imported list, and bind the parameter hash to policy and surfaces.

    Returns:
        The name of a list that is brought in; None for one that is in the root.
    """
    name = _issue_bundle(decision, settings)
    run = decision.run
    if run.trades:
        install_layers(run.root, run.contracts, run.surfaces, run.staging)
    document, entry = parameter_document(run.policy, run.surfaces), run.contracts[BOUND]
    publish_document(run.root, run.contracts, entry, run.places, document, run.staging)
    return name


def _issue_bundle(decision: Decision, settings: RunSettings) -> str | None:
    """Issue the bundle of an imported list, if it has no such bundle yet; name one brought in."""
    run, pairs, sealed = decision.run, decision.pairs, decision.sealed
    own = run.identity
    if pairs is not None:
        about = (run.root, run.contracts, own.manifest_fingerprint)
        named = (settings.list_name, settings.outlets or SAMPLE_OUTLETS)
        free_name(*about, *named)  # a name that is refused leaves the root as it was
        issue(run.root, run.contracts, pairs, own.seed, own.parameter_hash, run.staging)
        return record_list(*about, *named, run.staging)
    if sealed is None or sealed == own.tokens:
        return None
    if sealed["manifest_fingerprint"] != own.manifest_fingerprint:
        return None
    seed = check_seed(sealed["seed"])
    pairs = pairs_of(run.root, run.contracts, seed, own.manifest_fingerprint)
    try:
        issue(run.root, run.contracts, pairs, own.seed, own.parameter_hash, run.staging)
    except Segment1BError as error:
        identity = replace(own, parameter_hash=sealed["parameter_hash"])
        # A surface that is gone has changed the parameter hash: it is the reason to tell.
        why = binding_refusal(replace(run, identity=identity))
        if not why.startswith("E_REFERENCE_SURFACE_MISSING"):
            raise
        raise Segment1BError(
            error.code, f"{why}; {error.message}", error.hint, **error.scope
        ) from None
    return None


def import_outlets(settings: RunSettings) -> tuple[Run, Pairs, str]:
    """Bring an outlet list into a root: catalogue, bundle; return the run it belongs to, its name.

    Raises:
        Segment1BError: E_OUTLETS_INVALID naming the bad rows; E_LIST_NAME_TAKEN, E_USAGE for its
            name; nothing of the list is written then.
    """
    settings = continued(settings)
    load_policy(settings.policy_files, settings.settings)
    root = open_root(settings.data_root)
    with staging(root) as scratch:
        decision = lay_and_decide(root, settings, scratch)
        name = prepare(decision, settings)
    assert decision.pairs is not None
    assert name is not None
    return decision.run, decision.pairs, name


def divide_outlets(
    settings: RunSettings, fixed: Path | None, rejects: Path | None
) -> dict[str, int]:
    """Divide a list into the rows that are valid or can be corrected, and the others.

    Returns:
        The numbers of rows by `accepted`, `corrected` (values) and `rejected`; the data root stays
        as it is.

    Raises:
        Segment1BError: as `open_source`; E_USAGE for a file to write that exists.
    """
    assert settings.outlets is not None
    root = find_root(settings.data_root) if settings.data_root.exists() else settings.data_root
    iso = iso_set(root, contracts.load(settings.dictionary))
    mapped = parse_map(settings.map_columns)
    return divide(settings.outlets, iso, mapped, fixed, rejects, settings.columns)


def build_reference(
    data_root: Path, resolution_arcsec: int, dictionary: Path | None
) -> dict[str, Path]:
    """Install the embedded surfaces in a root at another resolution; return their paths."""
    root = open_root(data_root)
    with staging(root) as scratch:
        return install_at_resolution(root, contracts.load(dictionary), resolution_arcsec, scratch)


def fill_reference(
    data_root: Path, resolution_arcsec: int, dictionary: Path | None
) -> dict[str, Path]:
    """Install the embedded surfaces that a root lacks; return their paths."""
    root = open_root(data_root)
    with staging(root) as scratch:
        known = contracts.load(dictionary)
        wanted = missing(root, known)
        installed = install_at_resolution(root, known, resolution_arcsec, scratch, wanted)
        return installed | install_layers(root, known, LAYERS, scratch)


def _install_if_empty(root: Path, settings: RunSettings, scratch: Path) -> None:
    # A given parameter hash belongs to other surfaces, which the user provides.
    if settings.parameter_hash is not None:
        return
    known = contracts.load(settings.dictionary)
    absent = missing(root, known)
    if absent and is_imported(root, known):
        what = f"has imported surfaces, but no {', '.join(absent)}"
        raise file_error("E_REFERENCE_SURFACE_MISSING", root, what)
    # The raster is installed last: a run that was killed leaves only some of the first surfaces.
    if absent and absent == list(SURFACES[-len(absent) :]):
        grid = load_policy(settings.policy_files, settings.settings).prep.grid
        install_embedded(root, known, first(grid, DEFAULT_GRID), scratch)
