"""Random words replayed with numpy's Philox, and uniforms (docs/spec/random-numbers.md#philox)."""

from __future__ import annotations

import hashlib
import struct
from itertools import starmap
from typing import Any

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
_AT_ONCE = 1 << 16


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

    One generator serves all: numpy adds 1 to the first counter word before it makes a block, so
    the block of an attempt comes from the counter (attempt - 1, site_order, merchant_id, country).

    Args:
        key: of the stream, uint64 [2].
        site_order, merchant_id, country: the counter's other words, whole numbers [n].
        attempt: from 1, [n]; the first where None.
        taken: how many of the four words of a block.
    """
    before = np.zeros(len(site_order), np.int64) if attempt is None else attempt - 1
    found = np.empty((len(site_order), taken), np.uint64)
    generator = np.random.Philox(key=key)
    state: Any = dict(generator.state)
    # Plain numbers are taken over faster than arrays, and given faster than arrays of four.
    inner: dict[str, Any] = {"counter": (0, 0, 0, 0), "key": key.tolist()}
    state |= {"state": inner, "buffer": (0, 0, 0, 0)}
    draw, each_block = generator.random_raw, [()] * taken
    for start in range(0, len(found), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        counters = (values[part].tolist() for values in (before, site_order, merchant_id, country))
        drawn: list[int] = []
        for inner["counter"] in zip(*counters, strict=True):
            generator.state = state
            drawn.extend(starmap(draw, each_block))
        found[part] = np.array(drawn, np.uint64).reshape(-1, taken)
    return found


def uniforms(raw: UInt64s) -> npt.NDArray[np.float64]:
    """Return ((x >> 12) + 0.5) * 2^-52 of each word."""
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52
