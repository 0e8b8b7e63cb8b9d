"""The numbers of merchants whose ids are any text (docs/spec/outlet-lists.md#merchant-ids)."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b.storage.arrays import distinct

MAX_MERCHANT = 2**63 - 1


def merchant_numbers(ids: pa.StringArray) -> npt.NDArray[np.uint64]:
    """Return the number of each merchant id, uint64[r] in 1..2^63-1; 0 for a null or blank id.

    A whole number from 1 without sign or leading zeros is its own number; any other text has the
    first 63 bits of the SHA-256 of its UTF-8 bytes. Each id alone decides, so that a merchant has
    the same number in every list.
    """
    words = ids.dictionary_encode()
    numbers = [_number(text) for text in words.dictionary.to_pylist()]
    places = words.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False)
    return np.asarray(np.array([*numbers, 0], np.uint64)[places])


def merchant_number(merchant: int | str) -> int:
    """Return the number of one merchant id; a number is its own."""
    return merchant if isinstance(merchant, int) else _number(merchant)


def clashes(ids: pa.StringArray) -> list[tuple[str, str]]:
    """Return pairs of different ids that have one number."""
    first: dict[int, str] = {}
    found = []
    for text in sorted(set(ids.drop_null().to_pylist())):
        other = first.setdefault(_number(text), text)
        if other != text and text.strip():
            found.append((other, text))
    return found


def merchant_texts(numbers: npt.NDArray[np.uint64], ids: pa.StringArray) -> pa.StringArray:
    """Return the id of each number: one of `ids`, which are no whole numbers, or its digits.

    `numbers` ascend, none twice, and no two of `ids` have one number.
    """
    own = merchant_numbers(ids)
    digits = pa.array(numbers, pa.uint64()).cast(pa.string())
    places = np.arange(len(numbers))
    places[np.searchsorted(numbers, own)] = len(numbers) + np.arange(len(own))
    return pa.concat_arrays([digits, ids]).take(pa.array(places))


def one_number(ids: pa.StringArray, whole: npt.NDArray[np.uint64]) -> list[tuple[str, str]]:
    """Return the clashes of ids, which are no whole numbers, with each other and with numbers."""
    own = np.sort(merchant_numbers(ids))
    # Without a repeated number there is nothing to look at one by one.
    shared = distinct(whole[np.isin(whole, own)])
    if len(shared) == 0 and (len(own) < 2 or (own[1:] != own[:-1]).all()):
        return []
    return clashes(pa.concat_arrays([ids, pa.array(shared, pa.uint64()).cast(pa.string())]))


def _number(text: str) -> int:
    if not text.strip():
        return 0
    if text.isascii() and text.isdecimal() and text[0] != "0" and int(text) <= MAX_MERCHANT:
        return int(text)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
