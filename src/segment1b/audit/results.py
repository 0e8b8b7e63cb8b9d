"""The result of a check: the rule it proves and the rows that offend against it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SHOWN_ROWS = 20
ABSENT = "absent"
Row = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """What a check proves.

    Attributes:
        state: s0 to s9.
        name: short name of the check, unique within its state.
        code: the error code that offending rows mean.
        scope: R run, D dataset, C country, P pair, T tile, S site.
        proves: one sentence that holds when nothing offends.
    """

    state: str
    name: str
    code: str
    scope: str
    proves: str


@dataclass(frozen=True)
class CheckResult(Rule):
    """The verdict of one check.

    Attributes:
        offending: how many rows offend.
        rows: the first 20 of them, with key, what was found and what was expected.
        detail: what else a reader needs to know, for example which checks were not possible.
    """

    offending: int
    rows: list[Row]
    detail: str = ""

    @property
    def ok(self) -> bool:
        """Return whether nothing offends."""
        return self.offending == 0


@dataclass(frozen=True)
class Found:
    """Offending rows that have a code of their own, come in no order, or were counted already."""

    rows: Iterable[Row]
    code: str = ""
    in_order: bool = True
    count: int | None = None


class RefusedError(Exception):
    """A step of a check that does not hold, with its code and the offending rows."""

    def __init__(self, code: str, *rows: Row) -> None:
        super().__init__(code)
        self.code, self.rows = code, rows


def judge(rule: Rule, found: Iterable[Row] | Found, detail: str = "") -> CheckResult:
    """Return the verdict over offending rows."""
    some = found if isinstance(found, Found) else Found(found)
    numbers = itertools.count()
    rows: Iterator[Row] = (row for row, _ in zip(some.rows, numbers, strict=False))
    if some.in_order:
        shown = list(itertools.islice(rows, SHOWN_ROWS))
        for _ in rows:
            pass
    else:
        shown = heapq.nsmallest(SHOWN_ROWS, rows, key=_site)
    count = next(numbers) if some.count is None else some.count
    code = some.code or rule.code
    return CheckResult(rule.state, rule.name, code, rule.scope, rule.proves, count, shown, detail)


def _site(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name, 0) for name in ("merchant_id", "site_order", "attempt", "tile_id"))


def differences(
    found: Mapping[str, Any],
    expected: Mapping[str, Any],
    *,
    named: str = "field",
    absent: str | None = ABSENT,
    **place: Any,
) -> Iterator[Row]:
    """Yield a row for each name whose found value is not the expected one, types included."""
    for name in sorted(found.keys() | expected.keys()):
        pair = found.get(name, absent), expected.get(name, absent)
        if (name in found) != (name in expected) or not _is_same(*pair):
            yield {**place, named: name, "found": pair[0], "expected": pair[1]}


def fields_differ(found: dict[str, Any], expected: dict[str, Any], **place: Any) -> Iterator[Row]:
    """Yield the differences in the expected fields alone."""
    return differences({name: found[name] for name in expected}, expected, **place)


def _is_same(found: Any, expected: Any) -> bool:
    """Return whether two values are equal and of one type: 0, 0.0 and false are three."""
    if type(found) is not type(expected):
        return False
    if isinstance(found, dict):
        names = found.keys()
        return names == expected.keys() and all(_is_same(found[n], expected[n]) for n in names)
    if isinstance(found, list):
        return len(found) == len(expected) and all(map(_is_same, found, expected))
    return bool(found == expected)
