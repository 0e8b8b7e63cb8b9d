"""docs/population.md: its commands and its program, over a stand-in for WorldPop's file."""

from __future__ import annotations

import contextlib
import io
import subprocess
from pathlib import Path

import numpy as np
import pytest
from rasterio.transform import Affine

import bring
from docs.test_docs import DOCS, blocks, commands, programs, shell_lines
from segment1b.cli.app import app
from segment1b.geo.countries import read_countries
from segment1b.geo.grid import read_grid
from segment1b.geo.scanline import center_runs
from segment1b.reference import embedded
from worlds import lay_small_world, place

PAGE = DOCS / "population.md"
FILE = "nld_pop_2025_CN_1km_R2025A_UA_v1.tif"
#: 30 arc-seconds with the digits that WorldPop writes.
STEP = 0.0083333333
NODATA = -99_999.0


def stand_in(path: Path) -> None:
    """Write people in three towns, as WorldPop writes a country: float32, nodata outside of it."""
    shape, grid = (350, 490), Affine(STEP, 0, 3.25, 0, -STEP, 53.6)
    row, col = np.indices(shape)
    lon, lat = 3.25 + (col + 0.5) * STEP, 53.6 - (row + 0.5) * STEP
    people = np.full(shape, 0.5, np.float32)
    for town_lon, town_lat, size in ((4.9, 52.37, 900), (4.48, 51.92, 700), (5.12, 52.09, 400)):
        away = np.hypot((lon - town_lon) * 0.6, lat - town_lat)
        people += (size * np.exp(-away / 0.08)).astype(np.float32)
    bring.raster(path, people, grid, nodata=NODATA)
    polygon = read_countries(embedded.surface("world_countries.parquet"))["NL"]
    runs = center_runs(polygon, read_grid(path))
    inside = np.zeros(shape, np.bool_)
    for line, start, stop in zip(runs.row, runs.start, runs.stop, strict=True):
        inside[line, start:stop] = True
    bring.raster(path, np.where(inside, people, np.float32(NODATA)), grid, nodata=NODATA)


@pytest.mark.slow
def test_the_recipe_works_and_shows_what_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert FILE in "".join(blocks(PAGE, "sh"))
    stand_in(Path(FILE))
    # Fewer countries and larger cells of the embedded world; `reference fill` finds them there.
    for root in ("before", "after"):
        lay_small_world(Path(root), countries=("BE", "DE", "NL"))
    place(Path("after"), "population_raster_2025").unlink()
    (lists,) = [line for line in shell_lines(PAGE) if line.startswith("printf ")]
    subprocess.run(["sh", "-c", lists], check=True)
    printed = {}
    for words in commands(PAGE):
        assert not app(words, standalone_mode=False), words
        printed[" ".join(words[:3])] = capsys.readouterr().out
    assert "cells_without_data" in printed["reference import population"]
    assert printed["reference check --data-root"].endswith("within bounds\n")
    moved = printed["diff before after"].splitlines()[-1]
    assert "347" in moved, printed["diff before after"]
    assert Path("compare.html").stat().st_size > 0
    (program,) = programs(PAGE)
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(program, {})  # noqa: S102 - the page's own
    before, after = out.getvalue().splitlines()
    assert (before.split(":")[0], after.split(":")[0]) == ("before", "after")
    distance = [float(line.partition("outlet ")[2].split()[0]) for line in (before, after)]
    assert distance[1] < distance[0]
