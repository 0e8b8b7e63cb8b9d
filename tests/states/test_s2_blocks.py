"""A large country is weighed by blocks, file by file: the weights are those of the whole."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import shapely
from rasterio.transform import from_origin

import bring
import worlds
from published import raises
from segment1b.pipeline.outcome import RunResult
from segment1b.states import s2_blocks
from segment1b.storage import parts

COUNTRIES = {"AD": shapely.box(0, 40, 2, 42), "LU": shapely.box(3, 40, 6, 44)}
#: People of all cells by country, and whether they are everywhere alike, so that remainders tie.
PEOPLE = {
    # Nobody in some files of a country that has people.
    "few": np.random.default_rng(1).integers(0, 9, (70, 70)) * (np.arange(70) > 35)[:, None],
    "alike": np.full((70, 70), 7),
    "nobody": np.zeros((70, 70), np.int64),
}


def lay(folder: Path, people: np.ndarray) -> Path:
    """Lay a world of two square countries, and a list of outlets in them."""
    root = worlds.lay_small_world(folder / "root")
    worlds.put_countries(root, COUNTRIES)
    raster = worlds.place(root, "population_raster_2025")
    bring.raster(raster, people.astype(np.uint32), from_origin(-1, 46, 0.1, 0.1))
    worlds.outlet_list(folder / "outlets.csv", tuple(COUNTRIES), 5)
    return root


def weighed(
    root: Path, most_files: int, basis: str, dp: int, rows_of_a_file: int = 100
) -> RunResult:
    """Run S1 and S2 with small files; countries with more than `most_files` go by blocks."""
    # Cut by the client alone, so that other processes have the same blocks.
    engine = "processes" if (most_files, dp) == (1, 6) else "serial"
    settings = [f"prep.basis={basis}", f"prep.dp={dp}", "prep.min_units_per_tile=0"]
    if basis == "population":
        settings.append("jitter.centres.people_per_centre=3")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "FILE_ROWS", rows_of_a_file)
        patch.setattr(s2_blocks, "MOST_FILES", most_files)
        outlets = root.parent / "outlets.csv"
        return worlds.run(
            root, outlets=outlets, settings=tuple(settings), to_state="s2", engine=engine
        )


def outcome(run: RunResult) -> tuple[dict[str, bytes], dict[str, object]]:
    """Return the bytes that S2 has published, by path, and counters of its report."""
    report = {name: run.s2.report.get(name) for name in ("by_country", "centres", "rows_emitted")}
    published = {
        f"{name}/{path.name}": path.read_bytes()
        for name, folder in run.s2.paths.items()
        for path in folder.iterdir()
    }
    return published, report


@pytest.mark.parametrize(
    ("people", "basis", "dp"),
    [*((people, "population", 6) for people in PEOPLE), ("few", "area_m2", 12)],
)
def test_blocks_have_the_bytes_and_counters_of_the_whole(
    tmp_path: Path, people: str, basis: str, dp: int
) -> None:
    root = lay(tmp_path, PEOPLE[people])
    whole = outcome(weighed(shutil.copytree(root, tmp_path / "whole"), 1000, basis, dp))
    assert outcome(weighed(shutil.copytree(root, tmp_path / "blocks"), 1, basis, dp)) == whole
    assert len(whole[0]) > 2 * len(COUNTRIES)


@pytest.mark.code("E105_NORMALIZATION")
@pytest.mark.parametrize(
    ("most_files", "rows_of_a_file"), [(1000, 100), (1, 100), (1, 1199)], ids=repr
)
def test_masses_beyond_the_exact_path_are_refused_for_the_country(
    tmp_path: Path, most_files: int, rows_of_a_file: int
) -> None:
    """Whether the sum of the whole is too large or that of a block."""
    root = lay(tmp_path, np.full((70, 70), 2**32 - 1))
    with raises("E105_NORMALIZATION") as caught:
        weighed(root, most_files, "population", 6, rows_of_a_file)
    assert caught.value.scope["country_iso"] == "LU"
    assert "2^62" in caught.value.message
