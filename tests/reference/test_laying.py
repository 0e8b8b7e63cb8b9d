"""Laying and importing surfaces: whoever comes second overwrites nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rasterio import Affine

import bring
from segment1b import contracts
from segment1b.errors import Segment1BError
from segment1b.reference import embedded, importing
from segment1b.reference import installing as laying
from segment1b.reference.importing import Request, import_population
from segment1b.reference.installing import RASTER, install_embedded
from segment1b.storage.durable import fsync_file
from segment1b.storage.root import open_root
from segment1b.storage.staging import staging

KNOWN = contracts.load()
IMMUTABLE = "^E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL:"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return open_root(tmp_path / "root")


@pytest.fixture
def raster(root: Path) -> Path:
    return root / KNOWN[RASTER].locate({})


def lay(root: Path, grid: float) -> None:
    with staging(root) as scratch:
        install_embedded(root, KNOWN, grid, scratch)


def bring_in(root: Path) -> None:
    source = root.parent / "people.tif"
    bring.raster(source, np.ones((180, 360), "u1"), Affine(1, 0, -180, 0, -1, 90))
    request = Request(source, "CC0-1.0", "The Testers", root)
    import_population(request)


def just_before(
    name: str, other: Callable[[], None], monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    """Have another run act when a surface has been made and has not got its name."""
    pending = [other]

    def sync(path: Path) -> None:
        fsync_file(path)
        if path.name == name and pending:
            pending.pop()()

    monkeypatch.setattr(module, "fsync_file", sync)


@pytest.mark.parametrize("other", [0.05, 0.1])
def test_of_two_first_runs_the_second_is_refused_for_another_grid(
    root: Path, raster: Path, monkeypatch: pytest.MonkeyPatch, other: float
) -> None:
    just_before(raster.name, lambda: lay(root, other), monkeypatch, laying)
    if other == 0.1:
        lay(root, 0.1)
    else:
        with pytest.raises(Segment1BError, match=IMMUTABLE):
            lay(root, 0.1)
    assert raster.read_bytes() == embedded.surface(embedded.RESOLUTIONS[f"{other}"]).read_bytes()


def test_a_raster_that_was_imported_meanwhile_is_not_overwritten(
    root: Path, raster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    just_before(raster.name, lambda: bring_in(root), monkeypatch, laying)
    with pytest.raises(Segment1BError, match=IMMUTABLE):
        lay(root, 0.1)
    assert laying.provenance_path(raster).exists()
    assert raster.stat().st_size < 100_000


def test_a_raster_that_was_laid_meanwhile_is_not_overwritten_by_an_import(
    root: Path, raster: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    just_before(raster.name, lambda: lay(root, 0.1), monkeypatch, importing)
    with pytest.raises(Segment1BError, match=IMMUTABLE):
        bring_in(root)
    assert raster.read_bytes() == embedded.surface(embedded.RESOLUTIONS["0.1"]).read_bytes()
    assert not laying.provenance_path(raster).exists()
