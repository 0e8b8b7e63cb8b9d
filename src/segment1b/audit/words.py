"""Random words replayed as numpy's Philox gives them, and uniforms.

Source: docs/spec/random-numbers.md#philox
"""

from __future__ import annotations

import hashlib
import struct

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
# Blocks made together: their arrays stay in the cache.
_AT_ONCE = 1 << 13
_FACTORS = np.uint64(0xD2E7470EE14C6C93), np.uint64(0xCA5A826395121157)
_STEPS = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_BITS, _HALF = np.uint64(32), np.uint64(0xFFFFFFFF)


def key_of(label: str, seed: int) -> UInt64s:
    """Return a stream's key: two words of SHA-256("segment1b" NUL label NUL LE64(seed))."""
    text = b"segment1b\0" + label.encode("ascii") + b"\0" + struct.pack("<Q", seed)
    return np.frombuffer(hashlib.sha256(text).digest()[:16], "<u8").astype(np.uint64)


def country_word(country: str) -> int:
    """Return 256*A + B of a country's two letters."""
    return int.from_bytes(country.encode("ascii"), "big")


def words(
    key: UInt64s,
    site_order: npt.NDArray[np.integer],
    merchant_id: npt.NDArray[np.integer],
    country: npt.NDArray[np.integer],
    attempt: npt.NDArray[np.integer] | None = None,
    taken: int = 1,
) -> UInt64s:
    """Return the first words of a block for each site, or each attempt of one, uint64 [n, taken].

    A generator of numpy for each block would take ten times as long as the rounds in arrays do. It
    makes the first block of every call, which must be the same.

    Args:
        key: of the stream, uint64 [2].
        site_order, merchant_id, country: the counter's other words, whole numbers [n].
        attempt: from 1, [n]; the first where None.
        taken: how many of the four words of a block.

    Raises:
        ArithmeticError: the rounds do not give the block of numpy's Philox.
    """
    number = np.ones(len(site_order), np.int64) if attempt is None else attempt
    counter = [values.astype(np.uint64) for values in (number, site_order, merchant_id, country)]
    found = np.empty((len(site_order), taken), np.uint64)
    for start in range(0, len(found), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        block = _rounds([word[part] for word in counter], *key.tolist())
        for place, word in enumerate(block[:taken]):
            found[part, place] = word
    if len(found):
        # numpy adds 1 to the first counter word before it makes a block.
        before = np.array([word[0] for word in counter])
        before[0] -= np.uint64(1)
        generator = np.random.Philox(key=key, counter=before)
        if not np.array_equal(generator.random_raw(4)[:taken], found[0]):
            raise ArithmeticError("the rounds of Philox differ from numpy's")
    return found


def _rounds(block: list[UInt64s], first_key: int, second_key: int) -> list[UInt64s]:
    """Return the ten rounds of Philox4x64 on counters, as four words of each."""
    a, b, c, d = block
    for step in range(10):
        keys = (first_key + step * _STEPS[0]) % 2**64, (second_key + step * _STEPS[1]) % 2**64
        b, d = products(c, _FACTORS[1]) ^ b, products(a, _FACTORS[0]) ^ d
        b ^= np.uint64(keys[0])
        d ^= np.uint64(keys[1])
        a, b, c, d = b, c * _FACTORS[1], d, a * _FACTORS[0]
    return [a, b, c, d]


def products(one: UInt64s, other: UInt64s | np.uint64) -> UInt64s:
    """Return the upper 64 bits of products of 64-bit numbers."""
    low, high = one & _HALF, one >> _BITS
    other_low, other_high = other & _HALF, other >> _BITS
    middle = high * other_low
    middle += low * other_low >> _BITS
    crossed = low * other_high
    crossed += middle & _HALF
    upper: UInt64s = high * other_high
    upper += middle >> _BITS
    upper += crossed >> _BITS
    return upper


def uniforms(raw: UInt64s) -> npt.NDArray[np.float64]:
    """Return ((x >> 12) + 0.5) * 2^-52 of each word."""
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52
