"""Check a release: equal builds, metadata, the wheel in empty environments, a bill of materials.

    python scripts/release.py --out dist --python python3.11 --python python3.13

Each line that is printed is an item of the checklist; the first one that fails ends the script
with exit code 1. Packages come from the registry that pip is configured for.
"""

from __future__ import annotations

import argparse
import email
import email.message
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
#: Files without which the wheel does not work, or may not be passed on.
NEEDED = (
    "segment1b/NOTICE.md",
    "segment1b/py.typed",
    "segment1b/contracts/files/policies/l1/seg_1B/imported_list.yaml",
    "segment1b/starter/outlets.csv",
    "segment1b/page/files/page.js",
)
TRIAL = (
    ("--version",),
    ("init", "project"),
    ("run", "--outlets", "project/outlets.csv", "--quiet"),
    ("export", "--out", "outlets.csv"),
    ("page", "--out", "report.html"),
)
OUTLETS = 55  # of the template that `init` writes


def main() -> None:
    """Go through the checklist."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=REPOSITORY / "dist")
    parser.add_argument("--python", action="append", help="an interpreter to try the wheel with")
    parser.add_argument("--build-only", action="store_true", help="install nothing")
    asked = parser.parse_args()
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    check_version(project["version"])
    with tempfile.TemporaryDirectory(prefix="segment1b-release-") as folder:
        wheel, sdist = build_twice(Path(folder))
        check_wheel(wheel, project)
        check_sdist(sdist)
        if not asked.build_only:
            for number, python in enumerate(asked.python or [sys.executable]):
                environment = Path(folder) / f"environment-{number}"
                try_wheel(wheel, python, environment, project["version"])
            write_sbom(Path(folder), Path(folder) / "environment-0")
        asked.out.mkdir(parents=True, exist_ok=True)
        for path in (wheel, sdist, *Path(folder).glob("*.cdx.json")):
            shutil.copy(path, asked.out)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            print(f"{digest}  {path.name}")


def check_version(version: str) -> None:
    """Fail unless package, program and changelog name one version."""
    program = (REPOSITORY / "src/segment1b/contracts/program.py").read_text()
    expect(f'VERSION = "{version}"' in program, f"the program's version is not {version}")
    changelog = (REPOSITORY / "CHANGELOG.md").read_text()
    expect(
        re.search(rf"^## {re.escape(version)}\b", changelog, re.MULTILINE) is not None,
        f"CHANGELOG.md has no section {version}",
    )
    print(f"ok  one version: {version}")


def build_twice(folder: Path) -> tuple[Path, Path]:
    """Return wheel and sdist; fail unless two builds of them have the same bytes."""
    commit = subprocess.run(
        ["git", "log", "-1", "--format=%ct"],
        check=False,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    epoch = {"SOURCE_DATE_EPOCH": commit.stdout.strip()} if commit.returncode == 0 else {}
    for name in ("first", "second"):
        run(
            [sys.executable, "-m", "hatchling", "build", "-d", folder / name],
            cwd=REPOSITORY,
            env={**os.environ, **epoch},
        )
    built = sorted((folder / "first").iterdir(), key=lambda path: path.suffix)
    expect([path.suffix for path in built] == [".gz", ".whl"], f"built were {built}")
    for path in built:
        same = path.read_bytes() == (folder / "second" / path.name).read_bytes()
        expect(same, f"two builds of {path.name} differ")
        print(f"ok  two builds have the same bytes: {path.name}, {path.stat().st_size:,} bytes")
    return built[1], built[0]


def check_wheel(wheel: Path, project: dict[str, Any]) -> None:
    """Fail unless the wheel's metadata is that of pyproject.toml and its files are all there."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (path,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        found: email.message.Message = email.message_from_bytes(archive.read(path))
    wanted = {
        "Name": project["name"],
        "Version": project["version"],
        "Summary": project["description"],
        "License-Expression": project["license"],
        "Requires-Python": project["requires-python"],
    }
    for name, value in wanted.items():
        expect(found[name] == value, f"{name} is {found[name]}, not {value}")
    expect(found.get_all("License-File") == project["license-files"], "license files differ")
    requires = [text for text in found.get_all("Requires-Dist") or () if "extra ==" not in text]
    expect(len(requires) == len(project["dependencies"]), f"requirements are {requires}")
    missing = [name for name in NEEDED if name not in names]
    expect(not missing, f"the wheel lacks {missing}")
    foreign = [name for name in names if not name.startswith("segment1b")]
    expect(not foreign, f"the wheel has {foreign}")
    print(f"ok  metadata and files of the wheel: {len(names)} files, {len(requires)} requirements")


def check_sdist(sdist: Path) -> None:
    """Fail unless the source archive can be built from and holds no large or stray files."""
    with tarfile.open(sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive}
    missing = {"pyproject.toml", "LICENSE", "NOTICE.md", "PKG-INFO", "README.md"} - names
    expect(not missing, f"the sdist lacks {sorted(missing)}")
    print(f"ok  files of the sdist: {len(names)}")


def try_wheel(wheel: Path, python: str, environment: Path, version: str) -> None:
    """Install the wheel in an empty environment and use it from an outlet list to a page."""
    run([python, "-m", "venv", environment])
    pip = [environment / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    run([*pip, "install", "--quiet", wheel])
    run([*pip, "check"])
    folder = environment / "trial"
    folder.mkdir()
    plain = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    outputs = [
        run([environment / "bin" / "segment1b", *words], cwd=folder, env=plain) for words in TRIAL
    ]
    expect(outputs[0].strip() == f"segment1b {version}", f"--version printed {outputs[0]}")
    lines = (folder / "outlets.csv").read_text().splitlines()
    expect(len(lines) == OUTLETS + 1, f"{len(lines)} lines were exported")
    print(f"ok  wheel in an empty environment, list to page: {python}")


def write_sbom(folder: Path, environment: Path) -> None:
    """Write a CycloneDX document of the packages in an environment, by cyclonedx-bom."""
    tool = folder / "tool"
    run([sys.executable, "-m", "venv", tool])
    run([tool / "bin" / "python", "-m", "pip", "install", "--quiet", "cyclonedx-bom"])
    out = folder / "segment1b.cdx.json"
    options = ["--pyproject", REPOSITORY / "pyproject.toml", "--output-reproducible"]
    options += ["--of", "JSON", "-o", out]
    program = tool / "bin" / "cyclonedx-py"
    run([program, "environment", *options, environment / "bin" / "python"])
    print(f"ok  bill of materials: {out.name}")


def run(command: list[Any], **options: Any) -> str:
    """Run a command; return its output, or fail with what it printed."""
    words = [str(word) for word in command]
    done: subprocess.CompletedProcess[str] = subprocess.run(
        words, check=False, capture_output=True, text=True, **options
    )
    expect(
        done.returncode == 0,
        f"{' '.join(words)}\n{done.stdout}{done.stderr}",
    )
    return done.stdout


def expect(holds: bool, problem: str) -> None:
    """End the script where an item of the checklist does not hold."""
    if not holds:
        sys.exit(f"FAILED  {problem}")


if __name__ == "__main__":
    main()
