"""Laying the embedded surfaces into a data root, whole or not at all, never over others."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError
from segment1b.reference import embedded
from segment1b.reference.publishing import provenance_path
from segment1b.reference.resample import build_population
from segment1b.storage.durable import fsync_file
from segment1b.storage.receipts import hash_files
from segment1b.storage.root import root_at

RASTER = "population_raster_2025"
#: The surfaces in the order in which they are laid: a root that has the last has them all.
SURFACES = ("iso3166_canonical_2024", "world_countries", "tz_world_2025a", RASTER)
_FILES = {
    "iso3166_canonical_2024": "iso3166.parquet",
    "world_countries": "world_countries.parquet",
    "tz_world_2025a": "tz_world.parquet",
}


def lay_embedded(root: Path, contracts: Contracts, grid: float, scratch: Path) -> dict[str, Path]:
    """Lay the embedded world with the raster of that grid (degrees per cell).

    Raises:
        Segment1BError: E_POLICY_INVALID for a grid that is not embedded, and
            E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL where another surface lies already.
    """
    name = embedded.RESOLUTIONS.get(f"{grid:g}")
    if name is None:
        raise Segment1BError(
            "E_POLICY_INVALID",
            f"prep.grid = {grid:g}: no such raster is embedded",
            f"embedded are {', '.join(embedded.RESOLUTIONS)}; 'segment1b reference build' makes "
            "others",
        )
    raster = embedded.surface(name)
    return _lay(root, contracts, lambda path: shutil.copyfile(raster, path), scratch)


def lay_at_resolution(
    root: Path, contracts: Contracts, resolution_arcsec: int, scratch: Path
) -> dict[str, Path]:
    """Lay the embedded world with its prior brought to another resolution (see `resample`)."""
    return _lay(root, contracts, lambda path: build_population(resolution_arcsec, path), scratch)


def lay_missing(
    root: Path, contracts: Contracts, resolution_arcsec: int, scratch: Path
) -> dict[str, Path]:
    """Lay the embedded surfaces that a root lacks, beside those that were imported.

    Returns:
        The path of each surface that was laid.
    """
    return _lay(
        root,
        contracts,
        lambda path: build_population(resolution_arcsec, path),
        scratch,
        missing(root, contracts),
    )


def missing(root: Path, contracts: Contracts) -> list[str]:
    """Return the surfaces that a root lacks."""
    return [d for d in SURFACES if not (root / contracts[d].locate({})).exists()]


def is_imported(root: Path, contracts: Contracts) -> bool:
    """Return whether any surface of a root was imported."""
    return any(provenance_path(root / contracts[d].locate({})).exists() for d in SURFACES)


def is_embedded(surfaces: Mapping[str, str]) -> bool:
    """Return whether the countries among these digests are the embedded ones."""
    path = embedded.surface(_FILES["world_countries"])
    return surfaces["world_countries"] == hash_files(path.parent, [path.name])[1]


def _lay(
    root: Path,
    contracts: Contracts,
    make_raster: Callable[[Path], object],
    scratch: Path,
    wanted: Sequence[str] = SURFACES,
) -> dict[str, Path]:
    laid = {}
    root_at(root).fetch([contracts[dataset_id].locate({}) for dataset_id in wanted])
    for dataset_id in wanted:
        target = laid[dataset_id] = root / contracts[dataset_id].locate({})
        made = scratch / target.name
        if dataset_id == RASTER:
            make_raster(made)
        else:
            shutil.copyfile(embedded.surface(_FILES[dataset_id]), made)
        if target.exists():
            _refuse_other(dataset_id, target, made)
            continue
        fsync_file(made)
        if not root_at(root).create(contracts[dataset_id].locate({}), made):
            _refuse_other(dataset_id, target, made)
    return laid


def _refuse_other(dataset_id: str, target: Path, made: Path) -> None:
    held, new = (hash_files(p.parent, [p.name])[1] for p in (target, made))
    if held != new:
        raise Segment1BError(
            "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL",
            f"{target} is another {dataset_id}: SHA-256 {held}, the embedded one would be {new}",
            "lay the embedded world into another --data-root",
            dataset=dataset_id,
            path=str(target),
        )
