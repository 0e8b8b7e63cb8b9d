"""What a check says: the rule it proves and the rows that offend against it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

SHOWN_ROWS = 20
ABSENT = "absent"
Row = dict[str, Any]


@dataclass(frozen=True)
class CheckResult:
    """The verdict of one check.

    Attributes:
        state: s0 to s9.
        name: short name of the check, unique within its state.
        code: the error code that offending rows mean.
        scope: R run, D dataset, C country, P pair, T tile, S site.
        proves: one sentence that holds when nothing offends.
        offending: how many rows offend.
        rows: the first 20 of them, with key, what was found and what was expected.
        detail: what else a reader needs to know, for example which checks were not possible.
    """

    state: str
    name: str
    code: str
    scope: str
    proves: str
    offending: int
    rows: list[Row]
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Return whether nothing offends."""
        return self.offending == 0


@dataclass(frozen=True)
class Rule:
    """What a check is called, which code its offenders carry and what it proves."""

    state: str
    name: str
    code: str
    scope: str
    proves: str

    def judge(self, offenders: Iterable[Row], detail: str = "", code: str = "") -> CheckResult:
        """Return the verdict over some offending rows; `code` overrides the rule's own."""
        rest: Iterator[Row] = iter(offenders)
        shown = list(itertools.islice(rest, SHOWN_ROWS))
        return self.counted(len(shown) + sum(1 for _ in rest), shown, detail, code)

    def judge_unordered(self, offenders: Iterable[Row]) -> CheckResult:
        """Return the verdict over sites that offend, in whatever order they were found."""
        numbered = itertools.count()
        counting = (row for row, _ in zip(offenders, numbered, strict=False))
        shown = heapq.nsmallest(SHOWN_ROWS, counting, key=_site)
        return self.counted(next(numbered), shown)

    def counted(
        self, offending: int, shown: list[Row], detail: str = "", code: str = ""
    ) -> CheckResult:
        """Return the verdict over offenders that were counted already."""
        return CheckResult(
            self.state,
            self.name,
            code or self.code,
            self.scope,
            self.proves,
            offending,
            shown[:SHOWN_ROWS],
            detail,
        )


def _site(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name, 0) for name in ("merchant_id", "site_order", "attempt", "tile_id"))


def differences(found: dict[str, Any], expected: dict[str, Any], **place: Any) -> Iterator[Row]:
    """Yield a row for each name whose found value is not the expected one, types included."""
    for name in sorted(set(found) | set(expected)):
        pair = found.get(name, ABSENT), expected.get(name, ABSENT)
        if (name in found) != (name in expected) or not _is_same(*pair):
            yield {**place, "field": name, "found": pair[0], "expected": pair[1]}


def _is_same(found: Any, expected: Any) -> bool:
    """Return whether two values are one, where 0, 0.0 and false are three."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, dict):
        names = found.keys()
        return names == expected.keys() and all(_is_same(found[n], expected[n]) for n in names)
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(_is_same, found, expected))
    return bool(found == expected)
