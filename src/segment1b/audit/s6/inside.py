"""Which points lie strictly inside their country, every one of them asked."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from segment1b.audit.areas import area_of
from segment1b.audit.case import Case
from segment1b.audit.results import CheckResult, Row, Rule
from segment1b.audit.strides import COUNTRY, by_country, site_key

JITTERED = f"""
SELECT merchant_id, site_order, {COUNTRY}, lon, lat
FROM jittered
WHERE lon IS NOT NULL AND lat IS NOT NULL
"""  # noqa: S608
LOCATIONS = f"""
SELECT merchant_id, site_order, {COUNTRY}, lon_deg AS lon, lat_deg AS lat
FROM site_locations
"""  # noqa: S608


def points_outside(case: Case, query: str) -> Iterator[Row]:
    """Yield the points of a query (key, lon, lat) that are not strictly inside their country."""
    for code, points in by_country(case, query):
        area = area_of(case, code)
        lon, lat = points["lon"], points["lat"]
        inside = np.zeros(len(lon), np.bool_) if area is None else area.holds(lon, lat)
        for at in np.flatnonzero(~inside).tolist():
            yield {**site_key(points, at), "lon": float(lon[at]), "lat": float(lat[at])}


def check_inside(case: Case, rule: Rule) -> CheckResult:
    """Judge the points that S6's offsets give."""
    return rule.judge_unordered(points_outside(case, JITTERED))


def check_locations_inside(case: Case, rule: Rule) -> CheckResult:
    """Judge the published locations."""
    return rule.judge_unordered(points_outside(case, LOCATIONS))
