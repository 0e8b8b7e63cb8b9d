"""What one pass over tile_weights, beside tile_index and the raster, settles of S2.

Nothing is divided: weights are largest-remainder shares exactly where they sum to K, each differs
by less than one unit from its quotient mass * K / M, and every tile that was rounded up had a
larger remainder than every other, or the same and a lower tile_id. What a weight is off by,
weight * M - mass * K, is between -M and M and so the same modulo 2^64. M is the reported mass of
the country until the masses have been summed. Shares by that law are monotonic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.windows import Window

from segment1b.audit.case import ISO, POLICY, RASTER, Case
from segment1b.audit.passes import (
    Doubts,
    Group,
    Stretch,
    Tally,
    UnsettledError,
    codes_of,
    cut_as_declared,
    each_file,
    fit,
    in_step,
    stretch,
    sum_of,
    whole_countries,
)
from segment1b.audit.results import fields_differ
from segment1b.storage.rasters import open_raster

Ints = npt.NDArray[np.int64]
_INDEX, _WEIGHTS, _CENTRES, _REPORT = "tile_index", "tile_weights", "tile_centres", "s2_run_report"
_NEEDS = {_INDEX, _WEIGHTS, _REPORT, POLICY, RASTER, ISO}
_CELLS_AT_ONCE = 1 << 22
_LARGEST, MOST_MASS, MOST_UNITS, _MOST_CENTRES = 2**53, 2**62, 10**15, 512
_SCALES = {"population": 1_000_000, "area_m2": 1_000, "uniform": 1}
_SHARED = ("sorted", "unique")
_CHECKS = {
    *(*_SHARED, "same_tiles", f"values_{_WEIGHTS}", f"file_cut_{_WEIGHTS}", "one_dp", "sums"),
    *("enough_units", "good_cells", "mass_limit", "law", "monotonic", "basis", "country_codes"),
    *("report_by_country", "report_totals"),
}
_OF_CENTRES = {
    *(f"{_CENTRES}_{rule}" for rule in _SHARED),
    *(f"values_{_CENTRES}", f"file_cut_{_CENTRES}", "centres"),
}


@dataclass
class Country:
    """Figures of some tiles of a country.

    Attributes:
        mass, by_basis, units: sums of the masses it is weighed by, those of the policy's basis, and
            the weights.
        up: tiles that were rounded up.
        zero: tiles without weight.
        cut: of those rounded up the least remainder and the last tile that has it.
        left: of the others the largest remainder and the first tile that has it.
    """

    mass: int = 0
    by_basis: int = 0
    units: int = 0
    tiles: int = 0
    up: int = 0
    zero: int = 0
    cut: tuple[int, int] = (MOST_MASS, -1)
    left: tuple[int, int] = (-1, 0)

    def add(self, other: Country) -> None:
        """Add the figures of more of its tiles."""
        for name in ("mass", "by_basis", "units", "tiles", "up", "zero"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.cut = min(self.cut, other.cut, key=lambda cut: (cut[0], -cut[1]))
        self.left = max(self.left, other.left, key=lambda left: (left[0], -left[1]))

    @property
    def is_by_remainders(self) -> bool:
        """Return whether units went to the largest remainders, equal ones by ascending tile_id."""
        return self.cut[0] > self.left[0] or (
            self.cut[0] == self.left[0] and self.cut[1] < self.left[1]
        )


def settle(case: Case) -> set[str]:
    """Return the names of the checks against which a pass sees that nothing offends."""
    centres = case.published.is_used(_CENTRES)
    if not (_NEEDS | ({_CENTRES} if centres else set())) <= case.usable:
        return set()
    return (_CHECKS | (_OF_CENTRES if centres else set())) - _doubts(case, centres=centres)


def tallies(case: Case, number: int = 0, of: int = 1) -> list[Tally]:
    """Return what a pass sees of each file, or of the files of one part."""
    look = _Look(case, centres=case.published.is_used(_CENTRES))
    return each_file(case, look.tally, *look.names, number=number, of=of)


def _doubts(case: Case, *, centres: bool) -> set[str]:
    look, found = _Look(case, centres=centres), case.seen("tallies of s2", tallies)
    whole_countries(found)
    countries: dict[str, Country] = {}
    for tally in found:
        for code, own in tally.figures.items():
            countries.setdefault(code, Country()).add(own)
    doubts = Doubts(name for tally in found for name in tally.doubts)
    doubts.unless(cut_as_declared(found), *(f"file_cut_{name}" for name in look.names))
    doubts.unless(countries.keys() <= codes_of(case, ISO), "country_codes")
    return doubts.union(_totals(case, look, countries), _reported(case, look, countries))


class _Look:
    """Row groups of the tables side by side, against masses and units of their country."""

    def __init__(self, case: Case, *, centres: bool) -> None:
        assert case.grid is not None
        prep, contracts = case.policy("prep"), case.published.contracts
        self.names = (_INDEX, _WEIGHTS, *((_CENTRES,) if centres else ()))
        self.datasets = [contracts[name] for name in self.names]
        self.raster, self.ncols = case.published.path(RASTER), case.grid.ncols
        self.basis, self.dp = prep["basis"], prep["dp"]
        self.units = 10**self.dp
        self.reported = case.report(_REPORT)["by_country"]
        self.people = case.policy("jitter")["centres"]["people_per_centre"] if centres else 0
        if self.units > MOST_UNITS:
            raise UnsettledError

    def tally(self, paths: Sequence[Path]) -> Tally:
        """Return what a file of each table holds."""
        doubts, stretches, countries = Doubts(), list[Stretch](), dict[str, Country]()
        with open_raster(self.raster) as source:
            for index, weights, *centres in in_step(self.datasets, paths):
                own = stretch(index)
                stretches.append(own)
                doubts.unless(fit(self.datasets[1], weights), f"values_{_WEIGHTS}")
                doubts.unless((weights.values["dp"] == self.dp).all(), "one_dp")
                by_basis = self._masses(source, index)
                figures = self._weighed(index, by_basis, weights, doubts)
                countries.setdefault(own.code, Country()).add(figures)
                for group in centres:
                    doubts.unless(fit(self.datasets[2], group), f"values_{_CENTRES}")
                    micro = 1_000_000 * self.people
                    expected = np.clip(-(-by_basis // micro), 1, _MOST_CENTRES)
                    doubts.unless((group.values["centres"] == expected).all(), "centres")
        return Tally(stretches, doubts, countries)

    def _masses(self, source: Any, index: Group) -> Ints:
        """Return the masses of tiles by the policy's basis."""
        if self.basis == "uniform":
            return np.ones(len(index.values["tile_id"]), np.int64)
        if self.basis == "area_m2":
            return areas_of(index)
        return masses_of(source, index.values["tile_id"], self.ncols)

    def _weighed(self, index: Group, by_basis: Ints, weights: Group, doubts: Doubts) -> Country:
        """Return figures of a row group; doubt what its weights do not show."""
        reported, values = (
            self.reported.get(index.words["country_iso"]),
            weights.values["weight_fp"],
        )
        if reported is None:
            raise UnsettledError
        by_area = bool(reported["zero_mass_fallback"])
        doubts.unless(weights.words["basis"] == ("area_m2" if by_area else self.basis), "basis")
        mass, total = areas_of(index) if by_area else by_basis, int(reported["mass_sum"])
        figures = rounded(index.values["tile_id"], mass, values, total, self.units)
        figures.by_basis = sum_of(by_basis)
        return figures


def rounded(
    tiles: npt.NDArray[np.uint64], mass: Ints, weights: Ints, total: int, units: int
) -> Country:
    """Return figures of tiles whose weights are quotients mass * units / total, rounded.

    Raises:
        UnsettledError: a weight is no such quotient rounded up or down, or the total no sum of
            masses.
    """
    if not (0 < total < MOST_MASS and weights.min() >= 0 and weights.max() <= units):
        raise UnsettledError
    # By floats a quotient of at most 10^15 errs by less than a quarter, so that the weight is off
    # by less than two times M, and 2 M < 2^63.
    near = np.abs(weights - mass * (units / total)) < 1.5
    off = weights.view(np.uint64) * np.uint64(total) - mass.view(np.uint64) * np.uint64(units)
    over = off.view(np.int64)
    if not (near & (over < total) & (over > -total)).all():
        raise UnsettledError
    up = over > 0
    figures = Country(
        *(sum_of(mass), 0, sum_of(weights), len(weights)),
        *(int(np.count_nonzero(up)), int(np.count_nonzero(weights == 0))),
    )
    if up.any():
        largest = over.max()
        figures.cut = total - int(largest), int(tiles[over == largest][-1])
    if not up.all():
        figures.left = -int(over.min()), int(tiles[np.argmin(over)])
    return figures


def areas_of(index: Group) -> Ints:
    """Return the areas of the tiles of a row group in 1/1000 m2, int64."""
    areas = index.values["pixel_area_m2"]
    if not (areas.min() >= 0 and areas.max() < _LARGEST / 1000):
        raise UnsettledError
    millis: Ints = np.rint(1000 * areas).astype(np.int64)
    return millis


def masses_of(source: Any, tiles: npt.NDArray[np.uint64], ncols: int) -> Ints:
    """Return the people of ascending tiles in millionths, int64; declared nodata is none.

    Raises:
        UnsettledError: the raster has no such tiles, or a cell holds no number of people.
    """
    people = _people(source, tiles, ncols)
    mass = np.rint(people * 1e6)
    if not ((people >= 0) & (mass <= _LARGEST)).all():
        raise UnsettledError
    return mass.astype(np.int64)


def _people(source: Any, tiles: npt.NDArray[np.uint64], ncols: int) -> npt.NDArray[np.float64]:
    if source.width != ncols or tiles[-1] >= source.width * source.height:
        raise UnsettledError
    row, col = np.divmod(tiles.astype(np.int64), ncols)
    left, width = int(col.min()), int(col.max() - col.min()) + 1
    step = max(1, _CELLS_AT_ONCE // width)
    found = np.empty(len(tiles))
    for top in range(int(row[0]), int(row[-1]) + 1, step):
        low, high = np.searchsorted(row, [top, top + step])
        if low < high:
            height = int(row[high - 1]) - top + 1
            cells = source.read(1, window=Window(left, top, width, height))
            found[low:high] = cells[row[low:high] - top, col[low:high] - left]
    if source.nodata is not None:
        gap = float(source.nodata)
        found[np.isnan(found) if np.isnan(gap) else found == gap] = 0.0
    return found


def _totals(case: Case, look: _Look, countries: Mapping[str, Country]) -> Doubts:
    """Doubt what the sums of each country do not show."""
    doubts, least = Doubts(), case.policy("prep")["min_units_per_tile"]
    for code, own in countries.items():
        reported = look.reported[code]
        doubts.unless(own.units == look.units, "sums", "law", "monotonic")
        doubts.unless(look.units >= least * own.tiles, "enough_units")
        doubts.unless(own.is_by_remainders, "law", "monotonic")
        if str(own.mass) != reported["mass_sum"]:
            doubts.update(("law", "monotonic", "mass_limit", "report_by_country"))
        fallback = own.by_basis == 0
        if fallback != reported["zero_mass_fallback"]:
            doubts.update(("basis", "law", "monotonic", "mass_limit", "report_by_country"))
    return doubts


def _reported(case: Case, look: _Look, countries: Mapping[str, Country]) -> Doubts:
    """Doubt what the run report says otherwise."""
    doubts, report = Doubts(), case.report(_REPORT)
    doubts.unless(look.reported.keys() == countries.keys(), "report_by_country", "basis")
    for code, own in countries.items():
        counted = {
            "tiles": own.tiles,
            "postquant_sum_fp": own.units,
            "zero_weight_tiles": own.zero,
            "mass_sum": str(own.mass),
            "residue_allocations": own.up,
        }
        doubts.unless(not any(fields_differ(look.reported[code], counted)), "report_by_country")
    totals = {
        "rows_emitted": sum(own.tiles for own in countries.values()),
        "countries_total": len(countries),
        "basis": look.basis,
        "dp": look.dp,
        "K": look.units,
        "mass_scale": _SCALES[look.basis],
    }
    doubts.unless(not any(fields_differ(report, totals)), "report_totals")
    return doubts
