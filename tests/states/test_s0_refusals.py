"""The gate refuses a bundle, an input or an outlet file with one thing wrong, step by step."""

from __future__ import annotations

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
from gates import (
    POLICY_PATH,
    REFERENCES,
    SEED,
    F,
    P,
    Spoil,
    a_run,
    flagged,
    lay,
    pipe_for,
    refused,
    remove,
    write,
)
from segment1b.contracts.locations import DICTIONARY
from segment1b.contracts.program import contracts_root
from segment1b.errors import Segment1BError
from segment1b.states.s0_gate import S0Gate
from segment1b.storage.reader import Reader
from segment1b.storage.root import open_root
from shapes import flip


def folder_for(name: str) -> Spoil:
    def spoil(bundle: Path) -> None:
        (bundle / name).unlink()
        (bundle / name).mkdir()

    return spoil


FLAG_FORMS = [
    *("", "{0}", "sha256_hex = {0} ", "sha256_hex = {0} \n", "sha256_hex = {0}\n\n"),
    *("sha256_hex = {0}\r\n", "sha256_hex = {0}\nx", " sha256_hex = {0}\n"),
    *("\ufeffsha256_hex = {0}\n", "sha256_hex={0}\n", "sha256_hex  = {0}\n", "sha256_hex: {0}\n"),
    *("SHA256_HEX = {0}\n", "sha256_hex = {1}\n", "sha256_hex = {2}\n", "sha256_hex = {0}0\n"),
]


def flag(form: str) -> Spoil:
    def spoil(bundle: Path) -> None:
        digest = foreign.write_flag(bundle)
        text = form.format(digest, digest.upper(), digest[:-1])
        (bundle / "_passed.flag").write_bytes(text.encode())

    return spoil


def append(name: str) -> Spoil:
    return lambda bundle: (bundle / name).write_bytes((bundle / name).read_bytes() + b" ")


def resolved(token: str, document: object) -> Spoil:
    def spoil(bundle: Path) -> None:
        foreign.write_json(bundle / f"{token}_resolved.json", document)
        foreign.seal(bundle)

    return spoil


def two_fingerprints(bundle: Path) -> None:
    text = f'{{"manifest_fingerprint":"{"9" * 64}","manifest_fingerprint":"{F}"}}'
    (bundle / "MANIFEST.json").write_text(text)
    foreign.write_flag(bundle)


def manifest(token: str, value: object) -> tuple[Spoil, str, str]:
    return (
        flagged("MANIFEST.json", lambda document: document.update({token: value})),
        "E_PATH_EMBED_MISMATCH",
        f"MANIFEST.json has {token} {value}, the run has",
    )


def checksums(change: Callable[[dict[str, Any]], object]) -> tuple[Spoil, str, str]:
    return flagged("egress_checksums.json", change), "E_EGRESS_CHECKSUM_MISMATCH", ""


def candidates(bundle: Path) -> Path:
    return bundle.parents[1] / f"s3_candidate_set/parameter_hash={P}"


def outlets(bundle: Path) -> Path:
    return bundle.parents[1] / f"outlet_catalogue/seed={SEED}/fingerprint={F}"


def copy_to(part: Path, name: str) -> None:
    (part.parent / name).parent.mkdir(exist_ok=True)
    (part.parent / name).write_bytes(part.read_bytes())


def exchange(part: Path) -> None:
    other = part.with_name("part-0.parquet")
    mine = part.read_bytes()
    part.write_bytes(other.read_bytes())
    other.write_bytes(mine)


def changed_part(change: Callable[[Path], object]) -> tuple[Spoil, str, str]:
    return (
        lambda bundle: change(outlets(bundle) / "part-1.parquet"),
        "E_EGRESS_CHECKSUM_MISMATCH",
        "",
    )


#: What is wrong with flag, tokens, inputs or outlets, the code, and what the message says.
LATER: list[tuple[Spoil, str, str]] = [
    (lambda bundle: bundle.rename(bundle.parent / "away"), "E_BUNDLE_MISSING", ""),
    (
        lambda bundle: bundle.rename(bundle.parent / "away").with_name(bundle.name).write_text(""),
        "E_BUNDLE_MISSING",
        "",
    ),
    (remove("index.json"), "E_INDEX_MISSING", ""),
    (folder_for("index.json"), "E_INDEX_MISSING", ""),
    (pipe_for("index.json"), "E_INDEX_", ""),
    (pipe_for("_passed.flag"), "E_INDEX_", ""),
    (remove("_passed.flag"), "E_PASS_MISSING", ""),
    *((flag(form), "E_FLAG_FORMAT_INVALID", "") for form in FLAG_FORMS),
    *(
        (append(name), "E_FLAG_HASH_MISMATCH", "")
        for name in ("MANIFEST.json", "index.json", "plots/outlets.svg", "egress_checksums.json")
    ),
    (write("_passed.flag", b"sha256_hex = " + b"0" * 64), "E_FLAG_HASH_MISMATCH", "0" * 64),
    manifest("manifest_fingerprint", "9" * 64),
    manifest("manifest_fingerprint", None),
    manifest("parameter_hash", "9" * 64),
    manifest("seed", SEED + 1),
    manifest("seed", f"{SEED}.0"),
    (two_fingerprints, "E_INPUT_UNREADABLE", "key 'manifest_fingerprint' is repeated"),
    *(
        (resolved(token, document), "E_PATH_EMBED_MISMATCH", f"{token}_resolved.json")
        for token in ("parameter_hash", "manifest_fingerprint")
        for document in ({}, [], "2", {token: "9" * 64}, {token: None}, {token: "A" * 64})
    ),
    *(
        (lambda bundle, path=path: (bundle.parents[4] / path).unlink(), *missing)
        for path in (*REFERENCES.values(), POLICY_PATH)
        for missing in [("E_REFERENCE_SURFACE_MISSING", path)]
    ),
    (
        lambda bundle: candidates(bundle).rename(bundle.parents[4] / "away"),
        *("E_REFERENCE_SURFACE_MISSING", ""),
    ),
    (
        lambda bundle: outlets(bundle).rename(outlets(bundle).with_name(f"fingerprint={P}")),
        "E_PARTITION_MISPLACED",
        "",
    ),
    *(
        (
            flagged("egress_checksums.json", lambda v, new=new: v.update(new)),
            "E_PATH_EMBED_MISMATCH",
            f"egress_checksums.json has {token} {value}",
        )
        for token, value in (("seed", 43), ("manifest_fingerprint", "3" * 64))
        for new in [{token: value}]
    ),
    checksums(lambda _: []),
    checksums(lambda document: document.pop("files") and None),
    checksums(lambda document: document.update(files=[])),
    checksums(lambda document: document["files"][0].update(sha256_hex="0" * 63)),
    checksums(lambda document: document["files"][0].update(sha256_hex="0" * 64)),
    checksums(lambda document: document["files"][0].update(size_bytes=1)),
    checksums(lambda document: document["files"][0].update(path="part-9.parquet")),
    checksums(lambda d: d["files"].append({**d["files"][0], "path": "part-9.parquet"})),
    checksums(lambda document: document["files"].pop() and None),
    checksums(lambda document: document.update(composite_sha256_hex="0" * 64)),
    checksums(lambda d: d["files"].append({**d["files"][0], "sha256_hex": "0" * 64})),
    checksums(lambda d: d["files"].insert(0, {**d["files"][0], "sha256_hex": "0" * 64})),
    changed_part(flip),
    changed_part(lambda part: pq.write_table(pq.read_table(part), part, compression="gzip")),
    changed_part(lambda part: copy_to(part, "part-2.parquet")),
    changed_part(lambda part: copy_to(part, "more/part-0.parquet")),
    changed_part(Path.unlink),
    changed_part(lambda part: part.rename(part.with_name("part-2.parquet"))),
    changed_part(exchange),
    (
        lambda bundle: os.mkfifo(outlets(bundle) / "part-9.parquet"),
        "E_INPUT_UNREADABLE",
        "part-9.parquet is a named pipe",
    ),
]


@pytest.mark.parametrize(("spoil", "code", "message"), LATER)
def test_what_is_wrong_with_bundle_inputs_or_outlets_is_refused(
    tmp_path: Path, spoil: Spoil, code: str, message: str
) -> None:
    spoil(lay(tmp_path))
    error = refused(a_run(tmp_path))
    assert error.code.startswith(code)
    assert message in error.message


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
    with pytest.raises(Segment1BError, match=r"^E_FORBIDDEN_SURFACE_READ:"):
        a_run(tmp_path).reader(S0Gate()).file("tile_index")


@pytest.mark.code("E_OUTLET_CATALOGUE_FORBIDDEN_BEFORE_PASS")
def test_outlets_cannot_be_opened_before_the_flag_is_proven(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path)
    dataset = Reader.dataset
    monkeypatch.setattr(Reader, "dataset", lambda reader, _: dataset(reader, "outlet_catalogue"))
    assert refused(a_run(tmp_path)).code == "E_OUTLET_CATALOGUE_FORBIDDEN_BEFORE_PASS"


def resealed(root: Path) -> None:
    """Let the bundle vouch for the outlet files as they are now."""
    bundle = foreign.bundle_folder(root, F)
    foreign.write_checksums(root, bundle, SEED, F)
    foreign.write_flag(bundle)


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
