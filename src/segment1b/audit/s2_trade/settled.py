"""What one pass over tile_index and the weights of all trades settles of S2, for each trade.

Layers and their shares are the same for all trades: all are looked at together, country by country.
The shares of K are made anew, as nothing shows them (layers.py); the weights are compared with the
mixture of shares as those of people are (s2/settled.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

from segment1b.audit.case import ISO, POLICY, RASTER, Case
from segment1b.audit.passes import (
    ENDS,
    Doubts,
    Tally,
    UnsettledError,
    codes_of,
    cut_as_declared,
    fit,
    numbered_groups,
    same_tiles,
    whole_countries,
)
from segment1b.audit.published_files import Published
from segment1b.audit.results import fields_differ
from segment1b.audit.s2.settled import Country, rounded
from segment1b.audit.s2_trade.layer_cells import LAYERS
from segment1b.audit.s2_trade.layers import Layers, World
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.states import URBAN

_WEIGHTS, _REPORT = "trade_weights", "s2_trade_run_report"
_NEEDS = {"tile_index", _WEIGHTS, _REPORT, POLICY, RASTER, URBAN, ISO}
_CHECKS = {
    *("sorted", "unique", "same_tiles", f"values_{_WEIGHTS}", f"file_cut_{_WEIGHTS}", "one_dp"),
    *("sums", "layer_limits", "percents", "law", "basis", "report_by_country", "report_totals"),
}


def settle(case: Case) -> set[str]:
    """Return the names of the checks of one trade against which nothing is seen to offend."""
    if not case.usable >= _NEEDS:
        return set()
    session = case.session
    if session.settled_of_trades is None:
        session.settled_of_trades = {}  # what breaks off once is not tried again
        session.settled_of_trades = _settle_all(case)
    return {*session.settled_of_trades.get(case.published.tokens["trade"], ())}


def _settle_all(case: Case) -> dict[str, set[str]]:
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(case.session.threads))
        world = World(case, stack)
        trades = [_Trade(published, world) for published in case.session.trades]
        for layers in world.countries():
            list(pool.map(_Trade.compare, trades, [layers] * len(trades)))
    for trade in trades:
        trade.finish()
    tallies = [Tally(rows, Doubts(), None) for rows in world.files.values()]
    if not {own.code for own in whole_countries(tallies)} <= codes_of(case, ISO):
        return {}
    cut = set() if cut_as_declared(tallies) else {f"file_cut_{_WEIGHTS}"}
    return {trade.name: _CHECKS - trade.doubts - cut for trade in trades}


class _Trade:
    """The weights of a trade, read in step with tile_index, and what they leave in doubt."""

    def __init__(self, published: Published, world: World) -> None:
        self.published, self.world, self.doubts = published, world, Doubts()
        self.name = str(published.tokens["trade"])
        self.groups = numbered_groups(published, _WEIGHTS)
        self.countries: dict[str, Country] = {}

    @property
    def report(self) -> dict[str, Any]:
        """Return the run report of the trade."""
        report: dict[str, Any] = self.published.document(_REPORT)
        return report

    def compare(self, layers: Layers) -> None:
        """Read the weights of the next country; doubt every check where that is not possible."""
        self._try(self._compare, layers)

    def finish(self) -> None:
        """Doubt what does not hold for all countries together."""
        self._try(self._finish)

    def _try(self, step: Callable[..., None], *about: Layers) -> None:
        if self.doubts >= _CHECKS:
            return
        try:
            step(*about)
        except ENDS as error:
            raise_machine_fault(error)
            self.doubts.update(_CHECKS)

    def _finish(self) -> None:
        world, same = self.world, self.report["by_country"].keys() == self.countries.keys()
        self.doubts.unless(next(self.groups, None) is None, *_CHECKS)
        self.doubts.unless(same, "percents", "report_by_country")
        totals = {
            "rows_emitted": sum(own.tiles for own in self.countries.values()),
            "countries_total": len(self.countries),
            "dp": world.dp,
            "K": world.units,
            "boost": world.boost,
            "cells_per_tile": world.cells,
        }
        self.doubts.unless(not any(fields_differ(self.report, totals)), "report_totals")

    def _compare(self, layers: Layers) -> None:
        percents = self._percents(layers.sums)
        reported = self.report["by_country"].get(layers.code)
        if reported is None:
            raise UnsettledError
        parts = zip(percents, layers.shares, strict=True)
        weighed = [percent * share for percent, share in parts if percent and share is not None]
        if not weighed:
            raise UnsettledError
        mass = sum(weighed[1:], weighed[0])
        fallback, units = layers.sums[0] == 0, self.world.units
        own = self._weighed(layers, mass, "area_m2" if fallback else "population")
        if not ((own.mass, own.units) == (100 * units, units) and own.is_by_remainders):
            raise UnsettledError
        self.countries[layers.code] = own
        named = dict(zip(LAYERS, percents, strict=True))
        self.doubts.unless(not any(fields_differ(reported, named)), "percents")
        self.doubts.unless(reported["zero_mass_fallback"] == fallback, "basis")
        counted = {
            "tiles": own.tiles,
            "postquant_sum_fp": own.units,
            "zero_weight_tiles": own.zero,
            "urban_cells": str(layers.sums[LAYERS.index("urban")]),
            "urban_people_sum": str(layers.sums[LAYERS.index("urban_people")]),
            "road_metres": str(layers.metres),
        }
        self.doubts.unless(not any(fields_differ(reported, counted)), "report_by_country")

    def _weighed(self, layers: Layers, mass: Any, basis: str) -> Country:
        """Return the figures of the weights of a country against its mixed masses."""
        own, start, dataset = Country(), 0, self.published.dataset(_WEIGHTS)
        for number, index in layers.groups:
            at, group = next(self.groups, (-1, index))
            if at != number or not same_tiles(index, group):
                raise UnsettledError
            tiles, weights = group.values["tile_id"], group.values["weight_fp"]
            self.doubts.unless(fit(dataset, group), f"values_{_WEIGHTS}")
            self.doubts.unless((group.values["dp"] == self.world.dp).all(), "one_dp")
            self.doubts.unless(group.words["basis"] == basis, "basis")
            rows, units = mass[start : start + len(tiles)], self.world.units
            own.add(rounded(tiles, rows, weights, 100 * units, units))
            start += len(tiles)
        return own

    def _percents(self, sums: Sequence[int]) -> list[int]:
        """Return the trade's percents in a country with these sums of layers."""
        declared = self.world.percents.get(self.name)
        if declared is None:
            raise UnsettledError
        if not sums[0]:
            return [0, 100, 0, 0, 0]
        whole = self.world.cells * sums[0]
        urban = min(self.world.boost * sums[3], whole)
        kept = [percent if total else 0 for percent, total in zip(declared, sums, strict=True)]
        kept[2], kept[3] = (kept[layer] * urban // whole for layer in (2, 3))
        return [100 - sum(kept[1:]), *kept[1:]]
