"""The hand-over of an imported list: what the gate wants, and what happens to what is there."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from segment1b import contracts
from segment1b.config import load_policy
from segment1b.errors import Segment1BError
from segment1b.identity import Identity, canonical_json
from segment1b.outlets.lists import Reading
from segment1b.outlets.pairs import Pairs, read_outlets
from segment1b.outlets.publishing import imported, issue, pairs_of
from segment1b.states.protocol import Run
from segment1b.states.s0_gate import S0Gate, bundle_files, check_outlet_digests
from segment1b.storage.parts import FILE_ROWS
from segment1b.storage.proofs import take_receipt

KNOWN = contracts.load()
P, Q = "a1" * 32, "b2" * 32


def packed(codes: Sequence[str]) -> Any:
    return np.array([int.from_bytes(code.encode(), "big") for code in codes], np.uint16)


def pairs_from(*rows: tuple[int, str, int]) -> Pairs:
    merchant, country, n = zip(*rows, strict=True)
    return Pairs(np.array(merchant, np.uint64), packed(country), np.array(n, np.int64))


BIG = 2**63 - 1
SMALL = pairs_from(
    *((5, "US", 1), (17, "DE", 2), (17, "FR", 2), (17, "US", 1), (BIG, "AD", 1), (BIG, "NO", 2))
)


def bring(root: Path, pairs: Pairs = SMALL, seed: int = 42, policy: str = P) -> Path:
    return issue(root, KNOWN, pairs, seed, policy, root / ".staging")


def place(
    root: Path, dataset_id: str, pairs: Pairs = SMALL, seed: int = 42, policy: str = P
) -> Path:
    tokens = {"seed": seed, "manifest_fingerprint": pairs.fingerprint, "parameter_hash": policy}
    return root / KNOWN[dataset_id].locate(tokens)


def whole(root: Path) -> dict[str, bytes]:
    """Return every published file below a root with its bytes."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted((root / "data").rglob("*"))
        if path.is_file()
    }


def gate(root: Path, pairs: Pairs = SMALL, seed: int = 42, policy: str = P) -> int:
    """Run the gate's own checks of bundle and outlets; return the outlets seen."""
    state = S0Gate()
    run = Run(root, Identity(seed, pairs.fingerprint, policy), load_policy(), {}, root)
    bundle_files(run)
    reader = run.reader(state)
    files = check_outlet_digests(run, reader)
    assert reader.file("s3_candidate_set").is_dir()
    return sum(state.work(run, reader, name).rows for name, _, _ in files)


def refused(code: str, *args: Any) -> Segment1BError:
    """Return the error of an import that must be refused."""
    with pytest.raises(Segment1BError) as caught:
        bring(*args)
    assert caught.value.code == code
    return caught.value


def seal(root: Path, seed: int = 42, policy: str = P) -> Path:
    path = place(root, "s0_gate_receipt_1B")
    path.parent.mkdir(parents=True)
    path.write_bytes(canonical_json(Identity(seed, SMALL.fingerprint, policy).tokens))
    return path


def test_rows_of_the_catalogue_and_none_of_the_candidate_set(tmp_path: Path) -> None:
    """By hand: home is where most outlets are, ties by ASCII; a list orders no countries."""
    bring(tmp_path)
    tables = {}
    for name in ("outlet_catalogue", "s3_candidate_set"):
        tables[name] = pq.read_table(place(tmp_path, name) / "part-00000.parquet")
        assert tables[name].schema.equals(KNOWN[name].arrow_schema)
    assert tables["s3_candidate_set"].num_rows == 0
    rows = [tuple(row.values()) for row in tables["outlet_catalogue"].to_pylist()]
    f = SMALL.fingerprint
    assert rows == [
        (f, 5, "000001", "US", "US", False, 1, 1, 1, 42),
        (f, 17, "000001", "DE", "DE", True, 5, 2, 1, 42),
        (f, 17, "000002", "DE", "DE", True, 5, 2, 2, 42),
        (f, 17, "000001", "DE", "FR", True, 5, 2, 1, 42),
        (f, 17, "000002", "DE", "FR", True, 5, 2, 2, 42),
        (f, 17, "000001", "DE", "US", True, 5, 1, 1, 42),
        (f, BIG, "000001", "NO", "AD", True, 3, 1, 1, 42),
        (f, BIG, "000001", "NO", "NO", True, 3, 2, 1, 42),
        (f, BIG, "000002", "NO", "NO", True, 3, 2, 2, 42),
    ]


@pytest.mark.parametrize("seed", [0, 42, 2**63 - 1])
def test_the_gate_lets_it_pass(tmp_path: Path, seed: int) -> None:
    """By the gate's own functions; nothing else is left in the root."""
    folder = bring(tmp_path, SMALL, seed)
    assert folder == place(tmp_path, "validation_bundle_1A")
    assert gate(tmp_path, seed=seed) == 9
    assert list((tmp_path / ".staging").iterdir()) == []
    assert imported(folder) == {
        "producer": "segment1b outlets import",
        "seed": seed,
        "parameter_hash": P,
        "manifest_fingerprint": SMALL.fingerprint,
        "pairs": 6,
        "outlets": 9,
    }
    checksums = json.loads((folder / "egress_checksums.json").read_bytes())
    assert [entry["path"] for entry in checksums["files"]] == ["part-00000.parquet"]


def test_the_largest_seed(tmp_path: Path) -> None:
    """In path, rows and bundle, to the last digit."""
    seed = 2**64 - 1
    bring(tmp_path, SMALL, seed)
    run = Run(tmp_path, Identity(seed, SMALL.fingerprint, P), load_policy(), {}, tmp_path)
    bundle_files(run)
    ((name, _, _),) = check_outlet_digests(run, run.reader(S0Gate()))
    table = pq.read_table(place(tmp_path, "outlet_catalogue", SMALL, seed) / name)
    assert set(table.column("global_seed").to_pylist()) == {seed}


@pytest.mark.slow
def test_many_files_and_groups(tmp_path: Path) -> None:
    """Pairs that run over the ends of groups and files; order, types and values as declared."""
    rng = np.random.default_rng(5)
    n = 1 + np.minimum(20_000, rng.pareto(0.6, 1500) * 8).astype(np.int64)
    n[[700, 702]] = 999_999
    merchant = np.repeat(np.cumsum(rng.integers(1, 9, 500)), 3).astype(np.uint64)
    pairs = Pairs(merchant, np.tile(packed(["DE", "FR", "US"]), 500), n)
    bring(tmp_path, pairs)
    folder = place(tmp_path, "outlet_catalogue", pairs)
    receipt = take_receipt(folder, KNOWN["outlet_catalogue"], "", 2)
    assert receipt.rows == n.sum() == gate(tmp_path, pairs)
    sizes = [pq.ParquetFile(folder / name).metadata.num_rows for name, _, _ in receipt.files]
    assert sizes[:-1] == [FILE_ROWS] * (len(sizes) - 1)
    assert len(sizes) > 2
    wanted = [("site_order", "count"), ("site_order", "max"), ("site_id", "max")]
    wanted += [("final_country_outlet_count", one) for one in ("min", "max")]
    keys = ["merchant_id", "legal_country_iso"]
    counts = pq.read_table(folder).group_by(keys, use_threads=False).aggregate(wanted)
    counts = counts.sort_by([(key, "ascending") for key in keys])
    assert counts.column("site_id_max").to_pylist() == [f"{count:06d}" for count in n]
    for column in counts.drop(["site_id_max", *keys]).columns:
        assert column.to_numpy().tolist() == n.tolist()
    back = pairs_of(tmp_path, KNOWN, 42, pairs.fingerprint)
    assert back.fingerprint == pairs.fingerprint
    assert back.n_sites.tolist() == n.tolist()


def test_the_same_list_again_changes_nothing_and_is_the_same_anywhere(tmp_path: Path) -> None:
    """Not a byte, nor the time of a file; no clock, no machine, no path."""
    root = tmp_path / "a"
    folder = bring(root)
    before, times = whole(root), [path.stat().st_mtime_ns for path in folder.iterdir()]
    assert bring(root) == folder
    assert whole(root) == before
    assert [path.stat().st_mtime_ns for path in folder.iterdir()] == times
    bring(tmp_path / "b")
    assert whole(tmp_path / "b") == before


def test_two_lists_share_a_root_and_a_candidate_set(tmp_path: Path) -> None:
    """Each has its own fingerprint; the set without rows serves both."""
    other = pairs_from((1, "DE", 4))
    bring(tmp_path)
    bring(tmp_path, other)
    assert (gate(tmp_path), gate(tmp_path, other)) == (9, 4)


def test_an_existing_candidate_set_stays(tmp_path: Path) -> None:
    """Whoever laid it."""
    folder = place(tmp_path, "s3_candidate_set")
    folder.mkdir(parents=True)
    (folder / "theirs.parquet").write_bytes(b"x")
    bring(tmp_path)
    assert [path.name for path in folder.iterdir()] == ["theirs.parquet"]


def test_another_policy_or_seed_replaces_a_bundle_that_is_not_sealed(tmp_path: Path) -> None:
    """The catalogue of the same seed stays as it is."""
    bring(tmp_path)
    catalogue = place(tmp_path, "outlet_catalogue") / "part-00000.parquet"
    time = catalogue.stat().st_mtime_ns
    bring(tmp_path, SMALL, 42, Q)
    assert gate(tmp_path, policy=Q) == 9
    assert catalogue.stat().st_mtime_ns == time
    bring(tmp_path, SMALL, 7, Q)
    assert gate(tmp_path, seed=7, policy=Q) == 9
    bring(tmp_path)
    assert gate(tmp_path) == 9


@pytest.mark.parametrize(("seed", "policy"), [(42, Q), (7, P)])
def test_a_sealed_list_keeps_its_seed_and_policy(tmp_path: Path, seed: int, policy: str) -> None:
    """Once S0 has sealed it; the message says for what, and what to do. Nothing is written."""
    bring(tmp_path)
    seal(tmp_path)
    before = whole(tmp_path)
    error = refused("E_PATH_EMBED_MISMATCH", tmp_path, SMALL, seed, policy)
    assert f"is sealed in this data root for seed 42 and parameter_hash {P}" in error.message
    assert "another --data-root" in error.hint
    assert whole(tmp_path) == before
    shutil.rmtree(place(tmp_path, "validation_bundle_1A"))
    refused("E_PATH_EMBED_MISMATCH", tmp_path, SMALL, seed, policy)
    bring(tmp_path)
    assert whole(tmp_path) == before


def test_a_foreign_bundle_is_never_replaced(tmp_path: Path) -> None:
    """Even when it is broken; and nothing else is written."""
    folder = place(tmp_path, "validation_bundle_1A")
    folder.mkdir(parents=True)
    bring(tmp_path)
    shutil.rmtree(tmp_path / "data")
    folder.mkdir(parents=True)
    for text in ('{"producer":"1A"}', "[]", "{"):
        (folder / "MANIFEST.json").write_text(text)
        assert imported(folder) is None
        error = refused("E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL", tmp_path)
        assert str(folder) in error.message
    assert len(whole(tmp_path)) == 1
    assert imported(tmp_path / "absent") is None


@pytest.mark.parametrize("is_vouched", [True, False])
def test_another_catalogue_is_never_replaced(tmp_path: Path, is_vouched: bool) -> None:
    """Outlets that differ, a file that is no Parquet, one more file."""
    code, folder = "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL", bring(tmp_path)
    if not is_vouched:
        shutil.rmtree(folder)
    part = place(tmp_path, "outlet_catalogue") / "part-00000.parquet"
    good = part.read_bytes()
    table = pq.read_table(part)
    pq.write_table(table.slice(0, 8).cast(KNOWN["outlet_catalogue"].arrow_schema), part)
    assert "holds content" in refused(code, tmp_path).message
    part.write_bytes(good[:-1])
    refused(code, tmp_path)
    part.write_bytes(good)
    extra = part.with_name("notes.txt")
    extra.write_text("x")
    refused(code, tmp_path)
    extra.unlink()
    bring(tmp_path)
    assert gate(tmp_path) == 9


def test_the_same_rows_in_other_bytes_stay(tmp_path: Path) -> None:
    """As another Parquet library writes them; the new bundle vouches for the bytes there."""
    shutil.rmtree(bring(tmp_path))
    part = place(tmp_path, "outlet_catalogue") / "part-00000.parquet"
    table = pq.read_table(part).cast(KNOWN["outlet_catalogue"].arrow_schema)
    pq.write_table(table, part, compression="none", store_schema=False)
    rewritten = part.read_bytes()
    bring(tmp_path)
    assert part.read_bytes() == rewritten
    assert gate(tmp_path) == 9


class Killed(BaseException):
    """The process is no more."""


@pytest.mark.parametrize("is_done", [True, False], ids=["after", "before"])
@pytest.mark.parametrize("nth", range(1, 8))
def test_a_killed_import_heals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int, is_done: bool
) -> None:
    """Killed before or after each rename, of a first import or of one that replaces a bundle."""
    bring(tmp_path / "calm")
    calm = whole(tmp_path / "calm")
    for name in ("fresh", "replacing"):
        root = tmp_path / name
        if name == "replacing":
            bring(root, SMALL, 42, Q)
        calls, real = [0], os.rename

        def dying(old: Path, new: Path, calls: list[int] = calls, real: Any = real) -> None:
            calls[0] += 1
            if calls[0] != nth or is_done:
                real(old, new)
            if calls[0] == nth:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", dying)
            patch.setattr(tempfile.TemporaryDirectory, "__exit__", lambda *_: None)
            patch.setattr(tempfile.TemporaryDirectory, "_cleanup", lambda *_, **__: None)
            try:
                bring(root)
            except Killed:
                assert calls[0] == nth
        folder = place(root, "validation_bundle_1A")
        if folder.exists():
            held = imported(folder)
            assert held is not None
            assert gate(root, policy=held["parameter_hash"]) == 9
        bring(root)
        assert {path: data for path, data in whole(root).items() if Q not in path} == calm


def test_pairs_of_refuses_what_is_not_the_list(tmp_path: Path) -> None:
    """No catalogue, or one with other rows than its fingerprint says."""
    bring(tmp_path)
    with pytest.raises(Segment1BError, match=r"^E_PARTITION_MISPLACED:"):
        pairs_of(tmp_path, KNOWN, 7, SMALL.fingerprint)
    there = pairs_of(tmp_path, KNOWN, 42, SMALL.fingerprint)
    assert there.country.tolist() == SMALL.country.tolist()
    part = place(tmp_path, "outlet_catalogue") / "part-00000.parquet"
    table = pq.read_table(part)
    for wrong in (table.slice(1), table.take(list(range(8, -1, -1))), table.slice(0, 0)):
        pq.write_table(wrong, part)
        with pytest.raises(Segment1BError, match=r"^E_PATH_EMBED_MISMATCH:"):
            pairs_of(tmp_path, KNOWN, 42, SMALL.fingerprint)


def test_malformed_tokens_are_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    refused("E_USAGE", tmp_path, SMALL, 42, "abc")
    refused("E511_INVALID_SEED", tmp_path, SMALL, 2**64, P)
    assert list(tmp_path.iterdir()) == []


def test_corrections_are_sealed_in_the_bundle_and_an_exact_list_has_none(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("merchant_id,country_iso,n_outlets\n17,DEU,2\n")
    pairs = read_outlets(tmp_path / "a.csv", {"DE"}, Reading(normalise=True))
    manifest = imported(bring(tmp_path / "loose", pairs))
    assert manifest is not None
    value = {"column": "country_iso", "from": "DEU", "kind": "alpha-3", "rows": 1, "to": "DE"}
    assert manifest["corrections"] == {
        "by_kind": {"alpha-3": 1},
        "unlisted": 0,
        "values": [value],
    }
    assert "corrections" not in (imported(bring(tmp_path / "exact")) or {})


def test_a_bundle_that_is_issued_again_keeps_the_corrections(tmp_path: Path) -> None:
    """For another policy, from the catalogue; corrections that somebody changed are refused."""
    (tmp_path / "a.csv").write_text("merchant_id,country_iso,n_outlets\n17,DEU,2\n")
    pairs = read_outlets(tmp_path / "a.csv", {"DE"}, Reading(normalise=True))
    root = tmp_path / "root"
    first = imported(bring(root, pairs))
    back = pairs_of(root, KNOWN, 42, pairs.fingerprint)
    bundle = bring(root, back, policy=Q)
    again = imported(bundle)
    assert first is not None
    assert again == {**first, "parameter_hash": Q}
    assert again["corrections"]["by_kind"] == {"alpha-3": 1}
    (bundle / "MANIFEST.json").write_bytes(canonical_json({**again, "corrections": {}}))
    with pytest.raises(Segment1BError, match="was changed after it passed"):
        pairs_of(root, KNOWN, 42, pairs.fingerprint)
