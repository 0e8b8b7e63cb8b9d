"""Weights of a country, and of a large one by blocks: each of its files on any worker.

The law is one for the whole country. So its blocks are gone through three times before they are
written: for the sum of masses, and twice for the threshold from which a remainder gets a unit.

Source: docs/spec/s2-weights.md#law
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from segment1b.errors import Segment1BError
from segment1b.geo.tile_masses import groups, masses
from segment1b.laws.apportionment import (
    LeadingBits,
    check_quantisable,
    give_above,
    leading_bits,
    leading_counts,
    shared_ties,
)
from segment1b.laws.centres import centres_of
from segment1b.laws.division import Int64s, checked_sum, muldiv
from segment1b.states.protocol import Countries, OnWorkers, Run
from segment1b.storage.durable import make_folder
from segment1b.storage.parts import TileFile
from segment1b.storage.reader import Reader
from segment1b.storage.records import read_records, write_records

#: A country with more files of tiles is weighed by blocks.
MOST_FILES = 16
# Counters of blocks that add up; the others are of the country.
_ADDED = ("tiles", "postquant_sum_fp", "zero_weight_tiles", "centres")


class Terms(NamedTuple):
    """What a country is weighed by: basis, whether it is the fallback, sum of masses, shortfall."""

    basis: str
    fallback: bool
    total: int
    shortfall: int


class Weighed(NamedTuple):
    """Columns of a country's tiles, or of a block of them, in tile order, and counters.

    The columns are weight_fp, int64 of sum K in the country, and where there are any, centres.
    """

    columns: dict[str, npt.NDArray[Any]]
    counters: dict[str, Any]

    @classmethod
    def of(cls, columns: dict[str, npt.NDArray[Any]], terms: Terms) -> Weighed:
        """Return columns with their counters."""
        weights = columns["weight_fp"]
        centres = int(columns["centres"].sum(dtype=np.int64)) if "centres" in columns else 0
        return cls(
            columns,
            {
                "basis": terms.basis,
                "tiles": len(weights),
                "mass_sum": str(terms.total),
                "postquant_sum_fp": int(weights.sum()),
                "residue_allocations": terms.shortfall,
                "zero_weight_tiles": int(np.count_nonzero(weights == 0)),
                "zero_mass_fallback": terms.fallback,
                "centres": centres,
            },
        )


class Block(NamedTuple):
    """A file of a large country, and what its tiles are weighed by.

    `units` is K; `own` and `total` are the sums of masses of the block and of the country, once
    they are known.
    """

    code: str
    file: TileFile
    basis: str
    units: int
    own: int = 0
    total: int = 0


class SettledBlock(NamedTuple):
    """A block, and all that its weights depend on.

    Attributes:
        block: the block.
        terms: those of the country.
        threshold: remainders above it get a unit.
        equal: of those equal to it, so many get one, the first of them.
    """

    block: Block
    terms: Terms
    threshold: int
    equal: int


def is_large(unit: Sequence[TileFile]) -> bool:
    """Return whether a unit is a country whose files are weighed one by one."""
    return len(unit) > MOST_FILES


def settle(run: Run, unit: Sequence[TileFile], on_workers: OnWorkers) -> list[SettledBlock]:
    """Return the blocks of a large country, and what their weights depend on."""
    code, units = unit[0].stretches[0][0], 10**run.policy.prep.dp
    blocks = [Block(code, file, run.policy.prep.basis, units) for file in unit]
    sums = on_workers(_add_up, blocks)
    if fallback := not any(sums):
        blocks = [block._replace(basis="area_m2") for block in blocks]
        sums = on_workers(_add_up, blocks)
    total = sum(sums)
    with coded_weights(code):
        check_quantisable(total, units)
    blocks = [b._replace(own=own, total=total) for b, own in zip(blocks, sums, strict=True)]
    divided = on_workers(_divide, blocks)
    shortfall = units - sum(floors for floors, _ in divided)
    terms = Terms(blocks[0].basis, fallback, total, shortfall)
    threshold, equal = total, [0] * len(blocks)
    if shortfall:
        counts = np.sum([own for _, own in divided], axis=0)
        leading = leading_bits(counts, total, shortfall)
        found = on_workers(_find, [(block, leading) for block in blocks])
        threshold, equal = shared_ties(found, leading.k)
    return [
        SettledBlock(block, terms, threshold, own) for block, own in zip(blocks, equal, strict=True)
    ]


def weigh_block(run: Run, reader: Reader, settled: SettledBlock) -> Weighed:
    """Return the weights and the centres of the tiles of a block."""
    block = settled.block
    mass = _masses(run, reader, block)
    # Without people there is nobody whose centres these could be.
    columns = centres_columns(run, np.zeros_like(mass) if settled.terms.fallback else mass)
    weights, remainders = muldiv(mass, block.units, block.total, mass)
    give_above(weights, remainders, settled.threshold, settled.equal)
    return Weighed.of(columns | {"weight_fp": weights}, settled.terms)


def centres_columns(run: Run, people: Int64s) -> dict[str, npt.NDArray[Any]]:
    """Return the column of centres of tiles with so many micro-people, where the policy has any."""
    each = run.policy.people_per_centre
    return {} if each is None else {"centres": centres_of(people, each)}


@contextmanager
def coded_weights(code: str) -> Iterator[None]:
    """Raise what cannot be weighed in a country as E105_NORMALIZATION."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        problem, hint = f"{code}: {error}", "lower prep.dp or scale the raster down"
        raise Segment1BError("E105_NORMALIZATION", problem, hint, country_iso=code) from None


def joined(counters: Sequence[Countries]) -> Countries:
    """Return the counters of countries, of which a large one comes in many shards."""
    countries: Countries = {}
    for code, own in itertools.chain.from_iterable(shard.items() for shard in counters):
        if code in countries:
            own = own | {name: countries[code][name] + own[name] for name in _ADDED}
        countries[code] = own
    return countries


def _add_up(run: Run, reader: Reader, block: Block) -> int:
    """Return the sum of a block's masses; those of people, slow to read, are staged."""
    mass = _read(reader, block)
    with coded_weights(block.code):
        total = checked_sum(mass, "tile masses")
    if total and block.basis == "population":
        write_records(_staged(run, block), mass)
    return total


def _divide(run: Run, reader: Reader, block: Block) -> tuple[int, Int64s]:
    """Return the sum of a block's floors, and the counts of its remainders by leading bits."""
    floors, remainders = _divided(run, reader, block)
    return int(floors.sum()), leading_counts(remainders, block.total)


def _find(run: Run, reader: Reader, asked: tuple[Block, LeadingBits]) -> tuple[Int64s, Int64s]:
    """Return a block's remainders that begin with some bits, and how often each comes."""
    block, leading = asked
    return leading.among(_divided(run, reader, block)[1])


def _divided(run: Run, reader: Reader, block: Block) -> tuple[Int64s, Int64s]:
    mass = _masses(run, reader, block)
    return muldiv(mass, block.units, block.total, mass)


def _masses(run: Run, reader: Reader, block: Block) -> Int64s:
    """Return the masses of a block whose sum is known."""
    if not block.own:
        return np.zeros(block.file.rows, np.int64)
    if block.basis == "population":
        return read_records(_staged(run, block), np.dtype(np.int64), block.file.rows)
    return _read(reader, block)


def _read(reader: Reader, block: Block) -> Int64s:
    rows = groups(reader, reader.partition("tile_index"), [block.file.number], block.basis)
    return masses(reader, block.basis, rows, block.file.rows)


def _staged(run: Run, block: Block) -> Path:
    folder = run.staging / "masses"
    make_folder(folder)
    return folder / str(block.file.number)
