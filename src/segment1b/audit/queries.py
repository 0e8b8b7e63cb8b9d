"""The SQL files: what their first lines say, and how they are run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from segment1b.audit.results import CheckResult, Rule
from segment1b.audit.session import Session
from segment1b.contracts import Contracts, Dataset, load_states
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import read_regular
from segment1b.errors import CODES

FOLDER = Path(__file__).parent
_FIELD = re.compile(r"-- (code|scope|proves|needs|makes|settled): (.*)\Z")
# Names of tables after FROM and JOIN, and of run reports as arguments of macros. No tables are
# subqueries, the fields of a report, and the views of the run: whether those come from the policy
# or the raster, the header states.
_TABLE = re.compile(r"(?:(?<!DISTINCT )\bFROM |\bJOIN |'(?=s\d_run_report))([a-z]\w+)\b(?!\()")
_SUBQUERY = re.compile(r"\b(\w+) AS (?:NOT MATERIALIZED )?\(")
_FIELD_VIEW = re.compile(r"(?<=_run_report)_\w+")
_RUN_VIEWS = {"run", "excluded_countries"}
_PAIR = re.compile(r"(\w+) and (\w+)(?: by (.+))?\Z")
_MORE = re.compile(r"--   +(\S.*)\Z")


@dataclass(frozen=True)
class Script:
    """A SQL file, or a template filled in for one table."""

    state: str
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

    @property
    def rule(self) -> Rule:
        """Return the rule that the file proves."""
        header = self.header
        if header["code"] not in CODES:
            raise KeyError(f"{self.state}/{self.stem}: {header['code']}")
        name = self.stem.partition("_")[2]
        return Rule(self.state, name, header["code"], header["scope"], header["proves"])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _script(state: str, stem: str, text: str) -> Script:
    header: dict[str, str] = {}
    last = ""
    for line in text.splitlines():
        field, more = _FIELD.match(line), _MORE.match(line)
        if field:
            last = field.group(1)
            header[last] = field.group(2).strip()
        elif more and last:
            header[last] += " " + more.group(1).strip()
        else:
            break
    return Script(state, stem, header, text)


def read_script(path: Path) -> Script:
    """Return a SQL file with the fields of its first comment lines."""
    return _script(path.parent.name, path.stem, read_regular(path).decode())


def checks_of(state: str, contracts: Contracts) -> Sequence[Script]:
    """Return a state's checks, from files and from templates, in the order of their numbers."""
    files = [read_script(path) for path in (FOLDER / state).glob("[0-9][0-9]_*.sql")]
    contract = load_states()[state]
    tables = [contracts[name] for name in contract.tables]
    lookups = [
        _filled("countries", state, stem, check.model_dump())
        for stem, check in contract.audit.countries.items()
    ]
    scripts = [*files, *lookups, *_key_checks(state, tables)]
    return sorted(scripts, key=lambda script: script.stem)


def _key_checks(state: str, tables: Sequence[Dataset]) -> Iterator[Script]:
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
            prefix = f"{table.id}_" if len(group) > 1 else ""
            for step, name in enumerate(("sorted", "unique")):
                stem = f"{first + 2 * number + step}_{prefix}{name}{suffix}"
                yield _filled(name, state, stem, values)


def _filled(template: str, state: str, stem: str, values: Mapping[str, str]) -> Script:
    text = read_regular(FOLDER / "templates" / f"{template}.sql").decode()
    return _script(state, stem, text.format_map(values))


def run_check(session: Session, script: Script) -> CheckResult:
    """Run one check; a query that breaks off is an offence whose row gives the reason.

    Rows in the same order are compared much faster than a join finds partners for them.
    """
    try:
        if script.settled and all(session.same(*pair) for pair in script.settled):
            return script.rule.judge(())
        return script.rule.judge(session.rows(script.text))
    except duckdb.Error as error:
        return broken_off(script.rule, error)


def broken_off(rule: Rule, error: Exception) -> CheckResult:
    """Return the verdict of a check that could not come to its end."""
    raise_machine_fault(error)
    lines = str(error).strip().splitlines()
    reason = {"reason": lines[0] if lines else type(error).__name__}
    return rule.judge([reason], "the check could not come to its end")
