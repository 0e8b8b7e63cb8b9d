"""Charts of outlets: for each question a figure, a sentence and a table from the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

#: Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE = "#0072B2", "#E69F00"
LOG = {"type": "log", "dtick": 1}
_SHARE = {"tickformat": ".0%", "range": [0, 1]}
# Collapse index below which outlets are piled up.
_PILE = 0.5
# Independent draws leave about 95 % of the tiles within twice their spread; S4 may not do much
# worse.
_WITHIN = 0.9
_MARGIN = {"l": 64, "r": 16, "t": 16, "b": 52}


@dataclass(frozen=True)
class Chart:
    """A question, the answer as a sentence, a plotly figure as JSON, and a table (header, rows)."""

    id: str
    question: str
    sentence: str
    figure: dict[str, Any]
    table: tuple[Sequence[str], Sequence[Sequence[Any]]] = field(default=((), ()))


def figure(
    traces: Sequence[Any],
    x: str,
    y: str,
    xaxis: Mapping[str, Any] | None = None,
    yaxis: Mapping[str, Any] | None = None,
    **layout: Any,
) -> dict[str, Any]:
    """Return a figure with these axis titles; the page sets the colours of ground and text."""
    made = go.Figure(data=list(traces))
    made.update_layout(
        template="none",
        margin=_MARGIN,
        height=340,
        xaxis={"title": {"text": x}, "automargin": True, **(xaxis or {})},
        yaxis={"title": {"text": y}, "automargin": True, **(yaxis or {})},
        showlegend=len(traces) > 1,
        legend={"orientation": "h", "y": 1.1, "x": 0},
        **layout,
    )
    values: dict[str, Any] = made.to_plotly_json()
    return values


def _reference_line(x: Any, y: Any, name: str, dash: str = "dot", **more: Any) -> go.Scatter:
    """Return a thin line that the data is compared with."""
    line = {"color": ORANGE, "width": 1, "dash": dash}
    return go.Scatter(x=x, y=y, mode="lines", name=name, hoverinfo="skip", line=line, **more)


def conservation(required: npt.NDArray[np.int64], placed: npt.NDArray[np.int64]) -> Chart:
    """Does every pair have its n? `required` and `placed` are sites of each pair, int64 [p]."""
    both, often = np.unique(np.stack([required, placed]), axis=1, return_counts=True)
    wrong = int(np.count_nonzero(required != placed))
    total = int(required.sum())
    sentence = (
        f"Yes: each of the {len(required):,} pairs of merchant and country has exactly the "
        f"outlets it requires, {total:,} in all."
        if not wrong
        else f"No: {wrong:,} of {len(required):,} pairs have a different number than they require."
    )
    top = max(1, int(max(required.max(initial=1), placed.max(initial=1))))
    diagonal = _reference_line([1, top], [1, top], "equal")
    pairs = go.Scatter(
        x=both[0].tolist(),
        y=both[1].tolist(),
        mode="markers",
        name="pairs",
        customdata=often.tolist(),
        marker={
            "color": BLUE,
            "opacity": 0.7,
            "size": np.round(6 + 4 * np.log10(often), 1).tolist(),
        },
        hovertemplate="required %{x}, placed %{y}: %{customdata} pairs<extra></extra>",
    )
    made = figure([diagonal, pairs], "outlets required", "outlets placed", LOG, LOG)
    return Chart("conservation", "Did every pair get its outlets?", sentence, made)


def evenness(sites: Mapping[str, int], tiled: int, realism: Mapping[str, Any]) -> Chart:
    """How even is the world? Lorenz curve of outlets over the countries that have tiles."""
    counts = np.sort(np.array([*sites.values(), *[0] * max(0, tiled - len(sites))], np.int64))
    total = max(1, int(counts.sum()))
    x = np.linspace(0, 1, len(counts) + 1)
    y = np.concatenate([[0.0], np.cumsum(counts) / total])
    gini = float(1 - (y[1:] + y[:-1]).sum() / max(1, len(counts)))
    biggest = sorted(sites, key=lambda code: (-sites[code], code))[:3]
    names = ", ".join(f"{code} {sites[code] / total:.1%}" for code in biggest)
    south = realism.get("southern_share")
    sentence = (
        f"Gini {gini:.2f} over the {len(counts)} countries that have tiles (0: all equal, "
        f"1: one has all); the largest shares are {names}"
        + (f"; {south:.0%} of outlets are south of the equator." if south is not None else ".")
    )
    curve = go.Scatter(
        x=np.round(x, 4).tolist(),
        y=np.round(y, 5).tolist(),
        mode="lines",
        name="outlets",
        fill="tozeroy",
        line={"color": BLUE, "width": 2},
        hovertemplate="the smaller %{x:.0%} of countries have %{y:.1%} of outlets<extra></extra>",
    )
    traces = [curve, _reference_line([0, 1], [0, 1], "all equal")]
    made = figure(traces, "countries, fewest outlets first", "share of all outlets", _SHARE, _SHARE)
    return Chart("evenness", "How even is the world?", sentence, made)


def collapse(quality: Mapping[str, Mapping[str, Any]], overall: float) -> Chart:
    """Did outlets pile up? Collapse index of each country against 1."""
    codes = sorted(quality, key=lambda code: (-quality[code]["sites"], code))
    sentence = _piled(quality, overall)
    points = go.Scatter(
        x=[quality[c]["sites"] for c in codes],
        y=[quality[c]["collapse_index"] for c in codes],
        text=codes,
        customdata=[quality[c]["top_five_share"] for c in codes],
        mode="markers",
        marker={"color": BLUE, "size": 7, "opacity": 0.75},
        name="countries",
        hovertemplate="%{text}: %{x:,} outlets, index %{y:.2f}, "
        "top five tiles %{customdata:.0%}<extra></extra>",
    )
    most = max([2, *(quality[c]["sites"] for c in codes)])
    traces = [points, _reference_line([1, most], [1, 1], "independent draws")]
    to_zero = {"rangemode": "tozero"}
    made = figure(traces, "outlets of the country", "collapse index", LOG, to_zero)
    rows = [
        (
            c,
            f"{quality[c]['sites']:,}",
            f"{quality[c]['distinct_tiles']:,}",
            f"{quality[c]['collapse_index']:.3f}",
            f"{quality[c]['top_five_share']:.1%}",
        )
        for c in codes
    ]
    header = ("country", "outlets", "tiles used", "collapse index", "top five tiles")
    return Chart("collapse", "Did outlets pile up?", sentence, made, (header, rows))


def _piled(quality: Mapping[str, Mapping[str, Any]], overall: float) -> str:
    """Return how the used tiles compare with what independent draws would use."""
    used = sum(int(country["distinct_tiles"]) for country in quality.values())
    # The variance of how many tiles are hit is at most its mean.
    usual = 2 * np.sqrt(overall / used) if used else 0.0
    missing = f"{max(0.0, 1 - overall):.0%} fewer tiles than independent draws would"
    verdict = (
        f"Yes: they use {missing}"
        if overall < _PILE
        else f"Somewhat: they use {missing}"
        if overall < 1 - usual
        else "No: they use as many tiles as independent draws would"
        if overall <= 1 + usual
        else f"No: they use {overall - 1:.0%} more tiles than independent draws would"
    )
    large = [code for code in sorted(quality) if quality[code]["sites"] >= 30]
    low = [code for code in large if quality[code]["collapse_index"] < _PILE]
    fullest = max(large, key=lambda code: quality[code]["top_five_share"], default="")
    countries = f"{len(large):,} countr{'y' if len(large) == 1 else 'ies'} with 30 outlets or more"
    return (
        f"{verdict} (index {overall:.3f}); of {countries}, "
        f"{len(low) or 'none'} {'are' if len(low) > 1 else 'is'} below {_PILE}."
        + (
            f" The five fullest tiles of {fullest} hold "
            f"{quality[fullest]['top_five_share']:.0%} of its outlets, the largest such share."
            if fullest
            else ""
        )
    )


def prior(quota: npt.NDArray[np.float64], sites: npt.NDArray[np.int64]) -> Chart:
    """Do sites follow the prior? Quota and sites of the heaviest tiles, [t] each.

    Tiles with a quota of one outlet or more are compared with independent draws, whose counts have
    at most the variance of their quota.
    """
    large = quota >= 1
    order = np.argsort(-quota[large], kind="stable")
    quota, sites = quota[large][order], sites[large][order]
    spread = 2 * np.sqrt(quota)
    away = np.abs(sites - quota)
    shown = slice(3000)
    tiles = go.Scatter(
        x=np.round(quota[shown], 3).tolist(),
        y=sites[shown].tolist(),
        mode="markers",
        name="tiles",
        marker={"color": BLUE, "size": 5, "opacity": 0.45},
        hovertemplate="share %{x:.2f}, outlets %{y}<extra></extra>",
    )
    steps = np.geomspace(1.0, quota.max(initial=2.0), 40)
    lines = [
        _reference_line(
            np.round(steps, 3).tolist(),
            np.round(np.maximum(0, steps + side * 2 * np.sqrt(steps)), 3).tolist(),
            "as the prior" if side == 0 else "95 % of independent draws",
            "dot" if side == 0 else "solid",
            showlegend=side < 1,
        )
        for side in (0, -1, 1)
    ]
    made = figure([tiles, *lines], "share by population (outlets)", "outlets in the tile")
    return Chart(
        "prior", "Do outlets follow the people?", _followed(quota, sites, away <= spread), made
    )


def _followed(
    quota: npt.NDArray[np.float64], sites: npt.NDArray[np.int64], near: npt.NDArray[np.bool_]
) -> str:
    """Return how many tiles, of a quota of one or more, are near it."""
    if not len(quota):
        return "Too few outlets to tell: no tile's share of the population reaches one outlet."
    within = float(near.mean())
    worst = int(np.argmax(np.abs(sites - quota) / np.sqrt(quota)))
    return (
        f"{'Yes' if within >= _WITHIN else 'No'}: of the {len(quota):,} heavy tiles whose share of "
        f"the population is one outlet or more, {within:.1%} differ from that share by at "
        "most twice the spread of independent draws (of which about 95% would); the farthest "
        f"holds {int(sites[worst]):,} with a share of {float(quota[worst]):,.1f}."
    )


def neighbours(realism: Mapping[str, Any]) -> Chart:
    """How far is the nearest other outlet? Quantiles of S9's sample, km."""
    km = realism.get("nearest_neighbour_km", {})
    labels = {"p50": "half", "p90": "nine in ten", "p99": "99 in 100"}
    names = [name for name in labels if name in km]
    sentence = (
        f"In a sample of the world half of the outlets have another within {km['p50']:,.0f} km, "
        f"nine in ten within {km['p90']:,.0f} km."
        if names
        else "S9 has not measured it."
    )
    bars = go.Bar(
        x=[km[name] for name in names],
        y=[labels[name] for name in names],
        orientation="h",
        marker={"color": BLUE},
        text=[f"{km[name]:,.0f} km" for name in names],
        textposition="outside",
        hoverinfo="skip",
    )
    reach = {"range": [0, 1.2 * max((km[name] for name in names), default=1)]}
    made = figure([bars], "km to the nearest other outlet of the sample", "", reach)
    return Chart("neighbours", "How far apart are they?", sentence, made)
