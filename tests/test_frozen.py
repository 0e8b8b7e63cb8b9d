"""Observable behaviour equals `tests/frozen`: digests, checks, options, JSON output, exit codes.

The command lines of `frozen/cases.yaml` run in one child process, over a world of five countries.
After an intended change, freeze the behaviour again, and read the difference before you commit it:

    .venv/bin/python tests/test_frozen.py

Values that differ between two runs or two machines are placeholders, for example "<seconds>", and
sentences are "<text>". A long list is its length and one item that all its items match.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import filelock
import pytest
import typer
import yaml

import segment1b
import worlds
from segment1b import __main__
from segment1b.cli.app import app
from segment1b.errors import CODES, Segment1BError

FROZEN = Path(__file__).parent / "frozen"
CASES: dict[str, str] = yaml.safe_load((FROZEN / "cases.yaml").read_text())
LAWS = {"root": "stable", "other": "systematic"}
LAWS |= {"scenarios/a": "largest_remainder", "scenarios/b": "balanced"}
COUNTRIES = ("FJ", "LS", "NL", "VA", "ZA")
LONG = 15

PLACEHOLDERS = {
    r"\b[0-9a-f]{64}\b": "<sha256>",
    r"\b[0-9a-f]{32}\b": "<run_id>",
    r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b": "<uuid>",
    r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$": "<time>",
    r"(?s)^(\S+ ){3}.*$": "<text>",
}
VOLATILE = ("bytes", "host", "seconds")  # ends of keys
VERSIONS = ("tool", "versions")


def stable(value: Any, key: str = "") -> Any:
    """Return a JSON value with placeholders for what two runs or two machines do not share."""
    if isinstance(value, dict) and key in VERSIONS:
        return dict.fromkeys(value, "<version>")
    if isinstance(value, dict):
        return {stable(name): stable(item, name) for name, item in value.items()}
    if isinstance(value, list):
        items = [stable(item, key) for item in value]
        return items if len(items) <= LONG else {"<items>": len(items), "<each>": merged(items)}
    end = key.rpartition("_")[2]
    if end in VOLATILE and value is not None:
        return f"<{end}>"
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, str):
        value = value.replace(str(Path.cwd()), "<folder>")
        for pattern, placeholder in PLACEHOLDERS.items():
            value = re.sub(pattern, placeholder, value)
    return value


def merged(items: list[Any]) -> Any:
    """Return what all items share: keys and equal values; of other values the types."""
    if all(isinstance(item, dict) for item in items):
        keys = sorted({key for item in items for key in item})
        return {key: merged([item.get(key, "<absent>") for item in items]) for key in keys}
    if all(item == items[0] for item in items):
        return items[0]
    return " or ".join(sorted({f"<{type(item).__name__}>" for item in items}))


def run(line: str) -> tuple[int, Any]:
    """Run a command line in this process; return its exit code and the JSON that it prints."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    sys.argv = ["segment1b", *line.split()]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            __main__.main()
        except SystemExit as left:
            code = int(left.code or 0)
    out.seek(0)
    return code, json.loads(out.read())


def lay_files() -> None:
    """Write into the working directory what the command lines name."""
    for root in LAWS:
        worlds.lay_small_world(Path(root), 1.0, COUNTRIES)
    shutil.copy(next(Path("root").rglob("population*.tif")), "population.tif")
    worlds.outlet_list(Path("my.csv"), COUNTRIES, 20)
    worlds.outlet_list(Path("more.csv"), COUNTRIES, 25)
    Path("places.csv").write_text("country_iso,lon_deg,lat_deg\nLS,28,-29.5\nNL,5,52\nNL,0,0\n")
    real = ["lon,lat,country,chain", "5.1,52.1,NL,a", "5.1,52.2,NL,b", "28,-26.2,ZA,a", "2,49,FR,a"]
    Path("real.csv").write_text("\n".join(real) + "\n")
    Path("codes.csv").write_text("country_iso,alpha3,numeric,name\nLS,LSO,426,Lesotho\n")
    corners = [[27, -30], [29, -30], [29, -29], [27, -29], [27, -30]]
    shape = {"type": "Polygon", "coordinates": [corners]}
    for name, key in (("LS", "LS"), ("zone", "Africa/Maseru")):
        place = {"type": "Feature", "properties": {"key": key}, "geometry": shape}
        write(Path(f"{name}.geojson"), {"type": "FeatureCollection", "features": [place]})
    good = {"name": "good", "data_root": "root", "outlets": "my.csv", "validate": ["s8"]}
    # JSON is YAML.
    write(Path("locked.yaml"), {"lock": "held.lock", "runs": [good]})
    runs = [good, {**good, "name": "bad", "outlets": "absent.csv"}]
    write(Path("night.yaml"), {"lock": "night.lock", "runs": runs})
    for name in ("a", "b"):
        setting = f"allocation.law={LAWS[f'scenarios/{name}']}"
        write(Path(f"{name}.yaml"), {"name": name, "settings": [setting]})


def lay_damaged_root() -> None:
    """Copy a root that was run, cut a file of its sites, and add what a killed run leaves."""
    shutil.copytree("root", "damaged")
    part = next(Path("damaged").rglob("site_locations/*/*/part-*.parquet"))
    part.write_bytes(part.read_bytes()[:-9])
    write(Path("damaged/.staging/3f0c/part-00000.parquet"), None)


def checks() -> list[str]:
    """Return state, name, code and scope of every check, with those of time and memory."""
    found = run("validate --data-root root --perf --json")[1]["checks"]
    return sorted(" ".join(c[key] for key in ("state", "name", "code", "scope")) for c in found)


def digests(root: Path) -> dict[str, str]:
    """Return the content digest of every dataset and log that the run reports of a root name."""
    found = {}
    for path in root.glob("control/**/s[1-9]*_run_report.json"):
        report = json.loads(path.read_text())
        name = ".".join([path.name[:2], *filter(None, [report.get("trade")])])
        for field, value in report.items():
            if field.endswith("_receipt"):
                found[f"{name}.{field}"] = value["content_sha256_hex"]
    return found


def rows_alone(root: str) -> dict[str, str]:
    """Return the digests that hold whatever bytes a library writes the surfaces in."""
    return {k: v for k, v in digests(Path(root)).items() if "trace" not in k and "s9" not in k}


def commands(group: Any = None, path: str = "") -> dict[str, list[str]]:
    """Return the arguments and options of every command, with their defaults."""
    group = group or typer.main.get_command(app)
    found = {path: [option(parameter) for parameter in group.params]}
    for name, command in getattr(group, "commands", {}).items():
        found |= commands(command, f"{path} {name}".strip())
    return found


def option(parameter: Any) -> str:
    """Return one argument or option with its default."""
    none = parameter.default is None or parameter.default is False
    words = " (required)" if parameter.required else "" if none else f" = {parameter.default}"
    return "/".join(parameter.opts) + words


def exit_codes() -> dict[str, int]:
    """Return the exit code of every error code."""
    return {code: Segment1BError(code, "").exit_code for code in CODES}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def freeze(into: Path) -> None:
    """Write today's behaviour into a folder, all but the digests of the embedded world."""
    lay_files()
    with filelock.FileLock("held.lock"):
        for name, line in CASES.items():
            if "damaged" in line and not Path("damaged").exists():
                lay_damaged_root()
            code, out = run(line)
            write(into / f"outputs/{name}.json", {"exit_code": code, "output": stable(out)})
    write(into / "checks.json", checks())
    write(into / "laws.json", {law: rows_alone(root) for root, law in LAWS.items()})
    write(into / "commands.json", commands())
    write(into / "exit_codes.json", exit_codes())


@pytest.fixture(scope="module")
def today(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with today's behaviour, as a process of its own has written it."""
    into = tmp_path_factory.mktemp("today")
    source = str(Path(segment1b.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, __file__, into],
        env={**os.environ, "PYTHONPATH": source},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return into


def compare(into: Path, name: str) -> None:
    """Fail with the lines that differ between a frozen file and the one in a folder."""
    was, now = ((folder / name).read_text().splitlines() for folder in (FROZEN, into))
    lines = list(difflib.unified_diff(was, now, f"frozen/{name}", "today", n=4, lineterm=""))
    if lines:
        pytest.fail("\n".join(["behaviour has changed", *lines]), pytrace=False)


@pytest.mark.parametrize("name", CASES)
def test_a_command_has_its_frozen_json_output_and_exit_code(today: Path, name: str) -> None:
    compare(today, f"outputs/{name}.json")


@pytest.mark.parametrize("name", ["checks", "laws", "commands", "exit_codes"])
def test_checks_digests_options_and_exit_codes_are_as_frozen(today: Path, name: str) -> None:
    compare(today, f"{name}.json")


def test_the_embedded_world_has_its_frozen_digests(
    embedded_world: worlds.RunResult, tmp_path: Path
) -> None:
    write(tmp_path / "digests.json", digests(embedded_world.root))
    compare(tmp_path, "digests.json")


def test_every_command_with_json_output_is_a_case() -> None:
    wanted = {path for path, options in commands().items() if "--json" in options}
    assert len(wanted) > 25
    ran = {path for path in wanted for line in CASES.values() if line.startswith(f"{path} ")}
    assert wanted - ran == set()
    assert {path.stem for path in (FROZEN / "outputs").iterdir()} == set(CASES)


def test_every_documented_exit_code_is_frozen() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", readme, re.MULTILINE)}
    cases = {json.loads(path.read_text())["exit_code"] for path in (FROZEN / "outputs").iterdir()}
    assert documented == cases | set(exit_codes().values())


if __name__ == "__main__":
    goal = Path(sys.argv[1]).resolve() if sys.argv[1:] else FROZEN
    shutil.rmtree(goal / "outputs", ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        freeze(goal)
        if goal == FROZEN:
            run("run --data-root embedded --json")
            write(goal / "digests.json", digests(Path("embedded")))
