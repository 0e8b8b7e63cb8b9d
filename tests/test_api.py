"""The Python interface: its examples run, and its names belong to the package."""

from __future__ import annotations

import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import segment1b
from segment1b.errors import Segment1BError
from worlds import lay_layers, lay_small_world, outlet_list, run

NAMES = [name for name in segment1b.__all__ if name != "errors"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the pair of the examples, merchant 259 in Germany, with a few others."""
    found = tmp_path_factory.mktemp("api")
    root = lay_small_world(found / "segment1b-data", degrees=1.0, countries=("DE", "NL"))
    outlets = outlet_list(found / "my.csv", countries=("DE", "NL"), merchants=5)
    outlets.write_text(outlets.read_text() + "259,DE,6\n")
    lay_layers(root)
    run(root, outlets=outlets, to_state="s9")
    stores = ["13.4,52.5,DE,A", "11.55,48.15,DE,A", "9.95,53.55,DE,A", "8.35,54.9,DE,A"]
    (found / "stores.csv").write_text("\n".join(["lon,lat,country,chain", *stores]) + "\n")
    return found


def test_the_examples_of_the_docstrings_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    modules = dict.fromkeys(getattr(segment1b, name).__module__ for name in NAMES)
    results = [
        doctest.testmod(sys.modules[name], extraglobs={"segment1b": segment1b}) for name in modules
    ]
    assert [result.failed for result in results] == [0] * len(results)
    assert sum(result.attempted for result in results) > len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_of_the_package_is_a_documented_function(name: str) -> None:
    assert inspect.isfunction(getattr(segment1b, name))
    assert getattr(segment1b, name).__doc__


def test_no_module_hides_a_function_of_the_package() -> None:
    """Importing a submodule sets an attribute of the package of that name."""
    package = Path(segment1b.__file__).parent
    modules = {path.stem for path in package.iterdir()}
    assert modules & set(segment1b.__all__) == {"errors"}


@pytest.mark.parametrize("module", ["segment1b", "segment1b.__main__", "segment1b.cli.app"])
def test_the_package_and_its_help_start_without_libraries(module: str) -> None:
    heavy = {"numpy", "pyarrow", "pydantic", "duckdb", "shapely"}
    program = f"import {module}, sys; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_a_snapshot_has_the_sites_of_its_identity_in_key_order(folder: Path) -> None:
    snapshot = segment1b.open(folder / "segment1b-data")
    keys = ["merchant_id", "legal_country_iso", "site_order"]
    assert snapshot.sites.column_names == [*keys, "lon_deg", "lat_deg"]
    assert snapshot.sites.sort_by([(key, "ascending") for key in keys]).equals(snapshot.sites)
    same = segment1b.open(folder / "segment1b-data", seed=snapshot.tokens["seed"])
    assert same.tokens == snapshot.tokens
    with pytest.raises(Segment1BError, match="E_PATH_EMBED_MISMATCH"):
        segment1b.open(folder / "segment1b-data", seed=7)
