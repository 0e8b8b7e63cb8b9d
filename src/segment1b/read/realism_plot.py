"""Draws a comparison with real outlets as one HTML file that makes no network requests."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segment1b.read.export import new_file
from segment1b.storage.durable import write_file

_COLOURS = {"real": "#E69F00", "placed": "#0072B2"}
_COUNTRIES = 30
_DECILES = [decile / 10 for decile in range(1, 10)]
_TITLES = (
    "Shares of outlets",
    "Distance to the nearest outlet of the chain",
    "Ripley's L",
    "Overlap at half a degree, by country",
)
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Realism</title></head>
<body style="font-family: sans-serif">
{body}
</body></html>
"""


def write(out: Path, result: Mapping[str, Any]) -> None:
    """Write the file, with a figure for each group; equal results give equal bytes."""
    parts = []
    for number, (name, figures) in enumerate(result["groups"].items()):
        title = f"{name}: {figures['outlets']['real']:,} real outlets, "
        title += f"{figures['outlets']['placed']:,} placed, {figures['countries']} countries"
        parts.append(f"<h1>{html.escape(title)}</h1>")
        made = _figure(figures)
        parts.append(
            made.to_html(
                full_html=False, include_plotlyjs=number == 0, div_id=f"group{number}", config={}
            )
        )
    with new_file(out) as (fresh, _):
        write_file(fresh, _PAGE.format(body="\n".join(parts)).encode())


def _figure(figures: Mapping[str, Any]) -> Any:
    """Return four charts of one group as a plotly figure."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    made = make_subplots(rows=2, cols=2, subplot_titles=_TITLES)
    shares = {
        "in the top 1 % of cells": figures["top_1_percent_share"],
        "in urban cells": figures["urban_share"],
    }
    for metres, row in (figures["colocated_m"] or {}).items():
        shares[f"another chain within {metres} m"] = row
    lengths, nearest = figures["ripley_l_km"] or {}, figures["nearest_own_km"] or {}
    for side, colour in _COLOURS.items():
        look = {"name": side, "legendgroup": side, "marker": {"color": colour}}
        bars = go.Bar(x=list(shares), y=[row[side] for row in shares.values()], **look)
        steps = go.Scatter(x=nearest.get(side) or [], y=_DECILES, showlegend=False, **look)
        km, values = list(map(float, lengths)), [row[side] for row in lengths.values()]
        ripley = go.Scatter(x=km, y=values, showlegend=False, **look)
        made.add_trace(bars, 1, 1)
        made.add_trace(steps, 1, 2)
        made.add_trace(ripley, 2, 1)
    rows = sorted(
        figures["by_country"].items(), key=lambda row: (-row[1]["outlets"]["real"], row[0])
    )
    codes = [code for code, _ in rows[:_COUNTRIES]]
    overlaps = [row["overlap_half_degree"] for _, row in rows[:_COUNTRIES]]
    made.add_trace(go.Bar(x=codes, y=overlaps, showlegend=False, marker={"color": "#555"}), 2, 2)
    made.update_xaxes(title_text="km", type="log", row=1, col=2)
    made.update_xaxes(title_text="km", type="log", row=2, col=1)
    made.update_yaxes(title_text="L, km", type="log", row=2, col=1)
    made.update_yaxes(range=[0, 1], row=1, col=1)
    made.update_yaxes(range=[0, 1], row=2, col=2)
    made.update_layout(height=900, template="plotly_white")
    return made
