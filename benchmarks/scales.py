"""The scales of the benchmark: how fine the world is and how many outlets stand on it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """What a stretch of states may take on two cores: seconds and bytes."""

    first: str
    last: str
    seconds: float
    peak_bytes: float


@dataclass(frozen=True)
class Scale:
    """A world and an outlet list.

    Attributes:
        arcsec: cell size in arc-seconds.
        outlets: about how many outlets; 0 is the embedded sample.
        repeat: runs of which medians are taken.
        other_arcsec: cell size of the run that shows how the cost grows with the tiles.
        marks: what is to be reached.
        grows: whether more runs show how the cost grows.
    """

    arcsec: int
    outlets: int
    repeat: int
    other_arcsec: int
    marks: tuple[Mark, ...] = ()
    grows: bool = True


SCALES = {
    "small": Scale(360, 0, 3, 240, (Mark("s0", "s4", 10, 1e9), Mark("s0", "s9", 20, 1.5e9))),
    "medium": Scale(150, 1_000_000, 3, 100),
    "world": Scale(30, 10_000_000, 1, 45, (Mark("s1", "s2", 90, 3e9), Mark("s3", "s9", 120, 4e9))),
    # How the cost grows is seen below it; at this size three more runs would take an hour.
    "max": Scale(
        *(30, 100_000_000, 1, 45),
        (Mark("s1", "s2", 90, 3e9), Mark("s3", "s9", 900, 8e9)),
        grows=False,
    ),
}
