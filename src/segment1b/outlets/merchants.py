"""The numbers of merchants whose ids are any text (docs/spec/outlet-lists.md#merchant-ids)."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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


def clashes(ids: pa.StringArray) -> list[tuple[str, str]]:
    """Return pairs of different ids that have one number."""
    first: dict[int, str] = {}
    found = []
    for text in sorted(set(ids.drop_null().to_pylist())):
        other = first.setdefault(_number(text), text)
        if other != text and text.strip():
            found.append((other, text))
    return found


def _number(text: str) -> int:
    if not text.strip():
        return 0
    if text.isascii() and text.isdecimal() and text[0] != "0" and int(text) <= MAX_MERCHANT:
        return int(text)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
