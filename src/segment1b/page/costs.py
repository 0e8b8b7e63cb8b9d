"""Charts of what a run cost: draws, seconds, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from segment1b.page.charts import BLUE, LOG, ORANGE, Chart, figure


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
    bars = go.Bar(
        x=[name for name, _ in bins],
        y=[n for _, n in bins],
        marker={"color": BLUE},
        hovertemplate="%{x} draws: %{y:,} outlets<extra></extra>",
    )
    # In categories an empty bin keeps its place.
    made = figure([bars], "draws", "outlets", {"type": "category"}, LOG)
    header = ("draws", "outlets")
    rows = [(a, f"{histogram[a]:,}") for a in sorted(histogram)]
    return Chart("draws", "How many draws were rejected?", sentence, made, (header, rows))


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
    header = ("state", "seconds", "CPU seconds", "peak MB", "workers", "rows")
    rows = [
        (
            s.upper(),
            f"{seconds[s]:.2f}",
            f"{used[s]['cpu_seconds_total']:.2f}",
            f"{memory[s]:,.0f}",
            used[s]["workers_used"],
            f"{reports[s].get('rows_emitted', reports[s].get('outlet_rows', 0)):,}",
        )
        for s in seconds
    ]
    made = _seconds_and_memory(seconds, memory)
    return Chart("costs", "What did it cost?", sentence, made, (header, rows))


def _seconds_and_memory(seconds: Mapping[str, float], memory: Mapping[str, float]) -> Any:
    names = [state.upper() for state in seconds]
    wall = go.Bar(
        x=names,
        y=[round(v, 3) for v in seconds.values()],
        name="seconds",
        marker={"color": BLUE},
        hovertemplate="%{x}: %{y:.2f} s<extra></extra>",
    )
    peak = go.Scatter(
        x=names,
        y=[round(v) for v in memory.values()],
        yaxis="y2",
        name="peak MB",
        mode="markers",
        marker={"color": ORANGE, "size": 10, "symbol": "diamond"},
        hovertemplate="%{x}: %{y:,} MB<extra></extra>",
    )
    second = {
        "title": {"text": "peak MB"},
        "overlaying": "y",
        "tickmode": "auto",
        "side": "right",
        "rangemode": "tozero",
        "showgrid": False,
        "automargin": True,
    }
    return figure([wall, peak], "state", "seconds", yaxis2=second)


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
    bars = go.Bar(
        x=[row["country_iso"] for row in top],
        y=[row["wall_seconds"] for row in top],
        marker={"color": BLUE},
        hovertemplate="%{x}: %{y:.3f} s<extra></extra>",
    )
    made = figure([bars], "country", "seconds in S4")
    header = ("country", "pairs", "rows", "seconds")
    rows = [
        (
            row["country_iso"],
            f"{row['pairs']:,}",
            f"{row['rows']:,}",
            f"{row['wall_seconds']:.4f}",
        )
        for row in ranked
    ]
    return Chart("countries", "Where did the plan's time go?", sentence, made, (header, rows))
