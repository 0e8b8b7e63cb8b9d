"""Names of the largest places, for the map.

The table is made by scripts/build_place_names.py from GeoNames (NOTICE.md), the largest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow.csv as pacsv

from segment1b.page.payload import Packer

TABLE: Final = Path(__file__).with_name("place_names.csv")
_DEGREE = 1_000


def place_names(packer: Packer, frames: Mapping[str, Sequence[Sequence[float]]]) -> dict[str, Any]:
    """Return names and coordinates, in 1/1,000 degree, of places in a frame of their country.

    On somebody's own map a code may mean another area, and what lies outside it is left out.
    """
    found = [
        row
        for row in pacsv.read_csv(TABLE).to_pylist()
        if any(
            west < row["lon_deg"] < east and south < row["lat_deg"] < north
            for west, south, east, north in frames.get(row["country_iso"], ())
        )
    ]
    return {
        "name": [row["name"] for row in found],
        "lon": packer.add([round(row["lon_deg"] * _DEGREE) for row in found], "i4"),
        "lat": packer.add([round(row["lat_deg"] * _DEGREE) for row in found], "i4"),
    }
