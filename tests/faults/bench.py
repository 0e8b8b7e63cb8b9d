"""What faults are made in: small data roots, command lines, and what they leave undisturbed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bring
import worlds
from faults.children import Ending, Start, run
from segment1b.errors import CODES, Segment1BError

COUNTRIES = ("LS", "NL", "VA")
#: What a run leaves beside what it publishes, and where commands stage what they export.
_NOT_PUBLISHED = (".staging/", ".locks/", "control/failures/", ".segment1b-")
#: Fields of documents that differ between two runs although nothing is wrong.
_MEASURED = ("/resources/", "/no_op")
_CODE = re.compile(r"\bE[0-9]*_[A-Z0-9_]+")
_ACCEPTED = (3, 4, 70)

Tree = dict[str, Any]


@dataclass(frozen=True)
class Command:
    """A command line that faults are made in.

    Attributes:
        argv: its arguments; `{sources}` is the folder of inputs. It runs in a case's folder.
        prepared: which prepared folder a case starts from.
        product: the file or folder that it makes and does not replace.
    """

    argv: str
    prepared: str = "laid"
    product: str = ""


_RUN = "run --data-root root --outlets {sources}/outlets.csv --quiet"
_TERMS = "--licence CC0-1.0 --attribution nobody --data-root root"
COMMANDS = {
    "run": Command(f"{_RUN} --engine serial --workers 1"),
    "threads": Command(f"{_RUN} --workers 2"),
    "balanced": Command(f"{_RUN} --workers 2 --set allocation.law=balanced"),
    "outlets": Command("outlets import {sources}/outlets.csv --data-root root"),
    "countries": Command(f"reference import countries {{sources}}/countries.gpkg {_TERMS}", "bare"),
    "population": Command(f"reference import population {{sources}}/people.tif {_TERMS}", "bare"),
    "codes": Command(f"reference import codes {{sources}}/codes.csv {_TERMS}", "bare"),
    "page": Command("page --data-root root --out page.html", "published", "page.html"),
    "csv": Command("export --data-root root --format csv --out a.csv", "published", "a.csv"),
    "geoparquet": Command(
        "export --data-root root --format geoparquet --out a.parquet", "published", "a.parquet"
    ),
    "geojsonseq": Command(
        "export --data-root root --format geojsonseq --out a.geojsonl", "published", "a.geojsonl"
    ),
    "flatgeobuf": Command(
        "export --data-root root --format flatgeobuf --out a.fgb", "published", "a.fgb"
    ),
    "evidence": Command(
        "evidence --data-root root --out evidence --without-page --quiet", "published", "evidence"
    ),
}


class Bench:
    """Prepared folders, and what each command leaves in a copy when nothing disturbs it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sources = folder / "sources"
        self.sources.mkdir(parents=True)
        _write_sources(self.sources)
        for name in ("bare", "laid", "published"):
            (folder / name).mkdir()
        worlds.lay_small_world(folder / "laid" / "root", degrees=2.0, countries=COUNTRIES)
        shutil.copytree(folder / "laid", folder / "published", dirs_exist_ok=True)
        ending = run(self.start("run", folder / "published"))
        assert ending.exit_code == 0, ending.stderr
        self._left: dict[str, Tree] = {}

    def start(self, name: str, folder: Path, **more: Any) -> Start:
        argv = COMMANDS[name].argv.format(sources=self.sources).split()
        return Start(argv, folder, **more)

    def copy(self, name: str, folder: Path) -> Path:
        """Return a fresh folder for a case of a command, with what the command starts from."""
        return Path(shutil.copytree(self.folder / COMMANDS[name].prepared, folder / "case"))

    def undisturbed(self, name: str) -> Tree:
        """Return what a command leaves when nothing disturbs it: what two runs agree on."""
        if name not in self._left:
            trees = []
            for number in (1, 2):
                folder = self.folder / f"{name}-{number}"
                case = self.copy(name, folder)
                ending = run(self.start(name, case))
                assert ending.exit_code == 0, ending.stderr
                assert not left_in_staging(case)
                trees.append(published(case))
                shutil.rmtree(folder)
            assert trees[0].keys() == trees[1].keys()
            self._left[name] = {
                path: _agreed(one, trees[1][path]) for path, one in trees[0].items()
            }
        return self._left[name]

    def started(self, name: str) -> Tree:
        """Return what lies in a case's folder before its command runs."""
        return published(self.folder / COMMANDS[name].prepared)


def _write_sources(folder: Path) -> None:
    worlds.outlet_list(folder / "outlets.csv", countries=COUNTRIES, merchants=20)
    codes = ["LS", "NL", "VA"]
    shapes = [bring.country(code) for code in codes]
    bring.polygons(folder / "countries.gpkg", codes, shapes, "country_iso")
    laid = worlds.lay_small_world(folder / "laid", degrees=2.0, countries=COUNTRIES)
    shutil.copy(worlds.place(laid, "population_raster_2025"), folder / "people.tif")
    rows = ["country_iso,alpha3,numeric,name", "LS,LSO,426,Lesotho", "NL,NLD,528,Netherlands"]
    (folder / "codes.csv").write_text("\n".join([*rows, "VA,VAT,336,Holy See"]) + "\n")


def published(case: Path) -> Tree:
    """Return what is visible below a case's folder: JSON documents by field, files by digest."""
    found: Tree = {}
    for path in sorted(case.rglob("*")):
        name = path.relative_to(case).as_posix()
        if path.is_file() and not name.removeprefix("root/").startswith(_NOT_PUBLISHED):
            found[name] = _content(path)
    return found


def _content(path: Path) -> Any:
    data = path.read_bytes()
    if path.suffix != ".json":
        return hashlib.sha256(data).hexdigest()
    leaves = _fields("", json.loads(data))
    # Two runs may agree on a time by chance.
    return {
        name: None if name.endswith("seconds") else value
        for name, value in leaves
        if not name.startswith(_MEASURED)
    }


def _fields(at: str, value: Any) -> list[tuple[str, Any]]:
    """Return the leaves of a JSON value by their path."""
    if isinstance(value, dict) and value:
        return [leaf for name in value for leaf in _fields(f"{at}/{name}", value[name])]
    if isinstance(value, list) and value:
        return [leaf for at_, one in enumerate(value) for leaf in _fields(f"{at}/{at_}", one)]
    return [(at, value)]


def _agreed(one: Any, other: Any) -> Any:
    """Return what two undisturbed runs agree on; clocks and measurements are None."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {name: value if other.get(name) == value else None for name, value in one.items()}
    return one if one == other else None


def left_in_staging(case: Path) -> list[str]:
    """Return what lies in the staging area of a case's root, and beside the root."""
    area = case / "root" / ".staging"
    staged = [*area.iterdir()] if area.is_dir() else []
    return sorted(path.name for path in (*staged, *case.glob(".segment1b-*")))


def differences(found: Tree, expected: Tree, *, whole: bool) -> list[str]:
    """Return how a tree differs from what is expected; one that is not whole may lack files."""
    wrong = [f"{path} is not expected" for path in found.keys() - expected.keys()]
    if whole:
        wrong += [f"{path} is absent" for path in expected.keys() - found.keys()]
    for path in sorted(found.keys() & expected.keys()):
        wrong += [f"{path} {what}" for what in _unequal(found[path], expected[path])]
    return wrong


def _unequal(found: Any, expected: Any) -> list[str]:
    if expected is None or found == expected:
        return []
    if not (isinstance(found, Mapping) and isinstance(expected, Mapping)):
        return ["has another content"]
    # A figure that runs do not agree on, of memory for one, need not have been measured.
    pinned = {name: value for name, value in expected.items() if value is not None}
    return [
        f"has {name} {found.get(name)!r}, expected {value!r}"
        for name, value in pinned.items()
        if found.get(name) != value
    ]


def judge_ending(ending: Ending, *, may_die: bool) -> list[str]:
    """Return what is wrong with how a command ended."""
    wrong = []
    said = f"{ending.stdout}\n{ending.stderr}"
    if "Traceback" in said:
        wrong.append("a traceback")
    if ending.exit_code in _ACCEPTED:
        coded = [code for code in _CODE.findall(said) if code in CODES]
        meant = {Segment1BError(code, "").exit_code for code in coded}
        silenced = any("/stderr>" in call.arguments for call in ending.injected)
        if ending.exit_code not in meant and not (silenced and not coded):
            wrong.append(f"exit code {ending.exit_code} with the codes {coded}")
    elif ending.exit_code != 0 and not (may_die and _died(ending)):
        wrong.append(f"exit code {ending.exit_code}")
    return wrong


def _died(ending: Ending) -> bool:
    """Return whether the process was ended by a signal, or by the C library for want of memory."""
    return ending.exit_code < 0 or "cannot allocate memory for thread-local" in ending.stderr


def judge(
    bench: Bench, name: str, case: Path, ending: Ending, *, may_die: bool = False
) -> list[str]:
    """Judge a command that was disturbed, run it again undisturbed and judge that.

    Returns:
        What is wrong; nothing when the command has kept its promises.
    """
    expected = bench.undisturbed(name)
    wrong = judge_ending(ending, may_die=may_die)
    visible = published(case)
    whole = ending.exit_code == 0
    wrong += [f"visible: {one}" for one in differences(visible, expected, whole=whole)]
    wrong += [f"lost: {path}" for path in bench.started(name).keys() - visible.keys()]
    product = case / (COMMANDS[name].product or "-")
    if product.is_dir():
        shutil.rmtree(product)
    product.unlink(missing_ok=True)
    for left in case.glob(".segment1b-*"):
        os.utime(left, (0, 0))  # a minute passes, after which its process is not about to lock it
    again = run(bench.start(name, case))
    if again.exit_code != 0:
        wrong.append(f"run again: exit code {again.exit_code}: {again.stderr[-2000:]}")
    else:
        left = differences(published(case), expected, whole=True)
        wrong += [f"run again: {one}" for one in left]
    wrong += [f"left in staging: {one}" for one in left_in_staging(case)]
    return wrong
