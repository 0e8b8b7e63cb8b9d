"""Checks of sites some countries at a time, on any worker, side by side.

The tables of sites are copied, cut by country into parts of about the same work. A check that is
declared `by_country` holds where it finds nothing in any part; where one finds something, the
checks of the state are run on the whole, and say what is wrong with it.
"""

from __future__ import annotations

import itertools
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from segment1b.audit.acceptance import plan_of
from segment1b.audit.case import POLICY, RASTER, StateChecks
from segment1b.audit.passes import ENDS, UnsettledError
from segment1b.audit.plans import PLANS
from segment1b.audit.published_files import Published, is_our_table
from segment1b.audit.runner import checks_of, clean_name, run_state
from segment1b.audit.session import Session
from segment1b.audit.shapes import ROWS_OF_A_GROUP
from segment1b.audit.tiles import row_groups
from segment1b.contracts.faults import raise_machine_fault

SITES_OF_A_PART, MOST_PARTS = 1 << 19, 64
# So many workers can copy a table, each of them so many rows at a time.
MOST_BATCHES, ROWS_AT_A_TIME = 16, 1 << 21
_COUNTRY = "legal_country_iso"
_SITES = "s5_site_tile_assignment"
# About how many tiles take as long to check as a site.
_TILES_A_SITE = 30


class SitePart(NamedTuple):
    """One of so many parts of the countries, and what is checked of their sites.

    Attributes:
        number, of: which part, and of how many.
        folder: where the copies are.
        checks: names of the checks by country, by state.
    """

    number: int
    of: int
    folder: Path
    checks: Mapping[str, frozenset[str]]


class Batch(NamedTuple):
    """The files first <= number < stop of a table, which are copied together.

    Attributes:
        dataset_id, first, stop: which files.
        part_of, of: the part of each country, and how many parts there are.
        folder: where the copies go.
    """

    dataset_id: str
    first: int
    stop: int
    part_of: Mapping[str, int]
    of: int
    folder: Path


def copy_in_parts(
    published: Published,
    checks: Mapping[str, Iterable[str]],
    folder: Path,
    copy_all: Callable[[list[Batch]], Iterable[bool]],
) -> list[SitePart]:
    """Copy the tables that some checks of states read, and return the parts.

    `checks` are names, by state; those that are not by country are left out. There are no parts
    where the sites are few, or something cannot be copied. `copy_all` gives the results of `copy`.
    """
    own = {state: plan_of(state).by_country.intersection(names) for state, names in checks.items()}
    own = {state: names for state, names in own.items() if names}
    try:
        rows = sum(pq.read_metadata(path).num_rows for path in published.files(_SITES))
        of = min(-(-rows // SITES_OF_A_PART), MOST_PARTS)
        if not own or of < 2:
            return []
        part_of = _countries_of_parts(published, of)
        of = min(of, len(part_of))
        plans = [_plan_of_part(published, state, names) for state, names in own.items()]
        tables = dict.fromkeys(name for plan in plans for name in _copied(published, plan))
        batches = [
            Batch(name, *files, part_of, of, folder)
            for name in tables
            for files in _stretches(len(published.files(name)))
        ]
    except ENDS as error:
        raise_machine_fault(error, folder)
        return []
    if not all(copy_all(batches)):
        return []
    return [SitePart(number, of, folder, own) for number in range(of)]


def copy(published: Published, batch: Batch) -> bool:
    """Copy files to those of the parts of their countries; return whether that can be done."""
    try:
        _copy(published, batch)
    except ENDS as error:
        raise_machine_fault(error, batch.folder)
        return False
    return True


def _stretches(files: int) -> Iterator[tuple[int, int]]:
    size = -(-files // MOST_BATCHES)
    for first in range(0, files, max(size, 1)):
        yield first, min(first + size, files)


def check_part(published: Published, part: SitePart) -> dict[str, bool]:
    """Run the checks of one part; return by state whether they find nothing."""
    tables = part.folder.iterdir()
    copies = {table.name: sorted((table / str(part.number)).iterdir()) for table in tables}
    own, clean = replace(published, memo={}, copies=copies), dict.fromkeys(part.checks, False)
    try:
        with Session(own, threads=1) as session:
            for state, checks in part.checks.items():
                results = run_state(_plan_of_part(own, state, checks), session, checks)
                clean[state] = all(one.ok for one in results)
    except ENDS as error:
        raise_machine_fault(error)
    return clean


def check_in_parts(published: Published, state: str, states: Iterable[str], threads: int) -> None:
    """Check the sites of all of `states` in parts, before the first of them, and keep the outcome.

    `threads` parts are checked side by side.
    """
    if not PLANS[state].by_country or clean_name(state) in published.memo:
        return
    # The checks of the states themselves, without the one that acceptance adds to S8.
    checks = {one: PLANS[one].by_country for one in states if one in PLANS}
    prefix = "segment1b-sites-"
    with tempfile.TemporaryDirectory(prefix=prefix) as folder, ThreadPoolExecutor(threads) as pool:
        copy_all = partial(pool.map, partial(copy, published))
        parts = copy_in_parts(published, checks, Path(folder), copy_all)
        found = list(pool.map(check_part, [published] * len(parts), parts))
    for one in checks:
        published.memo[clean_name(one)] = bool(found) and all(own.get(one) for own in found)


def _plan_of_part(published: Published, state: str, names: Iterable[str]) -> StateChecks:
    """Return a state's plan for some checks alone, with all they need."""
    plan, names = plan_of(state).without(published.unused), {*names}
    checks = [one for one in checks_of(plan, published.contracts) if one.name in names]
    plan = plan.needed_by(checks)
    needs = {POLICY, RASTER}.union(*(one.needs for one in checks))
    needs = needs.union(*(step.needs for step in plan.preparations))
    return replace(plan, absent={n: code for n, code in plan.absent.items() if n in needs})


def _copied(published: Published, plan: StateChecks) -> list[str]:
    """Return the tables of ours with rows of sites or pairs that a plan opens."""
    tables = [one for one in published.contracts if one.id in plan.absent and is_our_table(one)]
    return [one.id for one in tables if _COUNTRY in {column.name for column in one.columns}]


def _countries_of_parts(published: Published, of: int) -> dict[str, int]:
    """Return the number of the part of each country, in parts of about the same work."""
    tiles = Counter[str]()
    for group in row_groups(published, "tile_index"):
        tiles[group.countries[0]] += group.footer.row_group(group.number).num_rows
    with Session(published, threads=1) as session:
        session.open_table(_SITES)
        counts = f"SELECT {_COUNTRY} AS code, count(*) AS n FROM {_SITES} GROUP BY ALL"  # noqa: S608
        work = {r["code"]: tiles[r["code"]] + _TILES_A_SITE * r["n"] for r in session.rows(counts)}
    loads, part_of = [0] * of, {}
    for code, load in sorted(work.items(), key=lambda one: (-one[1], str(one[0]))):
        part_of[code] = least = loads.index(min(loads))
        loads[least] += load
    return part_of


def _copy(published: Published, batch: Batch) -> None:
    """Copy each row to a file of the part of its country, in written order.

    Every row comes into a part; one of an unknown country into the first.

    Raises:
        UnsettledError: a row has no country, or one that is no text.
    """
    texts = [c.name for c in published.dataset(batch.dataset_id).columns if c.type == "string"]
    folder, tables = batch.folder / batch.dataset_id, list[pa.Table]()
    for part in range(batch.of):
        (folder / str(part)).mkdir(parents=True, exist_ok=True)
    for at, path in enumerate(published.files(batch.dataset_id)[batch.first : batch.stop]):
        with pq.ParquetFile(path, read_dictionary=texts) as file:
            for group in range(file.num_row_groups):
                tables.append(file.read_row_group(group))
                if sum(map(len, tables)) >= ROWS_AT_A_TIME:
                    _deal(tables, f"{batch.first + at:05d}-{group:05d}", batch)
                    tables = []
    if tables:
        _deal(tables, f"{batch.stop:05d}", batch)


def _deal(tables: Sequence[pa.Table], name: str, batch: Batch) -> None:
    """Write the rows of each part to a file of that name, which it takes when it is whole."""
    rows = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    country = rows.column(_COUNTRY).combine_chunks()
    if country.null_count or not pa.types.is_dictionary(country.type):
        raise UnsettledError
    parts = [batch.part_of.get(code, 0) for code in country.dictionary.to_pylist()]
    number = np.array(parts, np.uint8)[country.indices.to_numpy()]
    order = np.argsort(number, kind="stable")  # numbers of 8 bits are sorted by their digits
    edges = np.searchsorted(number[order], np.arange(batch.of + 1))
    words = [field.name for field in rows.schema if pa.types.is_dictionary(field.type)]
    folder = batch.folder / batch.dataset_id
    for part, (low, high) in enumerate(itertools.pairwise(edges.tolist())):
        unfinished, own = folder / f"{uuid.uuid4().hex}.unfinished", rows.take(order[low:high])
        pq.write_table(own, unfinished, ROWS_OF_A_GROUP, compression="lz4", use_dictionary=words)
        unfinished.replace(folder / str(part) / f"{name}.parquet")
