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

        def backwards(run: Any, reader: Any, state: Any = state, plain: Any = plain) -> Any:
            shards = plain(run, reader)
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
        "s1": "a5d8d8416332ea7b677fce0d77375796e05e754847bda6e5472fa57883e1fa7b",
        "s1.tile_bounds": "909e8cd06b49351b95c43a6c785b36a65abcff2f8e02bb377a0c364e01e165a8",
        "s2": "239e462a350c735f8d02092e7e9e53f585beed453c7838320d23be0dcc4838b1",
        "s2.tile_centres": "04a6709a9d4944386693a9069bfb14e6ca3cf533c0b57a2b77f83f7d38b4e712",
        "s3": "b8989f9d85861e1cb41c0244c66ad2164bd50e6453b3d4ec6d00b14a51407cda",
        "s4": "3fa5f8b29234a7096c46ec95d913bb9657dc8c668f6de2afcebba7c5bcd9f0bc",
        "s5.trace": "6720c3f7b90f36edc18c376fc7e1a6fc878f679ea0aea2dd45aca14c221e5fd7",
        "s5.event_log": "9fb03d22515ca48e57b578de80bbc1e75d5126dbb2de6db177947c3da3b2276f",
        "s5": "52f4048e5d2126ceb61acf90c350cb35f6d078055386ead156c37054a4ebd4d2",
        "s6.trace": "8c100f11faf1c9ab8edf16528f86a5595f13513d8d0165ac3850033ae25d0ae6",
        "s6.centre_trace": "3e6ea9405941ccc2bb5f740fb83744adbc4b8c182a752c29b4b2e65435ae6212",
        "s6.event_log": "c45a660dcb0ab707500ae98d3d6255a3c6d9add83f2c8414566829ff7401410b",
        "s6.centre_event_log": "7cef1e7b031acbf732c970ae8c5ba4841007fdc4297064a59eb0063037d42980",
        "s6": "c856b8916ebb6e9416585b856bc0116fd1e477f8347a884dd0c08d7ea78e0bb9",
        "s7": "e4900c053ff0b9555ecf7d495c06b76913dc99c46c95e2201b5fddb7b6ac15ef",
        "s8": "11a0d29e1affee9f0c963e338edff3cc62c074ce88dae5360b0593e9a20d8e34",
        "s9": "e393da9ad22a4bf9f7909ad0226311719cb4027fd232857b7253bd8e44e32be4",
    }


@pytest.mark.parametrize(
    ("law", "plan", "assignment"),
    [
        (
            "largest_remainder",
            "96e7cead7bfb4e255bf948eeb3eb192a1f9dcb77adf9e3c7706b5419705bcd9a",
            "d10d3bbb3929f6d1e57329f5840913bf24b479b1f1556fc5cad423e02e1a1fcb",
        ),
        (
            "systematic",
            "92f93182a7833b8c687e733ade91e7a557f8a2b076d8045869eba70247187ea1",
            "c16c06122f3662cdac1546a27b289e0badb8fc85b25f0db7d4827c407ad18993",
        ),
        (
            "balanced",
            "7a7895027c4c142dbebe5d77c39dfafda8e2f73323a2192ef9e554e3f2bdcf0a",
            "49abc2219ee588170d4433a15c1a730b290e7375b7f0ed93689fb365efecfb19",
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
