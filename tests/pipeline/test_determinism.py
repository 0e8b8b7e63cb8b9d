"""The same inputs and identity give the same bytes for any workers, engine, order and locale."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import worlds
from segment1b.pipeline.outcome import RunResult
from segment1b.states import STATES, s6_jitter

STABLE = ("allocation.law=stable",)
Undisturbed = Callable[[str], RunResult]


@pytest.fixture
def first(undisturbed: Undisturbed) -> RunResult:
    return undisturbed("stable")


def rerun(surfaces: Path, tmp_path: Path, law: str = "stable", **settings: Any) -> RunResult:
    root = shutil.copytree(surfaces, tmp_path / "root")
    return worlds.run(root, settings=(f"allocation.law={law}",), to_state="s9", **settings)


def file_bytes(result: RunResult) -> dict[tuple[str, str], str]:
    """Return the SHA-256 over the bytes of every dataset and log that a run has published."""
    return {
        (o.state, field): receipt["sha256_hex"]
        for o in result.outcomes
        for field, receipt in o.report.items()
        if o.state != "s0" and field.endswith("_receipt")
    }


def rows_alone(result: RunResult) -> dict[str, str]:
    """Return the digests of what names no parameter_hash in its content."""
    found = worlds.digests(result)
    return {name: d for name, d in found.items() if "trace" not in name and name != "s9"}


@pytest.mark.parametrize("law", ["stable", "largest_remainder"])
@pytest.mark.parametrize(
    ("engine", "workers"),
    [
        *[("threads", 2), ("processes", 2)],
        *(
            pytest.param(*engine, marks=pytest.mark.slow)
            for engine in [("serial", 1), ("threads", 1), ("threads", 5), ("processes", 1)]
        ),
    ],
)
def test_engine_and_workers_change_no_byte(
    surfaces: Path,
    outlets: Path,
    undisturbed: Undisturbed,
    tmp_path: Path,
    law: str,
    engine: str,
    workers: int,
) -> None:
    again = rerun(surfaces, tmp_path, law, outlets=outlets, engine=engine, workers=workers)
    assert worlds.digests(again) == worlds.digests(undisturbed(law))
    assert file_bytes(again) == file_bytes(undisturbed(law))


def test_a_shuffled_outlet_list_gives_the_same_plan(
    surfaces: Path, outlets: Path, first: RunResult, tmp_path: Path
) -> None:
    header, *rows = outlets.read_text().splitlines()
    random.Random(3).shuffle(rows)
    shuffled = tmp_path / "shuffled.csv"
    shuffled.write_text("\n".join([header, *rows]) + "\n")
    assert worlds.digests(rerun(surfaces, tmp_path, outlets=shuffled)) == worlds.digests(first)


@pytest.mark.slow
def test_country_polygons_in_another_order_give_the_same_tiles_and_plan(
    surfaces: Path, outlets: Path, first: RunResult, tmp_path: Path
) -> None:
    shutil.copytree(surfaces, tmp_path / "root")
    path = worlds.place(tmp_path / "root", "world_countries")
    table = pq.read_table(path)
    order = list(range(table.num_rows))
    random.Random(5).shuffle(order)
    pq.write_table(table.take(pa.array(order)), path)
    again = worlds.run(tmp_path / "root", settings=STABLE, outlets=outlets, to_state="s9")
    # Another file of polygons is another parameter_hash, which traces, S9 and S6's lineage name.
    assert again.identity["parameter_hash"] != first.identity["parameter_hash"]
    assert rows_alone(again) == rows_alone(first)


@pytest.mark.slow
def test_the_order_in_which_shards_are_worked_changes_nothing(
    surfaces: Path,
    outlets: Path,
    first: RunResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Results are consumed in canonical order, so the shards are worked beforehand, backwards.
    for state in STATES.values():
        plain = state.shards

        def backwards(
            run: Any, reader: Any, on_workers: Any, state: Any = state, plain: Any = plain
        ) -> Any:
            shards = plain(run, reader, on_workers)
            for shard in reversed(shards):
                state.work(run, reader, shard)
            return shards

        monkeypatch.setattr(state, "shards", backwards)
    again = rerun(surfaces, tmp_path, outlets=outlets, workers=2)
    assert worlds.digests(again) == worlds.digests(first)


def test_points_do_not_depend_on_which_countries_are_drawn_together(
    surfaces: Path,
    outlets: Path,
    first: RunResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(s6_jitter, "SITES_AT_ONCE", 0)  # each alone
    again = rerun(surfaces, tmp_path, outlets=outlets, engine="serial", workers=1)
    assert worlds.digests(again) == worlds.digests(first)


@pytest.mark.parametrize(
    ("zone", "locale"),
    [
        ("Pacific/Kiritimati", "de_DE.UTF-8"),
        pytest.param("America/St_Johns", "C", marks=pytest.mark.slow),
    ],
)
def test_time_zone_and_locale_change_no_byte(
    surfaces: Path, outlets: Path, first: RunResult, tmp_path: Path, zone: str, locale: str
) -> None:
    root = shutil.copytree(surfaces, tmp_path / "root")
    environment = {**os.environ, "TZ": zone, "LANG": locale, "LC_ALL": locale}
    words = ["run", "--data-root", root, "--outlets", outlets, "--set", STABLE[0], "--quiet"]
    subprocess.run(
        [sys.executable, "-m", "segment1b", *words],
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
    )
    again = worlds.run(root, settings=STABLE, to_state="s9")
    assert all(outcome.reused for outcome in again.outcomes if outcome.state != "s0")
    assert file_bytes(again) == file_bytes(first)


def test_every_python_and_library_version_comes_to_the_golden_digests(first: RunResult) -> None:
    # These change only with a law, a schema or the embedded data, and then the changelog says so.
    assert worlds.digests(first) == {
        "s1": "494171e357bd3a6a80d9667ef8ee8dca49eeab30402358166d4b0b762e38521c",
        "s1.tile_bounds": "273f922a6fe32e69aaf1ea9511f1b31b653f062da4ebbf48ffb757921cad092e",
        "s2": "e94e0a45312c3412e04e9ed588a7452a38b4938f19f4226b44eb8bc8a563d6d1",
        "s2.tile_centres": "bd95437d7ae6afffb7a09cd258a3f05bc1afa319a8a88a3c1dc2a5b68f61bf37",
        "s3": "1ad16c63a3d6c8206aaa7a24cceef0ca9249889df400fef049a10a01a1542e36",
        "s4": "e307a5a18260f8bc979d92af3d28812f1ee65c1d25a80ccd6882a1266749b4e2",
        "s5.trace": "6720c3f7b90f36edc18c376fc7e1a6fc878f679ea0aea2dd45aca14c221e5fd7",
        "s5.event_log": "05e646176bf24855a593c537962da47879ca48d9bb45604c5a9a9f4c6f03e232",
        "s5": "79a597609fdaf670b66ae1b032bc350ea4953d20c0a0542867a68e160db2a1d0",
        "s6.trace": "8c100f11faf1c9ab8edf16528f86a5595f13513d8d0165ac3850033ae25d0ae6",
        "s6.centre_trace": "3e6ea9405941ccc2bb5f740fb83744adbc4b8c182a752c29b4b2e65435ae6212",
        "s6.event_log": "0fc5fc5f0beb8c5b9a763bae0765373c94597bcc5c6cc92be82cfa7481fe0e54",
        "s6.centre_event_log": "a7761c586371ca2f0bca63edd891b1437c8fe987f5b8bb2df7718fa8259f9fb0",
        "s6": "ac1e68e85117e3f7910155625865488d4ef26a9dca2c5bdf5343fc5b56ba3667",
        "s7": "646e93b6f9b82d0457abe1dae7dc0d0ce10e20eb7aa2a8f07ab284672e784048",
        "s8": "b05020c133a6f24ed32c49b9b31174746307a89e753708a40a2580719fe46227",
        "s9": "7bbf1bdc710e5c4bf64ec4910673b09edf50f75aa149c23f4cb7c7c8ec94d855",
    }


@pytest.mark.parametrize(
    ("law", "plan", "assignment"),
    [
        (
            "largest_remainder",
            "584972a8e9f362c995e86be4fe28ba678c14f72973251e5129ee606845447765",
            "37181dfa161d8daf9d2952e44ef4f4a8a43812fd9712a7005eede553aa9ca30e",
        ),
        (
            "systematic",
            "712578e956d1a4209925aa7a275a8ec03f942b0e40433e04ec63b7ca6d6d049c",
            "d01d783fe2be5f8f64ec4f20c5dfb0446b8e93df4c71074c0c325601067bbc1d",
        ),
        (
            "balanced",
            "8c360381740298d7a7ecd2ffce7bc56a7380d76e0e966414d03af312177f19c6",
            "d8684c91920a051e7640d7d5e5bd7c90c3b5cbe9ddbafa414f0831f26546b5ab",
        ),
    ],
)
@pytest.mark.parametrize(
    ("engine", "workers"), [("threads", 2), pytest.param("serial", 1, marks=pytest.mark.slow)]
)
def test_every_other_law_comes_to_its_golden_digests(
    surfaces: Path,
    outlets: Path,
    tmp_path: Path,
    law: str,
    plan: str,
    assignment: str,
    engine: str,
    workers: int,
) -> None:
    root = shutil.copytree(surfaces, tmp_path / "root")
    options = {"settings": (f"allocation.law={law}",), "engine": engine, "workers": workers}
    digests = worlds.digests(worlds.run(root, outlets=outlets, to_state="s5", **options))
    assert (digests["s4"], digests["s5"]) == (plan, assignment)
