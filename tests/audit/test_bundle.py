"""A bundle that is not what S9 has proved opens nothing; and what S9 asks before it proves."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segment1b.audit.s9.checks import FILES, FLAG
from segment1b.identity import canonical_json
from segment1b.storage.receipts import folder_receipt
from spoil import KNOWN, Change, World, add

Copy = Callable[[str], World]
BUNDLE = "validation_bundle_1B"


def forge_flag(world: World) -> None:
    """Write the flag, and what the run report says of the bundle, to fit the files."""
    folder = world.path(BUNDLE)
    listed = sorted(entry["path"] for entry in json.loads((folder / "index.json").read_bytes()))
    data = b"".join((folder / name).read_bytes() for name in listed)
    flag = hashlib.sha256(data).hexdigest()
    (folder / FLAG).write_text(f"sha256_hex = {flag}\n")
    world.rewrite("s9_run_report", lambda report: report.update(flag_sha256_hex=flag))


def times(factor: float, *keys: str) -> Change:
    """Return a change that multiplies a figure."""

    def change(value: Any) -> None:
        for key in keys[:-1]:
            value = value[key]
        value[keys[-1]] *= factor

    return change


def edit(world: World, name: str, change: Change) -> None:
    """Change a JSON file of the bundle, and manifest, flag and receipt to fit."""
    path = world.path(BUNDLE) / name
    value = json.loads(path.read_bytes())
    change(value)
    path.write_bytes(canonical_json(value))
    if name not in ("MANIFEST.json", "index.json"):
        manifest = world.path(BUNDLE) / "MANIFEST.json"
        said = json.loads(manifest.read_bytes())
        said["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
        manifest.write_bytes(canonical_json(said))
    forge_flag(world)
    dataset, folder = KNOWN[BUNDLE], world.path(BUNDLE)
    receipt = folder_receipt(folder, dataset, dataset.locate(world.tokens), 1).as_json()
    world.rewrite("s9_run_report", lambda report: report.update(determinism_receipt=receipt))


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_found_by_the_flag(name: str, world: Copy) -> None:
    spoiled = world("permuted")
    path = spoiled.path(BUNDLE) / name
    path.write_bytes(path.read_bytes() + b" ")
    assert spoiled.failing("s9").of_code("E910_FLAG_BAD_OR_MISSING")
    forge_flag(spoiled)
    failing = spoiled.failing("s9")
    assert "s9 flag" not in failing
    assert "s9 report" in failing
    assert ("s9 manifest" in failing) == (name not in ("MANIFEST.json", "index.json"))


@pytest.mark.parametrize("name", [*FILES, FLAG])
def test_a_lost_file_is_found(name: str, world: Copy) -> None:
    spoiled = world("permuted")
    (spoiled.path(BUNDLE) / name).unlink()
    assert name in str(spoiled.failing("s9").of_code("E908_BUNDLE_CONTENTS_MISSING").rows)


def test_another_file_that_the_bundle_lists_is_found(world: Copy) -> None:
    spoiled = world("permuted")
    (spoiled.path(BUNDLE) / "notes.json").write_text("{}")
    entry = {"artifact_id": "notes", "kind": "text", "path": "notes.json"}
    edit(spoiled, "index.json", lambda index: index.append({**index[0], **entry}))
    edit(spoiled, "notes.json", dict)
    assert "notes.json" in str(spoiled.failing("s9")["s9 files"].rows)


@pytest.mark.parametrize(
    "change", [{"rows": 10}, {"rows": 9.0}, {"content_sha256_hex": "0" * 64}], ids=str
)
def test_the_receipt_of_the_bundle_is_taken_again_whole(
    change: dict[str, Any], world: Copy
) -> None:
    spoiled = world("permuted")
    receipt = json.loads(spoiled.path("s9_run_report").read_bytes())["determinism_receipt"]
    assert receipt["rows"] == 9
    spoiled.rewrite("s9_run_report", lambda report: report["determinism_receipt"].update(change))
    assert set(spoiled.failing("s9")) == {"s9 report"}


def test_an_unlisted_file_is_found(world: Copy) -> None:
    spoiled = world("permuted")
    (spoiled.path(BUNDLE) / "notes.txt").write_text("later")
    assert "notes.txt" in str(spoiled.failing("s9").of_code("E909_INDEX_INVALID").rows)


#: By file of the bundle: the code, and changes that are found by it.
FORGED: dict[str, tuple[str, list[Change]]] = {
    "index.json": (
        "E909_INDEX_INVALID",
        [
            lambda v: v.pop(),
            lambda v: v.append(dict(v[0])),
            lambda v: v.extend({**v[0], "artifact_id": f"a{n % 9}"} for n in range(20_000)),
            lambda v: v[0].update(kind="poem"),
            lambda v: v[0].update(kind="table"),
        ],
    ),
    "MANIFEST.json": (
        "E908_BUNDLE_CONTENTS_MISSING",
        [
            lambda v: v.update(seed=7),
            lambda v: v.update(seed=float(v["seed"])),
            lambda v: v["datasets"].clear(),
            lambda v: v.update(datasets={"site_locations": v["datasets"]["site_locations"]}),
            lambda v: v["datasets"].update(note=None),
            lambda v: v["files"].clear(),
            lambda v: v.update(note="later"),
            lambda v: v.update(note=None),
        ],
    ),
    "parameter_hash_resolved.json": (
        "E905_PARTITION_OR_IDENTITY",
        [lambda v: v.update(parameter_hash="0" * 64), lambda v: v.update(note=None)],
    ),
    "manifest_fingerprint_resolved.json": (
        "E905_PARTITION_OR_IDENTITY",
        [lambda v: v.pop("parameter_hash")],
    ),
    "egress_checksums.json": (
        "E_EGRESS_CHECKSUM_MISMATCH",
        [
            lambda v: v["files"][0].update(size_bytes=1),
            lambda v: v["files"][0].update(size_bytes=float(v["files"][0]["size_bytes"])),
            lambda v: v.update(content_sha256_hex="0" * 64),
            lambda v: v.update(note=None),
        ],
    ),
    "rng_accounting.json": (
        "E907_RNG_BUDGET_OR_COUNTERS",
        [
            lambda v: v["in_cell_jitter"].update(draws="1"),
            lambda v: v["in_cell_jitter"].update(sites=float(v["in_cell_jitter"]["sites"])),
            lambda v: v.update(in_cell_jitter=[]),
            lambda v: v["site_tile_assign"].update(events=1),
            lambda v: v.update(mismatches=1),
            lambda v: v.update(mismatches=False),
            lambda v: v.update(mismatches=0.0),
            lambda v: v.update(later={"events": 1}),
            lambda v: v.update(later=None),
        ],
    ),
    "s9_summary.json": (
        "E910_FLAG_BAD_OR_MISSING",
        [
            lambda v: v.update(verdict="FAIL"),
            lambda v: v["checks"]["A913"].update(failures=1),
            lambda v: v["checks"]["A901"].update(failures=False),
            lambda v: v["checks"]["A901"].update(note=None),
            lambda v: v["checks"].pop("A914"),
            lambda v: v.pop("checks"),
            lambda v: v.update(rows=1),
            lambda v: v.update(rows=float(v["rows"])),
            lambda v: v.update(note=None),
            lambda v: v["by_country"].update(PT=1),
            lambda v: v["proves"].update(s4="all"),
            lambda v: v["tiles"].clear(),
            *(
                lambda v, check=check, more=more: v["checks"][check].update(more)
                for check in ("A901", "A916", "A917", "A918")
                for more in ({"detail": "9 checks passed"}, {"code": "E901"}, {"examples": [{}]})
            ),
        ],
    ),
    "realism.json": (
        "E917_REALISM_BOUND",
        [
            lambda v: v.clear(),
            times(1 + 1e-5, "country_gini"),
            times(1 + 1e-8, "country_gini"),
            times(1 + 1e-8, "top_1_percent_share"),
            times(1 - 1e-8, "by_country", "PT", "latitude_span_share"),
            lambda v: v.update(top_5_percent_share=1),
            lambda v: v.update(southern_share=None),
            lambda v: v.update(note="later"),
            lambda v: v.update(note={}),
            lambda v: v["nearest_neighbour_km"].update(p50=0.0),
            lambda v: v["nearest_neighbour_km"].update(p99=1e9),
            lambda v: v["by_country"].pop("PT"),
            lambda v: v["by_country"]["PT"].update(sites=1),
            lambda v: v["by_country"]["PT"].update(collapsed=True),
            lambda v: v["by_country"]["NL"].update(latitude_span_share=0.5),
            lambda v: v["by_country"]["NL"].update(tile_load_error_max=0.1),
            lambda v: v["by_country"]["ZA"].update(distinct_tiles_share=0.5),
            lambda v: v["by_country"]["ZA"].update(distinct_longitudes_share=0.5),
        ],
    ),
}


@pytest.mark.parametrize(
    ("name", "code", "change"),
    [(name, code, change) for name, (code, changes) in FORGED.items() for change in changes],
)
def test_a_file_that_says_something_else_is_found_behind_a_forged_flag(
    name: str, code: str, change: Change, world: Copy
) -> None:
    spoiled = world("permuted")
    edit(spoiled, name, change)
    failing = spoiled.failing("s9")
    assert not {"s9 flag", "s9 report"} & set(failing)
    assert failing.of_code(code)


def test_only_what_lies_in_the_bundle_is_opened(world: Copy, tmp_path: Path) -> None:
    spoiled = world("permuted")
    os.mkfifo(tmp_path / "pipe")
    (spoiled.path(BUNDLE) / "link.json").symlink_to(spoiled.path(BUNDLE) / "realism.json")

    def change(index: list[dict[str, str]]) -> None:
        for number, path in enumerate(("/dev/zero", str(tmp_path / "pipe"), "x\0", "link.json")):
            index.append({**index[0], "artifact_id": f"x{number}", "path": path})

    spoiled.rewrite(BUNDLE, change, "index.json")
    rows = str(spoiled.failing("s9").of_code("E909_INDEX_INVALID").rows)
    assert "'/dev/zero', 'reason': 'is not a relative ASCII path'" in rows
    assert "'link.json', 'reason': 'is a symbolic link'" in rows


def test_a_pipe_as_flag_is_found_and_not_waited_for(world: Copy) -> None:
    spoiled = world("permuted")
    (spoiled.path(BUNDLE) / FLAG).unlink()
    os.mkfifo(spoiled.path(BUNDLE) / FLAG)
    assert {"s9 flag", "s9 files"} <= set(spoiled.failing("s9"))


def test_locations_changed_behind_the_bundle_are_found(world: Copy) -> None:
    spoiled = world("permuted")
    spoiled.forge("site_locations", add("lat_deg", 1e-9))
    assert spoiled.failing("s9").of_code("E_EGRESS_CHECKSUM_MISMATCH")


@pytest.mark.parametrize("flag", ["sha256_hex = " + "0" * 64 + "\n", "sha256_hex=1\n", ""])
def test_a_flag_of_other_digits_or_another_form_is_found(flag: str, world: Copy) -> None:
    spoiled = world("permuted")
    (spoiled.path(BUNDLE) / FLAG).write_text(flag)
    assert "s9 flag" in spoiled.failing("s9")


def test_a_bare_flag_is_accepted(world: Copy) -> None:
    bare = world("permuted")
    path = bare.path(BUNDLE) / FLAG
    path.write_text(path.read_text().removeprefix("sha256_hex = ").strip())
    assert "s9 flag" not in bare.failing("s9")
