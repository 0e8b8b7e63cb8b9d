"""Make docs/evidence/s4_sample_run: run a small world, prove it, and write its evidence.

A few embedded countries at the embedded resolution, and outlets of made-up merchants in them; a
hole (Lesotho in South Africa), the antimeridian (Fiji), atolls, a city, and two plain ones.

Run from a checkout: python scripts/make_evidence.py [--out DIR]
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from segment1b import contracts
from segment1b.cli.console import LogProgress
from segment1b.config import RunSettings
from segment1b.evidence.bundle import write_evidence
from segment1b.evidence.proof import Published
from segment1b.pipeline.execution import run_pipeline
from segment1b.pipeline.finding import find_identity
from segment1b.reference import embedded

OUT = Path(__file__).parents[1] / "docs" / "evidence" / "s4_sample_run"
COUNTRIES = ("FJ", "LS", "MV", "NL", "PT", "VA", "ZA")
MERCHANTS = 60
_SURFACES = {
    "iso3166_canonical_2024": "iso3166.parquet",
    "tz_world_2025a": "tz_world.parquet",
    "population_raster_2025": "population_2025_0p1deg.tif",
}


def lay_world(root: Path) -> None:
    """Lay the embedded surfaces, with the polygons of a few countries."""
    for dataset_id, name in _SURFACES.items():
        shutil.copyfile(embedded.surface(name), _place(root, dataset_id))
    world = pq.read_table(embedded.surface("world_countries.parquet"))
    mine = pc.is_in(world["country_iso"], pa.array(COUNTRIES))
    pq.write_table(world.filter(mine), _place(root, "world_countries"))


def outlet_list() -> str:
    """Return a list of outlets: many merchants with a few, some with many."""
    lines = ["merchant_id,country_iso,n_outlets"]
    for merchant in range(1, MERCHANTS + 1):
        for at, code in enumerate(COUNTRIES):
            if (merchant * 7 + at * 3) % 5 < 2:
                many = 100 if merchant % 29 == 0 else 0
                lines.append(f"{1000 + merchant},{code},{1 + (merchant * 37 + at * 11) % 9 + many}")
    return "\n".join(lines) + "\n"


def make(out: Path) -> None:
    """Run the small world and put its evidence in the place of the older one."""
    with tempfile.TemporaryDirectory(prefix="segment1b-evidence-") as folder:
        root, outlets = Path(folder) / "root", Path(folder) / "outlets.csv"
        lay_world(root)
        outlets.write_text(outlet_list(), encoding="ascii")
        # The contract's law rounds small merchants to the heaviest tiles; `stable` is what the
        # embedded world prefers, and these are its countries.
        asked = RunSettings(data_root=root, outlets=outlets, settings=("allocation.law=stable",))
        run_pipeline(asked, LogProgress())
        known, identity = find_identity(root, None, {})
        run = Published(root, known, identity.places)
        found = write_evidence(run, out, replace=True, with_page=False)
    print(f"{out}: {found['files']} files")


def _place(root: Path, dataset_id: str) -> Path:
    path = root / contracts.load()[dataset_id].locate({})
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    make(parser.parse_args().out)
