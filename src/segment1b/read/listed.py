"""What an outlet list has beside its sites: merchants' texts, outlet keys, carried columns."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.contracts import Contracts
from segment1b.errors import Segment1BError
from segment1b.outlets.directories import KEY, Directories, directory
from segment1b.storage.receipts import key_words

#: The columns of an export, which those of a list do not replace.
_OWN = (
    "merchant_id",
    "legal_country_iso",
    "site_order",
    "lon_deg",
    "lat_deg",
    "geometry",
    "bbox",
    "merchant",
    "trade",
    "outlet_id",
    "hilbert",  # orders a GeoParquet file while it is written
)
_PREFIX = "list_"
_ORDER_BITS, _COUNTRY_BITS = 20, 16


@dataclass(frozen=True, eq=False)
class Listed:
    """The directories of a list, ready to be joined to its sites.

    Attributes:
        directories: as they are published.
        keys: the place of each row of the outlet directory, int64[r], ascending.
        names: the column of an export by the column of the outlet directory.
    """

    directories: Directories
    keys: npt.NDArray[np.int64]
    names: dict[str, str]

    @property
    def schema(self) -> pa.Schema:
        """Return the columns that are joined to sites."""
        fields = [pa.field("merchant", pa.string())]
        if self.directories.trades is not None:
            fields.append(pa.field("trade", pa.string()))
        if (outlets := self.directories.outlets) is not None:
            fields += [outlets.schema.field(old).with_name(new) for old, new in self.names.items()]
        return pa.schema([field.with_nullable(True) for field in fields])

    def join(self, sites: pa.Table) -> pa.Table:
        """Return sites with the columns of the list after their own."""
        merchant = sites["merchant_id"].to_numpy()
        columns = [self.directories.texts(merchant)]
        if self.directories.trades is not None:
            columns.append(self.directories.texts(merchant, "trade"))
        if (outlets := self.directories.outlets) is not None:
            order = sites["site_order"].to_numpy()
            by_pair = len(self.keys) > 0 and self.keys[0] % (1 << _ORDER_BITS) == 0
            wanted = self._places(merchant, sites["legal_country_iso"], order * (not by_pair))
            at = np.minimum(np.searchsorted(self.keys, wanted), max(len(self.keys) - 1, 0))
            if not len(self.keys) or (self.keys[at] != wanted).any():
                what = "the outlet directory does not have the outlets of these sites"
                raise Segment1BError("E_EGRESS_CHECKSUM_MISMATCH", what)
            rows = pa.array(at)
            columns += [outlets[name].combine_chunks().take(rows) for name in self.names]
        for field, values in zip(self.schema, columns, strict=True):
            sites = sites.append_column(field, values)
        return sites

    def _places(self, merchant: Any, country: Any, order: Any) -> npt.NDArray[np.int64]:
        held = self.directories.merchants["merchant_id"].to_numpy()
        return _places(np.searchsorted(held, merchant), country, order)

    def outlet(self, merchant: int, country: str, order: int) -> str | None:
        """Return the outlet_id of one site, or None where the list has none."""
        outlets = self.directories.outlets
        if outlets is None or "outlet_id" not in outlets.column_names:
            return None
        place = self._places(np.array([merchant], np.uint64), pa.array([country]), order)[0]
        at = int(np.searchsorted(self.keys, place))
        return str(outlets["outlet_id"][at]) if at < len(self.keys) else None


def _places(merchant: Any, country: Any, order: Any) -> npt.NDArray[np.int64]:
    """Return numbers that ascend as (merchant, country, order) do."""
    codes = np.asarray(key_words(country), np.int64)
    place = np.asarray(merchant, np.int64) << _COUNTRY_BITS | codes
    return place << _ORDER_BITS | np.asarray(order, np.int64)


def listed(
    root: Path, contracts: Contracts, fingerprint: str, added: Sequence[str] = ()
) -> Listed | None:
    """Return what a list has beside its sites, checked against its bundle; None for a plain list.

    Args:
        root: the data root.
        contracts: dictionary and schemas.
        fingerprint: of the list.
        added: columns that an export has beside its usual ones.

    Raises:
        Segment1BError: as `directory`.
    """
    found = directory(root, contracts, fingerprint)
    if found is None:
        return None
    names: dict[str, str] = {}
    keys = np.empty(0, np.int64)
    if found.outlets is not None:
        held = found.merchants["merchant_id"].to_numpy()
        merchant, country, order = (found.outlets[name] for name in KEY)
        keys = _places(np.searchsorted(held, merchant.to_numpy()), country, order.to_numpy())
        names = shown_names(found.outlets.column_names[len(KEY) :], added)
    return Listed(found, keys, names)


def shown_names(columns: Sequence[str], added: Sequence[str] = ()) -> dict[str, str]:
    """Return the column of an export by the column of a list; no two are equal in any case."""
    own = {*_OWN, *added}
    present = {name.casefold() for name in columns}
    names = {}
    for name in columns:
        shown = name
        if name != "outlet_id" and name.casefold() in own:
            shown = _PREFIX + name
            while shown.casefold() in present:
                shown = _PREFIX + shown
        names[name] = shown
    return names


def json_texts(values: pa.ChunkedArray) -> pa.Array:
    """Return values as JSON: numbers and booleans as they are, infinities and others as text."""
    kind = values.type
    texts = values.cast(pa.string()).combine_chunks()
    plain = pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind)
    if not plain or (pa.types.is_floating(kind) and pc.any(pc.is_inf(values)).as_py()):
        words = texts.dictionary_encode()
        quoted = [json.dumps(text, ensure_ascii=False) for text in words.dictionary.to_pylist()]
        if plain:
            whole = words.dictionary.to_pylist()
            quoted = [q if "inf" in t else t for q, t in zip(quoted, whole, strict=True)]
        texts = pa.array(quoted, pa.string()).take(words.indices)
    return pc.fill_null(texts, "null")


def plain_types(schema: pa.Schema) -> pa.Schema:
    """Return columns in types that GDAL writes: decimals and large whole numbers as text."""
    kinds = []
    for field in schema:
        text = pa.types.is_decimal(field.type) or field.type == pa.uint64()
        kinds.append(field.with_type(pa.string()) if text else field)
    return pa.schema(kinds)
