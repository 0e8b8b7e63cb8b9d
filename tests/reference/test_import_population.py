"""Population rasters that people bring: windows only, nobody lost, other grids refused."""

import errno
import functools
import os
import shlex
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
import rasterio.warp
from rasterio.enums import Resampling
from rasterio.transform import Affine

import bring
from segment1b.errors import Segment1BError
from segment1b.geo.grid import read_grid
from segment1b.reference import embedded
from segment1b.reference.importing import import_population

SIDE = 3000
#: 25 by 25 degrees of Europe and northern Africa in cells of 30 arc-seconds.
CORNER, STEP = (0.0, 55.0), 1 / 120
REGULAR = Affine(STEP, 0, CORNER[0], 0, -STEP, CORNER[1])


imported = functools.partial(bring.imported, importer=import_population)
refused = functools.partial(bring.refused, importer=import_population)


@pytest.fixture(scope="module")
def people() -> npt.NDArray[np.int64]:
    """Return the prior of Europe, each cell of 180 arc-seconds cut into 36 of 30."""
    with rasterio.open(embedded.surface(embedded.RESOLUTIONS["0.05"])) as source:
        coarse = source.read(1)[700:1200, 3600:4100].astype(np.int64)
    fine = np.repeat(np.repeat(coarse // 36, 6, 0), 6, 1)
    fine[::6, ::6] += coarse % 36
    assert fine.shape == (SIDE, SIDE)
    assert fine.sum() == coarse.sum()
    return fine


@pytest.mark.parametrize(
    ("dtype", "written", "profile"),
    [
        ("int32", "uint32", {"tiled": True, "blockxsize": 512, "blockysize": 512}),
        ("float32", "float32", {"blockysize": 1}),
        pytest.param(
            "float64",
            "float64",
            {"tiled": True, "blockxsize": 128, "blockysize": 256},
            marks=pytest.mark.slow,
        ),
        pytest.param("uint16", "uint32", {"blockysize": 700}, marks=pytest.mark.slow),
    ],
)
def test_9_million_cells_of_any_type_and_tiling_go_through_in_windows_and_keep_their_people(
    tmp_path: Path, people: npt.NDArray[np.int64], dtype: str, written: str, profile: Any
) -> None:
    values = np.minimum(people, 60_000).astype(dtype)
    if dtype.startswith("float"):
        values *= np.dtype(dtype).type(0.37)
    expected = values.copy()
    nodata = 65_535 if dtype == "uint16" else -99_999
    values[:500, :400] = nodata
    expected[:500, :400] = 0
    source = bring.raster(
        tmp_path / "p.tif", values, REGULAR, nodata=nodata, compress="deflate", **profile
    )
    tracemalloc.start()
    try:
        found = imported(source)
        assert tracemalloc.get_traced_memory()[1] < SIDE * SIDE * 8 / 2
    finally:
        tracemalloc.stop()
    with rasterio.open(found.path) as raster:
        assert np.array_equal(raster.read(1), expected)
        assert (raster.dtypes, raster.nodata) == ((written,), None)
        assert raster.block_shapes == [(256, 256)]
        assert raster.transform.almost_equals(REGULAR, 1e-15)
    counts = found.provenance["counts"]
    exact = int(np.rint(expected.astype(np.float64) * 1e6).astype(np.int64).sum())
    assert counts["people"] == f"{exact // 10**6}.{exact % 10**6:06}"
    assert counts["cells_without_data"] == 200_000
    assert counts["cells_with_people"] == np.count_nonzero(expected)


@pytest.mark.slow
def test_a_process_grows_by_windows_alone(tmp_path: Path, people: npt.NDArray[np.int64]) -> None:
    """In a process of its own: six times that raster, 216 MB of cells, in less than 100 MB."""
    wide = np.tile(people.astype(np.int32), (2, 3))
    step = Affine(1 / 1200, 0, 0, 0, -1 / 1200, 55)
    source = bring.raster(tmp_path / "p.tif", wide, step, tiled=True, compress="deflate", zlevel=1)
    code = """
import resource, sys
from pathlib import Path
from segment1b.reference.importing import Request, import_population
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
asked = Request(Path(sys.argv[1]), "CC0-1.0", "x", Path(sys.argv[2]))
import_population(asked)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10)
"""
    grown = bring.run_python(code, source, tmp_path / "root")
    assert int(grown) < 100e6 < wide.nbytes / 2


def test_a_step_of_few_digits_is_taken_for_the_exact_one(tmp_path: Path) -> None:
    """WorldPop writes 30 arc-seconds as 0.0083333333; its edges lie off the whole cells."""
    cells = np.ones((60, 80), np.float32)
    step = Affine(0.0083333333, 0, -180.001249265, 0, -0.0083333333, 83.99958319871001)
    found = imported(bring.raster(tmp_path / "p.tif", cells, step))
    grid = read_grid(found.path)
    assert (grid.a, grid.b) == (1 / 120, 1 / 120)
    assert (grid.x0, grid.y0) == (-180.001249265, 83.99958319871001)
    near = Affine(0.0083333333, 0, 4.999999999, 0, -0.0083333333, 50.0000000004)
    found = imported(bring.raster(tmp_path / "q.tif", cells, near), "other")
    assert (read_grid(found.path).x0, read_grid(found.path).y0) == (5.0, 50.0)


def warped(line: str) -> Path:
    """Do what a gdalwarp line says, with rasterio's warp; return the file it would write."""
    words = shlex.split(line)
    assert words[0] == "gdalwarp"
    at = {word: place for place, word in enumerate(words)}
    west, south, east, north = map(float, words[at["-te"] + 1 : at["-te"] + 5])
    across, down = map(float, words[at["-tr"] + 1 : at["-tr"] + 3])
    assert (words[at["-t_srs"] + 1], words[at["-r"] + 1]) == ("EPSG:4326", "sum")
    assert words[at["-et"] + 1] == "0"
    source, target = map(Path, words[-2:])
    shape = (round((north - south) / down), round((east - west) / across))
    out = np.zeros(shape, words[at["-ot"] + 1].lower())
    grid = Affine(across, 0, west, 0, -down, north)
    with rasterio.open(source) as raster:
        rasterio.warp.reproject(
            rasterio.band(raster, 1),
            out,
            dst_crs="EPSG:4326",
            dst_transform=grid,
            resampling=Resampling.sum,
            tolerance=0.0,
        )
    return bring.raster(target, out, grid)


@pytest.mark.parametrize(
    ("name", "grid", "code", "what"),
    [
        ("a rotated one", (0.1, 0.02, 4, 0.02, -0.1, 53), "E002_RASTER_MISMATCH", "is rotated"),
        ("south", (0.1, 0, 4, 0, 0.1, 50), "E002_RASTER_MISMATCH", "is not north-up"),
        # The projection that GHS-POP uses, in cells of 10 km.
        ("ESRI:54009", (10_000, 0, 3e5, 0, -10_000, 6e6), "E007_CRS_MISMATCH", "is in ESRI:54009"),
        ("oblong", (0.1, 0, 4, 0, -0.05, 53), "E002_RASTER_MISMATCH", "are not square"),
        ("uneven", (0.0993, 0, 4, 0, -0.0993, 53), "E002_RASTER_MISMATCH", "do not divide 180"),
        # A world that a warp has made a column too wide at either end, both empty.
        ("wide", (9.25, 0, -185, 0, -1, 15), "E002_RASTER_MISMATCH", "more than 360"),
    ],
)
def test_another_grid_is_refused_with_a_line_whose_result_is_accepted(
    tmp_path: Path, name: str, grid: tuple[float, ...], code: str, what: str
) -> None:
    people = np.random.default_rng(1).gamma(0.5, 100.0, (30, 40))
    if name == "wide":
        people[:, [0, -1]] = 0
    crs = name if ":" in name else "EPSG:4326"
    source = bring.raster(tmp_path / f"{name.replace(':', ' ')}.tif", people, Affine(*grid), crs)
    error = refused(source, code)
    assert what in error.message
    result = warped(error.hint.removeprefix("run: "))
    assert result == source.with_name(f"{source.stem}_wgs84.tif")
    found = imported(result)
    total = float(found.provenance["counts"]["people"])
    assert total == pytest.approx(people.sum(), rel=1e-3)


def test_a_raster_without_a_crs_leaves_a_blank_in_the_line(tmp_path: Path) -> None:
    source = bring.raster(tmp_path / "p.tif", np.ones((4, 4), "u1"), REGULAR, crs=None)
    error = refused(source, "E007_CRS_MISMATCH")
    assert "-s_srs '<its CRS>' -t_srs EPSG:4326" in error.hint


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf, 1e11])
def test_an_impossible_cell_is_named(tmp_path: Path, value: float) -> None:
    cells = np.ones((700, 600))
    cells[300, 7] = value
    error = refused(bring.raster(tmp_path / "p.tif", cells, REGULAR), "E105_NORMALIZATION")
    assert "row 300, column 7" in error.message
    assert f"--nodata {value}" in error.hint
    assert (error.scope["raster_row"], error.scope["raster_col"]) == (300, 7)


@pytest.mark.parametrize("value", [-200.0, np.nan])
def test_a_value_that_is_said_to_mean_no_data_is_nobody(tmp_path: Path, value: float) -> None:
    cells = np.full((10, 10), 2.5, np.float32)
    cells[3, 4:6] = value
    source = bring.raster(tmp_path / "p.tif", cells, REGULAR)
    found = imported(source, nodata=value)
    assert found.provenance["counts"]["people"] == "245.000000"
    assert found.provenance["counts"]["cells_without_data"] == 2
    assert found.provenance["options"]["nodata"] == str(value)


def test_one_of_several_bands_must_be_named(tmp_path: Path) -> None:
    path = tmp_path / "p.tif"
    profile = {"driver": "GTiff", "height": 4, "width": 4, "count": 2, "dtype": "uint8"}
    with rasterio.open(path, "w", crs="EPSG:4326", transform=REGULAR, **profile) as target:
        for band, name in enumerate(("women", "men"), 1):
            target.write(np.full((4, 4), band, "u1"), band)
            target.set_band_description(band, name)
    error = refused(path, "E_INPUT_SCHEMA_INVALID")
    assert "1 (women), 2 (men)" in error.message
    assert "no band 3" in refused(path, band=3).message
    assert imported(path, band=2).provenance["counts"]["people"] == "32.000000"


def test_a_band_that_holds_no_plain_numbers_is_refused(tmp_path: Path) -> None:
    waves = bring.raster(tmp_path / "c.tif", np.ones((4, 4), "complex64"), REGULAR)
    assert "not numbers of people" in refused(waves).message
    scaled = bring.raster(tmp_path / "s.tif", np.ones((4, 4), "u2"), REGULAR)
    with rasterio.open(scaled, "r+") as raster:
        raster.scales = (0.1,)
    assert "gdal_translate -unscale" in refused(scaled).message


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.6, 0.95])
def test_a_truncated_raster_is_unreadable(tmp_path: Path, kept: float) -> None:
    noise = np.random.default_rng(1).random((900, 900))
    source = bring.raster(tmp_path / "p.tif", noise, REGULAR, tiled=True, compress="deflate")
    source.write_bytes(source.read_bytes()[: int(kept * source.stat().st_size)])
    error = refused(source, "E_INPUT_UNREADABLE")
    assert str(source) in error.message


def test_a_file_that_is_no_raster_or_not_there_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "text.tif").write_text("hello")
    for name in ("text.tif", "absent.tif"):
        refused(tmp_path / name, "E_INPUT_UNREADABLE")


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on the size of files stands for the disk: the kernel refuses what is beyond."""
    noise = np.random.default_rng(1).random((900, 900))
    source = bring.raster(tmp_path / "p.tif", noise, REGULAR)
    code = """
import resource, signal, sys
from pathlib import Path
from segment1b.errors import Segment1BError
from segment1b.reference.importing import Request, import_population
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    import_population(Request(Path(sys.argv[1]), "x", "x", Path(sys.argv[2])))
except Segment1BError as error:
    print(error.code)
"""
    assert bring.run_python(code, source, tmp_path / "root") == "E_STORAGE_FULL\n"
    left = [path for path in (tmp_path / "root").rglob("*") if path.is_file()]
    assert left == []


def test_a_failing_sync_is_coded_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = bring.raster(tmp_path / "p.tif", np.ones((4, 4), "u1"), REGULAR)

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr("segment1b.reference.importing.fsync_file", full)
        with pytest.raises(Segment1BError, match=r"^E_STORAGE_FULL:"):
            imported(source)
    assert not list((tmp_path / "root").rglob("*.tif"))
    assert imported(source).provenance["counts"]["people"] == "16.000000"
