"""How tables are cut into files and row groups (docs/spec/publishing.md#files-of-a-table)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from segment1b.audit.proofs import Proof
from segment1b.audit.results import Row
from segment1b.audit.session import Session
from segment1b.contracts import Dataset

ROWS_OF_A_FILE = 1_048_576
ROWS_OF_A_GROUP = 131_072


def cut_differences(dataset: Dataset, proof: Proof, session: Session) -> Iterator[Row]:
    """Yield where a table's files or row groups are not cut as its dictionary entry declares."""
    if dataset.cut == "tiles":
        yield from _countries_differ(dataset, session)
        expected = _tile_groups(dataset, session)
    else:
        total = proof.rows
        sizes = _pieces(total, ROWS_OF_A_FILE) or [0]
        expected = {_name(k): _pieces(size, ROWS_OF_A_GROUP) for k, size in enumerate(sizes)}
    found = {file.name: [rows for rows in file.rows if rows] for file in proof.files}
    for name in sorted(set(found) | set(expected)):
        if found.get(name) != expected.get(name):
            yield {
                "path": name,
                "what": "rows of its row groups",
                "found": found.get(name),
                "expected": expected.get(name),
            }


def pack(counts: Mapping[str, int]) -> list[list[tuple[str, int]]]:
    """Return the files that hold some countries: for each a list of (country, rows).

    Whole countries fill a file while they fit; one that no file can hold has files of its own.
    """
    files: list[list[tuple[str, int]]] = []
    room = 0
    for country in sorted(counts):
        count = counts[country]
        if count > ROWS_OF_A_FILE:
            files += [[(country, rows)] for rows in _pieces(count, ROWS_OF_A_FILE)]
            room = 0
            continue
        if count > room:
            files.append([])
            room = ROWS_OF_A_FILE
        files[-1].append((country, count))
        room -= count
    return files


def _pieces(total: int, size: int) -> list[int]:
    return [size] * (total // size) + ([total % size] if total % size else [])


def _name(number: int) -> str:
    return f"part-{number:05d}.parquet"


def _stretches(dataset: Dataset, session: Session) -> dict[str, list[tuple[str, int]]]:
    """Return, for each file, its countries with their rows in written order."""
    rows = session.rows(
        f"SELECT part_name, country_iso, count(*) AS n FROM {dataset.id} "  # noqa: S608
        "GROUP BY part_name, country_iso ORDER BY part_name, min(part_row)"
    )
    files: dict[str, list[tuple[str, int]]] = {}
    for row in rows:
        files.setdefault(row["part_name"], []).append((row["country_iso"], row["n"]))
    return files


def _countries_differ(dataset: Dataset, session: Session) -> Iterator[Row]:
    found = _stretches(dataset, session)
    counts: dict[str, int] = {}
    for stretches in found.values():
        for country, rows in stretches:
            counts[country] = counts.get(country, 0) + rows
    expected = {_name(number): file for number, file in enumerate(pack(counts))}
    for name in sorted(set(found) | set(expected)):
        if found.get(name) != expected.get(name):
            yield {
                "path": name,
                "what": "countries and their rows",
                "found": _shown(found.get(name)),
                "expected": _shown(expected.get(name)),
            }


def _shown(stretches: Sequence[tuple[str, int]] | None) -> str:
    if stretches is None:
        return "no such file"
    return " ".join(f"{country}:{rows}" for country, rows in stretches[:30])


def _tile_groups(dataset: Dataset, session: Session) -> dict[str, list[int]]:
    return {
        name: [size for _, rows in stretches for size in _pieces(rows, ROWS_OF_A_GROUP)]
        for name, stretches in _stretches(dataset, session).items()
    }
