"""Writes the places that the map of the page names: the largest of the world and of each country.

They are taken from the GeoNames places that the tests use. Run it with
`python scripts/build_place_names.py`; it gives the same bytes each time.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from segment1b.page.place_names import TABLE

PLACES = Path(__file__).parents[1] / "tests" / "data" / "populated_places.parquet"
IN_WORLD = 1_500
IN_COUNTRY = 8


def main() -> None:
    """Write the table beside the module that reads it, the largest place first."""
    largest = [("population", "descending"), ("geonameid", "ascending")]
    places = pq.read_table(PLACES).sort_by(largest)
    seen: dict[str, int] = {}
    kept = []
    for number, code in enumerate(places["country_iso"].to_pylist()):
        seen[code] = seen.get(code, 0) + 1
        if number < IN_WORLD or seen[code] <= IN_COUNTRY:
            kept.append(number)
    table = places.take(kept).select(["name", "country_iso", "lon_deg", "lat_deg"])
    for column in (2, 3):
        rounded = pc.round(table[column], 3)
        table = table.set_column(column, table.schema.field(column), rounded)
    table = table.set_column(1, "country_iso", table["country_iso"].cast("string"))
    pacsv.write_csv(table, TABLE, pacsv.WriteOptions(quoting_style="needed"))


if __name__ == "__main__":
    main()
