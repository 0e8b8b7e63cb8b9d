"""Published sites with a passed bundle, laid by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segment1b.contracts import Contracts, load
from segment1b.identity import Identity, sha256_hex
from segment1b.storage.parts import part_name, write_part
from segment1b.storage.snapshot import Snapshot

KNOWN: Contracts = load()
SITES = KNOWN["site_locations"]
IDENTITY = Identity(42, "1" * 64, "2" * 64)
PLACES = IDENTITY.places
#: Longitude and latitude to scatter around, so that a map window holds few of the sites.
TOWNS = {"AU": (151.2, -33.9), "FJ": (178.4, -18.1), "NL": (4.9, 52.4), "PT": (-9.1, 38.7)}
MakeRoot = Callable[..., Path]


def sites(count: int, seed: int = 1) -> pa.Table:
    """Return `count` sites in key order: merchants of up to ten sites in each of the towns."""
    per_pair = 10
    row = np.arange(count)
    pair = row // per_pair
    codes = sorted(TOWNS)
    middle = np.array([TOWNS[code] for code in codes])[pair % len(codes)]
    at = middle + np.random.default_rng(seed).normal(0, 0.5, (count, 2))
    at[:, 0] = (at[:, 0] + 180.0) % 360.0 - 180.0
    return pa.table(
        {
            "merchant_id": pa.array(1000 + pair // len(codes), pa.uint64()),
            "legal_country_iso": pa.array([codes[p % len(codes)] for p in pair.tolist()]),
            "site_order": row % per_pair + 1,
            "lon_deg": at[:, 0],
            "lat_deg": at[:, 1],
        }
    ).cast(SITES.arrow_schema)


def rows_of(published: Snapshot, dataset_id: str) -> list[dict[str, Any]]:
    """Return the rows of a published table."""
    table = pq.read_table(published.path(dataset_id), partitioning=None)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


def site_key(row: Mapping[str, Any]) -> tuple[int, str, int]:
    """Return the key of a site's row or event."""
    return row["merchant_id"], row["legal_country_iso"], row["site_order"]


def lay_sites(root: Path, table: pa.Table, parts: int = 2, identity: Identity = IDENTITY) -> Path:
    """Lay site_locations in some part files of several row groups; return their folder."""
    folder = root / SITES.locate(identity.places)
    folder.mkdir(parents=True)
    step = max(1, -(-table.num_rows // parts))
    for number in range(parts):
        part = table.slice(number * step, step)
        group = max(1, step // 3)
        groups = [part.slice(at, group) for at in range(0, max(1, part.num_rows), group)]
        write_part(folder / part_name(number), SITES, groups)
    return folder


def lay_bundle(root: Path, identity: Identity = IDENTITY) -> Path:
    """Lay the bundle that lets the sites pass; return its folder."""
    places, folder = identity.places, root / SITES.locate(identity.places)
    bundle = root / KNOWN["validation_bundle_1B"].locate(places)
    bundle.mkdir(parents=True)
    files = [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]
    documents: dict[str, Any] = {
        "MANIFEST.json": identity.tokens,
        "parameter_hash_resolved.json": {"parameter_hash": identity.parameter_hash},
        "manifest_fingerprint_resolved.json": {
            "manifest_fingerprint": identity.manifest_fingerprint
        },
        "rng_accounting.json": {},
        "s9_summary.json": {"verdict": "PASS", "checks": {"A901": {"failures": 0}}},
        "realism.json": {},
        "egress_checksums.json": {
            "dataset_id": "site_locations",
            "seed": identity.seed,
            "manifest_fingerprint": identity.manifest_fingerprint,
            "files": [
                {"path": name, "sha256_hex": sha256_hex(data), "size_bytes": len(data)}
                for name, data in files
            ],
            "composite_sha256_hex": sha256_hex(b"".join(data for _, data in files)),
        },
    }
    names = sorted([*documents, "index.json"])
    documents["index.json"] = [
        {"artifact_id": name, "kind": "summary", "path": name} for name in names
    ]
    for name, value in documents.items():
        (bundle / name).write_text(json.dumps(value))
    write_flag(bundle)
    return bundle


def write_flag(bundle: Path) -> None:
    """Write the flag over the files that the index names."""
    paths = sorted(entry["path"] for entry in json.loads((bundle / "index.json").read_text()))
    digest = sha256_hex(b"".join((bundle / path).read_bytes() for path in paths))
    (bundle / "_passed.flag").write_text(f"sha256_hex = {digest}\n")


@pytest.fixture
def make_root(tmp_path: Path) -> MakeRoot:
    """Return a function that lays proven sites into a new root."""

    def make(table: pa.Table, name: str = "root", **options: Any) -> Path:
        root = tmp_path / name
        lay_sites(root, table, **options)
        lay_bundle(root, options.get("identity", IDENTITY))
        return root

    return make


@pytest.fixture
def table() -> pa.Table:
    return sites(1000)


@pytest.fixture
def root(make_root: MakeRoot, table: pa.Table) -> Path:
    return make_root(table)
