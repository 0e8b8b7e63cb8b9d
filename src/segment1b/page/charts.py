"""Charts of outlets and costs: for each question a figure, a sentence and a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

#: Colours of the page's style sheet, after Okabe and Ito.
BLUE, ORANGE = "var(--blue)", "var(--orange)"
# Collapse index below which outlets are piled up.
_PILE = 0.5
# Independent draws leave about 95 % of the tiles within twice their spread; S4 may not do much
# worse.
_WITHIN = 0.9
# Countries of which a drawing of all tells more than its sentence.
_COUNTRIES_LEAST = 3


Table: TypeAlias = tuple[Sequence[str], Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Chart:
    """A question, the answer as a sentence, a figure, and a table (header, rows).

    The figure has options of Observable Plot's `plot` and `marks`: each the name of a mark, how
    many rows it has, its options, and a name for the legend. None where there is nothing to draw.
    """

    id: str
    question: str
    sentence: str
    figure: dict[str, Any] | None
    table: Table = ((), ())


def _mark(kind: str, length: int, name: str = "", **options: Any) -> dict[str, Any]:
    """Return a mark of the figure; arrays are its channels."""
    values = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in options.items()}
    return {"mark": kind, "length": length, "name": name, "options": values}


def _line(x: Any, y: Any, name: str, dash: str = "2 3") -> dict[str, Any]:
    """Return a thin line that the data is compared with."""
    return _mark("lineY", len(x), name, x=x, y=y, stroke=ORANGE, strokeDasharray=dash)


def _log(label: str, top: float) -> dict[str, Any]:
    """Return a logarithmic axis from 1."""
    ticks = [10**power for power in range(len(str(int(top))))]
    axis = {"type": "log", "domain": [0.8, max(10, 1.2 * top)], "ticks": ticks, "tickFormat": "~s"}
    return {"label": label, "grid": True, **axis}


def _linear(label: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "grid": True, "zero": True, **more}


def _share(label: str) -> dict[str, Any]:
    return {"label": label, "grid": True, "domain": [0, 1], "tickFormat": ".0%"}


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
        f"Yes: {_each(len(required))} of merchant and country has exactly the outlets it requires, "
        f"{total:,} in all."
        if not wrong
        else f"No: {wrong:,} of {len(required):,} pairs have a different number than they require."
    )
    top = float(both.max(initial=1))
    pairs = _mark(
        "dot",
        len(often),
        "pairs",
        x=both[0],
        y=both[1],
        r=np.round(2.5 + 2 * np.log10(often), 1),
        fill=BLUE,
        fillOpacity=0.7,
        channels={"pairs": often.tolist()},
        tip={"format": {"r": False}},
    )
    figure = {
        "x": _log("outlets required", top),
        "y": _log("outlets placed", top),
        "r": {"type": "identity"},
        "marks": [_line([1, top], [1, top], "equal"), pairs],
    }
    return Chart(
        "conservation",
        "Did every pair get its outlets?",
        sentence,
        figure if len(often) > 1 else None,
    )


def _countries(count: int) -> str:
    return f"{count:,} countr{'y' if count == 1 else 'ies'}"


def _each(pairs: int) -> str:
    return "the one pair" if pairs == 1 else f"each of the {pairs:,} pairs"


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
        f"Gini {gini:.2f} over the {_countries(len(counts))} with tiles (0: all equal, "
        f"1: one has all); the largest share{' is' if len(biggest) == 1 else 's are'} {names}"
        + (f"; {south:.0%} of outlets are south of the equator." if south is not None else ".")
    )
    curve: dict[str, Any] = {"x": np.round(x, 4), "y": np.round(y, 5)}
    marks = [
        _mark("areaY", len(x), **curve, fill=BLUE, fillOpacity=0.25),
        _mark("lineY", len(x), "outlets", **curve, stroke=BLUE, strokeWidth=2, tip=True),
        _line([0, 1], [0, 1], "all equal"),
    ]
    figure = {
        "x": _share("countries, fewest outlets first"),
        "y": _share("share of all outlets"),
        "marks": marks,
    }
    drawn = figure if len(sites) >= _COUNTRIES_LEAST else None
    return Chart("evenness", "How even is the world?", sentence, drawn)


def collapse(quality: Mapping[str, Mapping[str, Any]], overall: float) -> Chart:
    """Did outlets pile up? Collapse index of each country against 1."""
    codes = sorted(quality, key=lambda code: (-quality[code]["sites"], code))
    sentence = _piled(quality, overall)
    sites, index, share = (
        [quality[code][name] for code in codes]
        for name in ("sites", "collapse_index", "top_five_share")
    )
    points = _mark(
        "dot",
        len(codes),
        "countries",
        x=sites,
        y=index,
        r=3.5,
        fill=BLUE,
        fillOpacity=0.75,
        channels={"country": codes, "top five tiles": share},
        tip={"format": {"top five tiles": ".0%"}},
    )
    top = max([2, *sites])
    figure = {
        "x": _log("outlets of the country", top),
        "y": _linear("collapse index"),
        "marks": [_line([1, top], [1, 1], "independent draws"), points],
    }
    columns = {
        "country": "{code}",
        "outlets": "{sites:,}",
        "tiles used": "{distinct_tiles:,}",
        "collapse index": "{collapse_index:.3f}",
        "top five tiles": "{top_five_share:.1%}",
    }
    table = _table(columns, [{"code": code, **quality[code]} for code in codes])
    drawn = figure if len(codes) >= _COUNTRIES_LEAST else None
    return Chart("collapse", "Did outlets pile up?", sentence, drawn, table)


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
    if not large:
        return f"{verdict} (index {overall:.3f}); no country has 30 outlets."
    return (
        f"{verdict} (index {overall:.3f}); of {_countries(len(large))} with 30 outlets or more, "
        f"{len(low) or 'none'} {'are' if len(low) > 1 else 'is'} below {_PILE}."
        f" The five fullest tiles of {fullest} hold "
        f"{quality[fullest]['top_five_share']:.0%} of its outlets"
        f"{', the largest such share' if len(large) > 1 else ''}."
    )


def prior(
    quota: npt.NDArray[np.float64], sites: npt.NDArray[np.int64], by: str = "population"
) -> Chart:
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
    tiles = _mark(
        "dot",
        len(quota[shown]),
        "tiles",
        x=np.round(quota[shown], 3),
        y=sites[shown],
        r=2.5,
        fill=BLUE,
        fillOpacity=0.45,
        tip=True,
    )
    steps = np.geomspace(1.0, quota.max(initial=2.0), 40)
    x = np.round(steps, 3)
    lines = [
        _line(
            x,
            np.round(np.maximum(0, steps + side * 2 * np.sqrt(steps)), 3),
            "as the prior" if side == 0 else "95 % of independent draws" if side < 0 else "",
            "2 3" if side == 0 else "none",
        )
        for side in (0, -1, 1)
    ]
    figure = {
        "x": _linear(f"share by {by} (outlets)"),
        "y": _linear("outlets in the tile"),
        "marks": [tiles, *lines],
    }
    sentence = _followed(quota, sites, away <= spread, by)
    drawn = figure if len(quota) > 1 else None
    return Chart("prior", f"Do outlets follow the {by}?", sentence, drawn)


def _followed(
    quota: npt.NDArray[np.float64],
    sites: npt.NDArray[np.int64],
    near: npt.NDArray[np.bool_],
    by: str,
) -> str:
    """Return how many tiles, of a quota of one or more, are near it."""
    if not len(quota):
        return f"Too few outlets to tell: no tile's share of the {by} reaches one outlet."
    within = float(near.mean())
    worst = int(np.argmax(np.abs(sites - quota) / np.sqrt(quota)))
    return (
        f"{'Yes' if within >= _WITHIN else 'No'}: of the {len(quota):,} heavy "
        f"tile{'' if len(quota) == 1 else 's'} whose share of the {by} is one outlet or "
        f"more, {within:.1%} differ from that share by at "
        "most twice the spread of independent draws (of which about 95% would); the farthest "
        f"holds {int(sites[worst]):,} with a share of {float(quota[worst]):,.1f}."
    )


def neighbours(realism: Mapping[str, Any]) -> Chart:
    """How far is the nearest other outlet? Quantiles of S9's sample, km."""
    km = realism.get("nearest_neighbour_km", {})
    labels = {"p50": "half", "p90": "nine in ten", "p99": "99 in 100"}
    names = [name for name in labels if name in km]
    sentence = (
        f"In a sample of the outlets, half have another within {km['p50']:,.0f} km, "
        f"nine in ten within {km['p90']:,.0f} km."
        if names
        else "S9 has not measured it."
    )
    lengths = [float(km[name]) for name in names]
    at: dict[str, Any] = {"x": lengths, "y": [labels[name] for name in names]}
    text = [f"{length:,.0f} km" for length in lengths]
    figure = {
        "x": _linear("km to the nearest other outlet of the sample"),
        "y": {"label": None, "domain": at["y"]},
        "marginLeft": 80,
        "marginRight": 60,
        "marks": [
            _mark("barX", len(names), **at, fill=BLUE),
            _mark("text", len(names), **at, text=text, textAnchor="start", dx=5),
        ],
    }
    drawn = figure if names else None
    return Chart("neighbours", "How far apart are they?", sentence, drawn)


def draws(rng: Mapping[str, Any]) -> Chart:
    """How many draws were rejected? Attempts until a point lay in its country, in doubling bins."""
    histogram = {int(k): int(v) for k, v in rng.get("attempt_histogram", {}).items()}
    total = sum(histogram.values())
    slowest = max(histogram, default=0)
    first = histogram.get(1, 0)
    sentence = (
        "No point has been drawn."
        if not total
        else "All points lay in their country at the first draw."
        if first == total
        else f"{first / total:.1%} of the points lay in their country at the first draw; "
        f"{total - first:,} needed more, the slowest {slowest}."
    )
    bins: list[tuple[str, int]] = []
    low = 1
    while low <= slowest:
        high = 2 * low - 1
        count = sum(n for attempts, n in histogram.items() if low <= attempts <= high)
        bins.append((str(low) if low == high else f"{low} to {high}", count))
        low *= 2
    names, outlets = [name for name, _ in bins], [count for _, count in bins]
    text = [f"{count:,}" for count in outlets]
    figure = {
        "x": _log("outlets", 2.0 * max(outlets, default=1)),
        # In categories an empty bin keeps its place.
        "y": {"label": "draws", "domain": names},
        "marginLeft": 80,
        "marks": [
            _mark("barX", len(bins), y=names, x1=0.8, x2=outlets, fill=BLUE),
            _mark("text", len(bins), y=names, x=outlets, text=text, textAnchor="start", dx=5),
        ],
    }
    rows = [{"draws": a, "outlets": histogram[a]} for a in sorted(histogram)]
    table = _table({"draws": "{draws}", "outlets": "{outlets:,}"}, rows)
    drawn = figure if len(bins) > 1 else None
    return Chart("draws", "How many draws were rejected?", sentence, drawn, table)


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
    made = _seconds_and_memory(seconds, memory) if seconds else None
    return Chart("costs", "What did it cost?", sentence, made, _table(columns, states))


def _seconds_and_memory(seconds: Mapping[str, float], memory: Mapping[str, float]) -> Any:
    at: dict[str, Any] = {
        "x": [round(value, 3) for value in seconds.values()],
        "y": [s.upper() for s in seconds],
    }
    text = [f"{seconds[state]:.1f} s, {memory[state]:,.0f} MB" for state in seconds]
    return {
        "x": _linear("seconds"),
        "y": {"label": None, "domain": at["y"]},
        "marginRight": 110,
        "marks": [
            _mark("barX", len(seconds), **at, fill=BLUE),
            _mark("text", len(seconds), **at, text=text, textAnchor="start", dx=5),
        ],
    }
