"""Charts of outlets and costs: for each question a figure, a sentence and a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: Okabe and Ito's colours, which colour-blind readers can tell apart.
BLUE, ORANGE = "#0072B2", "#E69F00"
_LOG = {"type": "log", "dtick": 1}
_SHARE = {"tickformat": ".0%", "range": [0, 1]}
# Collapse index below which outlets are piled up.
_PILE = 0.5
# Independent draws leave about 95 % of the tiles within twice their spread; S4 may not do much
# worse.
_WITHIN = 0.9
_SKIP = "skip"
_MARGIN = {"l": 64, "r": 16, "t": 16, "b": 52}


Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Chart:
    """A question, the answer as a sentence, a plotly figure as JSON, and a table (header, rows)."""

    id: str
    question: str
    sentence: str
    figure: dict[str, Any]
    table: Table = ((), ())


def _trace(kind: str, x: Any, y: Any, hover: str = "", **more: Any) -> dict[str, Any]:
    """Return a trace of plotly over arrays or lists, blue unless a marker or line is given."""
    values = {"x": x, "y": y, **more}
    trace = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
    if not {"marker", "line"} & more.keys():
        trace["marker"] = {"color": BLUE}
    return {"type": kind, "hoverinfo" if hover == _SKIP else "hovertemplate": hover, **trace}


def _reference_line(x: Any, y: Any, name: str, dash: str = "dot", **more: Any) -> dict[str, Any]:
    """Return a thin line that the data is compared with."""
    line = {"color": ORANGE, "width": 1, "dash": dash}
    return _trace("scatter", x, y, _SKIP, mode="lines", name=name, line=line, **more)


def _figure(
    traces: Sequence[Any],
    x: str,
    y: str,
    xaxis: Mapping[str, Any] | None = None,
    yaxis: Mapping[str, Any] | None = None,
    **layout: Any,
) -> dict[str, Any]:
    """Return a figure with these axis titles; the page sets the colours of ground and text."""
    axes = {"xaxis": (x, xaxis), "yaxis": (y, yaxis)}
    return {
        "data": traces,
        "layout": {
            "margin": _MARGIN,
            "height": 340,
            "showlegend": len(traces) > 1,
            "legend": {"orientation": "h", "y": 1.1, "x": 0},
            **{
                name: {"title": {"text": title}, "automargin": True, **(axis or {})}
                for name, (title, axis) in axes.items()
            },
            **layout,
        },
    }


def _table(columns: Mapping[str, str], rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return the header and the cells of rows, each cell by the format of its column."""
    cells = [tuple(form.format_map(row) for form in columns.values()) for row in rows]
    return tuple(columns), cells


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
    size = np.round(6 + 4 * np.log10(often), 1).tolist()
    pairs = _trace(
        "scatter",
        both[0],
        both[1],
        "required %{x}, placed %{y}: %{customdata} pairs<extra></extra>",
        mode="markers",
        name="pairs",
        customdata=often,
        marker={"color": BLUE, "opacity": 0.7, "size": size},
    )
    made = _figure([diagonal, pairs], "outlets required", "outlets placed", _LOG, _LOG)
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
    curve = _trace(
        "scatter",
        np.round(x, 4),
        np.round(y, 5),
        "the smaller %{x:.0%} of countries have %{y:.1%} of outlets<extra></extra>",
        mode="lines",
        name="outlets",
        fill="tozeroy",
        line={"color": BLUE, "width": 2},
    )
    traces = [curve, _reference_line([0, 1], [0, 1], "all equal")]
    made = _figure(
        traces, "countries, fewest outlets first", "share of all outlets", _SHARE, _SHARE
    )
    return Chart("evenness", "How even is the world?", sentence, made)


def collapse(quality: Mapping[str, Mapping[str, Any]], overall: float) -> Chart:
    """Did outlets pile up? Collapse index of each country against 1."""
    codes = sorted(quality, key=lambda code: (-quality[code]["sites"], code))
    sentence = _piled(quality, overall)
    sites, index, share = (
        [quality[code][name] for code in codes]
        for name in ("sites", "collapse_index", "top_five_share")
    )
    points = _trace(
        "scatter",
        sites,
        index,
        "%{text}: %{x:,} outlets, index %{y:.2f}, top five tiles %{customdata:.0%}<extra></extra>",
        text=codes,
        customdata=share,
        mode="markers",
        marker={"color": BLUE, "size": 7, "opacity": 0.75},
        name="countries",
    )
    traces = [points, _reference_line([1, max([2, *sites])], [1, 1], "independent draws")]
    to_zero = {"rangemode": "tozero"}
    made = _figure(traces, "outlets of the country", "collapse index", _LOG, to_zero)
    columns = {
        "country": "{code}",
        "outlets": "{sites:,}",
        "tiles used": "{distinct_tiles:,}",
        "collapse index": "{collapse_index:.3f}",
        "top five tiles": "{top_five_share:.1%}",
    }
    table = _table(columns, [{"code": code, **quality[code]} for code in codes])
    return Chart("collapse", "Did outlets pile up?", sentence, made, table)


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
    tiles = _trace(
        "scatter",
        np.round(quota[shown], 3),
        sites[shown],
        "share %{x:.2f}, outlets %{y}<extra></extra>",
        mode="markers",
        name="tiles",
        marker={"color": BLUE, "size": 5, "opacity": 0.45},
    )
    steps = np.geomspace(1.0, quota.max(initial=2.0), 40)
    lines = [
        _reference_line(
            np.round(steps, 3),
            np.round(np.maximum(0, steps + side * 2 * np.sqrt(steps)), 3),
            "as the prior" if side == 0 else "95 % of independent draws",
            "dot" if side == 0 else "solid",
            showlegend=side < 1,
        )
        for side in (0, -1, 1)
    ]
    made = _figure([tiles, *lines], "share by population (outlets)", "outlets in the tile")
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
    bars = _trace(
        "bar",
        [km[name] for name in names],
        [labels[name] for name in names],
        _SKIP,
        orientation="h",
        text=[f"{km[name]:,.0f} km" for name in names],
        textposition="outside",
    )
    reach = {"range": [0, 1.2 * max((km[name] for name in names), default=1)]}
    made = _figure([bars], "km to the nearest other outlet of the sample", "", reach)
    return Chart("neighbours", "How far apart are they?", sentence, made)


def draws(rng: Mapping[str, Any]) -> Chart:
    """How many draws were rejected? Attempts until a point lay in its country, in doubling bins."""
    histogram = {int(k): int(v) for k, v in rng.get("attempt_histogram", {}).items()}
    total = sum(histogram.values())
    slowest = max(histogram, default=0)
    first = histogram.get(1, 0)
    sentence = (
        f"{first / total:.1%} of the points lay in their country at the first draw; "
        f"{total - first:,} needed more, the slowest {slowest}."
        if total
        else "No point has been drawn."
    )
    bins = []
    low = 1
    while low <= slowest:
        high = 2 * low - 1
        count = sum(n for attempts, n in histogram.items() if low <= attempts <= high)
        bins.append((str(low) if low == high else f"{low} to {high}", count))
        low *= 2
    names, outlets = ([entry[k] for entry in bins] for k in (0, 1))
    bars = _trace("bar", names, outlets, "%{x} draws: %{y:,} outlets<extra></extra>")
    # In categories an empty bin keeps its place.
    made = _figure([bars], "draws", "outlets", {"type": "category"}, _LOG)
    rows = [{"draws": a, "outlets": histogram[a]} for a in sorted(histogram)]
    table = _table({"draws": "{draws}", "outlets": "{outlets:,}"}, rows)
    return Chart("draws", "How many draws were rejected?", sentence, made, table)


def costs(reports: Mapping[str, Mapping[str, Any]]) -> Chart:
    """What did it cost? Seconds and memory of each state."""
    used = {state: report["resources"] for state, report in reports.items()}
    seconds = {s: float(r["wall_clock_seconds_total"]) for s, r in used.items()}
    memory = {s: int(r["max_worker_rss_bytes"]) / 1e6 for s, r in used.items()}
    slowest = max(seconds, key=lambda s: seconds[s], default="")
    sentence = (
        f"{sum(seconds.values()):.1f} seconds in all, at most {max(memory.values()):,.0f} MB; "
        f"{slowest.upper()} took longest."
        if seconds
        else "No state has run."
    )
    columns = {
        "state": "{state}",
        "seconds": "{wall_clock_seconds_total:.2f}",
        "CPU seconds": "{cpu_seconds_total:.2f}",
        "peak MB": "{peak:,.0f}",
        "workers": "{workers_used}",
        "rows": "{rows:,}",
    }
    rows = {s: r.get("rows_emitted", r.get("outlet_rows", 0)) for s, r in reports.items()}
    states = [{**used[s], "state": s.upper(), "peak": memory[s], "rows": rows[s]} for s in seconds]
    made = _seconds_and_memory(seconds, memory)
    return Chart("costs", "What did it cost?", sentence, made, _table(columns, states))


def _seconds_and_memory(seconds: Mapping[str, float], memory: Mapping[str, float]) -> Any:
    names = [state.upper() for state in seconds]
    wall = [round(value, 3) for value in seconds.values()]
    peak = [round(value) for value in memory.values()]
    traces = [
        _trace("bar", names, wall, "%{x}: %{y:.2f} s<extra></extra>", name="seconds"),
        _trace(
            "scatter",
            names,
            peak,
            "%{x}: %{y:,} MB<extra></extra>",
            yaxis="y2",
            name="peak MB",
            mode="markers",
            marker={"color": ORANGE, "size": 10, "symbol": "diamond"},
        ),
    ]
    second = {
        "title": {"text": "peak MB"},
        "overlaying": "y",
        "tickmode": "auto",
        "side": "right",
        "rangemode": "tozero",
        "showgrid": False,
        "automargin": True,
    }
    return _figure(traces, "state", "seconds", yaxis2=second)


def country_costs(timings: Sequence[Mapping[str, Any]]) -> Chart:
    """Which countries took S4's time?"""
    ranked = sorted(timings, key=lambda row: (-row["wall_seconds"], row["country_iso"]))
    total = sum(float(row["wall_seconds"]) for row in ranked)
    top = ranked[:20]
    share = sum(float(row["wall_seconds"]) for row in top) / total if total else 0.0
    sentence = (
        f"The plan took {total:.2f} seconds over {len(ranked)} countries; the {len(top)} slowest "
        f"took {share:.0%} of it."
    )
    codes, spent = ([row[name] for row in top] for name in ("country_iso", "wall_seconds"))
    bars = _trace("bar", codes, spent, "%{x}: %{y:.3f} s<extra></extra>")
    made = _figure([bars], "country", "seconds in S4")
    columns = {"country": "{country_iso}", "pairs": "{pairs:,}", "rows": "{rows:,}"}
    table = _table({**columns, "seconds": "{wall_seconds:.4f}"}, ranked)
    return Chart("countries", "Where did the plan's time go?", sentence, made, table)
