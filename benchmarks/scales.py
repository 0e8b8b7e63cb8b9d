"""The scales of the benchmark: how fine the world is and how many outlets stand on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """A world and an outlet list: cell size in arc-seconds, number of outlets (0: the sample)."""

    arcsec: int
    outlets: int


SCALES = {
    "small": Scale(360, 0),
    "medium": Scale(150, 1_000_000),
    "world": Scale(30, 10_000_000),
    "max": Scale(30, 100_000_000),
}
