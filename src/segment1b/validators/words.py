"""Random words replayed with numpy's own Philox, and the uniforms made of them (place.md §1)."""

from __future__ import annotations

import hashlib
import struct
from typing import Any

import numpy as np
import numpy.typing as npt

UInt64s = npt.NDArray[np.uint64]
_WORDS_OF_A_BLOCK = 4


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
    blocks: npt.NDArray[np.integer] | None = None,
) -> UInt64s:
    """Return the blocks 1, 2, .. of each site, one row a block, uint64 [sum of blocks, 4].

    One generator serves all sites: numpy adds 1 to the first counter word before it makes a block,
    so a site's state starts at (0, site_order, merchant_id, country).

    Args:
        key: of the stream, uint64 [2].
        site_order, merchant_id, country: the counter's other words, whole numbers [n].
        blocks: how many each site has, [n]; one where None.
    """
    often = np.ones(len(site_order), np.int64) if blocks is None else blocks.astype(np.int64)
    ends = np.cumsum(often) * _WORDS_OF_A_BLOCK
    found = np.empty(int(ends[-1]) if len(ends) else 0, np.uint64)
    generator = np.random.Philox(key=key)
    state: Any = dict(generator.state)
    # Plain numbers are taken over faster than arrays.
    inner = {"counter": (0, 0, 0, 0), "key": key.tolist()}
    state |= {"state": inner, "buffer": (0, 0, 0, 0)}
    at = 0
    for order, merchant, letters, end in zip(
        site_order.tolist(), merchant_id.tolist(), country.tolist(), ends.tolist(), strict=True
    ):
        inner["counter"] = (0, order, merchant, letters)
        generator.state = state
        found[at:end] = generator.random_raw(end - at)
        at = end
    return found.reshape(-1, _WORDS_OF_A_BLOCK)


def uniforms(raw: UInt64s) -> npt.NDArray[np.float64]:
    """Return ((x >> 12) + 0.5) * 2^-52 of each word."""
    return ((raw >> np.uint64(12)).astype(np.float64) + 0.5) / 2.0**52
