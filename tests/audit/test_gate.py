"""The gate law and the S0 receipt: every step is derived again, every change is found."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segment1b import audit as validators
from spoil import World, drop

Copy = Callable[[str], World]


def bundle(world: World) -> Path:
    folder: Path = world.path("validation_bundle_1A")
    return folder


def set_in(name: str, change: Callable[[Any], Any]) -> Callable[[World], Any]:
    """Return a change of one JSON file of the bundle."""
    return lambda world: world.rewrite("validation_bundle_1A", change, name)


GATE: list[tuple[str, Callable[[World], Any], str]] = [
    ("no bundle", lambda w: bundle(w).rename(w.root / "gone"), "E_BUNDLE_MISSING"),
    ("no index", lambda w: (bundle(w) / "index.json").unlink(), "E_INDEX_MISSING"),
    (
        "an index that is no JSON",
        lambda w: (bundle(w) / "index.json").write_text("["),
        "E_INDEX_INVALID",
    ),
    ("an unindexed file", lambda w: (bundle(w) / "more.txt").write_text("x"), "E_INDEX_INVALID"),
    ("a missing file", lambda w: (bundle(w) / "s9_summary.json").unlink(), "E_INDEX_INVALID"),
    ("a link", lambda w: (bundle(w) / "link").symlink_to("index.json"), "E_INDEX_INVALID"),
    *(
        (
            f"the path {path}",
            set_in("index.json", lambda index, path=path: index[0].update(path=path)),
            "E_INDEX_INVALID",
        )
        for path in ("../MANIFEST.json", "/etc/passwd", "a\\b", "C:x", "a//b", "./a", "ä.json")
    ),
    (
        "a path twice",
        set_in("index.json", lambda index: [*index, {**index[0], "artifact_id": "x"}]),
        "E_INDEX_INVALID",
    ),
    (
        "an id twice",
        set_in("index.json", lambda index: index[1].update(artifact_id="MANIFEST")),
        "E_INDEX_INVALID",
    ),
    ("no flag", lambda w: (bundle(w) / "_passed.flag").unlink(), "E_PASS_MISSING"),
    (
        "a flag in capitals",
        lambda w: (bundle(w) / "_passed.flag").write_text(
            (bundle(w) / "_passed.flag").read_text().upper()
        ),
        "E_FLAG_FORMAT_INVALID",
    ),
    (
        "a changed artefact",
        lambda w: (bundle(w) / "rng_accounting.json").write_text("{}"),
        "E_FLAG_HASH_MISMATCH",
    ),
    (
        "another parameter_hash",
        set_in("parameter_hash_resolved.json", lambda d: d.update(parameter_hash="0" * 64)),
        "E_PATH_EMBED_MISMATCH",
    ),
    *(
        (
            f"a manifest with another {token}",
            set_in("MANIFEST.json", lambda d, token=token, value=value: d.update({token: value})),
            "E_PATH_EMBED_MISMATCH",
        )
        for token, value in (
            ("manifest_fingerprint", "0" * 64),
            ("parameter_hash", "0" * 64),
            ("seed", 7),
        )
    ),
    (
        "200,000 entries of few names",
        set_in(
            "index.json",
            lambda index: index + [{**index[0], "artifact_id": f"a{n}"} for n in range(200_000)],
        ),
        "E_INDEX_INVALID",
    ),
    (
        "a manifest that names its fingerprint twice",
        lambda w: (bundle(w) / "MANIFEST.json").write_text(
            '{"manifest_fingerprint": "", "manifest_fingerprint": ""}'
        ),
        "E_PATH_EMBED_MISMATCH",
    ),
    (
        "another seed",
        set_in("egress_checksums.json", lambda d: d.update(seed=7)),
        "E_PATH_EMBED_MISMATCH",
    ),
    (
        "a changed outlet row",
        lambda w: w.edit("outlet_catalogue", drop),
        "E_EGRESS_CHECKSUM_MISMATCH",
    ),
    (
        "a stray outlet file",
        lambda w: (w.path("outlet_catalogue") / "x.parquet").write_bytes(
            w.part("outlet_catalogue").read_bytes()
        ),
        "E_EGRESS_CHECKSUM_MISMATCH",
    ),
    (
        "an outlet of another seed",
        lambda w: w.edit("outlet_catalogue", lambda rows: rows[5].update(global_seed=7)),
        "E_PATH_EMBED_MISMATCH",
    ),
    (
        "another raster",
        lambda w: w.path("population_raster_2025").write_bytes(b"x"),
        "E_PARAMETER_HASH_REUSED",
    ),
    ("no time zones", lambda w: w.path("tz_world_2025a").unlink(), "E_REFERENCE_SURFACE_MISSING"),
    (
        "another policy",
        lambda w: w.rewrite("parameter_policy_1B", lambda d: d["policy"]["prep"].update(dp=11)),
        "E_PARAMETER_HASH_REUSED",
    ),
]


@pytest.mark.parametrize(("what", "change", "code"), GATE, ids=[what for what, _, _ in GATE])
def test_the_gate_law_is_derived_again_step_by_step(
    what: str, change: Callable[[World], Any], code: str, world: Copy
) -> None:
    spoiled = world("stable")
    change(spoiled)
    assert spoiled.failing("s0").of_code(code).rows


@pytest.mark.parametrize("name", ["MANIFEST.json", "index.json", "_passed.flag"])
def test_a_pipe_in_the_upstream_bundle_is_found_and_not_waited_for(name: str, world: Copy) -> None:
    spoiled = world("stable")
    (bundle(spoiled) / name).unlink()
    os.mkfifo(bundle(spoiled) / name)
    assert any(code in str(spoiled.failing("s0")) for code in ("E_INDEX_", "E_PASS_MISSING"))


def test_validators_open_regular_files_alone() -> None:
    found = []
    for path in Path(validators.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            name = getattr(node.func, "attr", "") if isinstance(node, ast.Call) else ""
            if name in ("read_bytes", "read_text", "open"):
                found.append(f"{path.name}:{node.lineno}")
    assert not found


RECEIPT: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("drop an input", lambda r: r["sealed_inputs"].pop(3), "E_RECEIPT_SCHEMA_INVALID"),
    ("swap two inputs", lambda r: r["sealed_inputs"].reverse(), "E_FORBIDDEN_SURFACE_READ"),
    (
        "add one to a size",
        lambda r: r["sealed_inputs"][0].update(size_bytes=r["sealed_inputs"][0]["size_bytes"] + 1),
        "E_PARAMETER_HASH_REUSED",
    ),
    (
        "another digest",
        lambda r: r["sealed_inputs"][6].update(sha256_hex="0" * 64),
        "E_PARAMETER_HASH_REUSED",
    ),
    (
        "another path",
        lambda r: r["sealed_inputs"][1].update(path="elsewhere"),
        "E_EGRESS_CHECKSUM_MISMATCH",
    ),
    (
        "an input more",
        lambda r: r["sealed_inputs"].append({**r["sealed_inputs"][0], "id": "zones"}),
        "E_FORBIDDEN_SURFACE_READ",
    ),
    ("another flag", lambda r: r.update(flag_sha256_hex="0" * 64), "E_FLAG_HASH_MISMATCH"),
    ("another seed", lambda r: r.update(seed=7), "E_PATH_EMBED_MISMATCH"),
    (
        "another clock",
        lambda r: r.update(verified_at_utc="2001-01-01T00:00:00.000000Z"),
        "E_RECEIPT_SCHEMA_INVALID",
    ),
]


@pytest.mark.parametrize(("what", "change", "code"), RECEIPT, ids=[w for w, _, _ in RECEIPT])
def test_a_changed_gate_receipt_is_found_by_its_bytes_and_by_what_it_says(
    what: str, change: Callable[[dict[str, Any]], Any], code: str, world: Copy
) -> None:
    spoiled = world("stable")
    spoiled.rewrite("s0_gate_receipt_1B", change)
    failing = spoiled.failing("s0")
    assert failing.of_code("E_RECEIPT_SCHEMA_INVALID").rows
    assert failing.of_code(code).rows


def test_a_flipped_byte_in_the_gate_receipt_is_found_wherever_it_stands(world: Copy) -> None:
    spoiled = world("stable")
    path = spoiled.path("s0_gate_receipt_1B")
    whole = path.read_bytes()
    for at in range(0, len(whole), len(whole) // 9):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert spoiled.failing("s0").of_code("E_RECEIPT_SCHEMA_INVALID").rows
