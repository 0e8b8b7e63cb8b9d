"""One pass over the tile datasets, in written order, that settles checks.

A check is settled when a pass over the row groups has seen that nothing offends against it. Only
the others are run as they are declared: what they print and how they find offending rows does not
depend on passes, and no query sorts or joins all tiles where all is well.
"""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from rasterio.errors import RasterioError

from segment1b.audit.case import Case
from segment1b.audit.published_files import Published, UnusableError, part_of
from segment1b.audit.shapes import ROWS_OF_A_GROUP, pack, pieces
from segment1b.contracts import Dataset
from segment1b.errors import Segment1BError

Arrays = dict[str, npt.NDArray[Any]]
_CODE, _TILE = "country_iso", "tile_id"


class UnsettledError(Exception):
    """A table that is not as a pass needs it: the checks look into it."""


#: What ends a pass before its end: whatever it is about, the checks say it, each with its code.
ENDS = (
    *(UnsettledError, UnusableError, Segment1BError, duckdb.Error, RasterioError),
    *(pa.ArrowException, OSError, ValueError, ArithmeticError, LookupError, TypeError),
)


class Group(NamedTuple):
    """A row group: the one word of each of its columns of text, the values of the others."""

    words: dict[str, str]
    values: Arrays


class Stretch(NamedTuple):
    """Rows of one country in a file: how many, and the first and last tile."""

    code: str
    rows: int
    first: int
    last: int


class Doubts(set[str]):
    """Names of checks that a pass cannot settle."""

    def unless(self, holds: object, *names: str) -> None:
        """Add checks where something does not hold."""
        if not holds:
            self.update(names)


@dataclass(frozen=True)
class Tally:
    """What a pass over a file, or several side by side, has found.

    Attributes:
        stretches: of each row group.
        doubts: names of checks that it does not settle.
        figures: what else the pass needs of the file.
    """

    stretches: Sequence[Stretch]
    doubts: Doubts
    figures: Any


def groups(dataset: Dataset, path: Path) -> Iterator[Group]:
    """Yield the row groups of a file of a tile dataset.

    Raises:
        UnsettledError: no row groups or rows, nulls, another type than declared, or a column of
            text with several words in a row group.
    """
    texts = [column.name for column in dataset.columns if column.type == "string"]
    declared = {column.name: column.arrow_type for column in dataset.columns}
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        if not file.num_row_groups:
            raise UnsettledError
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=[*declared], use_threads=False)
            if not table.num_rows or any(column.null_count for column in table.columns):
                raise UnsettledError
            words = {name: _word(table.column(name)) for name in texts}
            numbers = table.drop_columns(texts)
            if numbers.schema.types != [declared[name] for name in numbers.column_names]:
                raise UnsettledError
            yield Group(words, {n: numbers.column(n).to_numpy() for n in numbers.column_names})


def _word(column: pa.ChunkedArray) -> str:
    words = set[str]()
    for chunk in column.chunks:
        if not pa.types.is_dictionary(chunk.type):
            raise UnsettledError
        numbers = chunk.indices.to_numpy()
        if numbers.min() != numbers.max():
            raise UnsettledError
        words.add(chunk.dictionary[int(numbers[0])].as_py())
    if len(words) != 1:
        raise UnsettledError
    return words.pop()


def fit(dataset: Dataset, group: Group) -> bool:
    """Return whether every value of a row group fits the pattern and the bounds of its schema."""
    for column in dataset.columns:
        if column.name in group.words:
            if not re.fullmatch(column.pattern or ".*", group.words[column.name]):
                return False
            continue
        values = group.values[column.name]
        least, largest = values.min().item(), values.max().item()  # NaN where one is
        low, above, high = column.minimum, column.exclusive_minimum, column.maximum
        if not (
            (math.isfinite(least) and math.isfinite(largest))
            and (low is None or least >= low)
            and (above is None or least > above)
            and (high is None or largest <= high)
        ):
            return False
    return True


def stretch(group: Group) -> Stretch:
    """Return the rows of a group; raise UnsettledError unless its tiles ascend, none twice."""
    tiles = group.values[_TILE]
    if not (tiles[1:] > tiles[:-1]).all():
        raise UnsettledError
    return Stretch(group.words[_CODE], len(tiles), int(tiles[0]), int(tiles[-1]))


def same_tiles(one: Group, other: Group) -> bool:
    """Return whether two row groups have the same countries and tiles in the same order."""
    same = one.words[_CODE] == other.words[_CODE]
    return same and np.array_equal(one.values[_TILE], other.values[_TILE])


def in_step(datasets: Sequence[Dataset], paths: Sequence[Path]) -> Iterator[tuple[Group, ...]]:
    """Yield the row groups of files of several datasets side by side.

    Raises:
        UnsettledError: one has more than another, or other tiles.
    """
    files = [groups(*one) for one in zip(datasets, paths, strict=True)]
    for some in itertools.zip_longest(*files):
        if None in some or not all(same_tiles(some[0], other) for other in some[1:]):
            raise UnsettledError
        yield some


def declared_files(published: Published, dataset_id: str) -> list[Path]:
    """Return the files of a table; raise UnsettledError unless they are named as declared."""
    files = published.files(dataset_id)
    if [file.name for file in files] != [f"part-{n:05d}.parquet" for n in range(len(files))]:
        raise UnsettledError
    return files


def numbered_groups(published: Published, dataset_id: str) -> Iterator[tuple[int, Group]]:
    """Yield the row groups of a table in written order, each with the number of its file."""
    for number, file in enumerate(declared_files(published, dataset_id)):
        for group in groups(published.dataset(dataset_id), file):
            yield number, group


def each_file(
    case: Case,
    work: Callable[[Sequence[Path]], Tally],
    *dataset_ids: str,
    number: int = 0,
    of: int = 1,
) -> list[Tally]:
    """Return what some work gives of each file of several datasets, those of one name together.

    Of so many parts of the files, it is one that is looked at.

    Raises:
        UnsettledError: they have other files than the declared ones, or not all the same.
    """
    listed = [declared_files(case.published, dataset_id) for dataset_id in dataset_ids]
    if len({*map(len, listed)}) != 1:
        raise UnsettledError
    with ThreadPoolExecutor(case.session.threads) as pool:
        return list(pool.map(work, part_of([*zip(*listed, strict=True)], number, of)))


def whole_countries(tallies: Sequence[Tally]) -> list[Stretch]:
    """Return the tiles of all files as one stretch a country, in written order.

    Raises:
        UnsettledError: countries or tiles do not ascend from file to file.
    """
    found: list[Stretch] = []
    for own in (one for tally in tallies for one in tally.stretches):
        if found and own.code == found[-1].code and own.first > found[-1].last:
            before = found.pop()
            found.append(Stretch(own.code, before.rows + own.rows, before.first, own.last))
        elif not found or own.code > found[-1].code:
            found.append(own)
        else:
            raise UnsettledError
    return found


def cut_as_declared(tallies: Sequence[Tally]) -> bool:
    """Return whether files and row groups are cut as the tiles of the countries ask for."""
    found = [[(own.code, own.rows) for own in tally.stretches] for tally in tallies]
    counts = Counter[str]()
    for code, rows in itertools.chain.from_iterable(found):
        counts[code] += rows
    return found == [
        [(code, size) for code, rows in file for size in pieces(rows, ROWS_OF_A_GROUP)]
        for file in pack(counts)
    ]


def codes_of(case: Case, dataset_id: str) -> set[str]:
    """Return the countries of a small table; raise UnsettledError where one is null."""
    query = f"SELECT DISTINCT country_iso AS code FROM {dataset_id}"  # noqa: S608 - of the contracts
    codes = {row["code"] for row in case.session.rows(query)}
    if None in codes:
        raise UnsettledError
    return codes


def sum_of(values: npt.NDArray[np.int64]) -> int:
    """Return the exact sum of int64 numbers."""
    low = int((values & 0xFFFFFFFF).sum())
    return (int((values >> 32).sum()) << 32) + low
