"""Derive the numbers of an evidence bundle again; Python's standard library is all it needs.

Run it inside the bundle: python rederive.py
It prints a line for each thing it has derived, and leaves with 1 at the first that differs.
"""

from __future__ import annotations

import csv
import hashlib
import json
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(sys.argv[1] if len(sys.argv) > 1 else ".")


def document(name: str) -> Any:
    """Return the value of a JSON file."""
    return json.loads((HERE / name).read_bytes())


def rows(name: str) -> list[dict[str, str]]:
    """Return the rows of a sampled table."""
    with (HERE / "samples" / f"{name}.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes as hex digits."""
    return hashlib.sha256(data).hexdigest()


def pair(row: dict[str, str]) -> tuple[str, str]:
    """Return merchant and country of a row."""
    return row["merchant_id"], row["legal_country_iso"]


def site(row: dict[str, str]) -> tuple[str, str, str]:
    """Return the key of an outlet's row."""
    return (*pair(row), row["site_order"])


def checksums() -> tuple[Any, Any]:
    """Compare the digest of every file with SHA256SUMS."""
    lines = (HERE / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    said = {line[66:]: line[:64] for line in lines}
    files = [path for path in HERE.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    return {p.relative_to(HERE).as_posix(): sha256(p.read_bytes()) for p in files}, said


def flag() -> tuple[Any, Any]:
    """Derive the flag: one SHA-256 over the indexed files, joined in ASCII order of path."""
    folder = HERE / "validation_bundle"
    names = sorted(entry["path"] for entry in document("validation_bundle/index.json"))
    found = sha256(b"".join((folder / name).read_bytes() for name in names))
    return f"sha256_hex = {found}\n", (folder / "_passed.flag").read_text(encoding="ascii")


def parameter_hash() -> tuple[Any, Any]:
    """Derive the parameter hash: the SHA-256 of the policy in force with its surfaces."""
    manifest = document("manifest.json")
    found = sha256((HERE / "policy" / "parameter_policy.json").read_bytes())
    # A hash that came with the data from 1A is bound to the policy, not computed from it.
    computed = manifest["parameter_hash_is_computed"]
    return found, manifest["parameter_hash" if computed else "parameter_policy_sha256"]


def run_id() -> tuple[Any, Any]:
    """Derive the run id from the three tokens of the identity."""
    said = document("manifest.json")
    text = b"segment1b.run.1\0" + struct.pack("<Q", said["seed"])
    text += bytes.fromhex(said["manifest_fingerprint"]) + bytes.fromhex(said["parameter_hash"])
    return sha256(text)[:32], said["run_id"]


def plan_sums() -> tuple[Any, Any]:
    """Add up the planned sites of each sampled pair; they must be what it requires."""
    found: Counter[tuple[str, str]] = Counter()
    for row in rows("s4_alloc_plan"):
        found[pair(row)] += int(row["n_sites_tile"])
    return dict(found), {pair(row): int(row["n_sites"]) for row in rows("s3_requirements")}


def assignment() -> tuple[Any, Any]:
    """Count the outlets that each tile of a sampled pair was given; they must be the plan's."""
    found = Counter((*pair(row), row["tile_id"]) for row in rows("s5_site_tile_assignment"))
    plan = {(*pair(row), row["tile_id"]): int(row["n_sites_tile"]) for row in rows("s4_alloc_plan")}
    return dict(found), plan


def coordinates() -> tuple[Any, Any]:
    """Add each sampled outlet's offset to its tile's centroid; the sums are its coordinate."""
    tiles = {(row["country_iso"], row["tile_id"]): row for row in rows("tile_bounds")}
    found = {}
    for row in rows("s6_site_jitter"):
        tile = tiles[row["legal_country_iso"], row["tile_id"]]
        lon = float(tile["centroid_lon_deg"]) + float(row["delta_lon_deg"])
        lon = lon - 360.0 if lon >= 180.0 else lon + 360.0 if lon < -180.0 else lon
        found[site(row)] = lon, float(tile["centroid_lat_deg"]) + float(row["delta_lat_deg"])
    said = {site(r): (float(r["lon_deg"]), float(r["lat_deg"])) for r in rows("site_locations")}
    return found, said


def repeats() -> tuple[Any, Any]:
    """Compare the content of every dataset as published with that of the repeated runs."""
    said = document("determinism.json")["datasets"]
    found = {entry["dataset_id"]: set(entry["content_sha256_hex"]) for entry in said}
    return found, {entry["dataset_id"]: {entry["content_sha256_hex"][0]} for entry in said}


def digest_versions() -> tuple[Any, Any]:
    """Compare the version of each receipt's content digest with that of the repeated runs."""
    said = document("determinism.json")["digest_version"]
    found = {
        f"{path.name} {field}": receipt.get("digest_version")
        for path in sorted((HERE / "reports").iterdir())
        for field, receipt in json.loads(path.read_bytes()).items()
        if isinstance(receipt, dict) and "content_sha256_hex" in receipt
    }
    return found, dict.fromkeys(found, said)


def derived() -> Iterator[tuple[str, Any, Any]]:
    """Yield what is derived, with what was found and what the bundle says."""
    for derive in (
        checksums,
        flag,
        parameter_hash,
        run_id,
        plan_sums,
        assignment,
        coordinates,
        repeats,
        digest_versions,
    ):
        yield derive.__name__, *derive()


def main() -> int:
    """Derive everything; return the process's exit code."""
    for name, found, said in derived():
        many = f" ({len(found)})" if isinstance(found, dict) else ""
        print(f"{name.replace('_', ' '):<15} {'agrees' if found == said else 'DIFFERS'}{many}")
        if found != said:
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
