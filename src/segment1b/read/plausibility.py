"""Whether correct outlet locations are plausible too: sentences about bounds of the policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from segment1b.config import realism_policy
from segment1b.states import bounds
from segment1b.states.bounds import Concern

_NAMED = 3
_Row = Mapping[str, Any]
#: By bound: the sentence about countries, and what it tells of each.
_SENTENCES: dict[str, tuple[str, Callable[[Concern, _Row], str]]] = {
    "min_collapse_index": (
        "outlets of {} pile up",
        lambda _, row: f"{row['sites']:,} in {row['distinct_tiles']:,} cells",
    ),
    "min_distinct_tiles": (
        "all outlets of {} lie in few cells of the map",
        lambda one, row: f"{row['sites']:,} in {one.found:,}",
    ),
    "max_tile_error": (
        "a cell of {} is far from its share of outlets",
        lambda one, row: f"{one.found:,.0f} of {row['sites']:,} off",
    ),
    "min_latitude_span_share": (
        "the outlets of {} leave most of the country empty",
        lambda one, _: f"{one.found:.0%} of its height",
    ),
    "max_fullest_tile_share": (
        "one cell holds too many outlets of {}",
        lambda one, _: f"{one.found:.0%}",
    ),
    "min_nearest_outlet_m": (
        "outlets are too close to each other in {}",
        lambda one, _: f"median {one.found:,.0f} m",
    ),
    "urban_share": (
        "too few or too many outlets are urban in {}",
        lambda one, _: f"{one.trade}: {one.found:.0%}",
    ),
}


def concerns(plan: _Row, realism: _Row, policy: _Row) -> list[str]:
    """Return a sentence for each way in which locations are correct and not plausible.

    Args:
        plan: the run report of S4; empty where there is none.
        realism: the realism figures of S9 (docs/spec/s9-proof.md#realism); empty without a proof.
        policy: the policy document in force.

    Returns:
        The sentences, in a fixed order; none when nothing looks odd.
    """
    found = bounds.concerns(plan, realism, realism_policy(policy))
    rows = {**realism.get("by_country", {}), **plan.get("quality_by_country", {})}
    sentences = []
    for bound, (text, figure) in _SENTENCES.items():
        mine = [one for one in found if one.bound == bound]
        if bound == "min_collapse_index" and mine and not mine[0].country:
            index = mine[0].found
            text = f"outlets pile up: collapse index {index:.3f}, where independent draws have 1"
            sentences.append(text)
        elif mine:
            mine.sort(key=lambda one: (-_sites(rows, one), one.country))
            row = rows.get
            named = [
                f"{one.country or 'the world'} ({figure(one, row(one.country, {}))})"
                for one in mine
            ]
            more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            sentences.append(text.format(", ".join(named[:_NAMED]) + more))
    return sentences


def _sites(rows: Mapping[str, _Row], one: Concern) -> float:
    return rows[one.country]["sites"] if one.country else float("inf")
