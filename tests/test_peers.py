"""The comparison with peers: what is asked of every method, and a small one from end to end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from benchmarks import peers
from benchmarks.peer_methods import METHODS, Inputs, Sites, cells_of, read_inputs, until
from benchmarks.peer_scores import digest, largest_error, outside, wrong_pairs
from benchmarks.peers import Job
from benchmarks.record import keep
from shapely import MultiPolygon, box

import worlds
from segment1b.geo.grid import Grid

GRID = Grid(0.0, 2.0, 1.0, 1.0, 2, 4)
WEST, EAST = MultiPolygon([box(0, 0, 2, 2)]), MultiPolygon([box(2, 0, 4, 2)])


@pytest.fixture
def inputs() -> Inputs:
    """Return two square countries of four cells, the second with all weight in one."""
    cells = np.array([0, 1, 4, 5, 2, 3, 6, 7])
    weight = np.array([0.25, 0.25, 0.25, 0.25, 0.0, 0.0, 0.0, 1.0])
    first = np.array([0, 4, 8])
    merchant, country, n = np.array([7, 7, 9]), np.array([0, 1, 0]), np.array([2, 1, 2])
    return Inputs(GRID, ["AA", "BB"], [WEST, EAST], first, cells, weight, merchant, country, n)


def sites(pair: list[int], lon: list[float], lat: list[float]) -> Sites:
    x, y = np.array(lon), np.array(lat)
    return Sites(np.array(pair), cells_of(GRID, x, y), x, y)


GOOD = ([0, 0, 1, 2, 2], [0.5, 1.5, 3.5, 0.5, 1.5], [1.5, 1.5, 0.5, 0.5, 0.5])


def test_a_perfect_placement_has_no_fault(inputs: Inputs) -> None:
    placed = sites(*GOOD)
    assert wrong_pairs(inputs, placed) == 0
    assert outside(inputs, placed) == 0
    assert largest_error(inputs, placed) == 0.0


def test_faults_are_counted(inputs: Inputs) -> None:
    pair, lon, lat = GOOD
    # One outlet on the border, one in the wrong country, one that is missing.
    placed = sites(pair[:4], [2.0, 2.5, *lon[2:4]], lat[:4])
    assert outside(inputs, placed) == 2
    assert wrong_pairs(inputs, placed) == 1
    piled = sites(pair, [0.5, 0.5, 3.5, 0.5, 0.5], [1.5, 1.5, 0.5, 1.5, 1.5])
    assert largest_error(inputs, piled) == 3.0
    assert largest_error(inputs, sites(pair, [*lon[:2], 2.5, *lon[3:]], lat)) == 1.0


def test_the_digest_knows_no_order_and_every_coordinate(inputs: Inputs) -> None:
    placed = sites(*GOOD)
    turned = sites(*(values[::-1] for values in GOOD))
    assert digest(inputs, turned) == digest(inputs, placed)
    pair, lon, lat = GOOD
    moved = sites(pair, lon, [np.nextafter(lat[0], 2), *lat[1:]])
    assert digest(inputs, moved) != digest(inputs, placed)
    assert digest(inputs, sites([2, *pair[1:]], lon, lat)) != digest(inputs, placed)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_places_the_pairs_of_a_list(inputs: Inputs, name: str) -> None:
    placed, whole = until(METHODS[name](inputs, 1), lambda: False)
    assert whole
    assert wrong_pairs(inputs, placed) == 0
    assert not outside(inputs, placed)
    again, _ = until(METHODS[name](inputs, 1), lambda: False)
    assert digest(inputs, again) == digest(inputs, placed)


def test_a_method_that_is_late_is_stopped(inputs: Inputs) -> None:
    placed, whole = until(METHODS["apportionment"](inputs, 1), lambda: True)
    assert not whole
    assert set(placed.pair.tolist()) == {0}
    line = peers.row(
        1000,
        "apportionment",
        {"seconds": 21.0, "whole": False, "peak_bytes": 5e8, "placed": 2, "outside": None},
    )
    assert line == (
        "| 1,000 | apportionment | 21.00 (stopped) | 500 | 2 | no points | - | - | - | - | - |\n"
    )
    assert line.count("|") == peers.HEADER.splitlines()[0].count("|")


def test_a_section_replaces_its_own_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "results.md"
    keep("peers", "## peers\n\nold\n", path)
    keep("small", "## small\n\nfigures\n", path)
    keep("peers", "## peers\n\nnew\n\n- note\n", path)
    text = path.read_text()
    assert text.endswith("## small\n\nfigures\n\n## peers\n\nnew\n\n- note\n")
    assert "old" not in text
    assert text.startswith("# What was measured last\n")


@pytest.mark.slow
def test_all_methods_and_ours_are_measured_on_the_same_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worlds.lay_small_world(tmp_path / "world")
    listed = pa.csv.read_csv(worlds.outlet_list(tmp_path / "outlets.csv"))
    outlets = tmp_path / "outlets.parquet"
    pq.write_table(listed, outlets)
    peers.share_world(tmp_path, outlets)
    expected = int(np.sum(listed["n_outlets"].to_numpy()))
    monkeypatch.setattr(peers, "RASTER_ARCSEC", 3600)
    figures = {}
    for name in ("segment1b", *METHODS):
        job = Job(name, str(tmp_path), str(outlets))
        figures[name] = peers.STEPS[name](job)
        turned = peers.STEPS[name](Job(name, str(tmp_path), str(outlets), backwards=True))
        figures[name]["reversed"] = figures[name]["digest"] == turned["digest"]
        assert figures[name]["placed"] == expected
        assert figures[name]["wrong"] == 0
    assert [name for name in figures if figures[name]["reversed"]] == [
        "segment1b",
        "humanleague",
        "apportionment",
    ]
    assert figures["segment1b"]["outside"] == figures["sample_points"]["outside"] == 0
    assert figures["notebook"]["outside"] > 0
    assert figures["humanleague"]["outside"] is None
    other = peers.run_job(Job("notebook", str(tmp_path), str(outlets)))
    assert other["digest"] == figures["notebook"]["digest"]
    cells = [peers.STEPS[name](Job(name, str(tmp_path), "")) for name in ("scanline", "rasterize")]
    assert cells[0]["cells"] == cells[1]["cells"]
    assert cells[1]["others"] == 0
    assert read_inputs(tmp_path, outlets).codes == sorted(worlds.COUNTRIES)
