"""The SQL files: what their first lines say, and how they are run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from segment1b.audit.results import CheckResult, Rule
from segment1b.audit.session import Session
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.texts import read_regular
from segment1b.errors import CODES

FOLDER = Path(__file__).parent
_FIELD = re.compile(r"-- (code|scope|proves|needs|makes|settled): (.*)\Z")
_PAIR = re.compile(r"(\w+) and (\w+)(?: by (.+))?\Z")
_MORE = re.compile(r"--   +(\S.*)\Z")


@dataclass(frozen=True)
class Script:
    """A SQL file.

    Attributes:
        path: the file.
        header: code, scope, proves, needs, makes and settled, as far as its first lines give them.
        text: the whole file.
    """

    path: Path
    header: dict[str, str]
    text: str

    @property
    def needs(self) -> tuple[str, ...]:
        """Return the views and tables it reads."""
        return _names(self.header.get("needs", ""))

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
        name = self.path.stem.partition("_")[2]
        header = self.header
        if header["code"] not in CODES:
            raise KeyError(f"{self.path}: {header['code']}")
        return Rule(self.path.parent.name, name, header["code"], header["scope"], header["proves"])


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def read_script(path: Path) -> Script:
    """Return a SQL file with the fields of its first comment lines."""
    text = read_regular(path).decode()
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
    return Script(path, header, text)


def checks_of(state: str) -> Sequence[Script]:
    """Return a state's checks in the order of their numbers."""
    return [read_script(path) for path in sorted((FOLDER / state).glob("[0-9][0-9]_*.sql"))]


def run_check(session: Session, script: Script) -> CheckResult:
    """Run one check; a query that breaks off is an offence whose row gives the reason.

    Rows that stand side by side are compared many times as fast as a join finds partners for them.
    """
    try:
        if script.settled and all(session.same(*pair) for pair in script.settled):
            return script.rule.judge(())
        return script.rule.judge(session.rows(script.text))
    except duckdb.Error as error:
        return broken_off(script.rule, error)


def broken_off(rule: Rule, error: Exception) -> CheckResult:
    """Return the verdict of a check that could not come to its end.

    Raises:
        Segment1BError: the machine is at fault, not the data.
    """
    raise_machine_fault(error)
    lines = str(error).strip().splitlines()
    reason = {"reason": lines[0] if lines else type(error).__name__}
    return rule.judge([reason], "the check could not come to its end")
