"""Outlet lists that are read row by row in Python: what documents and sheets have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from itertools import islice

import pyarrow as pa

from segment1b.outlets.lists import Place, Source, Survey

_ROWS = 1 << 14
_CHARACTERS = 16 << 20  # of a batch


class RowSource(Source):
    """A file whose rows are lists of texts, all of them as long as `names`."""

    @abstractmethod
    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield number and texts of every row."""

    def batches(self, columns: list[str], carried: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield text columns."""
        self._columns, columns = columns, [*columns, *carried]
        at = self.positions(columns)
        rows, size = [], 0
        for _, texts in self.rows():
            row = [texts[i] for i in at]
            rows.append(row)
            size += sum(len(text) for text in row if text)
            if len(rows) == _ROWS or size > _CHARACTERS:
                yield _batch(rows, columns)
                rows, size = [], 0
        if rows:
            yield _batch(rows, columns)

    def survey(self, wanted: Collection[int]) -> Survey:
        """Read the file again for the places of rows."""
        places = {}
        for row, (number, texts) in enumerate(islice(self.rows(), max(wanted, default=-1) + 1)):
            if row in wanted:
                named = dict(zip(self.names, texts, strict=True))
                places[row] = Place(number, {name: named[name] for name in self._columns})
        return places, []


def _batch(rows: list[list[str | None]], columns: list[str]) -> pa.RecordBatch:
    arrays = [pa.array(texts, pa.string()) for texts in zip(*rows, strict=True)]
    return pa.record_batch(arrays, names=columns)
