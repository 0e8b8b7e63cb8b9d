"""How tables are cut into files and row groups (docs/spec/publishing.md#files-of-a-table)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from segment1b.audit.proofs import Proof
from segment1b.audit.results import Row, differences
from segment1b.audit.session import Session
from segment1b.contracts import Dataset

ROWS_OF_A_FILE = 1_048_576
ROWS_OF_A_GROUP = 131_072
# Countries of a file, each with its rows, in written order.
Stretches = list[tuple[str, int]]


def cut_differences(dataset: Dataset, proof: Proof, session: Session) -> Iterator[Row]:
    """Yield where a table's files or row groups are not cut as its dictionary entry declares."""
    if dataset.cut == "tiles":
        files = _stretches(dataset, session)
        expected = {
            name: [size for _, rows in stretches for size in pieces(rows, ROWS_OF_A_GROUP)]
            for name, stretches in files.items()
        }
        counts = Counter[str]()
        for stretches in files.values():
            for country, rows in stretches:
                counts[country] += rows
        for row in differences(files, _named(pack(counts)), named="path", absent=None):
            shown = {side: _shown(row[side]) for side in ("found", "expected")}
            yield {"what": "countries and their rows", **row, **shown}
    else:
        sizes = pieces(proof.rows, ROWS_OF_A_FILE) or [0]
        expected = _named([pieces(size, ROWS_OF_A_GROUP) for size in sizes])
    groups = {file.name: [rows for rows in file.rows if rows] for file in proof.files}
    yield from differences(
        groups, expected, named="path", absent=None, what="rows of its row groups"
    )


def pack(counts: Mapping[str, int]) -> list[Stretches]:
    """Return the files that hold some countries: for each a list of (country, rows).

    Whole countries fill a file while they fit; one that no file can hold has files of its own.
    """
    files: list[Stretches] = []
    room = 0
    for country in sorted(counts):
        count = counts[country]
        if count > ROWS_OF_A_FILE:
            files += [[(country, rows)] for rows in pieces(count, ROWS_OF_A_FILE)]
            room = 0
            continue
        if count > room:
            files.append([])
            room = ROWS_OF_A_FILE
        files[-1].append((country, count))
        room -= count
    return files


def pieces(total: int, size: int) -> list[int]:
    """Return the sizes of the pieces of `size` rows, the last one shorter, that hold all rows."""
    return [size] * (total // size) + ([total % size] if total % size else [])


def _named(files: list[Any]) -> dict[str, Any]:
    return {f"part-{number:05d}.parquet": file for number, file in enumerate(files)}


def _stretches(dataset: Dataset, session: Session) -> dict[str, Stretches]:
    """Return the stretches of each file."""
    rows = session.rows(
        "SELECT part_name, coalesce(country_iso, 'null') AS country, count(*) AS n "  # noqa: S608
        f"FROM {dataset.id} GROUP BY part_name, country ORDER BY part_name, min(part_row)"
    )
    files: dict[str, Stretches] = {}
    for row in rows:
        files.setdefault(row["part_name"], []).append((row["country"], row["n"]))
    return files


def _shown(stretches: Stretches | None) -> str:
    if stretches is None:
        return "no such file"
    return " ".join(f"{country}:{rows}" for country, rows in stretches[:30])
