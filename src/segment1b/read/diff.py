"""Growth: which sites came, went and moved between two published data roots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from segment1b import contracts as contract_files
from segment1b.read.gate import find_places, proven_paths
from segment1b.storage.receipts import key_words
from segment1b.storage.site_tables import Wanted, site_tables

#: Mean radius of WGS84, (2a + b) / 3, in km.
EARTH_KM = 6371.0088
#: Distances are counted in steps of 0.15 %, from a millimetre to half around the globe.
_STEPS = 16_384
_SHORTEST_KM, _LONGEST_KM = 1e-6, np.pi * EARTH_KM
_RATIO = np.log(_LONGEST_KM / _SHORTEST_KM) / _STEPS
_WORDS = 1 << 16
_Ints: TypeAlias = npt.NDArray[np.int64]
_Bools: TypeAlias = npt.NDArray[np.bool_]


def diff(
    old_root: Path,
    new_root: Path,
    *,
    old: Mapping[str, Any] | None = None,
    new: Mapping[str, Any] | None = None,
    dictionary: Path | None = None,
) -> dict[str, Any]:
    """Compare the proven sites of two roots, site by site.

    Args:
        old_root: a data root.
        new_root: the same or another one.
        old: tokens of the old sites; its one bundle says when not given.
        new: tokens of the new sites, likewise.
        dictionary: another dataset dictionary than the packaged one.

    Returns:
        `old` and `new` (tokens, rows), `total` and `by_country`, each with kept, added, removed,
        moved, moved_p50_km (to 0.1 %) and moved_max_km (0.0 where none moved). A site is kept
        when its coordinates are the same bit for bit.

    Raises:
        Segment1BError: as `gate.prove_sites` for either root.
    """
    known = contract_files.load(str(dictionary) if dictionary else None)
    sides = []
    for root, given in ((old_root, old), (new_root, new)):
        places = find_places(root, known, given)
        sides.append((places, site_tables(proven_paths(root, known, places), Wanted())))
    tally = _Tally()
    for was, now in _aligned(*(map(_rows, tables) for _, tables in sides)):
        tally.count(was, now)
    rows = tally.kept + tally.moved
    ends = {"old": rows + tally.removed, "new": rows + tally.added}
    found: dict[str, Any] = {
        side: {
            **{k: v for k, v in places.items() if k != "run_id"},
            "rows": int(ends[side].sum()),
        }
        for side, (places, _) in zip(ends, sides, strict=True)
    }
    there = np.flatnonzero(ends["old"] + ends["new"]).tolist()
    found["total"] = tally.summary(there)
    found["by_country"] = {
        word.to_bytes(2, "big").decode(): tally.summary([word]) for word in there
    }
    return found


@dataclass(frozen=True)
class _Rows:
    """Sites in key order: key arrays [t] and coordinates float64[t, 2] (longitude, latitude)."""

    keys: tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]
    at: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, part: Any) -> _Rows:
        merchant, country, order = self.keys
        return _Rows((merchant[part], country[part], order[part]), self.at[part])

    def last(self) -> tuple[int, int, int]:
        """Return the key of the last row."""
        merchant, country, order = (int(key[-1]) for key in self.keys)
        return merchant, country, order

    def up_to(self, key: tuple[int, int, int]) -> int:
        """Return how many rows have a key that is not above the one given."""
        merchant, country, order = self.keys
        # A Python int would be int64, and both sides floats.
        wanted = merchant.dtype.type(key[0])
        low, high = (int(np.searchsorted(merchant, wanted, side)) for side in ("left", "right"))
        codes, orders = country[low:high], order[low:high]
        here = (codes < key[1]) | ((codes == key[1]) & (orders <= key[2]))
        return low + int(here.sum())


def _rows(table: pa.Table) -> _Rows:
    merchant, country, order = (key_words(table.column(at)) for at in range(3))
    at = np.column_stack([table.column(3).to_numpy(), table.column(4).to_numpy()])
    return _Rows((merchant, country, order), at)


def _aligned(old: Iterator[_Rows], new: Iterator[_Rows]) -> Iterator[tuple[_Rows, _Rows]]:
    """Cut two sorted streams at the same keys; yield what each has of every stretch."""
    nothing = _Rows(
        (np.empty(0, np.uint64), np.empty(0, np.uint16), np.empty(0, np.int64)), np.empty((0, 2))
    )
    was, now = next(old, nothing), next(new, nothing)
    while len(was) and len(now):
        key = min(was.last(), now.last())
        cut = was.up_to(key), now.up_to(key)
        yield was[: cut[0]], now[: cut[1]]
        was, now = was[cut[0] :], now[cut[1] :]
        was = was if len(was) else next(old, nothing)
        now = now if len(now) else next(new, nothing)
    while len(was):
        yield was, nothing
        was = next(old, nothing)
    while len(now):
        yield nothing, now
        now = next(new, nothing)


def _zeros() -> _Ints:
    return np.zeros(_WORDS, np.int64)


@dataclass
class _Tally:
    """Counts by country word, 256*A + B, and the distances of moved sites as histograms."""

    kept: _Ints = field(default_factory=_zeros)
    added: _Ints = field(default_factory=_zeros)
    removed: _Ints = field(default_factory=_zeros)
    moved: _Ints = field(default_factory=_zeros)
    furthest: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(_WORDS))
    steps: dict[int, _Ints] = field(default_factory=dict)

    def count(self, was: _Rows, now: _Rows) -> None:
        """Count one stretch of both sides."""
        in_old, in_new = _partners(was, now)
        gone, come = np.ones(len(was), bool), np.ones(len(now), bool)
        gone[in_old], come[in_new] = False, False
        self.removed += _by_word(was.keys[1][gone])
        self.added += _by_word(now.keys[1][come])
        # The bits, not the values: -0.0 is not the coordinate that 0.0 was.
        before, after = was.at[in_old], now.at[in_new]
        moved = (before.view(np.uint64) != after.view(np.uint64)).any(axis=1)
        words = was.keys[1][in_old]
        self.kept += _by_word(words[~moved])
        self.moved += _by_word(words[moved])
        self._measure(words[moved], _distance_km(before[moved], after[moved]))

    def _measure(self, words: npt.NDArray[np.uint16], km: npt.NDArray[np.float64]) -> None:
        np.maximum.at(self.furthest, words, km)
        log = np.log(np.maximum(km, _SHORTEST_KM) / _SHORTEST_KM) / _RATIO
        step = np.minimum(log.astype(np.int64), _STEPS - 1)
        for word in np.unique(words).tolist():
            held = self.steps.setdefault(word, np.zeros(_STEPS, np.int64))
            held += np.bincount(step[words == word], minlength=_STEPS)

    def summary(self, words: list[int]) -> dict[str, Any]:
        """Return the figures of some countries together."""
        steps = sum((self.steps[w] for w in words if w in self.steps), np.zeros(_STEPS, np.int64))
        furthest = float(self.furthest[words].max(initial=0.0))
        middle = 0.0
        if steps.any():
            step = int(np.searchsorted(np.cumsum(steps), (int(steps.sum()) + 1) // 2))
            middle = min(furthest, float(_SHORTEST_KM * np.exp((step + 0.5) * _RATIO)))
        return {
            **{
                name: int(getattr(self, name)[words].sum())
                for name in ("kept", "added", "removed", "moved")
            },
            "moved_p50_km": middle,
            "moved_max_km": furthest,
        }


def _by_word(words: npt.NDArray[np.uint16]) -> _Ints:
    return np.bincount(words, minlength=_WORDS)


def _partners(was: _Rows, now: _Rows) -> tuple[_Ints, _Ints]:
    """Return the positions of the sites that both sides have, in key order."""
    if len(was) == len(now) and all(map(np.array_equal, was.keys, now.keys)):
        both = np.arange(len(was))
        return both, both
    keys = [np.concatenate(pair) for pair in zip(was.keys, now.keys, strict=True)]
    order = np.lexsort(keys[::-1])  # stable: the old site stands before its partner
    same = np.ones(max(len(order) - 1, 0), bool)
    for key in keys:
        same &= key[order[1:]] == key[order[:-1]]
    first = np.flatnonzero(same)
    return order[first], order[first + 1] - len(was)


def _distance_km(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return great-circle distances (haversine) between rows of (longitude, latitude)."""
    (lon0, lat0), (lon1, lat1) = np.radians(before).T, np.radians(after).T
    h = np.sin((lat1 - lat0) / 2) ** 2
    h += np.cos(lat0) * np.cos(lat1) * np.sin((lon1 - lon0) / 2) ** 2
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.minimum(h, 1.0))))


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a comparison as text: a line for each country with changes, then the total."""
    changes = ("added", "removed", "moved")
    for code, own in found["by_country"].items():
        if any(own[name] for name in changes):
            yield f"{code:<5} {_line(own)}"
    yield f"total {_line(found['total'])}"


def _line(own: Mapping[str, Any]) -> str:
    text = ", ".join(f"{own[name]:,} {name}" for name in ("kept", "added", "removed", "moved"))
    if own["moved"]:
        text += f" by {own['moved_p50_km']:.3g} km (median), {own['moved_max_km']:.3f} km at most"
    return text
