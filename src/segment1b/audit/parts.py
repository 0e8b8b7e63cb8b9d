"""A look at the tiles of a large world in parts, on any worker, side by side.

What the parts have seen is put together for the checks, which then read no tile a second time.
What could not be looked at the checks look into themselves, and say what is wrong with it.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, NamedTuple

from segment1b.audit.case import Case, Look
from segment1b.audit.grid import read_grid
from segment1b.audit.passes import ENDS
from segment1b.audit.plans import PLANS
from segment1b.audit.proofs import FileValues
from segment1b.audit.published_files import Published, values_name
from segment1b.audit.session import Session
from segment1b.contracts.faults import raise_machine_fault

FILES_OF_A_PART, MOST_PARTS = 16, 64
#: What a part has seen, by the name under which the checks ask for it.
Seen = dict[str, list[Any]]


class Part(NamedTuple):
    """One of so many parts of the tiles that a state has published."""

    state: str
    number: int
    of: int


def parts_of(published: Published, state: str) -> list[Part]:
    """Return the parts in which a state's tiles are looked at; none where the world is small."""
    if state not in PLANS or not PLANS[state].looks:  # as the weights of trades
        return []
    of = min(-(-len(published.files("tile_index")) // FILES_OF_A_PART), MOST_PARTS)
    return [Part(state, number, of) for number in range(of)] if of > 1 else []


def look_at(published: Published, part: Part) -> Seen:
    """Return what one part shows; without a raster nothing of it is looked at."""
    state, number, of = part
    own, seen = replace(published, memo={}), Seen()
    plan = PLANS[state].without(own.unused)
    looks: dict[str, Look] = {**plan.looks}
    looks |= {values_name(table): functools.partial(_values, table) for table in plan.owns}
    with Session(own, threads=1) as session:
        for name, look in looks.items():
            try:
                case = Case(session, grid=own.once("grid", functools.partial(read_grid, own)))
                seen[name] = list(look(case, number, of))
            except ENDS as error:
                raise_machine_fault(error)
    return seen


def _values(dataset_id: str, case: Case, number: int, of: int) -> list[FileValues]:
    return case.published.values(dataset_id, number, of)


def put_together(published: Published, seen: Sequence[Seen]) -> None:
    """Keep what all parts of a state have seen, in their order, for its checks."""
    for name in set.intersection(*map(set, seen)):
        published.memo[name] = list(itertools.chain.from_iterable(own[name] for own in seen))


def look_at_all(published: Published, state: str, threads: int) -> None:
    """Look at all parts of a state, `threads` side by side, for its checks."""
    if parts := parts_of(published, state):
        with ThreadPoolExecutor(threads) as pool:
            put_together(published, list(pool.map(look_at, [published] * len(parts), parts)))
