"""Builds prepared worlds in the user's cache."""

from __future__ import annotations

import tempfile
from pathlib import Path

from segment1b import contracts
from segment1b.config import RunSettings
from segment1b.pipeline import worlds
from segment1b.pipeline.decide import foresee, iso_set
from segment1b.pipeline.execution import Progress, run_pipeline, silent
from segment1b.pipeline.prepare import build_reference
from segment1b.storage.durable import make_folder, write_file


def build_world(
    settings: RunSettings,
    resolution_arcsec: int | None = None,
    name: str | None = None,
    progress: Progress = silent,
) -> Path:
    """Prepare tiles and weights once, for all runs over the same surfaces; return their root.

    Args:
        settings: policy, engine and workers; `world` is a data root with the surfaces, by default
            the embedded ones are taken.
        resolution_arcsec: cell size at which the embedded surfaces are resampled.
        name: of the world in the cache; by default digits of its digest.
        progress: called with every event of the run.
    """
    folder = worlds.worlds_folder()
    make_folder(folder)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as scratch:
        root, outlets = Path(scratch) / "root", Path(scratch) / "one.csv"
        if resolution_arcsec is not None:
            build_reference(root, resolution_arcsec, settings.dictionary)
        # S1 and S2 read no outlets; a run has a list all the same.
        known = contracts.load(settings.dictionary)
        surfaces = worlds.find_world(settings.world) if settings.world else root
        code = min(iso_set(surfaces, known))
        write_file(outlets, f"merchant_id,country_iso,n_outlets\n1,{code},1\n".encode())
        asked = settings.model_copy(
            update={"data_root": root, "outlets": outlets, "from_state": "s0", "to_state": "s2"}
        )
        run_pipeline(asked, progress)
        run, _ = foresee(root, asked)
        return worlds.keep(run, name)
