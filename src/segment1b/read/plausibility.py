"""Whether correct outlet locations are plausible too: piles, tile errors, empty regions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

#: Collapse index below which outlets pile up.
PILE = 0.5
#: Countries with fewer outlets are not judged.
_FEW = 30
#: Outlets from which one cell for all of a country, or a narrow band of it, is no accident.
_MANY = 100
# Three standard deviations of independent draws, sqrt(n w (1 - w)), for the worst weight w = 1/2.
_TILE_ERROR = 1.5
_NARROW = 0.1
_NAMED = 3

Countries = Mapping[str, Mapping[str, Any]]


def concerns(plan: Mapping[str, Any], realism: Mapping[str, Any]) -> list[str]:
    """Return a sentence for each way in which locations are correct and not plausible.

    Args:
        plan: the run report of S4; empty where there is none.
        realism: the realism figures of S9 (docs/spec/s9-proof.md#realism); empty without a proof.

    Returns:
        The sentences, in a fixed order; none when nothing looks odd.
    """
    quality: Countries = plan.get("quality_by_country", {})
    spread: Countries = realism.get("by_country", {})
    found = []
    overall = plan.get("collapse_index", 1.0)
    if overall < PILE:
        found.append(
            f"outlets pile up: collapse index {overall:.3f}, where independent draws have 1"
        )
    else:
        found += _sentence(quality, _piled, "outlets of {} pile up")
    return [
        *found,
        *_sentence(quality, _in_one_cell, "all outlets of {} lie in one cell of the map"),
        *_sentence(quality, _off, "a cell of {} is far from its share of outlets"),
        *_sentence(spread, _narrow, "the outlets of {} leave most of the country empty"),
    ]


def _sentence(countries: Countries, odd: Callable[[Any], str], text: str) -> list[str]:
    """Return one sentence that names the countries with most outlets for which `odd` has one."""
    ranked = sorted(countries.items(), key=lambda item: (-item[1]["sites"], item[0]))
    named = [f"{code} ({figure})" for code, row in ranked if (figure := odd(row))]
    if not named:
        return []
    more = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return [text.format(", ".join(named[:_NAMED]) + more)]


def _piled(row: Mapping[str, Any]) -> str:
    low = row["sites"] >= _FEW and row["collapse_index"] < PILE
    return f"{row['sites']:,} in {row['distinct_tiles']:,} cells" if low else ""


def _in_one_cell(row: Mapping[str, Any]) -> str:
    return f"{row['sites']:,}" if row["sites"] >= _MANY and row["distinct_tiles"] == 1 else ""


def _off(row: Mapping[str, Any]) -> str:
    off, n = row["tile_load_error_max"], row["sites"]
    return f"{off:,.0f} of {n:,} off" if n >= _FEW and off > _TILE_ERROR * math.sqrt(n) else ""


def _narrow(row: Mapping[str, Any]) -> str:
    span = row["latitude_span_share"]
    narrow = row["sites"] >= _MANY and span < _NARROW
    return f"{span:.0%} of its height" if narrow else ""
