"""The SQL files, and what their first comment lines declare."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from segment1b.contracts import Contracts, Dataset, StateContract
from segment1b.contracts.texts import read_regular

FOLDER = Path(__file__).parent
_COMMENT = re.compile(r"(?:--.*\n)*")
# A field, and lines that continue it, which are indented.
_FIELD = re.compile(r"^-- (code|scope|proves|needs|makes|settled): (.*(?:\n--   +\S.*)*)", re.M)
# Names of tables after FROM and JOIN, and of run reports as arguments of macros. No tables are
# subqueries, the fields of a report, and the views of the run: whether those come from the policy
# or the raster, the header states.
_TABLE = re.compile(r"(?:(?<!DISTINCT )\bFROM |\bJOIN |'(?=s\d_\w*run_report))([a-z]\w+)\b(?!\()")
_SUBQUERY = re.compile(r"\b(\w+) AS (?:NOT MATERIALIZED )?\(")
_FIELD_VIEW = re.compile(r"(?<=_run_report)_\w+")
_RUN_VIEWS = {"run", "excluded_countries"}
_PAIR = re.compile(r"(\w+) and (\w+)(?: by (.+))?\Z")


@dataclass(frozen=True)
class Script:
    """A SQL file, or a template filled in for one table."""

    stem: str
    header: dict[str, str]
    text: str

    @property
    def needs(self) -> tuple[str, ...]:
        """Return what it reads: the tables that a check names, and what its header adds."""
        added = _names(self.header.get("needs", ""))
        if self.makes:
            return added
        named = {*_TABLE.findall(_FIELD_VIEW.sub("", self.text))}
        return (*sorted(named - {*_SUBQUERY.findall(self.text), *_RUN_VIEWS}), *added)

    @property
    def makes(self) -> tuple[str, ...]:
        """Return the tables it makes; empty for a check."""
        return _names(self.header.get("makes", ""))

    @property
    def settled(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """Return the pairs of tables, and columns beside the site key, in whose rows nothing
        offends if each pair has the same ones in the same order.
        """
        pairs = [_PAIR.match(one.strip()) for one in self.header.get("settled", "").split(";")]
        return [(pair[1], pair[2], _names(pair[3] or "")) for pair in pairs if pair]


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_script(path: Path, stem: str = "", values: Mapping[str, str] | None = None) -> Script:
    """Return a SQL file, or the one that a template gives with some values."""
    text = read_regular(path).decode()
    if values is not None:
        text = text.format_map(values)
    comment = _COMMENT.match(text)
    fields = _FIELD.findall(comment[0] if comment else "")
    header = {name: re.sub(r"\s*\n--\s+", " ", value).strip() for name, value in fields}
    return Script(stem or path.stem, header, text)


def scripts_of(state: str, contract: StateContract, contracts: Contracts) -> Sequence[Script]:
    """Return a state's checks, from files and from templates, in the order of their numbers."""
    files = [read_script(path) for path in (FOLDER / state).glob("[0-9][0-9]_*.sql")]
    tables = [contracts[name] for name in contract.tables]
    lookups = [
        _filled("countries", stem, check.model_dump())
        for stem, check in contract.audit.countries.items()
    ]
    return sorted([*files, *lookups, *_key_checks(tables)], key=lambda script: script.stem)


def _key_checks(tables: Sequence[Dataset]) -> Iterator[Script]:
    """Yield the checks that the rows of each table are in order and no key occurs twice."""
    logs = [table for table in tables if table.path.startswith("logs/")]
    data = [table for table in tables if table not in logs]
    for first, suffix, group in ((10, "", data), (30, "_log", logs)):
        for number, table in enumerate(group):
            of_sites = "site_order" in table.key
            values = {
                "table": table.id,
                "key": ", ".join(table.key),
                "unsorted": table.code("unsorted"),
                "duplicate": table.code("duplicate"),
                "dataset_scope": "D" if of_sites else "R",
                "row_scope": "S" if of_sites else "C" if "country_iso" in table.key else "R",
                "suffix": "" if of_sites else "_rows",
            }
            several = sum(not other.only_with for other in group) > 1
            prefix = f"{table.id}_" if several or table.only_with else ""
            for step, name in enumerate(("sorted", "unique")):
                yield _filled(name, f"{first + 2 * number + step}_{prefix}{name}{suffix}", values)


def _filled(template: str, stem: str, values: Mapping[str, str]) -> Script:
    return read_script(FOLDER / "templates" / f"{template}.sql", stem, values)
