"""Pages that are made from the code when the site is built: datasets, error codes, Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from segment1b import contracts
from segment1b.contracts import Column, Dataset
from segment1b.errors import CODES, Segment1BError

DOCS = Path(__file__).parents[1]
SCOPES = {"R": "the run", "D": "a dataset", "C": "a country", "P": "a pair", "T": "a tile"}
SCOPES |= {"S": "a site"}
_LISTED = re.compile(r"^(?:- |\| )`(E\w+)`", re.MULTILINE)
#: The public modules and functions, by heading; the text is that of their docstrings.
API = {
    "Run and read": [
        "segment1b.api",
        *(
            f"segment1b.read.{name}"
            for name in (
                "placed.place",
                "placed.Placed",
                "gate.Which",
                "gate.read_site_locations",
                "export.export",
                "diff.diff",
                "explanation.explain",
                "replay.replay",
                "realism.realism",
            )
        ),
    ],
    "Evidence": ["segment1b.evidence.bundle.write_evidence", "segment1b.evidence.proof.ProvedRun"],
    "Laws": [
        f"segment1b.laws.{name}"
        for name in (
            "apportionment",
            "curves",
            "assignment",
            "jitter",
            "philox",
            "division",
        )
    ],
    "Contracts": ["segment1b.contracts.dictionary", "segment1b.contracts.schemas"],
    "Storage": [
        f"segment1b.storage.{name}"
        for name in ("publisher", "reader", "receipts", "bundles", "checksums")
    ],
    "Errors": ["segment1b.errors"],
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {"datasets.md": datasets(), "error_codes.md": error_codes(), "api.md": api()}
    for name, lines in pages.items():
        files.append(File.generated(config, name, content="\n".join(lines) + "\n"))
    return files


def datasets() -> Iterator[str]:
    """Yield the lines of the page about every dataset, from the dictionary and the schemas."""
    known = contracts.load()
    yield from (
        "# Datasets",
        "",
        "Made from the dictionary and the schemas when this site was built. Paths are below the",
        "data root; no column holds nulls, and rows are in the order of their key.",
    )
    owner = ""
    for dataset in known:
        if dataset.owner != owner:
            owner = dataset.owner
            yield from ("", f"## {OWNERS.get(owner, owner)}")
        yield from ("", f"### {dataset.id}", "", *_about(dataset))


OWNERS = {
    "1A": "From segment 1A",
    "reference": "Reference surfaces",
    "all": "Failures",
}


def _about(dataset: Dataset) -> Iterator[str]:
    rows = {
        "kind": dataset.kind,
        "path": f"`{dataset.path}`",
        "key and order of rows": ", ".join(f"`{name}`" for name in dataset.key),
        "cut into files": dataset.cut if dataset.kind == "table" and dataset.receipt_in else "",
        "schema": f"`{dataset.schema_ref}`",
        "receipt": f"`{dataset.receipt_field}` of `{dataset.receipt_in}`"
        if dataset.receipt_in
        else "",
        "not compared": ", ".join(f"`{name}`" for name in dataset.volatile),
        "read by consumers of the layer": "yes" if dataset.final_in_layer else "",
        "licence": dataset.licence,
        "kept": f"{dataset.retention_days:,} days",
        "errors": ", ".join(f"`{code}`" for code in dict.fromkeys(dataset.codes.values())),
    }
    yield from ("| of the dataset | |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in rows.items() if value)
    if dataset.columns:
        yield from ("", "| column | type | unit | values | encoding |", "|---|---|---|---|---|")
        for column in dataset.columns:
            how = dataset.encodings.get(column.name, "")
            yield (
                f"| `{column.name}` | {column.type} | {column.unit or ''} | {_values(column)} "
                f"| {how} |"
            )


def _values(column: Column) -> str:
    if column.pattern:
        return f"`{column.pattern}`".replace("|", "\\|")
    low, high = column.minimum, column.maximum
    if column.exclusive_minimum is not None:
        return f"above {column.exclusive_minimum}"
    if low is not None and high is not None:
        return f"{low:,} to {high:,}"
    return "" if low is None else f"{low:,} or more"


def error_codes() -> Iterator[str]:
    """Yield the lines of the page about every error code, from the table in errors.py."""
    yield from (
        "# Error codes",
        "",
        "Made from the table in `errors.py` when this site was built. The runbooks say what to do",
        "about each. `segment1b validate` leaves with 1 for any that it finds in published data.",
        "",
        "| code | meaning | concerns | exit code of a run | runbooks |",
        "|---|---|---|---:|---|",
    )
    runbooks = _runbooks()
    for code, (scope, meaning) in CODES.items():
        where = ", ".join(f"[{name}](runbooks/{file})" for name, file in runbooks.get(code, ()))
        left = Segment1BError(code, "").exit_code
        yield f"| `{code}` | {meaning} | {SCOPES[scope]} | {left} | {where} |"


def _runbooks() -> dict[str, list[tuple[str, str]]]:
    """Return the runbooks that list a code: short name and file."""
    runbooks: dict[str, list[tuple[str, str]]] = {}
    for path in sorted((DOCS / "runbooks").glob("*.md")):
        state = path.stem.partition("_")[0]
        name = state.upper() if re.fullmatch(r"s\d", state) else path.stem
        for code in dict.fromkeys(_LISTED.findall(path.read_text(encoding="utf-8"))):
            runbooks.setdefault(code, []).append((name, path.name))
    return runbooks


def api() -> Iterator[str]:
    """Yield the lines of the page about the Python interface, from docstrings."""
    yield from (
        "# Python",
        "",
        "Made from docstrings when this site was built. The functions that run and read are those",
        "of the package: `import segment1b`, then `segment1b.run(...)`.",
    )
    for heading, names in API.items():
        yield from ("", f"## {heading}")
        for name in names:
            yield from ("", f"::: {name}")
