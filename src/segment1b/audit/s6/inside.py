"""Tests every site for strict containment in its country."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segment1b.audit.areas import area_of
from segment1b.audit.case import Case
from segment1b.audit.results import Found, Row
from segment1b.audit.strides import COUNTRY, by_country, site_key

_JITTERED = f"""
SELECT merchant_id, site_order, {COUNTRY}, lon, lat
FROM jittered
WHERE lon IS NOT NULL AND lat IS NOT NULL
"""  # noqa: S608
_LOCATIONS = f"""
SELECT merchant_id, site_order, {COUNTRY}, lon_deg AS lon, lat_deg AS lat
FROM site_locations
"""  # noqa: S608


def check_inside(case: Case) -> Found:
    """Every reconstructed point is strictly inside its country."""
    return Found(_points_outside(case, _JITTERED), in_order=False)


def check_locations_inside(case: Case) -> Found:
    """Every location is inside its country."""
    return Found(_points_outside(case, _LOCATIONS), in_order=False)


def _points_outside(case: Case, query: str) -> Iterator[Row]:
    for code, points in by_country(case, query):
        area = area_of(case, code)
        lon, lat = points["lon"], points["lat"]
        inside = np.zeros(len(lon), np.bool_) if area is None else area.holds(lon, lat)
        for at in np.flatnonzero(~inside).tolist():
            yield {**site_key(points, at), "lon": float(lon[at]), "lat": float(lat[at])}
