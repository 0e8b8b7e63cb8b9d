"""The gate: each step of its law, provoked by changing one thing in a bundle that passes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

import foreign
from segment1b.config import load_policy, parameter_document
from segment1b.contracts import load
from segment1b.contracts.locations import DICTIONARY
from segment1b.contracts.program import contracts_root
from segment1b.errors import Segment1BError
from segment1b.identity import Identity
from segment1b.states.protocol import Report, Run
from segment1b.states.s0_gate import S0Gate
from segment1b.storage.publisher import publish_document
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import Receipt
from segment1b.storage.root import open_root
from shapes import tree

SEED, F, P = 42, "1" * 64, "2" * 64
PAIRS = [(17, "NO", 3), (17, "SE", 1), (18, "DE", 2), (2**63 - 1, "NO", 1)]
REFERENCES = {
    "iso3166_canonical_2024": "reference/layer1/iso3166_canonical/2024/iso3166.parquet",
    "world_countries": "reference/spatial/world_countries/2024/world_countries.parquet",
    "population_raster_2025": "reference/spatial/population/2025/population.tif",
    "tz_world_2025a": "reference/spatial/tz_world/2025a/tz_world.parquet",
}
POLICY_PATH = f"data/layer1/1B/parameter_policy/parameter_hash={P}/parameter_policy.json"
KNOWN = load()


def lay(root: Path, seed: int = SEED, **more: Any) -> Path:
    """Lay a world that passes the gate; S0 only hashes the references. Return the bundle."""
    open_root(root)
    for dataset_id, path in REFERENCES.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(f"the bytes of {dataset_id}".encode())
    entry = KNOWN["parameter_policy_1B"]
    document = parameter_document(load_policy(), {})
    publish_document(root, KNOWN, entry, {"parameter_hash": P}, document, root / ".staging")
    return foreign.lay_bundle(root, seed, F, P, PAIRS, **more)


def a_run(root: Path, seed: int = SEED, f: str = F, p: str = P, **more: Any) -> Run:
    """Return a run of that identity."""
    return Run(root, Identity(seed, f, p), load_policy(), {}, root / ".staging", **more)


def gate(run: Run) -> Report:
    """Go through the gate as the pipeline does."""
    state = S0Gate()
    shards = state.shards(run, run.reader(state))
    return state.report(run, [state.work(run, shard) for shard in shards])


def publish(run: Run, report: Report) -> tuple[Receipt, bool]:
    """Publish the receipt as the pipeline does."""
    entry = run.contracts["s0_gate_receipt_1B"]
    document = report.documents[entry.id]
    return publish_document(run.root, run.contracts, entry, run.tokens, document, run.staging)


def refused(run: Run) -> Segment1BError:
    """Return the error at the gate; nothing may have been written."""
    before = tree(run.root)
    with pytest.raises(Segment1BError) as caught:
        gate(run)
    assert tree(run.root) == before
    return caught.value


def edit(path: Path, change: Callable[[Any], object]) -> None:
    """Change a JSON file; a change that returns a value replaces the whole."""
    value = json.loads(path.read_bytes())
    changed = change(value)
    foreign.write_json(path, value if changed is None else changed)


# ------------------------------------------------------------------ a bundle that passes


def test_a_foreign_bundle_passes(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    report = gate(a_run(tmp_path))
    flag = (bundle / "_passed.flag").read_text().split()[-1]
    assert report.body == {
        "seed": SEED,
        "manifest_fingerprint": F,
        "parameter_hash": P,
        "flag_sha256_hex": flag,
        "bundle_files": 8,
        "outlet_rows": 7,
    }
    receipt = report.documents["s0_gate_receipt_1B"]
    assert receipt["flag_sha256_hex"] == flag
    assert receipt["validation_bundle_path"] == f"data/layer1/1A/validation/fingerprint={F}"
    assert receipt["notes"] is None


def test_the_seal_holds_path_size_and_sha256_of_every_input_sorted_by_id(tmp_path: Path) -> None:
    lay(tmp_path)
    sealed = gate(a_run(tmp_path)).documents["s0_gate_receipt_1B"]["sealed_inputs"]
    files = {**REFERENCES, "parameter_policy_1B": POLICY_PATH}
    folders = {
        "outlet_catalogue": f"data/layer1/1A/outlet_catalogue/seed={SEED}/fingerprint={F}",
        "s3_candidate_set": f"data/layer1/1A/s3_candidate_set/parameter_hash={P}",
    }
    assert [entry["id"] for entry in sealed] == sorted([*files, *folders])
    for entry in sealed:
        path = tmp_path / {**files, **folders}[entry["id"]]
        names = foreign.files_below(path) if path.is_dir() else [path.name]
        folder = path if path.is_dir() else path.parent
        assert entry["path"] == path.relative_to(tmp_path).as_posix()
        assert entry["sha256_hex"] == foreign.joined_sha256(folder, names)
        assert entry["size_bytes"] == sum((folder / name).stat().st_size for name in names)
        assert entry["partition"] == [s for s in entry["path"].split("/") if "=" in s]
        assert entry["schema_ref"] == KNOWN[entry["id"]].schema_ref
        assert entry["version_tag"] == KNOWN[entry["id"]].version_tag


def test_the_receipt_is_published_by_its_schema(tmp_path: Path) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    receipt, there = publish(run, gate(run))
    path = tmp_path / f"data/layer1/1B/s0_gate_receipt/fingerprint={F}/s0_gate_receipt.json"
    assert not there
    assert hashlib.sha256(path.read_bytes()).hexdigest() == receipt.sha256_hex


@pytest.mark.parametrize("seed", [0, 2**63 - 1, 2**63, 2**64 - 1])
def test_every_unsigned_64_bit_seed_passes(tmp_path: Path, seed: int) -> None:
    lay(tmp_path, seed)
    assert gate(a_run(tmp_path, seed)).body["outlet_rows"] == 7


@pytest.mark.parametrize("files", [1, 7])
def test_the_catalogue_may_be_cut_into_any_files(tmp_path: Path, files: int) -> None:
    lay(tmp_path, files=files)
    run = a_run(tmp_path)
    assert len(S0Gate().shards(run, run.reader(S0Gate()))) == files
    assert gate(run).body["outlet_rows"] == 7


def test_the_work_says_what_it_has_read(tmp_path: Path) -> None:
    lay(tmp_path, files=1)
    run = a_run(tmp_path)
    (shard,) = S0Gate().shards(run, run.reader(S0Gate()))
    result = S0Gate().work(run, shard)
    group = pq.read_metadata(foreign.outlet_folder(tmp_path, SEED, F) / shard).row_group(0)
    chunks = {group.column(at).path_in_schema: group.column(at) for at in range(10)}
    wanted = ["manifest_fingerprint", "global_seed"]
    assert result.rows == 7
    assert result.bytes_read == {
        "outlet_catalogue": sum(chunks[name].total_compressed_size for name in wanted)
    }


def test_a_bundle_elsewhere_passes_and_is_named_by_its_whole_path(tmp_path: Path) -> None:
    bundle = lay(tmp_path / "root")
    bundle.rename(tmp_path / "bundle")
    assert refused(a_run(tmp_path / "root")).code == "E_BUNDLE_MISSING"
    report = gate(a_run(tmp_path / "root", bundle=tmp_path / "bundle"))
    receipt = report.documents["s0_gate_receipt_1B"]
    assert receipt["validation_bundle_path"] == str(tmp_path / "bundle")


def test_egress_paths_may_start_at_the_root(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    prefix = f"data/layer1/1A/outlet_catalogue/seed={SEED}/fingerprint={F}/"

    def change(said: dict[str, Any]) -> None:
        for file in said["files"]:
            file["path"] = prefix + file["path"]

    edit(bundle / "egress_checksums.json", change)
    foreign.write_flag(bundle)
    assert gate(a_run(tmp_path)).body["outlet_rows"] == 7


def test_the_worked_hash_of_three_files(tmp_path: Path) -> None:
    for name, text in [("MANIFEST.json", "{}"), ("a.txt", "x"), ("index.json", "[]")]:
        (tmp_path / name).write_text(text)
    assert foreign.joined_sha256(tmp_path, ["index.json", "a.txt", "MANIFEST.json"]) == (
        "38ad0b315ad5556763f6f3ee2d5d048c9d7fe5e23934a985be9e1a94768ec53e"
    )


# ----------------------------------------------------------------------- steps 1 to 5


def test_step_1_the_bundle_s_folder_exists(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    bundle.rename(tmp_path / "away")
    assert refused(a_run(tmp_path)).code == "E_BUNDLE_MISSING"
    bundle.write_text("no folder")
    assert refused(a_run(tmp_path)).code == "E_BUNDLE_MISSING"


def test_step_2_there_is_an_index(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    (bundle / "index.json").unlink()
    assert refused(a_run(tmp_path)).code == "E_INDEX_MISSING"
    (bundle / "index.json").mkdir()
    assert refused(a_run(tmp_path)).code == "E_INDEX_MISSING"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"{}", b"[1]", b"\xff", b"null", b"[" * 50_000, b"[" * 900 + b"]" * 900],
)
def test_step_2_the_index_is_an_array_of_entries(tmp_path: Path, text: bytes) -> None:
    bundle = lay(tmp_path)
    (bundle / "index.json").write_bytes(text)
    assert refused(a_run(tmp_path)).code == "E_INDEX_INVALID"


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: entry.pop("path"),
        lambda entry: entry.pop("kind"),
        lambda entry: entry.pop("artifact_id"),
        lambda entry: entry.update(path=""),
        lambda entry: entry.update(path=7),
        lambda entry: entry.update(kind="picture"),
        lambda entry: entry.update(artifact_id="a b"),
        lambda entry: entry.update(artifact_id="a/b"),
        lambda entry: entry.update(artifact_id=""),
        lambda entry: entry.update(size=3),
    ],
)
def test_step_2_an_entry_has_its_fields_and_no_others(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    bundle = lay(tmp_path)
    index = json.loads((bundle / "index.json").read_bytes())
    change(index[0])
    foreign.write_json(bundle / "index.json", index)
    assert refused(a_run(tmp_path)).code == "E_INDEX_INVALID"


@pytest.mark.parametrize(
    "path",
    [
        "../outside.txt",
        "plots/../MANIFEST.json",
        "plots/..",
        "./MANIFEST.json",
        "plots//outlets.svg",
        "plots/",
        "/etc/hostname",
        "\\\\host\\share",
        "plots\\outlets.svg",
        "C:/outside.txt",
        "file:outside.txt",
        "pl\u00f6ts/outlets.svg",
        "plots/outlets.svg\0",
        "plots/outlets\n.svg",
        "plots/\x1b[31m.svg",
        "",
    ],
)
def test_step_2_paths_are_plain_relative_ascii(tmp_path: Path, path: str) -> None:
    bundle = lay(tmp_path)
    (bundle.parent / "outside.txt").write_text("x")
    edit(
        bundle / "index.json",
        lambda index: [*index, {"artifact_id": "odd", "kind": "text", "path": path}],
    )
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert f"path '{path}' is not a plain relative path" in error.message or not path


@pytest.mark.parametrize("path", ["x" * 100_000, "x/" * 50_000 + "x", "../" + "x" * 100_000])
def test_step_2_a_very_long_path_is_refused_in_few_words(tmp_path: Path, path: str) -> None:
    bundle = lay(tmp_path)
    edit(
        bundle / "index.json",
        lambda index: [*index, {"artifact_id": "odd", "kind": "text", "path": path}],
    )
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert len(error.message) < 5000


def test_step_2_names_that_differ_by_case_are_two_files(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    edit(
        bundle / "index.json",
        lambda index: [*index, {"artifact_id": "odd", "kind": "text", "path": "manifest.json"}],
    )
    assert "indexed but absent: manifest.json" in refused(a_run(tmp_path)).message


def test_step_2_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    (bundle / "s9_summary.json").unlink()
    os.mkfifo(bundle / "s9_summary.json")
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert "s9_summary.json is not a regular file" in error.message


@pytest.mark.parametrize("name", ["index.json", "_passed.flag"])
def test_step_2_a_pipe_as_index_or_flag_is_refused(tmp_path: Path, name: str) -> None:
    bundle = lay(tmp_path)
    (bundle / name).unlink()
    os.mkfifo(bundle / name)
    assert refused(a_run(tmp_path)).code in ("E_INDEX_MISSING", "E_INDEX_INVALID")


def test_step_2_a_repeated_key_in_the_index_is_refused(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    text = (bundle / "index.json").read_text()
    (bundle / "index.json").write_text(text.replace('"path":', '"path":"../x","path":'))
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert "key 'path' is repeated" in error.message


@pytest.mark.timeout(120)  # Comparing each with each would take hours.
@pytest.mark.parametrize("field", ["artifact_id", "path"])
def test_step_2_many_equal_names_are_refused_at_once(tmp_path: Path, field: str) -> None:
    bundle = lay(tmp_path)
    entries = [
        {"kind": "text", "artifact_id": f"a{n}", "path": f"p{n}", field: f"x{n // 2}"}
        for n in range(200_000)
    ]
    foreign.write_json(bundle / "index.json", entries)
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert f"{field} 'x0' stands twice" in error.message


@pytest.mark.timeout(120)
def test_step_2_many_absent_names_are_counted_in_few_words(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    entries = [{"kind": "text", "artifact_id": f"a{n}", "path": f"p{n}"} for n in range(200_000)]
    edit(bundle / "index.json", lambda index: [*index, *entries])
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert "indexed but absent: p0, p1, p10" in error.message
    assert len(error.message) < 1000


def test_step_2_an_absolute_path_into_the_bundle_is_none_the_better(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    whole = str(bundle / "MANIFEST.json")

    def change(index: list[dict[str, str]]) -> None:
        next(e for e in index if e["path"] == "MANIFEST.json")["path"] = whole

    edit(bundle / "index.json", change)
    foreign.write_flag(bundle)
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert "not a plain relative path" in error.message


def link_file(bundle: Path) -> None:
    """Put a link to a file outside in place of a file."""
    (bundle / "s9_summary.json").rename(bundle.parent / "summary.json")
    (bundle / "s9_summary.json").symlink_to(bundle.parent / "summary.json")


def link_index(bundle: Path) -> None:
    """Put a link in place of the index."""
    (bundle / "index.json").rename(bundle.parent / "index.json")
    (bundle / "index.json").symlink_to(bundle.parent / "index.json")


def link_flag(bundle: Path) -> None:
    """Put a link in place of the flag."""
    (bundle / "_passed.flag").rename(bundle.parent / "flag")
    (bundle / "_passed.flag").symlink_to(bundle.parent / "flag")


def link_folder(bundle: Path) -> None:
    """Put a link in place of a folder."""
    (bundle / "plots").rename(bundle.parent / "plots")
    (bundle / "plots").symlink_to(bundle.parent / "plots")


def link_nowhere(bundle: Path) -> None:
    """Add a link that leads nowhere."""
    (bundle / "plots/lost.txt").symlink_to(bundle / "absent")


@pytest.mark.parametrize("link", [link_file, link_index, link_flag, link_folder, link_nowhere])
def test_step_2_nothing_in_the_bundle_is_a_link(
    tmp_path: Path, link: Callable[[Path], None]
) -> None:
    link(lay(tmp_path))
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert "symbolic link" in error.message


@pytest.mark.parametrize("field", ["artifact_id", "path"])
def test_step_2_ids_and_paths_are_unique(tmp_path: Path, field: str) -> None:
    bundle = lay(tmp_path)

    def change(index: list[dict[str, str]]) -> list[dict[str, str]]:
        return [*index, {**index[0], "artifact_id": "x", "path": "x", field: index[0][field]}]

    edit(bundle / "index.json", change)
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert f"{field} 'MANIFEST.json' stands twice" in error.message


@pytest.mark.parametrize("name", ["extra.txt", "plots/extra.txt", "plots/_passed.flag", ".hidden"])
def test_step_2_every_file_of_the_bundle_is_indexed(tmp_path: Path, name: str) -> None:
    bundle = lay(tmp_path)
    (bundle / name).write_text("x")
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert f"not in the index: {name}" in error.message


@pytest.mark.parametrize("name", ["plots/outlets.svg", "rng_accounting.json"])
def test_step_2_every_indexed_file_is_there(tmp_path: Path, name: str) -> None:
    bundle = lay(tmp_path)
    (bundle / name).unlink()
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert f"indexed but absent: {name}" in error.message


def test_step_2_the_flag_itself_is_not_indexed(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    edit(bundle / "index.json", lambda index: [*index, foreign.index_entry("_passed.flag")])
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert "_passed.flag" in error.message


def test_step_2_the_index_names_itself(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    edit(
        bundle / "index.json",
        lambda index: [entry for entry in index if entry["path"] != "index.json"],
    )
    foreign.write_flag(bundle)
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert "not in the index: index.json" in error.message


@pytest.mark.parametrize(
    "name",
    [
        "MANIFEST.json",
        "parameter_hash_resolved.json",
        "manifest_fingerprint_resolved.json",
        "rng_accounting.json",
        "s9_summary.json",
        "egress_checksums.json",
    ],
)
def test_step_2_the_minimum_of_a_bundle_is_there(tmp_path: Path, name: str) -> None:
    bundle = lay(tmp_path)
    (bundle / name).unlink()
    foreign.seal(bundle)
    error = refused(a_run(tmp_path))
    assert error.code == "E_INDEX_INVALID"
    assert f"missing from the bundle's minimum: {name}" in error.message


def test_step_3_there_is_a_flag(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    (bundle / "_passed.flag").unlink()
    assert refused(a_run(tmp_path)).code == "E_PASS_MISSING"


@pytest.mark.parametrize("end", ["", "\n"])
def test_step_3_the_flag_may_end_with_one_newline_or_none(tmp_path: Path, end: str) -> None:
    bundle = lay(tmp_path)
    digest = foreign.write_flag(bundle)
    (bundle / "_passed.flag").write_bytes(f"sha256_hex = {digest}{end}".encode())
    assert gate(a_run(tmp_path)).body["flag_sha256_hex"] == digest


@pytest.mark.parametrize(
    "form",
    [
        "",
        "{0}",
        "sha256_hex = {0} ",
        "sha256_hex = {0} \n",
        "sha256_hex = {0}\n\n",
        "sha256_hex = {0}\r\n",
        "sha256_hex = {0}\nx",
        " sha256_hex = {0}\n",
        "\ufeffsha256_hex = {0}\n",
        "sha256_hex={0}\n",
        "sha256_hex  = {0}\n",
        "sha256_hex: {0}\n",
        "SHA256_HEX = {0}\n",
        "sha256_hex = {1}\n",
        "sha256_hex = {2}\n",
        "sha256_hex = {0}0\n",
    ],
)
def test_step_3_a_flag_of_any_other_form_is_refused(tmp_path: Path, form: str) -> None:
    bundle = lay(tmp_path)
    digest = foreign.write_flag(bundle)
    text = form.format(digest, digest.upper(), digest[:-1])
    (bundle / "_passed.flag").write_bytes(text.encode())
    assert refused(a_run(tmp_path)).code == "E_FLAG_FORMAT_INVALID"


@pytest.mark.parametrize(
    "name",
    ["MANIFEST.json", "index.json", "plots/outlets.svg", "egress_checksums.json"],
)
def test_step_4_a_byte_more_in_any_indexed_file_breaks_the_flag(tmp_path: Path, name: str) -> None:
    bundle = lay(tmp_path)
    with (bundle / name).open("ab") as handle:
        handle.write(b" ")
    assert refused(a_run(tmp_path)).code == "E_FLAG_HASH_MISMATCH"


def test_step_4_the_flag_of_another_bundle_is_refused(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    (bundle / "_passed.flag").write_text(f"sha256_hex = {'0' * 64}\n")
    error = refused(a_run(tmp_path))
    assert error.code == "E_FLAG_HASH_MISMATCH"
    assert foreign.write_flag(bundle) in error.message


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ("manifest_fingerprint", "9" * 64),
        ("manifest_fingerprint", None),
        ("parameter_hash", "9" * 64),
        ("seed", SEED + 1),
        ("seed", f"{SEED}.0"),
    ],
)
def test_step_5_a_manifest_that_names_another_identity_is_refused(
    tmp_path: Path, token: str, value: Any
) -> None:
    bundle = lay(tmp_path)
    edit(bundle / "MANIFEST.json", lambda manifest: manifest.update({token: value}))
    foreign.write_flag(bundle)
    error = refused(a_run(tmp_path))
    assert error.code == "E_PATH_EMBED_MISMATCH"
    assert f"MANIFEST.json says {token} {value}, the run has" in error.message


@pytest.mark.parametrize(
    "manifest",
    [{}, [], {"artefacts": []}, {"seed": str(SEED), "parameter_hash": P, "run_id": "other"}],
)
def test_step_5_a_manifest_need_not_name_the_identity(tmp_path: Path, manifest: Any) -> None:
    bundle = lay(tmp_path)
    foreign.write_json(bundle / "MANIFEST.json", manifest)
    foreign.write_flag(bundle)
    assert gate(a_run(tmp_path)).body["manifest_fingerprint"] == F


def test_step_5_a_manifest_that_names_two_fingerprints_is_refused(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    text = f'{{"manifest_fingerprint":"{"9" * 64}","manifest_fingerprint":"{F}"}}'
    (bundle / "MANIFEST.json").write_text(text)
    foreign.write_flag(bundle)
    error = refused(a_run(tmp_path))
    assert error.code == "E_INPUT_UNREADABLE"
    assert "key 'manifest_fingerprint' is repeated" in error.message


def test_step_7_keys_that_are_not_used_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = lay(tmp_path)
    gate(a_run(tmp_path))
    assert caplog.text == ""
    edit(bundle / "egress_checksums.json", lambda said: said.update(made_by="1A", host="x"))
    foreign.write_flag(bundle)
    gate(a_run(tmp_path))
    assert "egress_checksums.json: no use is made of the keys host, made_by" in caplog.text


def test_step_7_a_pipe_among_the_outlets_is_refused(tmp_path: Path) -> None:
    lay(tmp_path)
    os.mkfifo(foreign.outlet_folder(tmp_path, SEED, F) / "part-9.parquet")
    error = refused(a_run(tmp_path))
    assert error.code == "E_INPUT_UNREADABLE"
    assert "part-9.parquet is a named pipe" in error.message


@pytest.mark.parametrize("token", ["parameter_hash", "manifest_fingerprint"])
@pytest.mark.parametrize(
    "value", [{}, [], "2", {"token": "9" * 64}, {"token": None}, {"token": "A" * 64}]
)
def test_step_5_the_resolved_tokens_are_those_of_the_run(
    tmp_path: Path, token: str, value: Any
) -> None:
    bundle = lay(tmp_path)
    document = {token: value["token"]} if isinstance(value, dict) and value else value
    foreign.write_json(bundle / f"{token}_resolved.json", document)
    foreign.seal(bundle)
    error = refused(a_run(tmp_path))
    assert error.code == "E_PATH_EMBED_MISMATCH"
    assert f"{token}_resolved.json" in error.message


def test_step_5_a_bundle_under_another_fingerprint_s_path_is_refused(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    bundle.rename(bundle.with_name(f"fingerprint={'3' * 64}"))
    assert refused(a_run(tmp_path, f="3" * 64)).code == "E_PATH_EMBED_MISMATCH"


def test_step_5_a_run_with_another_parameter_hash_is_refused(tmp_path: Path) -> None:
    lay(tmp_path)
    assert refused(a_run(tmp_path, p="3" * 64)).code == "E_PATH_EMBED_MISMATCH"


def test_nothing_but_the_bundle_is_needed_for_steps_1_to_5(tmp_path: Path) -> None:
    """What is not there cannot have been opened: the bundle is judged first."""
    bundle = lay(tmp_path / "whole")
    root = open_root(tmp_path / "bare")
    copy = foreign.bundle_folder(root, F)
    copy.parent.mkdir(parents=True)
    bundle.rename(copy)
    assert refused(a_run(root)).code == "E_REFERENCE_SURFACE_MISSING"
    (copy / "_passed.flag").write_text(f"sha256_hex = {'0' * 64}\n")
    assert refused(a_run(root)).code == "E_FLAG_HASH_MISMATCH"
    (copy / "_passed.flag").unlink()
    assert refused(a_run(root)).code == "E_PASS_MISSING"
    (copy / "index.json").unlink()
    assert refused(a_run(root)).code == "E_INDEX_MISSING"


# ----------------------------------------------------------------------------- step 6


@pytest.mark.parametrize("path", [*REFERENCES.values(), POLICY_PATH])
def test_step_6_references_and_policies_are_there(tmp_path: Path, path: str) -> None:
    lay(tmp_path)
    (tmp_path / path).unlink()
    error = refused(a_run(tmp_path))
    assert error.code == "E_REFERENCE_SURFACE_MISSING"
    assert path in error.message


def test_step_6_the_candidate_set_is_there(tmp_path: Path) -> None:
    lay(tmp_path)
    folder = tmp_path / f"data/layer1/1A/s3_candidate_set/parameter_hash={P}"
    folder.rename(tmp_path / "away")
    assert refused(a_run(tmp_path)).code == "E_REFERENCE_SURFACE_MISSING"


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("licence", None, "E_DICTIONARY_RESOLUTION_FAILED"),
        ("retention_days", None, "E_DICTIONARY_RESOLUTION_FAILED"),
        ("path", None, "E_DICTIONARY_RESOLUTION_FAILED"),
        ("schema_ref", "schemas.1B.yaml#/no/such", "E_SCHEMA_RESOLUTION_FAILED"),
    ],
)
def test_step_6_every_input_has_path_licence_retention_and_schema(
    tmp_path: Path, field: str, value: str | None, code: str
) -> None:
    lay(tmp_path / "root")
    raw = yaml.safe_load((contracts_root() / DICTIONARY).read_text())
    raw["datasets"]["world_countries"].update({field: value})
    if value is None:
        raw["datasets"]["world_countries"].pop(field)
    (tmp_path / "dictionary.yaml").write_text(yaml.safe_dump(raw))
    run = a_run(tmp_path / "root", dictionary=str(tmp_path / "dictionary.yaml"))
    assert refused(run).code == code


def test_an_input_that_is_not_sealed_cannot_be_opened(tmp_path: Path) -> None:
    lay(tmp_path)
    with pytest.raises(Segment1BError) as caught:
        a_run(tmp_path).reader(S0Gate()).file("tile_index")
    assert caught.value.code == "E_FORBIDDEN_SURFACE_READ"


@pytest.mark.code("E_OUTLET_CATALOGUE_FORBIDDEN_BEFORE_PASS")
def test_outlets_cannot_be_opened_before_the_flag_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path)
    dataset = Reader.dataset
    monkeypatch.setattr(Reader, "dataset", lambda reader, _: dataset(reader, "outlet_catalogue"))
    assert refused(a_run(tmp_path)).code == "E_OUTLET_CATALOGUE_FORBIDDEN_BEFORE_PASS"


# ----------------------------------------------------------------------------- step 7


def resealed(root: Path) -> None:
    """Let the bundle vouch for the outlet files as they are now."""
    bundle = foreign.bundle_folder(root, F)
    foreign.write_checksums(root, bundle, SEED, F)
    foreign.write_flag(bundle)


def test_step_7_the_outlet_partition_is_there(tmp_path: Path) -> None:
    lay(tmp_path)
    folder = foreign.outlet_folder(tmp_path, SEED, F)
    folder.rename(folder.with_name(f"fingerprint={'3' * 64}"))
    assert refused(a_run(tmp_path)).code == "E_PARTITION_MISPLACED"


@pytest.mark.parametrize("token", ["seed", "manifest_fingerprint"])
def test_step_7_the_checksums_are_about_this_seed_and_fingerprint(
    tmp_path: Path, token: str
) -> None:
    bundle = lay(tmp_path)
    other = {"seed": 43, "manifest_fingerprint": "3" * 64}[token]
    edit(bundle / "egress_checksums.json", lambda said: said.update({token: other}))
    foreign.write_flag(bundle)
    error = refused(a_run(tmp_path))
    assert error.code == "E_PATH_EMBED_MISMATCH"
    assert f"is about {token} {other}" in error.message


def test_step_7_a_seed_in_decimal_text_is_a_seed(tmp_path: Path) -> None:
    bundle = lay(tmp_path)
    edit(bundle / "egress_checksums.json", lambda said: said.update(seed="42"))
    foreign.write_flag(bundle)
    assert gate(a_run(tmp_path)).body["seed"] == 42


@pytest.mark.parametrize(
    "change",
    [
        lambda _: [],
        lambda said: said.pop("files") and None,
        lambda said: said.update(files=[]),
        lambda said: said["files"][0].update(sha256_hex="0" * 63),
        lambda said: said["files"][0].update(sha256_hex="0" * 64),
        lambda said: said["files"][0].update(size_bytes=1),
        lambda said: said["files"][0].update(path="part-9.parquet"),
        lambda said: said["files"].append({**said["files"][0], "path": "part-9.parquet"}),
        lambda said: said["files"].pop() and None,
        lambda said: said.update(composite_sha256_hex="0" * 64),
        lambda said: said["files"].append({**said["files"][0], "sha256_hex": "0" * 64}),
        lambda said: said["files"].insert(0, {**said["files"][0], "sha256_hex": "0" * 64}),
    ],
)
def test_step_7_checksums_that_are_not_those_of_the_files_are_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    bundle = lay(tmp_path)
    edit(bundle / "egress_checksums.json", change)
    foreign.write_flag(bundle)
    assert refused(a_run(tmp_path)).code == "E_EGRESS_CHECKSUM_MISMATCH"


def flip(folder: Path) -> None:
    """Flip one bit in the middle of a file."""
    path = folder / "part-1.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def rewrite(folder: Path) -> None:
    """Write the same rows with another compression."""
    path = folder / "part-0.parquet"
    pq.write_table(pq.read_table(path), path, compression="gzip")


def add(folder: Path) -> None:
    """Add a file."""
    (folder / "part-2.parquet").write_bytes((folder / "part-1.parquet").read_bytes())


def add_below(folder: Path) -> None:
    """Add a file in a folder of its own."""
    (folder / "more").mkdir()
    (folder / "more/part-0.parquet").write_bytes((folder / "part-1.parquet").read_bytes())


def remove(folder: Path) -> None:
    """Remove a file."""
    (folder / "part-1.parquet").unlink()


def rename(folder: Path) -> None:
    """Rename a file, order kept."""
    (folder / "part-1.parquet").rename(folder / "part-2.parquet")


def swap(folder: Path) -> None:
    """Let two files change their names."""
    one, two = (folder / f"part-{number}.parquet" for number in (0, 1))
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)


@pytest.mark.parametrize("hurt", [flip, rewrite, add, add_below, remove, rename, swap])
def test_step_7_outlet_files_that_changed_since_1a_passed_are_refused(
    tmp_path: Path, hurt: Callable[[Path], None]
) -> None:
    lay(tmp_path)
    hurt(foreign.outlet_folder(tmp_path, SEED, F))
    assert refused(a_run(tmp_path)).code == "E_EGRESS_CHECKSUM_MISMATCH"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("manifest_fingerprint", "3" * 64),
        ("manifest_fingerprint", F.upper() + " "),
        ("manifest_fingerprint", None),
        ("global_seed", 43),
        ("global_seed", 2**64 - 1),
        ("global_seed", None),
    ],
)
def test_step_7_every_row_carries_this_fingerprint_and_seed(
    tmp_path: Path, column: str, value: Any
) -> None:
    lay(tmp_path)
    path = foreign.outlet_folder(tmp_path, SEED, F) / "part-1.parquet"
    table = pq.read_table(path)
    values = table.column(column).to_pylist()
    values[1] = value
    at = table.schema.get_field_index(column)
    pq.write_table(
        table.set_column(at, column, pa.array(values, table.schema.field(column).type)), path
    )
    resealed(tmp_path)
    error = refused(a_run(tmp_path))
    assert error.code == "E_PATH_EMBED_MISMATCH"
    assert str(path) in error.message
    assert error.scope["row"] == 2
    assert column in error.message


def test_step_7_a_row_far_into_a_file_is_named_by_its_number(tmp_path: Path) -> None:
    lay(tmp_path, files=1)
    path = foreign.outlet_folder(tmp_path, SEED, F) / "part-0.parquet"
    table = pq.read_table(path)
    seeds = pc.if_else(pa.array([False] * 5 + [True, False]), pa.scalar(7, pa.uint64()), SEED)
    at = table.schema.get_field_index("global_seed")
    pq.write_table(table.set_column(at, "global_seed", seeds), path, row_group_size=2)
    resealed(tmp_path)
    error = refused(a_run(tmp_path))
    assert error.scope["row"] == 6
    assert "row 6: global_seed is 7, the run has 42" in error.message


def test_step_7_outlet_files_that_were_broken_when_1a_passed_are_refused(tmp_path: Path) -> None:
    lay(tmp_path)
    path = foreign.outlet_folder(tmp_path, SEED, F) / "part-1.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    resealed(tmp_path)
    assert refused(a_run(tmp_path)).code == "E_INPUT_UNREADABLE"
    pq.write_table(pq.read_table(pa.BufferReader(whole)).drop_columns(["global_seed"]), path)
    resealed(tmp_path)
    assert refused(a_run(tmp_path)).code == "E_INPUT_SCHEMA_INVALID"


# ------------------------------------------------------------------------------ re-runs


def receipt_path(root: Path) -> Path:
    """Return where the receipt lies."""
    return root / f"data/layer1/1B/s0_gate_receipt/fingerprint={F}/s0_gate_receipt.json"


def test_a_rerun_keeps_the_old_receipt_and_its_clock(tmp_path: Path) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    first, there = publish(run, gate(run))
    assert not there
    before = tree(tmp_path)
    second = gate(run)
    old = json.loads(receipt_path(tmp_path).read_bytes())
    assert second.documents["s0_gate_receipt_1B"]["verified_at_utc"] > old["verified_at_utc"]
    assert publish(run, second) == (first, True)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("path", [*REFERENCES.values(), POLICY_PATH])
def test_a_sealed_input_that_changed_cannot_be_sealed_again(tmp_path: Path, path: str) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    publish(run, gate(run))
    with (tmp_path / path).open("ab") as handle:
        handle.write(b" ")
    before = tree(tmp_path)
    with pytest.raises(Segment1BError, match="another sealed_inputs") as caught:
        publish(run, gate(run))
    assert caught.value.code == "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
    assert tree(tmp_path) == before


def test_a_candidate_set_with_another_file_is_another_input(tmp_path: Path) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    publish(run, gate(run))
    folder = tmp_path / f"data/layer1/1A/s3_candidate_set/parameter_hash={P}"
    pq.write_table(pq.read_table(folder / "part-0.parquet"), folder / "part-1.parquet")
    with pytest.raises(Segment1BError) as caught:
        publish(run, gate(run))
    assert caught.value.code == "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"


def test_a_receipt_that_does_not_fit_its_schema_is_not_published(tmp_path: Path) -> None:
    lay(tmp_path)
    run = a_run(tmp_path)
    report = gate(run)
    report.documents["s0_gate_receipt_1B"]["sealed_inputs"].pop()
    report.documents["s0_gate_receipt_1B"]["rank"] = 1
    with pytest.raises(Segment1BError) as caught:
        publish(run, report)
    assert caught.value.code == "E_RECEIPT_SCHEMA_INVALID"
    assert not receipt_path(tmp_path).exists()
