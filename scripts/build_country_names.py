"""Writes the table of country names and codes that `outlets import --normalise` knows.

Names are those of Unicode's CLDR (through Babel) in English and in the official languages of each
country, and the English names of the embedded ISO table. A form that means two countries is left
out. Run it with `python scripts/build_country_names.py`; the same Babel gives the same bytes.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
from babel import Locale, UnknownLocaleError
from babel.languages import get_official_languages

from segment1b.outlets.country_names import TABLE, key
from segment1b.reference import embedded

#: Names in wide use that neither source lists.
COMMON = {
    "Bolivia": "BO",
    "Britain": "GB",
    "Burma": "MM",
    "Cape Verde": "CV",
    "Czech Republic": "CZ",
    "DR Congo": "CD",
    "East Timor": "TL",
    "EL": "GR",
    "England": "GB",
    "Great Britain": "GB",
    "Holland": "NL",
    "Hong Kong": "HK",
    "Iran": "IR",
    "Ivory Coast": "CI",
    "Laos": "LA",
    "Macau": "MO",
    "Macedonia": "MK",
    "Moldova": "MD",
    "North Korea": "KP",
    "Palestine": "PS",
    "Republic of Korea": "KR",
    "Russia": "RU",
    "South Korea": "KR",
    "Swaziland": "SZ",
    "Syria": "SY",
    "Taiwan": "TW",
    "Tanzania": "TZ",
    "Turkey": "TR",
    "U.K.": "GB",
    "U.S.": "US",
    "U.S.A.": "US",
    "UK": "GB",
    "United States of America": "US",
    "Vatican": "VA",
    "Venezuela": "VE",
    "Vietnam": "VN",
}
#: Names that mean two countries, whatever a source has them for.
AMBIGUOUS = ("Congo", "Korea", "Samoa Islands", "Virgin Islands", "Saint Martin")


def locales(code: str) -> Iterator[Locale]:
    """Yield English and the official languages of a country."""
    for language in ("en", *get_official_languages(code, regional=True, de_facto=True)):
        try:
            yield Locale.parse(language)
        except (UnknownLocaleError, ValueError):
            continue


def forms() -> Iterator[tuple[str, str, str]]:
    """Yield kind, form and alpha-2 code."""
    for row in pq.read_table(embedded.surface("iso3166.parquet")).to_pylist():
        code = row["country_iso"]
        yield "alpha-3", row["alpha3"], code
        yield "numeric", row["numeric"], code
        yield "name", row["name"], code
        for locale in locales(code):
            yield "name", locale.territories.get(code, ""), code
    for name, code in COMMON.items():
        yield "name", name, code


def main() -> None:
    """Write the table beside the module that reads it."""
    found: dict[str, set[tuple[str, str]]] = {}
    for kind, form, code in forms():
        if form and len(key(form)) > 1:
            found.setdefault(key(form), set()).add((kind, code))
    for name in AMBIGUOUS:
        found.pop(key(name), None)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("form", "kind", "country_iso"))
    for form, meanings in sorted(found.items()):
        if len({code for _, code in meanings}) == 1:
            kind, code = min(meanings)
            writer.writerow((form, kind, code))
    Path(TABLE).write_text(text.getvalue(), encoding="utf-8")


if __name__ == "__main__":
    main()
