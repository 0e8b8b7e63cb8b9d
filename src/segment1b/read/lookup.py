"""Looks up rows of published datasets by key."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from segment1b.identity import Identity
from segment1b.outlets.merchants import merchant_number
from segment1b.pipeline.finding import find_identity
from segment1b.read.gate import Which
from segment1b.read.listed import Listed, listed
from segment1b.storage.durable import read_object
from segment1b.storage.reader import Reader
from segment1b.storage.root import find_root
from segment1b.storage.site_tables import Wanted
from segment1b.storage.snapshot import Snapshot


@dataclass(frozen=True)
class PublishedPair:
    """One merchant in one country of a published run, and its datasets."""

    reader: Reader
    identity: Identity
    policy: dict[str, Any]
    merchant: int
    country: str
    listed: Listed | None = None
    given: str | None = None

    @property
    def names(self) -> dict[str, Any]:
        """Return the merchant's number and the country, and its id where that is another text."""
        names: dict[str, Any] = {"merchant_id": self.merchant, "country_iso": self.country}
        if self.listed is not None:
            names["merchant"] = self.listed.directories.texts([self.merchant])[0].as_py()
        return names

    @property
    def label(self) -> str:
        """Return the merchant's id, of the list or as given; its number if that is another."""
        number, text = str(self.merchant), self.names.get("merchant") or self.given
        return number if text in (None, number) else f"{text} ({number})"

    @property
    def key(self) -> dict[str, Any]:
        """Return the key columns of the pair."""
        return {"merchant_id": self.merchant, "legal_country_iso": self.country}

    @property
    def plan(self) -> dict[int, int]:
        """Return the planned sites by tile."""
        columns = ["tile_id", "n_sites_tile"]
        tiles, n = self.rows("s4_alloc_plan", columns, **self.key).columns
        return dict(zip(tiles.to_pylist(), n.to_pylist(), strict=True))

    def rows(self, dataset_id: str, columns: Sequence[str], **key: Any) -> pa.Table:
        """Return the rows of a dataset whose key columns have these values."""
        partition = self.reader.partition(dataset_id)
        names = list(dict.fromkeys([*columns, *key]))
        where = {name: (value, value) for name, value in key.items()}
        types = partition.dataset.arrow_schema
        schema = pa.schema([types.field(name) for name in columns])
        tables = []
        for table in self.reader.row_groups(partition, names, where):
            for name, value in key.items():
                wanted = pa.scalar(value, types.field(name).type)
                table = table.filter(pc.equal(table[name], wanted))
            tables.append(table.select(columns).cast(schema))
        return pa.concat_tables(tables or [schema.empty_table()]).combine_chunks()


def open_pair(
    root: str | Path, merchant: int | str, country: str, which: Which, reads: Sequence[str]
) -> PublishedPair:
    """Return a pair of a published run, by the merchant's id, to be read from these datasets."""
    number = merchant_number(merchant)
    Wanted((country,), (number,))
    folder = find_root(root)
    known, identity = find_identity(folder, which.pop("dictionary", None), which)
    reader = Reader(Snapshot(folder, known, identity.places), reads)
    reader.fetch(reads)
    policy = read_object(reader.file("parameter_policy_1B"))["policy"]
    beside = listed(folder, known, identity.manifest_fingerprint)
    return PublishedPair(reader, identity, policy, number, country, beside, str(merchant))
