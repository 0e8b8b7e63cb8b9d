"""The documents: commands run, codes exist, links lead somewhere, programs print what they say."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import typer
import typer.testing

from segment1b.cli.app import app
from segment1b.errors import CODES
from segment1b.evidence import proof
from segment1b.laws.points import balanced_phases, balanced_points, deal, systematic_points
from worlds import COUNTRIES, lay_small_world, outlet_list, run

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
RUNBOOKS = sorted((DOCS / "runbooks").glob("*.md"))
#: The texts of the sample bundle are made, and tested with it.
PAGES = [
    REPOSITORY / "README.md",
    *(page for page in sorted(DOCS.rglob("*.md")) if DOCS / "evidence" not in page.parents),
]
WIDTH = 110
#: What the documents call their data roots, beside `segment1b-data`, which is a copy of `world`;
#: those that are built by a command are not laid here.
ROOTS = ("world", "other-law", "mine", "grown", "portfolio")
#: Scenarios that the documents compare; each has a data root of its own.
COMPARED = ("stable", "balanced")
MERCHANT, COUNTRY = 259, "DE"

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
# A table in a narrow terminal cuts long codes off; these end in an ellipsis.
_CODE = re.compile(r"\bE(?:\d{3})?_[A-Z][A-Z0-9_]*\b(?!…)")

page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def blocks(path: Path, language: str) -> list[str]:
    """Return the fenced blocks of a page in one language."""
    found = _BLOCK.findall(path.read_text(encoding="utf-8"))
    return [body for name, body in found if name == language]


def shell_lines(path: Path) -> list[str]:
    """Return the command lines of a page's sh blocks, in one piece and without comments."""
    lines = "".join(blocks(path, "sh")).replace("\\\n", " ").splitlines()
    return [text for line in lines if (text := line.partition("  #")[0].strip())]


def commands(path: Path) -> list[list[str]]:
    """Return the words of a page's segment1b commands, without the program's name."""
    found = [shlex.split(line) for line in shell_lines(path)]
    return [words[1:] for words in found if words[0] == "segment1b"]


def anchors(path: Path) -> set[str]:
    """Return the names by which a page's headings can be linked to."""
    prose = _BLOCK.sub("", path.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


#: Its commands and its program belong together: tests/docs/test_population_page.py runs them.
WHOLE = {"population.md"}
COMMANDED = [path for path in PAGES if commands(path) and path.name not in WHOLE]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run a small world under the law `stable`, with the pair that the documents show."""
    folder = tmp_path_factory.mktemp("docs")
    root = lay_small_world(folder / "root", countries=(*COUNTRIES, "DE", "FR", "JP"))
    outlets = outlet_list(folder / "my.csv")
    outlets.write_text(outlets.read_text() + f"{MERCHANT},{COUNTRY},6\n")
    (folder / "grown.csv").write_text(outlets.read_text() + "99999,NL,4\n")
    run(root, outlets=outlets, settings=("allocation.law=stable",), to_state="s9")
    return folder


@pytest.fixture(scope="module")
def laid(small: Path) -> Path:
    """Lay the lists and data roots that the documents name, each once."""
    folder = small / "laid"
    for name in (*ROOTS, *(f"compared/{law}" for law in COMPARED)):
        (folder / name).mkdir(parents=True)
        (folder / name / "reference").symlink_to(small / "root" / "reference")
    shutil.copytree(REPOSITORY / "config" / "scenarios", folder / "config" / "scenarios")
    for name in ("my.csv", "grown.csv"):
        shutil.copy(small / name, folder / name)
    (folder / "stores.csv").write_text("lon,lat,country,chain\n4.9,52.4,NL,a\n28,-26.2,ZA,b\n")
    for line in shell_lines(DOCS / "outlet-lists.md"):
        if line.startswith("printf "):
            subprocess.run(["sh", "-c", line], cwd=folder, check=True)
    run(folder / "world", outlets=small / "my.csv", to_state="s9")
    shutil.copytree(folder / "world", folder / "segment1b-data", symlinks=True)
    other = ("allocation.law=largest_remainder",)
    run(folder / "other-law", outlets=small / "my.csv", settings=other, to_state="s0")
    for law in COMPARED:
        settings = (f"allocation.law={law}",)
        run(folder / "compared" / law, outlets=small / "my.csv", settings=settings, to_state="s0")
    (folder / "nights.yaml").write_text(blocks(DOCS / "automation" / "README.md", "yaml")[0])
    return folder


@pytest.fixture
def desk(laid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with the lists and data roots that the documents name."""
    folder = Path(shutil.copytree(laid, tmp_path / "desk", symlinks=True))
    monkeypatch.setattr(proof, "REPEATS", (("serial", 1),))  # tested whole in tests/evidence
    monkeypatch.chdir(folder)
    return folder


@page
def test_every_command_parses(path: Path) -> None:
    """Commands and options exist, and none that must be given is left out."""
    for words in commands(path):
        command = typer.main.get_command(app)
        while words and words[0] in getattr(command, "commands", {}):
            command, words = command.commands[words[0]], words[1:]
        assert not hasattr(command, "commands"), f"no such command: {words}"
        command.make_context(command.name, list(words))


@pytest.mark.parametrize(
    "path",
    [
        path if path.name == "README.md" else pytest.param(path, marks=pytest.mark.slow)
        for path in COMMANDED
    ],
    ids=lambda path: path.name,
)
def test_every_command_runs_in_a_small_root(path: Path, desk: Path) -> None:
    """The commands of a page, one after the other, end well."""
    for words in commands(path):
        filled = [_fingerprint(desk / "world") if word == "HEX" else word for word in words]
        assert not app(filled, standalone_mode=False), words


def _fingerprint(root: Path) -> str:
    """Return the fingerprint that was sealed last."""
    receipts = root.glob("data/layer1/1B/s0_gate_receipt/*/s0_gate_receipt.json")
    newest = max(receipts, key=lambda receipt: receipt.stat().st_mtime_ns)
    return str(json.loads(newest.read_text())["manifest_fingerprint"])


def test_make_has_the_targets_that_are_named() -> None:
    """README and CONTRIBUTING speak of make; each target is in the Makefile."""
    targets = set(re.findall(r"^([\w-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))
    named = {
        target
        for path in (*PAGES, REPOSITORY / "CONTRIBUTING.md")
        for target in re.findall(r"(?:^|`)make ([\w-]+)", path.read_text(), re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets


@page
def test_every_code_that_is_named_exists(path: Path) -> None:
    """A runbook for a code that nothing raises would mislead."""
    assert set(_CODE.findall(path.read_text(encoding="utf-8"))) <= set(CODES)


def test_every_code_is_in_a_runbook() -> None:
    """Each code is listed with what to do, not only mentioned in passing."""
    told = {
        code
        for path in RUNBOOKS
        for code, text in re.findall(r"^- `(E\w+)`(.*?)(?=^\S|\Z)", path.read_text(), re.M | re.S)
        if "*What to do:*" in " ".join(text.split())
    }
    tables = "".join(path.read_text() for path in RUNBOOKS)
    told |= set(re.findall(r"^\| `(E\w+)` \|.+\|.+\|$", tables, re.MULTILINE))
    assert set(CODES) <= told


@page
def test_every_link_leads_somewhere(path: Path) -> None:
    """Relative links and pictures exist, headings too."""
    prose = _BLOCK.sub("", path.read_text(encoding="utf-8"))
    for link in _LINK.findall(prose):
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        assert target.is_file(), link
        assert not anchor or anchor in anchors(target), link


def test_pictures_are_small_and_used() -> None:
    """No page takes long to load, and no picture is left behind."""
    used = {
        (path.parent / link).resolve()
        for path in PAGES
        for link in _LINK.findall(path.read_text(encoding="utf-8"))
    }
    pictures = sorted((DOCS / "pictures").glob("*.png"))
    assert pictures
    for picture in pictures:
        assert picture.stat().st_size < 300_000, picture.name
        assert picture in used, picture.name


@pytest.mark.parametrize(
    "path",
    [*PAGES, REPOSITORY / "CHANGELOG.md", REPOSITORY / "CONTRIBUTING.md"],
    ids=lambda path: path.name,
)
def test_pages_are_neat(path: Path) -> None:
    """Lines are short, blocks closed, and nothing tells of the machine they were written on."""
    text = path.read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if len(line) > WIDTH] == []
    assert text.count("```") % 2 == 0
    assert not re.search(r"/(tmp|work|home|root)/|TODO", text)
    if path == REPOSITORY / "README.md":
        assert len(text.splitlines()) < 200


def programs(path: Path) -> Iterator[str]:
    yield from blocks(path, "python")


def outcome(program: str, folder: Path, *arguments: str) -> list[str]:
    """Run a program in a folder and return the lines it printed."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_the_digest_program_reproduces_every_receipt(small: Path) -> None:
    """docs/spec/receipts.md#content-digest: the digest, without any code of the package."""
    (program,) = programs(DOCS / "spec" / "receipts.md")
    reports = sorted((small / "root" / "control").rglob("s[1-4]_run_report.json"))
    assert len(reports) == 4
    for report in reports:
        receipts = {k: v for k, v in json.loads(report.read_text()).items() if "_receipt" in k}
        for field, receipt in receipts.items():
            tiles = ["tiles"] if report.name < "s3" else []
            found = outcome(program, small, "root", str(report), field, *tiles)
            assert found == [receipt["content_sha256_hex"]] * 2, (report.name, field)


def test_the_program_by_hand_finds_the_plan(small: Path) -> None:
    """docs/laws.md: the tiles of a pair, without any code of the package."""
    (program,) = programs(DOCS / "laws.md")
    for country in (COUNTRY, "ZA", "FJ"):
        merchant, sites = largest_pair(small / "root", country)
        printed = outcome(program, small, "root", str(merchant), country)
        assert sorted(int(line.split()[2]) for line in printed) == sites


def test_the_draw_program_finds_an_outlet_that_is_at_no_centre(small: Path) -> None:
    """docs/randomness.md: a coordinate bit for bit, with NumPy's own Philox."""
    (program,) = programs(DOCS / "randomness.md")
    result = run(
        small / "root",
        outlets=small / "my.csv",
        settings=("allocation.law=stable",),
        to_state="s8",
    )
    (part,) = result.outcomes[-1].datasets[0].iterdir()
    rows = pq.ParquetFile(part).read().to_pylist()
    # The first outlet that is at no centre: those have no row in the log that the program reads.
    (printed,) = outcome(program, small, "root", str(result.identity["seed"]))
    assert printed.split() in [[str(value) for value in row.values()] for row in rows]


def largest_pair(root: Path, country: str) -> tuple[int, list[int]]:
    """Return the merchant with most sites in a country, and the tile of each, ascending."""
    (part,) = (root / "data/layer1/1B/s4_alloc_plan").rglob("part-*.parquet")
    sites: dict[int, list[int]] = {}
    for row in pq.ParquetFile(part).read().to_pylist():
        if row["legal_country_iso"] == country:
            tiles = [row["tile_id"]] * row["n_sites_tile"]
            sites.setdefault(row["merchant_id"], []).extend(tiles)
    return max(sites.items(), key=lambda pair: len(pair[1]))


#: Pages whose programs take arguments; a test of its own runs each.
TESTED_BY_NAME = {"spec/receipts.md", "laws.md", "randomness.md", "automation/README.md"}
#: Its programs want a server: tests/pipeline/test_object_store.py runs them against one.
TESTED_BY_NAME |= {"object_store.md"}
#: Its program places outlets on the embedded world: tests/docs/test_notebook.py has a small one.
TESTED_BY_NAME |= {"python.md", *WHOLE}
PROGRAMMED = [
    page
    for page in PAGES
    if [*programs(page)] and not str(page).endswith(tuple(f"/{name}" for name in TESTED_BY_NAME))
]


@pytest.mark.parametrize("path", PROGRAMMED, ids=lambda path: path.name)
def test_every_other_program_runs_in_a_small_root(path: Path, desk: Path) -> None:
    """README.md, tour, FAQ and what comes: a program prints something and ends well."""
    for program in programs(path):
        assert outcome(program, desk) != []


def test_the_program_of_the_nights_reads_a_summary(desk: Path) -> None:
    """docs/automation/README.md: a line for each run, with the codes of what failed."""
    night = ["nightly", "--config", "nights.yaml", "--summary", "night.json"]
    typer.testing.CliRunner().invoke(app, night)
    (program,) = programs(DOCS / "automation" / "README.md")
    printed = outcome(program, desk, "night.json")
    names = [run["name"] for run in json.loads((desk / "night.json").read_text())["runs"]]
    assert [line.split()[0] for line in printed] == names


def test_the_result_is_read_as_the_readme_says(desk: Path) -> None:
    """README.md: three lines of Python."""
    (program,) = programs(REPOSITORY / "README.md")
    printed = outcome(program, desk)
    assert any("'lon_deg': " in line for line in printed)


def test_worked_numbers_of_the_laws(small: Path) -> None:
    """docs/laws.md: the examples that a reader may redo with pencil and paper."""
    text = " ".join((DOCS / "laws.md").read_text().split())
    golden = 0x9E3779B97F4A7C15
    points = [j * golden % 2**64 * 1000 // 2**64 for j in range(1, 6)]
    assert "The points are {}, {}, {}, {} and {}.".format(*points) in text
    n, phase = np.array([1, 2, 1]), balanced_phases(3)
    assert (
        "the points are {}, {}, {}, {} and {}.".format(
            *systematic_points(np.array([1 << 63], np.uint64), np.array([5]), 1000)
        )
        in text
    )
    (dealt,) = deal(phase, n, 4)
    points = balanced_points(0, 4, 4, 1000)[np.argsort(dealt)].tolist()
    rows = [(m, size, j) for m, size in enumerate(n.tolist(), 1) for j in range(size)]
    for at, (merchant, size, j) in enumerate(rows):
        u = int(phase[merchant - 1]) / 2**64
        tile = 1 if points[at] < 700 else 2
        assert (
            f"| {merchant} | {size} | {u:.3f} | {j} | {(j + u) / size:.3f} "
            f"| {dealt.tolist().index(at)} | {points[at]} | {tile} |"
        ) in text
    assert hamilton((700, 300), 5) == [4, 1]
    assert hamilton((429, 429, 142), 10) == [4, 4, 2]
    assert hamilton((429, 429, 142), 11) == [5, 5, 1]
    assert hamilton((5, 4, 3), 100) == [42, 33, 25]


def hamilton(weights: tuple[int, ...], n: int) -> list[int]:
    """Apportion by the plain definition."""
    total = sum(weights)
    sites = [n * weight // total for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda t: (-(n * weights[t] % total), t))
    for t in by_rest[: n - sum(sites)]:
        sites[t] += 1
    return sites
