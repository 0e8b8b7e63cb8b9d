"""An interactive map of sites as a plotly figure that makes no network requests."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from segment1b.geo.countries import read_countries
from segment1b.geo.outlines import outlines

#: Points that a figure holds; of more, every k-th one.
MOST_POINTS = 60_000
_MARGIN = 0.08
_LAND, _SITE = "#9aa5b1", "#0f766e"
#: Columns of the text of a point, those that are there.
_LABEL = ("merchant_id", "outlet_id", "country_iso", "site_order", "tzid")


def site_map(sites: pa.Table, countries: Path) -> Any:
    """Return a plotly.graph_objects.Figure of outlines and points, longitude over latitude.

    Args:
        sites: columns lon_deg, lat_deg and those of the text of a point.
        countries: the country polygons.
    """
    import plotly.graph_objects as go

    total = sites.num_rows
    every = max(1, -(-total // MOST_POINTS))
    shown = sites.take(np.arange(0, total, every))
    lon, lat = (shown.column(name).to_numpy() for name in ("lon_deg", "lat_deg"))
    x, y = _lines(outlines(read_countries(countries)))
    land = go.Scattergl(
        x=x, y=y, mode="lines", line={"color": _LAND, "width": 0.7}, hoverinfo="skip"
    )
    points = go.Scattergl(
        x=lon,
        y=lat,
        mode="markers",
        marker={"color": _SITE, "size": 5, "opacity": 0.6},
        text=_labels(shown),
        hovertemplate="%{text}<br>%{y:.4f}, %{x:.4f}<extra></extra>",
    )
    some = f", one in {every} shown" if every > 1 else ""
    middle = float(np.mean([lat.min(), lat.max()])) if len(lat) else 0.0
    axis = {"showgrid": False, "zeroline": False, "ticksuffix": "°"}
    ratio = 1 / max(0.2, float(np.cos(np.radians(middle))))
    return go.Figure(
        [land, points],
        {
            "title": {"text": f"{total:,} outlets{some}"},
            "showlegend": False,
            "dragmode": "pan",
            "margin": {"l": 40, "r": 10, "t": 40, "b": 30},
            "plot_bgcolor": "white",
            "xaxis": {**axis, "range": _reach(lon, -180, 180)},
            "yaxis": {
                **axis,
                "range": _reach(lat, -90, 90),
                "scaleanchor": "x",
                "scaleratio": ratio,
            },
        },
    )


def _lines(features: dict[str, Any]) -> npt.NDArray[np.float64]:
    """Return the rings of all countries as one line, float64[2, n], with NaN after each ring."""
    gap = [(np.nan, np.nan)]
    polygons = (polygon for f in features["features"] for polygon in f["geometry"]["coordinates"])
    points = [point for polygon in polygons for ring in polygon for point in (*ring, *gap)]
    return np.array(points, np.float64).reshape(-1, 2).T


def _labels(sites: pa.Table) -> list[str]:
    names = [name for name in _LABEL if name in sites.column_names]
    texts = [pc.cast(sites.column(name), pa.string()).fill_null("") for name in names]
    joined = pc.binary_join_element_wise(*texts, " ")
    # plotly reads tags in a text; the user's ids may hold any character.
    return [html.escape(text, quote=False) for text in joined.to_pylist()]


def _reach(values: Any, low: float, high: float) -> list[float]:
    """Return the range of an axis around values, degrees."""
    if not len(values):
        return [low, high]
    least, most = float(values.min()), float(values.max())
    room = max(_MARGIN * (most - least), 0.25)
    return [max(low, least - room), min(high, most + room)]
