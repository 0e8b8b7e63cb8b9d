"""Exceptions of the system and of libraries: the code, the hint and the path that each gets."""

from __future__ import annotations

import errno
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
import pytest
import rasterio
import shapely
import yaml
from filelock import FileLock

from segment1b.audit.proofs import prove_table
from segment1b.audit.results import Rule
from segment1b.audit.runner import broken_off
from segment1b.contracts import locations
from segment1b.contracts.faults import coded, coded_faults, raise_machine_fault
from segment1b.errors import Segment1BError
from segment1b.geo.countries import read_countries
from segment1b.geo.grid import read_grid
from segment1b.outlets import publishing
from segment1b.outlets.readers import open_source
from segment1b.reference.check import read_places
from segment1b.reference.codes import read_code_list
from segment1b.reference.sources import read_features
from segment1b.storage.durable import coded_os_errors, read_object
from segment1b.storage.receipts import coded_parquet_errors

BY_ERRNO = {
    errno.ENOSPC: "E_STORAGE_FULL",
    errno.EDQUOT: "E_STORAGE_FULL",
    errno.EFBIG: "E_STORAGE_FULL",
    errno.EIO: "E_STORAGE_FAILED",
    errno.ESTALE: "E_STORAGE_FAILED",
    errno.EXDEV: "E_STORAGE_FAILED",
    errno.ENOLCK: "E_STORAGE_FAILED",
    errno.EMFILE: "E_RESOURCES_EXHAUSTED",
    errno.ENFILE: "E_RESOURCES_EXHAUSTED",
    errno.ENOMEM: "E_RESOURCES_EXHAUSTED",
    errno.EAGAIN: "E_RESOURCES_EXHAUSTED",
    errno.EROFS: "E_DATA_ROOT_UNUSABLE",
    errno.EACCES: "E_DATA_ROOT_UNUSABLE",
    errno.ENOENT: "E_DATA_ROOT_UNUSABLE",
    errno.ELOOP: "E_DATA_ROOT_UNUSABLE",
    errno.ETXTBSY: "E_STORAGE_FAILED",
}


@pytest.mark.parametrize("number", BY_ERRNO)
def test_a_refusal_of_the_system_is_coded_by_its_number_and_names_the_path(number: int) -> None:
    error = coded(OSError(number, os.strerror(number), "/some/file"))
    assert error.code == BY_ERRNO[number]
    assert error.message == f"/some/file: {os.strerror(number)}"
    assert error.hint
    assert error.scope == {"path": "/some/file"}


@pytest.mark.parametrize("number", BY_ERRNO)
def test_writers_and_readers_of_parquet_code_a_refusal_alike(number: int, tmp_path: Path) -> None:
    for block in (coded_os_errors, coded_parquet_errors):
        if block is coded_parquet_errors and number == errno.ENOENT:
            continue  # which file is absent, the caller says
        with pytest.raises(Segment1BError) as caught, block(tmp_path):
            raise OSError(number, os.strerror(number), "/some/file")
        assert caught.value.code == BY_ERRNO[number]
        assert caught.value.scope == {"path": str(tmp_path)}


def test_a_path_of_bytes_is_named_and_a_descriptor_is_no_trouble() -> None:
    assert coded(OSError(errno.EIO, "x", b"/a\xff")).scope == {"path": "/a\udcff"}
    assert coded(OSError(errno.EIO, "x", 7)).scope == {"path": "7"}


def nest(depth: int) -> int:
    return nest(depth + 1) + 1


def lock_twice(folder: Path) -> None:
    with FileLock(folder / "a.lock"):
        FileLock(folder / "a.lock").acquire(timeout=0)


def make_geojson(folder: Path) -> None:
    (folder / "a.geojson").write_text("{")
    pyogrio.read_info(folder / "a.geojson")


def make_raster(folder: Path) -> None:
    (folder / "a.tif").write_bytes(b"II*\0")
    rasterio.open(folder / "a.tif")


def make_parquet(folder: Path) -> None:
    (folder / "a.parquet").write_bytes(b"PAR1PAR1")
    pq.read_table(folder / "a.parquet")


def query(text: str) -> Callable[[Path], Any]:
    def run(folder: Path) -> None:
        (folder / "a.parquet").write_bytes(b"PAR1PAR1PAR1")
        with duckdb.connect() as database:
            database.execute("SET memory_limit = '10MB'; SET max_temp_directory_size = '0MB'")
            database.execute(text.replace("FILE", str(folder / "a.parquet"))).fetchall()

    return run


PROVOKED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "numpy's memory": (lambda _: np.empty(2**50), "E_RESOURCES_EXHAUSTED"),
    "arrow's memory": (lambda _: pa.allocate_buffer(2**60), "E_RESOURCES_EXHAUSTED"),
    "duckdb's memory": (
        query("SELECT list(range) FROM range(30_000_000)"),
        "E_RESOURCES_EXHAUSTED",
    ),
    "duckdb's file": (query("FROM read_parquet('FILE')"), "E_INPUT_UNREADABLE"),
    "duckdb's absent file": (query("FROM read_parquet('FILE.x')"), "E_INPUT_UNREADABLE"),
    "duckdb's column": (query("SELECT a FROM range(1)"), "E_INPUT_SCHEMA_INVALID"),
    "duckdb's syntax": (query("SELEC"), "E_INTERNAL"),
    "arrow's file": (make_parquet, "E_INPUT_UNREADABLE"),
    "gdal's raster": (make_raster, "E_INPUT_UNREADABLE"),
    "gdal's layer": (make_geojson, "E_INPUT_UNREADABLE"),
    "geos": (lambda _: shapely.from_wkt("POLYGON ((0 0, 1 1))"), "E001_GEO_INVALID"),
    "recursion": (lambda _: nest(0), "E_INPUT_UNREADABLE"),
    "decoding": (lambda _: b"\xff".decode(), "E_INPUT_UNREADABLE"),
    "encoding": (lambda _: "\udcff".encode(), "E_INPUT_UNREADABLE"),
    "json": (lambda _: json.loads("{"), "E_INPUT_UNREADABLE"),
    "yaml": (lambda _: yaml.safe_load("{"), "E_INPUT_UNREADABLE"),
    "digits": (lambda _: int("1" * 6000), "E_INPUT_UNREADABLE"),
    "zip": (lambda _: zipfile.ZipFile(__file__), "E_INPUT_UNREADABLE"),
    "nul": (lambda _: Path("a\0b").read_text(), "E_USAGE"),
    "lock": (lock_twice, "E_LOCKED"),
    "program": (lambda _: {}["a"], "E_INTERNAL"),
}


@pytest.mark.parametrize("name", PROVOKED)
def test_what_a_library_raises_is_coded(name: str, tmp_path: Path) -> None:
    provoke, code = PROVOKED[name]
    with pytest.raises(Segment1BError) as caught, coded_faults():
        provoke(tmp_path)
    error = caught.value
    assert error.code == code, error
    assert error.hint
    assert "\n" not in error.message
    assert ("traceback" in error.scope) == (code == "E_INTERNAL")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), "E_INTERRUPTED"),
        (RuntimeError("can't start new thread"), "E_RESOURCES_EXHAUSTED"),
        (RuntimeError("std::bad_alloc"), "E_RESOURCES_EXHAUSTED"),
        (ImportError("x.so: failed to map segment from shared object"), "E_RESOURCES_EXHAUSTED"),
        (duckdb.IOException("could not write: No space left on device"), "E_STORAGE_FULL"),
        (pyogrio.errors.DataSourceError("no write: No space left on device"), "E_STORAGE_FULL"),
        (TimeoutError("no answer"), "E_STORAGE_FAILED"),
    ],
)
def test_what_cannot_be_provoked_is_known_by_class_or_text(error: BaseException, code: str) -> None:
    assert coded(error).code == code


def test_a_coded_error_stays_itself() -> None:
    error = Segment1BError("E_USAGE", "no")
    assert coded(error) is error
    with pytest.raises(Segment1BError) as caught, coded_faults():
        raise error
    assert caught.value is error


def test_an_internal_error_carries_its_traceback_through_pickle() -> None:
    with pytest.raises(Segment1BError) as caught, coded_faults():
        raise KeyError("\udcff")
    copy = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - our own bytes
    assert "raise KeyError(" in copy.scope["traceback"]
    copy.scope["traceback"].encode()


def test_a_damaged_parquet_file_is_told_from_a_failing_disk(tmp_path: Path) -> None:
    with (
        pytest.raises(Segment1BError, match="not a whole Parquet file"),
        coded_parquet_errors(tmp_path),
    ):
        raise pa.ArrowInvalid("bad")
    with pytest.raises(Segment1BError) as caught, coded_parquet_errors(tmp_path):
        raise pa.ArrowMemoryError("malloc of size 8 failed")
    assert caught.value.code == "E_RESOURCES_EXHAUSTED"


OF_THE_MACHINE = {
    "E_STORAGE_FULL": OSError(errno.ENOSPC, "No space left on device"),
    "E_STORAGE_FAILED": OSError(errno.EIO, "Input/output error"),
    "E_RESOURCES_EXHAUSTED": duckdb.IOException("Cannot open file x: Too many open files"),
}
OF_DATA = (
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    duckdb.ConversionException("Could not convert string 'x' to INT32"),
    pa.ArrowInvalid("not a Parquet file"),
    ValueError("not a number"),
)


@pytest.mark.parametrize("code", OF_THE_MACHINE)
def test_a_fault_of_the_machine_is_no_verdict_of_a_check(code: str) -> None:
    rule = Rule("s9", "some_check", "E901_ROW_MISSING", "S", "all rows are there")
    for judge in (raise_machine_fault, lambda error: broken_off(rule, error)):
        with pytest.raises(Segment1BError) as caught:
            judge(OF_THE_MACHINE[code])
        assert caught.value.code == code


def test_a_bundle_that_cannot_be_read_for_lack_of_files_is_not_taken_for_a_foreign_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert publishing.imported(tmp_path) is None
    (tmp_path / "MANIFEST.json").write_text("not JSON")
    assert publishing.imported(tmp_path) is None

    def refuse(*_: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(publishing, "read_json", refuse)
    with pytest.raises(Segment1BError, match=r"^E_RESOURCES_EXHAUSTED:"):
        publishing.imported(tmp_path)


def test_a_yaml_file_that_cannot_be_read_for_lack_of_files_is_not_called_invalid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bytes:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(locations, "read_bounded", refuse)
    with pytest.raises(Segment1BError, match=r"^E_RESOURCES_EXHAUSTED:"):
        locations.read_yaml(tmp_path / "prep.yaml", "E_POLICY_INVALID")


@pytest.mark.parametrize("number", [errno.ESTALE, errno.EROFS, errno.EACCES, errno.ENOLCK])
@pytest.mark.parametrize("kind", [OSError, duckdb.IOException])
def test_a_file_that_cannot_be_opened_is_no_verdict_on_its_rows(
    number: int, kind: type[Exception]
) -> None:
    text = os.strerror(number)
    error = OSError(number, text) if kind is OSError else kind(f'Cannot open file "a": {text}')
    with pytest.raises(Segment1BError):
        raise_machine_fault(error)


@pytest.mark.parametrize("error", OF_DATA, ids=lambda error: type(error).__name__)
def test_a_fault_of_data_is_a_verdict(error: Exception) -> None:
    raise_machine_fault(error)
    rule = Rule("s9", "some_check", "E901_ROW_MISSING", "S", "all rows are there")
    assert broken_off(rule, error).offending == 1


READERS: dict[str, tuple[str, str, Callable[[Path], Any]]] = {
    "countries": ("pyarrow.parquet.read_schema", "a.parquet", read_countries),
    "grid": ("rasterio.open", "a.tif", read_grid),
    "places": ("pyarrow.parquet.read_schema", "a.parquet", read_places),
    "codes": ("pyarrow.csv.read_csv", "a.csv", lambda path: read_code_list(path, {})),
    "outlets in Parquet": ("pyarrow.parquet.ParquetFile", "a.parquet", open_source),
    "features": ("pyarrow.parquet.ParquetFile", "a.parquet", lambda path: read_features(path, "a")),
    "validator's bytes": (
        "pyarrow.parquet.read_metadata",
        "a.parquet",
        lambda path: prove_table(path.parent, [path], []),
    ),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("raised", "code"),
    [
        (OSError(errno.EIO, os.strerror(errno.EIO)), "E_STORAGE_FAILED"),
        (OSError(errno.EMFILE, os.strerror(errno.EMFILE)), "E_RESOURCES_EXHAUSTED"),
    ],
)
def test_no_reader_takes_a_failing_disk_for_a_damaged_file(
    name: str, raised: OSError, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library, file, read = READERS[name]
    (tmp_path / file).write_text("PAR1country_iso\n")  # the first letters are Parquet's

    def fail(*_: object, **__: object) -> Any:
        if library == "rasterio.open":  # which has no number, but the text
            raise rasterio.errors.RasterioIOError(str(raised))
        raise raised

    monkeypatch.setattr(library, fail)
    with pytest.raises(Segment1BError) as caught:
        read(tmp_path / file)
    assert caught.value.code == code
    assert caught.value.scope["path"] == str(tmp_path / file)


def test_an_object_that_lacks_a_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1}')
    assert read_object(path) == {"a": 1}
    assert read_object(path).get("b") is None
    for text, key in (('{"a": 1}', "b"), ("[1]", "a")):
        path.write_text(text)
        with pytest.raises(Segment1BError, match=r"a\.json") as caught:
            read_object(path)[key]
        assert caught.value.code == "E_INPUT_UNREADABLE"
