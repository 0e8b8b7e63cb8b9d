"""A data root that somebody else laid out by the dictionary runs as it is, and validates."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
from rasterio.transform import Affine

import bring
import foreign
import worlds
from segment1b.evidence import proof
from segment1b.evidence.bundle import write_evidence
from segment1b.evidence.proof import ProvedRun
from segment1b.pipeline.finding import find_identity

SEED, FINGERPRINT, PARAMETER_HASH = 2**63 + 11, "5e" * 32, "a7" * 32

#: Outlines drawn by hand from an atlas, longitude first; Fiji is left uncut at the antimeridian.
OUTLINES = {
    "CH": [(6.0, 46.2), (7.0, 45.9), (9.0, 45.8), (10.4, 46.6), (9.6, 47.5), (7.6, 47.6)],
    "FJ": [(176.9, -18.4), (178.7, -18.3), (-179.6, -17.2), (-179.8, -16.0), (178.4, -16.2)],
    "IS": [(-24.4, 65.5), (-22.0, 63.9), (-18.7, 63.4), (-13.6, 65.1), (-16.2, 66.5)],
    "NZ": [(166.5, -46.0), (169.0, -46.7), (174.3, -41.8), (178.5, -37.7), (172.7, -34.5)],
    "UY": [(-58.4, -33.9), (-54.9, -34.9), (-53.4, -33.7), (-55.6, -30.8), (-57.6, -30.2)],
}


def lay_foreign_world(root: Path) -> None:
    codes = sorted(OUTLINES)
    pq.write_table(
        pa.table({"country_iso": pa.array([*codes, "AQ"], pa.large_string())}),
        worlds.place(root, "iso3166_canonical_2024"),
    )
    pq.write_table(
        pa.table({"tzid": ["Etc/UTC"], "geom": [b""]}), worlds.place(root, "tz_world_2025a")
    )
    geo = {
        "version": "1.0.0",
        "primary_column": "geom",
        "columns": {
            "geom": {
                "encoding": "WKB",
                "geometry_types": ["Polygon"],
                "crs": {"name": "WGS 84", "id": {"authority": "EPSG", "code": 4326}},
            }
        },
    }
    shapes = [shapely.to_wkb(shapely.Polygon(OUTLINES[code])) for code in codes]
    table = pa.table(
        {
            "name": pa.array([f"country {code}" for code in codes]),
            "country_iso": pa.array(codes, pa.large_string()).dictionary_encode(),
            "geom": pa.array(shapes, pa.large_binary()),
        }
    )
    pq.write_table(
        table.replace_schema_metadata({"geo": json.dumps(geo)}),
        worlds.place(root, "world_countries"),
    )
    rows, cols = np.mgrid[0:720, 0:1440]
    people = np.float32(1000.5) * ((rows * 7919 + cols * 104_729) % 997) / np.float32(997)
    people[(rows + cols) % 11 == 0] = -99999
    raster = worlds.place(root, "population_raster_2025")
    transform = Affine(0.25, 0, -180, 0, -0.25, 90)
    bring.raster(raster, people.astype(np.float32), transform, nodata=-99999)


def segment1b(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "segment1b", *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def before() -> dict[str, bytes]:
    """The files that were brought in, as they were before the run; filled by `root`."""
    return {}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, before: dict[str, bytes]) -> Path:
    root = tmp_path_factory.mktemp("foreign")
    lay_foreign_world(root)
    codes = sorted(OUTLINES)
    pairs = [
        (2**63 - 1 - m, code, 1 + (m * 13 + k) % 23)
        for m in range(40)
        for k, code in enumerate(codes)
        if (m + k) % 3
    ]
    foreign.lay_bundle(root, SEED, FINGERPRINT, PARAMETER_HASH, sorted(pairs))
    brought = [path for path in root.rglob("*") if path.is_file()]
    before |= {str(path.relative_to(root)): path.read_bytes() for path in brought}
    tokens = ("--seed", SEED, "--parameter-hash", PARAMETER_HASH)
    tokens += ("--manifest-fingerprint", FINGERPRINT)
    ran = segment1b("run", "--data-root", root, *tokens, "--json")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    summary = json.loads(ran.stdout)
    assert summary["parameter_hash"] == PARAMETER_HASH
    policy = summary["policy"]
    assert (policy["allocation"]["law"], policy["prep"]["dp"]) == ("largest_remainder", 12)
    return root


def test_a_foreign_root_runs_to_s4_with_the_contracts_policy_and_validates(root: Path) -> None:
    checked = segment1b("validate", "--data-root", root, "--json")
    verdict = json.loads(checked.stdout)
    assert [c for c in verdict["checks"] if c["offending"]] == []
    assert checked.returncode == 0


def test_its_tokens_are_found_in_its_one_bundle_when_none_are_given(root: Path) -> None:
    again = segment1b("run", "--data-root", root, "--json")
    summary = json.loads(again.stdout)
    assert {s["outcome"] for name, s in summary["states"].items() if name != "s0"} == {"reused"}
    assert (summary["seed"], summary["manifest_fingerprint"]) == (SEED, FINGERPRINT)


def test_its_evidence_derives_again_with_the_hash_it_brought(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hash that came from 1A is adopted, and ids and seed beyond 2^62 survive JSON and CSV."""
    monkeypatch.setattr(proof, "REPEATS", (("serial", 1),))
    known, identity = find_identity(root, None, {})
    write_evidence(ProvedRun(root, known, identity.places), tmp_path / "evidence")
    manifest = json.loads((tmp_path / "evidence" / "manifest.json").read_text())
    assert (manifest["seed"], manifest["parameter_hash"]) == (SEED, PARAMETER_HASH)
    assert manifest["parameter_hash_is_computed"] is False
    derive = [sys.executable, "-I", "-S", "rederive.py"]
    done = subprocess.run(derive, cwd=tmp_path / "evidence", capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_what_was_brought_in_is_not_touched(root: Path, before: dict[str, bytes]) -> None:
    assert {name: (root / name).read_bytes() for name in before} == before
