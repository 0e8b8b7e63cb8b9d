"""Looks up rows of published datasets by key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.identity import Identity
from segment1b.pipeline.decide import find_identity
from segment1b.storage.durable import read_object
from segment1b.storage.reader import Reader
from segment1b.storage.root import find_root
from segment1b.storage.snapshot import Snapshot


def open_published(
    data_root: Path,
    given: Mapping[str, Any],
    dictionary: Path | None,
    reads: Sequence[str],
    disallowed_code: str,
) -> tuple[Reader, Identity, dict[str, Any]]:
    """Return a reader of these datasets of a published run, the identity and the policy."""
    root = find_root(data_root)
    known, identity = find_identity(root, dictionary, given)
    reader = Reader(Snapshot(root, known, identity.places), reads, disallowed_code)
    reader.fetch(reads)
    return reader, identity, read_object(reader.file("parameter_policy_1B"))["policy"]


def rows_where(reader: Reader, dataset_id: str, columns: Sequence[str], **key: Any) -> pa.Table:
    """Return the rows of a dataset whose key columns have these values."""
    partition = reader.partition(dataset_id)
    names = list(dict.fromkeys([*key, *columns]))
    schema = pa.schema([partition.dataset.arrow_schema.field(name) for name in names])
    parts = [schema.empty_table()]
    where = {name: (value, value) for name, value in key.items()}
    for table in reader.row_groups(partition, names, where):
        keep = np.ones(table.num_rows, bool)
        for name, value in key.items():
            keep &= _equal(table.column(name), value)
        parts.append(table.filter(pa.array(keep)).cast(schema))
    return pa.concat_tables(parts)


def _equal(column: pa.ChunkedArray, value: Any) -> npt.NDArray[np.bool_]:
    if not pa.types.is_dictionary(column.type):
        return np.asarray(column.to_numpy() == value)
    array = column.combine_chunks()
    wanted = np.array([word == value for word in array.dictionary.to_pylist()] or [False])
    return np.asarray(wanted[array.indices.to_numpy()])
