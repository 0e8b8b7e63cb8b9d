"""A bundle that is not what S9 has proved opens nothing; and what S9 asks before it proves."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segment1b import contracts
from segment1b.audit.acceptance import Acceptance, accept, examine, examined_states
from segment1b.audit.s9.bundle import FILES, FLAG
from segment1b.identity import canonical_json
from segment1b.storage.receipts import folder_receipt

World = Any  # of conftest.py, which the import mode keeps out of reach
Copy = Callable[..., World]
BUNDLE = "validation_bundle_1B"


def forge_flag(world: World) -> None:
    """Write the flag, and what the run report says of the bundle, to fit the files."""
    folder = world.path(BUNDLE)
    listed = sorted(entry["path"] for entry in json.loads((folder / "index.json").read_bytes()))
    data = b"".join((folder / name).read_bytes() for name in listed)
    flag = hashlib.sha256(data).hexdigest()
    (folder / FLAG).write_text(f"sha256_hex = {flag}\n")
    world.rewrite("s9_run_report", lambda report: report.update(flag_sha256_hex=flag))


def edit(world: World, name: str, change: Callable[[Any], Any]) -> None:
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
    dataset, folder = contracts.load()[BUNDLE], world.path(BUNDLE)
    receipt = folder_receipt(folder, dataset, dataset.locate(world.tokens), 1).as_json()
    world.rewrite("s9_run_report", lambda report: report.update(determinism_receipt=receipt))


@pytest.mark.parametrize("name", FILES)
def test_a_changed_file_is_found_by_the_flag(name: str, place: Copy) -> None:
    spoiled = place()
    path = spoiled.path(BUNDLE) / name
    path.write_bytes(path.read_bytes() + b" ")
    assert spoiled.failing("s9").of_code("E910_FLAG_BAD_OR_MISSING")
    forge_flag(spoiled)
    failing = spoiled.failing("s9")
    assert "s9 flag" not in failing
    assert "s9 report" in failing
    assert ("s9 manifest" in failing) == (name not in ("MANIFEST.json", "index.json"))


@pytest.mark.parametrize("name", [*FILES, FLAG])
def test_a_lost_file_is_found(name: str, place: Copy) -> None:
    spoiled = place()
    (spoiled.path(BUNDLE) / name).unlink()
    assert name in str(spoiled.failing("s9").of_code("E908_BUNDLE_CONTENTS_MISSING").rows)


def test_another_file_that_the_bundle_lists_is_found(place: Copy) -> None:
    spoiled = place()
    (spoiled.path(BUNDLE) / "notes.json").write_text("{}")
    entry = {"artifact_id": "notes", "kind": "text", "path": "notes.json"}
    edit(spoiled, "index.json", lambda index: index.append({**index[0], **entry}))
    edit(spoiled, "notes.json", dict)
    assert "notes.json" in str(spoiled.failing("s9")["s9 files"].rows)


@pytest.mark.parametrize(
    "change", [{"rows": 10}, {"rows": 9.0}, {"content_sha256_hex": "0" * 64}], ids=str
)
def test_the_receipt_of_the_bundle_is_taken_again_whole(
    change: dict[str, Any], place: Copy
) -> None:
    spoiled = place()
    receipt = json.loads(spoiled.path("s9_run_report").read_bytes())["determinism_receipt"]
    assert receipt["rows"] == 9
    spoiled.rewrite("s9_run_report", lambda report: report["determinism_receipt"].update(change))
    assert set(spoiled.failing("s9")) == {"s9 report"}


def test_an_unlisted_file_is_found(place: Copy) -> None:
    spoiled = place()
    (spoiled.path(BUNDLE) / "notes.txt").write_text("later")
    assert "notes.txt" in str(spoiled.failing("s9").of_code("E909_INDEX_INVALID").rows)


@pytest.mark.parametrize(
    ("name", "change", "code"),
    [
        ("index.json", lambda v: v.pop(), "E909_INDEX_INVALID"),
        ("index.json", lambda v: v.append(dict(v[0])), "E909_INDEX_INVALID"),
        (
            "index.json",
            lambda v: v.extend({**v[0], "artifact_id": f"a{n % 9}"} for n in range(20_000)),
            "E909_INDEX_INVALID",
        ),
        ("index.json", lambda v: v[0].update(kind="poem"), "E909_INDEX_INVALID"),
        ("MANIFEST.json", lambda v: v.update(seed=7), "E908_BUNDLE_CONTENTS_MISSING"),
        ("MANIFEST.json", lambda v: v["datasets"].clear(), "E908_BUNDLE_CONTENTS_MISSING"),
        ("MANIFEST.json", lambda v: v["files"].clear(), "E908_BUNDLE_CONTENTS_MISSING"),
        (
            "parameter_hash_resolved.json",
            lambda v: v.update(parameter_hash="0" * 64),
            "E905_PARTITION_OR_IDENTITY",
        ),
        (
            "egress_checksums.json",
            lambda v: v["files"][0].update(size_bytes=1),
            "E_EGRESS_CHECKSUM_MISMATCH",
        ),
        (
            "egress_checksums.json",
            lambda v: v.update(content_sha256_hex="0" * 64),
            "E_EGRESS_CHECKSUM_MISMATCH",
        ),
        (
            "rng_accounting.json",
            lambda v: v["in_cell_jitter"].update(draws="1"),
            "E907_RNG_BUDGET_OR_COUNTERS",
        ),
        (
            "rng_accounting.json",
            lambda v: v["site_tile_assign"].update(events=1),
            "E907_RNG_BUDGET_OR_COUNTERS",
        ),
        ("rng_accounting.json", lambda v: v.update(mismatches=1), "E907_RNG_BUDGET_OR_COUNTERS"),
        ("s9_summary.json", lambda v: v.update(verdict="FAIL"), "E910_FLAG_BAD_OR_MISSING"),
        (
            "s9_summary.json",
            lambda v: v["checks"]["A913"].update(failures=1),
            "E910_FLAG_BAD_OR_MISSING",
        ),
        ("s9_summary.json", lambda v: v["checks"].pop("A914"), "E910_FLAG_BAD_OR_MISSING"),
        ("s9_summary.json", lambda v: v.update(rows=1), "E910_FLAG_BAD_OR_MISSING"),
        ("s9_summary.json", lambda v: v["by_country"].update(PT=1), "E910_FLAG_BAD_OR_MISSING"),
        ("s9_summary.json", lambda v: v["proves"].update(s4="all"), "E910_FLAG_BAD_OR_MISSING"),
        ("s9_summary.json", lambda v: v["tiles"].clear(), "E910_FLAG_BAD_OR_MISSING"),
        ("s9_summary.json", lambda v: v.pop("checks"), "E910_FLAG_BAD_OR_MISSING"),
        ("index.json", lambda v: v[0].update(kind="table"), "E909_INDEX_INVALID"),
        (
            "MANIFEST.json",
            lambda v: v.update(datasets={"site_locations": v["datasets"]["site_locations"]}),
            "E908_BUNDLE_CONTENTS_MISSING",
        ),
        ("MANIFEST.json", lambda v: v.update(note="later"), "E908_BUNDLE_CONTENTS_MISSING"),
        ("MANIFEST.json", lambda v: v.update(note=None), "E908_BUNDLE_CONTENTS_MISSING"),
        (
            "MANIFEST.json",
            lambda v: v["datasets"].update(note=None),
            "E908_BUNDLE_CONTENTS_MISSING",
        ),
        (
            "MANIFEST.json",
            lambda v: v.update(seed=float(v["seed"])),
            "E908_BUNDLE_CONTENTS_MISSING",
        ),
        (
            "parameter_hash_resolved.json",
            lambda v: v.update(note=None),
            "E905_PARTITION_OR_IDENTITY",
        ),
        (
            "manifest_fingerprint_resolved.json",
            lambda v: v.pop("parameter_hash"),
            "E905_PARTITION_OR_IDENTITY",
        ),
        ("egress_checksums.json", lambda v: v.update(note=None), "E_EGRESS_CHECKSUM_MISMATCH"),
        (
            "egress_checksums.json",
            lambda v: v["files"][0].update(size_bytes=float(v["files"][0]["size_bytes"])),
            "E_EGRESS_CHECKSUM_MISMATCH",
        ),
        *(
            ("rng_accounting.json", change, "E907_RNG_BUDGET_OR_COUNTERS")
            for change in (
                lambda v: v.update(later={"events": 1}),
                lambda v: v.update(later=None),
                lambda v: v.update(mismatches=False),
                lambda v: v.update(mismatches=0.0),
                lambda v: v["in_cell_jitter"].update(sites=float(v["in_cell_jitter"]["sites"])),
                lambda v: v.update(in_cell_jitter=[]),
            )
        ),
        *(
            ("s9_summary.json", change, "E910_FLAG_BAD_OR_MISSING")
            for change in (
                lambda v: v["checks"]["A901"].update(failures=False),
                lambda v: v["checks"]["A901"].update(note=None),
                lambda v: v.update(rows=float(v["rows"])),
                lambda v: v.update(note=None),
            )
        ),
        *(
            (
                "s9_summary.json",
                lambda v, check=check, more=more: v["checks"][check].update(more),
                "E910_FLAG_BAD_OR_MISSING",
            )
            for check in ("A901", "A916", "A917", "A918")
            for more in ({"detail": "9 checks passed"}, {"code": "E901"}, {"examples": [{}]})
        ),
        *(
            ("realism.json", change, "E917_REALISM_BOUND")
            for change in (
                lambda v: v.clear(),
                lambda v: v.update(country_gini=v["country_gini"] * (1 + 1e-5)),
                lambda v: v.update(country_gini=v["country_gini"] * (1 + 1e-8)),
                lambda v: v.update(top_1_percent_share=v["top_1_percent_share"] * (1 + 1e-8)),
                lambda v: v["by_country"]["PT"].update(
                    latitude_span_share=v["by_country"]["PT"]["latitude_span_share"] * (1 - 1e-8)
                ),
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
            )
        ),
    ],
)
def test_a_file_that_says_something_else_is_found_behind_a_forged_flag(
    name: str, change: Callable[[Any], Any], code: str, place: Copy
) -> None:
    spoiled = place()
    edit(spoiled, name, change)
    failing = spoiled.failing("s9")
    assert not {"s9 flag", "s9 report"} & set(failing)
    assert failing.of_code(code)


def test_only_what_lies_in_the_bundle_is_opened(place: Copy, tmp_path: Path) -> None:
    spoiled = place()
    os.mkfifo(tmp_path / "pipe")
    (spoiled.path(BUNDLE) / "link.json").symlink_to(spoiled.path(BUNDLE) / "realism.json")

    def change(index: list[dict[str, str]]) -> None:
        for number, path in enumerate(("/dev/zero", str(tmp_path / "pipe"), "x\0", "link.json")):
            index.append({**index[0], "artifact_id": f"x{number}", "path": path})

    spoiled.rewrite(BUNDLE, change, "index.json")
    rows = str(spoiled.failing("s9").of_code("E909_INDEX_INVALID").rows)
    assert "'/dev/zero', 'reason': 'is not a relative ASCII path'" in rows
    assert "'link.json', 'reason': 'is a symbolic link'" in rows


def test_a_pipe_as_flag_is_found_and_not_waited_for(place: Copy) -> None:
    spoiled = place()
    (spoiled.path(BUNDLE) / FLAG).unlink()
    os.mkfifo(spoiled.path(BUNDLE) / FLAG)
    assert {"s9 flag", "s9 files"} <= set(spoiled.failing("s9"))


def test_locations_changed_behind_the_bundle_are_found(place: Copy) -> None:
    spoiled = place()
    spoiled.edit("site_locations", lambda rows: rows[0].update(lat_deg=rows[0]["lat_deg"] + 1e-9))
    spoiled.forge_receipt("site_locations")
    assert spoiled.failing("s9").of_code("E_EGRESS_CHECKSUM_MISMATCH")


@pytest.mark.parametrize("flag", ["sha256_hex = " + "0" * 64 + "\n", "sha256_hex=1\n", ""])
def test_a_flag_of_other_digits_or_another_form_is_found(flag: str, place: Copy) -> None:
    spoiled = place()
    (spoiled.path(BUNDLE) / FLAG).write_text(flag)
    assert "s9 flag" in spoiled.failing("s9")


def test_a_bare_flag_is_accepted(place: Copy) -> None:
    world = place()
    path = world.path(BUNDLE) / FLAG
    path.write_text(path.read_text().removeprefix("sha256_hex = ").strip())
    assert "s9 flag" not in world.failing("s9")


# ------------------------------------------------------------------ acceptance


def accepted(world: World) -> dict[str, Acceptance]:
    at = (world.root, contracts.load(), world.tokens)
    law = json.loads(world.path("parameter_policy_1B").read_bytes())["policy"]["allocation"]["law"]
    examined = [check for state in examined_states(law) for check in examine(state, *at)]
    return {one.check: one for one in accept(*at, examined, tiles_proven=True)}


@pytest.mark.parametrize("name", ["own_point", "permuted"])
def test_what_was_published_is_accepted(name: str, placed: dict[str, World]) -> None:
    found = accepted(placed[name])
    assert list(found) == [f"A{n}" for n in (*range(901, 906), *range(911, 916), 917, 918)]
    assert not [one for one in found.values() if one.failures or one.examples]


@pytest.mark.parametrize(
    ("dataset_id", "change", "failing"),
    [
        (
            "site_locations",
            lambda rows: rows.pop(5),
            {"A901": "E901_ROW_MISSING", "A915": "E916_COVERAGE_1A"},
        ),
        (
            "site_locations",
            lambda rows: rows[5].update(lat_deg=89.0),
            {"A913": "E914_DRAW_REPLAY_MISMATCH", "A914": "E915_POINT_OUTSIDE_COUNTRY"},
        ),
        (
            "s7_site_synthesis",
            lambda rows: rows.insert(5, dict(rows[5])),
            {"A901": "E903_DUP_KEY"},
        ),
        (
            "s5_site_tile_assignment",
            lambda rows: rows.insert(5, dict(rows[5])),
            {"A901": "E903_DUP_KEY"},
        ),
        (
            "site_locations",
            lambda rows: rows.append(rows[-1] | {"site_order": 9999}),
            {"A901": "E902_ROW_EXTRA"},
        ),
        (
            "s8_run_report",
            lambda report: report["by_country"].update(PT=1),
            {"A905": "E907_RNG_BUDGET_OR_COUNTERS"},
        ),
        (
            "s3_run_report",
            lambda report: report.update(merchants_total=1),
            {"A917": "E918_UPSTREAM_NOT_PROVEN"},
        ),
        (
            "s6_site_jitter",
            lambda rows: rows[5].update(merchant_id=rows[5]["merchant_id"] + 1),
            {"A901": "E901_ROW_MISSING", "A905": "E907_RNG_BUDGET_OR_COUNTERS"},
        ),
        (
            "s6_site_jitter",
            lambda rows: rows[5].update(delta_lat_deg=float("nan")),
            {"A902": "E904_EGRESS_SCHEMA_VIOLATION"},
        ),
        (
            "s6_site_jitter",
            lambda rows: rows.reverse(),
            {"A901": "E906_WRITER_SORT_VIOLATION", "A904": "E906_WRITER_SORT_VIOLATION"},
        ),
        (
            "rng_event_site_tile_assign",
            lambda rows: rows[5].update(word=0),
            {"A913": "E914_DRAW_REPLAY_MISMATCH"},
        ),
        (
            "rng_event_in_cell_jitter",
            lambda rows: rows[5].update(blocks=rows[5]["blocks"] + 1),
            {"A905": "E907_RNG_BUDGET_OR_COUNTERS", "A913": "E914_DRAW_REPLAY_MISMATCH"},
        ),
        (
            "s5_site_tile_assignment",
            lambda rows: rows[5].update(tile_id=1),
            {"A902": "E904_EGRESS_SCHEMA_VIOLATION", "A913": "E914_DRAW_REPLAY_MISMATCH"},
        ),
    ],
)
@pytest.mark.code(
    "E903_DUP_KEY",
    "E904_EGRESS_SCHEMA_VIOLATION",
    "E906_WRITER_SORT_VIOLATION",
    "E914_DRAW_REPLAY_MISMATCH",
    "E915_POINT_OUTSIDE_COUNTRY",
    "E916_COVERAGE_1A",
)
def test_what_was_changed_is_not_accepted(
    dataset_id: str, change: Any, failing: dict[str, str], place: Copy
) -> None:
    spoiled = place()
    if dataset_id.endswith("_run_report"):
        spoiled.rewrite(dataset_id, change)
    else:
        spoiled.edit(dataset_id, change)
        assert accepted(spoiled)["A903"].failures
        spoiled.forge_receipt(dataset_id)
    found = accepted(spoiled)
    for check, code in failing.items():
        assert (found[check].code, found[check].failures > 0) == (code, True)
        assert found[check].examples
        canonical_json(found[check].examples)


@pytest.mark.parametrize("state", ["s4", "s5", "s8"])
def test_what_no_report_commits_is_not_looked_into(state: str, place: Copy) -> None:
    spoiled = place()
    spoiled.path(f"{state}_run_report").unlink()
    found = accepted(spoiled)
    assert all(one.failures for one in found.values() if one.check != "A918")
    assert f"{state}_run_report" in str(found["A901"].examples[0])


def test_a_damaged_partition_fails_every_check_that_needs_it(place: Copy) -> None:
    spoiled = place()
    path = spoiled.part("s6_site_jitter")
    path.write_bytes(path.read_bytes()[:-50])
    found = accepted(spoiled)
    assert {"A901", "A902", "A903", "A904", "A905", "A911", "A913"} <= {
        one.check for one in found.values() if one.failures
    }
