"""What 1A would hand over, made by a foreign producer: plain pyarrow, json and hashlib.

Nothing of the package under test is used here, so that its reading of the contract is not
checked against itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

Pair = tuple[int, str, int]

OUTLET_SCHEMA = pa.schema(
    [
        ("manifest_fingerprint", pa.string()),
        ("merchant_id", pa.uint64()),
        ("site_id", pa.string()),
        ("home_country_iso", pa.string()),
        ("legal_country_iso", pa.string()),
        ("single_vs_multi_flag", pa.bool_()),
        ("raw_nb_outlet_draw", pa.int32()),
        ("final_country_outlet_count", pa.int32()),
        ("site_order", pa.int32()),
        ("global_seed", pa.uint64()),
    ]
)


def outlet_folder(root: Path, seed: int, fingerprint: str) -> Path:
    return root / f"data/layer1/1A/outlet_catalogue/seed={seed}/fingerprint={fingerprint}"


def bundle_folder(root: Path, fingerprint: str) -> Path:
    return root / f"data/layer1/1A/validation/fingerprint={fingerprint}"


def lay_bundle(
    root: Path,
    seed: int,
    fingerprint: str,
    parameter_hash: str,
    pairs: Iterable[Pair],
    *,
    files: int = 2,
) -> Path:
    """Lay outlet_catalogue, s3_candidate_set and a passed validation bundle into a data root.

    Args:
        root: the data root; created when absent.
        seed: global seed of the run of 1A.
        fingerprint: manifest fingerprint, 64 hex digits.
        parameter_hash: 64 hex digits.
        pairs: (merchant_id, country, number of outlets); a merchant's first country is its home.
        files: into how many part files the catalogue is cut.

    Returns:
        The bundle's folder.
    """
    listed = list(pairs)
    lay_outlets(root, seed, fingerprint, listed, files=files)
    lay_candidates(root, parameter_hash, listed)
    bundle = bundle_folder(root, fingerprint)
    (bundle / "plots").mkdir(parents=True)
    write_json(bundle / "MANIFEST.json", {"manifest_fingerprint": fingerprint, "artefacts": []})
    write_json(bundle / "parameter_hash_resolved.json", {"parameter_hash": parameter_hash})
    write_json(bundle / "manifest_fingerprint_resolved.json", {"manifest_fingerprint": fingerprint})
    write_json(bundle / "rng_accounting.json", {"draws_total": "0", "blocks_total": "0"})
    write_json(bundle / "s9_summary.json", {"pass": True})
    (bundle / "plots" / "outlets.svg").write_bytes(b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    write_checksums(root, bundle, seed, fingerprint)
    seal(bundle)
    return bundle


def lay_outlets(
    root: Path, seed: int, fingerprint: str, pairs: Sequence[Pair], *, files: int = 2
) -> Path:
    """Write outlet_catalogue as part files; return its folder."""
    rows = outlet_rows(seed, fingerprint, pairs)
    folder = outlet_folder(root, seed, fingerprint)
    folder.mkdir(parents=True)
    size = -(-max(1, rows.num_rows) // files)
    for number in range(files):
        pq.write_table(rows.slice(number * size, size), folder / f"part-{number}.parquet")
    return folder


def outlet_rows(seed: int, fingerprint: str, pairs: Sequence[Pair]) -> pa.Table:
    """Return outlet_catalogue in key order, a row for each outlet."""
    home: dict[int, str] = {}
    total: dict[int, int] = {}
    for merchant, country, n in pairs:
        home.setdefault(merchant, country)
        total[merchant] = total.get(merchant, 0) + n
    rows = [
        (
            fingerprint,
            merchant,
            f"{order:06d}",
            home[merchant],
            country,
            total[merchant] > 1,
            total[merchant],
            n,
            order,
            seed,
        )
        for merchant, country, n in sorted(pairs)
        for order in range(1, n + 1)
    ]
    columns = zip(*rows, strict=True) if rows else [[] for _ in OUTLET_SCHEMA]
    return pa.table([list(column) for column in columns], schema=OUTLET_SCHEMA)


def lay_candidates(root: Path, parameter_hash: str, pairs: Sequence[Pair]) -> Path:
    """Write s3_candidate_set: each merchant's countries, its home first; return its folder."""
    folder = root / f"data/layer1/1A/s3_candidate_set/parameter_hash={parameter_hash}"
    folder.mkdir(parents=True, exist_ok=True)
    ranks: dict[int, list[str]] = {}
    for merchant, country, _ in pairs:
        ranks.setdefault(merchant, []).append(country)
    rows = [(m, c, r) for m in sorted(ranks) for r, c in enumerate(ranks[m])]
    schema = pa.schema(
        [
            ("merchant_id", pa.uint64()),
            ("country_iso", pa.string()),
            ("candidate_rank", pa.int32()),
        ]
    )
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    pq.write_table(
        pa.table([list(column) for column in columns], schema=schema), folder / "part-0.parquet"
    )
    return folder


def write_checksums(root: Path, bundle: Path, seed: int, fingerprint: str) -> Path:
    """Write egress_checksums.json over the outlet files as they are now."""
    folder = outlet_folder(root, seed, fingerprint)
    names = files_below(folder)
    value = {
        "dataset_id": "outlet_catalogue",
        "seed": seed,
        "manifest_fingerprint": fingerprint,
        "files": [
            {
                "path": name,
                "sha256_hex": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
                "size_bytes": (folder / name).stat().st_size,
            }
            for name in names
        ],
        "composite_sha256_hex": joined_sha256(folder, names),
    }
    return write_json(bundle / "egress_checksums.json", value)


def seal(bundle: Path) -> None:
    """Write index.json over the files that are there, and the flag over their bytes."""
    write_index(bundle)
    write_flag(bundle)


def write_index(bundle: Path) -> None:
    """Index every file of the bundle but the flag, index.json itself included."""
    names = sorted({*files_below(bundle), "index.json"} - {"_passed.flag"})
    write_json(bundle / "index.json", [index_entry(name) for name in names])


def index_entry(path: str) -> dict[str, str]:
    kind = "plot" if path.endswith(".svg") else "summary"
    return {"artifact_id": path.replace("/", "."), "kind": kind, "path": path}


def write_flag(bundle: Path) -> str:
    """Write _passed.flag over the files that index.json names; return its hex."""
    names = [entry["path"] for entry in json.loads((bundle / "index.json").read_bytes())]
    digest = joined_sha256(bundle, names)
    (bundle / "_passed.flag").write_text(f"sha256_hex = {digest}\n")
    return digest


def joined_sha256(folder: Path, names: Iterable[str]) -> str:
    """Return the SHA-256 over the bytes of files joined in ASCII order of their paths."""
    joined = b"".join((folder / name).read_bytes() for name in sorted(names, key=str.encode))
    return hashlib.sha256(joined).hexdigest()


def files_below(folder: Path) -> list[str]:
    """Return the relative paths of all files below a folder, in ASCII order."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value, indent=1))
    return path
