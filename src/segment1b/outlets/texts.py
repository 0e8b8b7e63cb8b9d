"""What a list has beside pairs and counts: ids that are text, outlet keys, carried columns."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.outlets.columns import Held, Layout, id_faults
from segment1b.outlets.lists import Source
from segment1b.outlets.merchants import MAX_MERCHANT, merchant_numbers, one_number
from segment1b.outlets.readers import text_bytes

UInt64s = npt.NDArray[np.uint64]
Bools = npt.NDArray[np.bool_]
#: Longer numbers exceed every limit, and these fit 64 bits.
_SAFE_DIGITS = 19
_ZERO = np.uint8(ord("0"))


class ListTexts:
    """What a list has beside numbers: ids that are text, keys, carried columns."""

    def __init__(self, source: Source, layout: Layout) -> None:
        """Hold nothing yet."""
        self.layout = layout
        self.carried: dict[str, pa.Array] = {}
        self.key: pa.Array | None = None
        self.ids = pa.array([], pa.string())  # distinct ids that are no whole number
        #: Why an id is refused whose number another id has.
        self.shared: dict[str, str] = {}
        self._held = Held(source.path)

    def take(self, batch: pa.RecordBatch) -> tuple[UInt64s, Bools]:
        """Hold the texts of a batch; return the merchants' numbers, and which are whole numbers."""
        for at, name in enumerate(self.layout.carried, len(self.layout.columns)):
            self._held.add(name, batch.column(at))
        if self.layout.counted == "outlet_id":
            self._held.keep("outlet_id", _valid_texts(batch.column(2)))
        whole = _canonical(batch.column(0))
        if whole.all():
            return whole, np.ones(len(whole), np.bool_)
        words = _valid_texts(batch.column(0)).dictionary_encode()
        numbers = np.append(merchant_numbers(words.dictionary), np.uint64(0))
        places = words.indices.fill_null(len(numbers) - 1).to_numpy(zero_copy_only=False)
        texts = words.dictionary.filter(pa.array(_canonical(words.dictionary) == 0))
        self._held.keep("merchant_id", texts.drop_null())
        return numbers[places], whole > 0

    def finish(self) -> None:
        """Join what was held of all batches."""
        self.ids = self._held.column("merchant_id").unique()
        self.carried = {name: self._held.column(name) for name in self.layout.carried}
        if self.layout.counted == "outlet_id":
            self.key = self._held.column("outlet_id")

    def share_numbers(self, merchant: UInt64s, is_whole: Bools) -> Bools:
        """Return which rows have an id whose number another id of the list has, bool[r]."""
        if not len(self.ids):
            return np.zeros(len(merchant), np.bool_)
        pairs = one_number(self.ids, merchant[is_whole])
        for one, other in pairs:
            reason = f"{one!r} and {other!r} have one number: rename one of them"
            self.shared |= dict.fromkeys((one, other), reason)
        numbers = merchant_numbers(pa.array([one for one, _ in pairs], pa.string()))
        return np.isin(merchant, numbers)


def _valid_texts(array: pa.Array) -> pa.StringArray:
    """Return ids or keys as text, null for one that is not valid."""
    texts = array.cast(pa.string())
    return pc.if_else(pa.array(id_faults(texts)), pa.scalar(None, pa.string()), texts)


def _canonical(array: pa.Array) -> UInt64s:
    """Return whole numbers without leading zeros as uint64[r], 0 for any other id."""
    whole = whole_numbers(array, MAX_MERCHANT)
    if not pa.types.is_integer(array.type):
        starts, data = text_bytes(array.fill_null(""))
        present = np.flatnonzero(np.diff(starts))
        whole[present[data[starts[present]] == _ZERO]] = 0
    return whole


def whole_numbers(array: pa.Array, limit: int) -> UInt64s:
    """Return whole numbers 1..limit as uint64[r], 0 for any other value."""
    if pa.types.is_integer(array.type):
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        return np.where((values >= 1) & (values <= limit), values, 0).astype(np.uint64)
    texts = array.fill_null("")
    starts, data = text_bytes(texts)
    size = np.diff(starts)
    # Digits alone, all bytes at once; Arrow would take 0x1F for a number as well.
    if not len(size) or size.min() < 1 or size.max() > _SAFE_DIGITS or (data - _ZERO > 9).any():
        fits = pc.match_substring_regex(texts, f"^0*[0-9]{{1,{_SAFE_DIGITS}}}$")
        texts = pc.if_else(fits, texts, "0")
    values = texts.cast(pa.uint64()).to_numpy()
    return np.where(values <= limit, values, np.uint64(0))
