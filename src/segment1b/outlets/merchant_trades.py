"""The trades of a list's merchants: its column `trade` or `mcc`, and the dataset merchant_trades.

The law is docs/spec/outlet-lists.md#trades.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.locations import nearest
from segment1b.contracts.trades import EVERYTHING, load_trades
from segment1b.errors import schema_invalid
from segment1b.outlets.columns import shortened
from segment1b.outlets.lists import Findings
from segment1b.storage.arrays import distinct
from segment1b.storage.ingress import ingress_groups
from segment1b.storage.parts import FILE_ROWS, groups, part_name, write_part
from segment1b.storage.reader import Reader
from segment1b.storage.receipts import file_names
from segment1b.storage.root import root_at
from segment1b.storage.snapshot import Snapshot

DATASET = "merchant_trades"
#: A trade is its number in the file, from 1; this one is an MCC that no trade lists.
UNLISTED = 0x7FFF
NUMBER_OF_EVERYTHING = 1
_DIGITS = 4  # of a merchant category code
Numbers = npt.NDArray[np.int16]


def names() -> list[str]:
    """Return the ids of all trades; `everything` is the first."""
    return list(load_trades().percents)


def numbers_of(column: str, values: pa.Array) -> Numbers:
    """Return the trade of each value of a column `trade` or `mcc`, int16[r]; 0 for a bad value.

    An absent value is `everything`.
    """
    words = values.cast(pa.string()).dictionary_encode()
    number = _number_of_id if column == "trade" else _number_of_code
    texts = [text.strip() for text in words.dictionary.to_pylist()]
    found = [number(text) if text else NUMBER_OF_EVERYTHING for text in texts]
    table = np.array([*found, NUMBER_OF_EVERYTHING], np.int16)
    places = words.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)
    return np.asarray(table[places])


def fault_of(column: str, text: str) -> str:
    """Return why a value of a column `trade` or `mcc` is not valid."""
    shown = shortened(text)
    if column == "mcc":
        return f"{shown} is not a merchant category code of up to four digits"
    return f"{shown} is not a trade: {nearest(text.strip(), names())}"


def joined(batches: Sequence[Numbers], rows: int) -> Numbers:
    """Return the trades of all rows, int16[rows]; `everything` where a list has none."""
    if not batches:
        return np.broadcast_to(np.int16(NUMBER_OF_EVERYTHING), rows)
    return np.concatenate(batches)


def listed(merchant: npt.NDArray[np.uint64], trade: Numbers, findings: Findings) -> Numbers:
    """Return trades, by merchant, with `everything` for an MCC of no trade; note how many."""
    unlisted = trade == UNLISTED
    if unlisted.any():
        count = len(distinct(merchant[unlisted]))
        what = f"{count:,} merchants have an MCC of no trade"
        findings.notes.append(f"{what}: their outlets follow people alone ({EVERYTHING})")
    return np.where(unlisted, np.int16(NUMBER_OF_EVERYTHING), trade)


def as_lines(trades: pa.Table) -> bytes:
    """Return a line `merchant_id,trade` for each merchant."""
    merchants, own = (trades[name].to_pylist() for name in ("merchant_id", "trade"))
    return "".join(f"{one},{trade}\n" for one, trade in zip(merchants, own, strict=True)).encode()


def contradicted(
    merchant: npt.NDArray[np.uint64], trade: Numbers, row: npt.NDArray[np.int32]
) -> npt.NDArray[np.bool_]:
    """Return which rows, by merchant, have another trade than their merchant's first in the file.

    `row` is the position in the file, from 0.
    """
    if not len(merchant):
        return np.zeros(0, np.bool_)
    first = np.ones(len(merchant), np.bool_)
    first[1:] = merchant[1:] != merchant[:-1]
    place = np.empty_like(row)
    place[row] = np.arange(len(row), dtype=row.dtype)
    earliest = place[np.minimum.reduceat(row, np.flatnonzero(first))]
    own = trade[earliest][np.cumsum(first) - 1]
    return np.asarray((own != trade) & (own > 0) & (trade > 0) & (merchant > 0))


def texts_of(trade: Numbers) -> pa.StringArray:
    """Return the ids of trades by their numbers."""
    return pa.array(names()).take(pa.array(trade - 1))


def trades_of(table: pa.Table, merchants: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Return the trade of each merchant, by merchant_trades."""
    at = pc.index_in(merchants, table["merchant_id"])
    return pc.fill_null(table["trade"].combine_chunks().take(at), EVERYTHING)


def in_use(trades: pa.Array | pa.ChunkedArray | None) -> tuple[str, ...]:
    """Return the distinct trades but `everything`, in ASCII order."""
    listed = [] if trades is None else pc.unique(trades).to_pylist()
    return tuple(sorted(set(listed) - {EVERYTHING}))


def write_trades(folder: Path, dataset: Dataset, table: pa.Table) -> None:
    """Write the part files of merchant_trades: merchant_id and trade, by merchant."""
    rows = table.num_rows
    for number, low in enumerate(range(0, rows, FILE_ROWS)):
        parts = groups(low, min(low + FILE_ROWS, rows))
        write_part(
            folder / part_name(number),
            dataset,
            (table.slice(start, stop - start).cast(dataset.arrow_schema) for start, stop in parts),
        )


def find_trades(root: Path, contracts: Contracts, seed: int, fingerprint: str) -> tuple[str, ...]:
    """Return the trades in use that a root has for an outlet list; raises as `find_table`."""
    table = find_table(root, contracts, seed, fingerprint)
    return () if table is None else in_use(table["trade"])


def find_table(root: Path, contracts: Contracts, seed: int, fingerprint: str) -> pa.Table | None:
    """Return merchant_trades of an outlet list, as `read_trades`; None where a root has none.

    Those of an imported list are the same for any seed; the run's own seed goes first.

    Raises:
        Segment1BError: as `read_trades`.
    """
    dataset = contracts[DATASET]
    tokens = {"seed": seed, "manifest_fingerprint": fingerprint}
    pattern = dataset.locate({**tokens, "seed": "*"})
    root_at(root).fetch([pattern])
    own = root / dataset.locate(tokens)
    folders = [own] if own.is_dir() else sorted(root.glob(pattern))
    if not folders:
        return None
    seed_there = folders[0].parent.name.partition("=")[2]
    reader = Reader(Snapshot(root, contracts, {**tokens, "seed": seed_there}), (DATASET,))
    return read_trades(reader)


def read_trades(reader: Reader) -> pa.Table:
    """Return merchant_trades as it is published: merchant_id ascending, and trade.

    Raises:
        Segment1BError: E_INPUT_SCHEMA_INVALID for a trade that is not known, or merchants that do
            not ascend; as `ingress_groups`.
    """
    dataset, folder = reader.dataset(DATASET), reader.file(DATASET)
    columns = [column.name for column in dataset.columns]

    def tables() -> Iterator[pa.Table]:
        for name in file_names(folder):
            yield from ingress_groups(reader, dataset, folder / name, columns)

    found = list(tables())
    table = pa.concat_tables(found) if found else dataset.arrow_schema.empty_table()
    merchant = table["merchant_id"].to_numpy()
    hint = "one row a merchant, by merchant_id; 'segment1b trades' lists the trades"
    if table["merchant_id"].null_count or not (merchant[1:] > merchant[:-1]).all():
        raise schema_invalid(folder, "has merchants twice or out of order", hint)
    for text in pc.unique(table["trade"]).to_pylist():
        if text not in load_trades().percents:
            raise schema_invalid(folder, f"has the trade {text!r}: {nearest(text, names())}", hint)
    return table


def _number_of_id(text: str) -> int:
    return names().index(text) + 1 if text in load_trades().percents else 0


def _number_of_code(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _DIGITS and int(text)):
        return 0
    trade = load_trades().by_code.get(int(text))
    return _number_of_id(trade) if trade else UNLISTED
