"""Counter-based random words: Philox4x64-10 on whole arrays.

Source: docs/spec/random-numbers.md#philox
"""

from __future__ import annotations

import hashlib
import re
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from segment1b.laws.division import UInt64s, multiply_high

#: One counter word for all blocks, or one for each.
CounterWord: TypeAlias = int | npt.NDArray[np.uint64] | npt.NDArray[np.int64]

_ROUNDS: Final = 10
_MULTIPLIERS: Final = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_KEY_STEPS: Final = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_WORD: Final = (1 << 64) - 1
_BLOCK: Final = 1 << 13
_COUNTRY: Final = re.compile("[A-Z]{2}")


def philox4x64(
    counter: tuple[CounterWord, CounterWord, CounterWord, CounterWord], key: tuple[int, int]
) -> tuple[UInt64s, UInt64s, UInt64s, UInt64s]:
    """Compute one block of four random words for each counter.

    Args:
        counter: words c0..c3, each a whole number in 0..2^64-1 or an array uint64[t] or int64[t]
            of such; arrays share one length, numbers apply to all.
        key: words k0, k1, each in 0..2^64-1.

    Returns:
        Words w0..w3, uint64[t] each (t = 1 when every counter word is a number).

    Raises:
        ValueError: arrays of other types or different lengths, or a negative element.
        OverflowError: a number or key word is outside 0..2^64-1.
    """
    words = [_as_words(word) for word in counter]
    lengths = {len(word) for word, given in zip(words, counter, strict=True) if _many(given)}
    if len(lengths) > 1:
        raise ValueError(f"counter words have different lengths: {sorted(lengths)}")
    if not all(0 <= k <= _WORD for k in key):
        raise OverflowError("a key word is outside 0..2^64-1")
    size = lengths.pop() if lengths else 1
    out = tuple(np.empty(size, np.uint64) for _ in range(4))
    for start in range(0, size, _BLOCK):
        part = slice(start, start + _BLOCK)
        block = [
            word[part] if _many(given) else word for word, given in zip(words, counter, strict=True)
        ]
        for target, word in zip(out, _rounds(block, key), strict=True):
            target[part] = word
    return out[0], out[1], out[2], out[3]


def key_of(label: str, seed: int) -> tuple[int, int]:
    """Derive the key (k0, k1) of a stream from its ASCII label and the seed.

    Source: docs/spec/random-numbers.md#key-of-a-stream

    Raises:
        OverflowError: the seed does not fit 64 bits.
    """
    name = label.encode("ascii")
    if b"\0" in name:
        raise ValueError("a stream label cannot hold a NUL")
    digest = hashlib.sha256(b"segment1b\0" + name + b"\0" + seed.to_bytes(8, "little")).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")


def country_word(iso: str) -> int:
    """Return `256*A + B` for a country code of two capital letters; ValueError for another."""
    if not _COUNTRY.fullmatch(iso):
        raise ValueError(f"country {iso!r} is not two capital letters")
    return 256 * ord(iso[0]) + ord(iso[1])


def country_words(country: str | UInt64s) -> int | UInt64s:
    """Return the word of a country code; arrays of such words, one a block, stay as they are."""
    return country_word(country) if isinstance(country, str) else country


def u01(words: UInt64s) -> npt.NDArray[np.float64]:
    """Turn words uint64[t] into uniforms float64[t]: `((x >> 12) + 0.5) * 2^-52`, exact."""
    return ((words >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def alloc_offsets(
    seed: int, merchant_ids: npt.NDArray[np.uint64] | npt.NDArray[np.int64], country: str | UInt64s
) -> UInt64s:
    """Compute the offset U, uint64[pairs], of each merchant's pair with a country.

    `country` is a code or words [pairs].

    Source: docs/spec/s4-allocation.md#offset-of-a-pair

    Raises:
        ValueError: a bad country, or merchant ids that are not uint64 or int64.
        OverflowError: the seed does not fit 64 bits.
    """
    counter = (1, 0, merchant_ids, country_words(country))
    return philox4x64(counter, key_of("alloc_offset", seed))[0]


def _many(word: CounterWord) -> bool:
    return isinstance(word, np.ndarray)


def _as_words(word: CounterWord) -> UInt64s:
    if not isinstance(word, np.ndarray):
        if not 0 <= word <= _WORD:
            raise OverflowError(f"counter word {word} is outside 0..2^64-1")
        return np.array([word], np.uint64)
    if word.ndim != 1 or word.dtype not in (np.uint64, np.int64):
        raise ValueError(f"want uint64[t] counter words, got {word.dtype}{list(word.shape)}")
    if word.dtype == np.int64 and word.size and int(word.min()) < 0:
        raise ValueError(f"counter word {int(word.min())} is negative")
    return word.view(np.uint64)


def _rounds(counter: list[UInt64s], key: tuple[int, int]) -> list[UInt64s]:
    """Run the ten rounds; words that are the same for all stay of length 1 while they can."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    m0, m1 = _MULTIPLIERS
    for _ in range(_ROUNDS):
        high0, low0 = multiply_high(c0, m0), c0 * np.uint64(m0)
        high1, low1 = multiply_high(c2, m1), c2 * np.uint64(m1)
        c0, c1 = high1 ^ c1 ^ np.uint64(k0), low1
        c2, c3 = high0 ^ c3 ^ np.uint64(k1), low0
        k0, k1 = (k0 + _KEY_STEPS[0]) & _WORD, (k1 + _KEY_STEPS[1]) & _WORD
    return [c0, c1, c2, c3]
