"""Alpha-2 codes of alpha-3 codes, numeric codes and country names, from an embedded table.

The table is made by scripts/build_country_names.py. It is a file and no library, so that a list
means the same countries under every release of a library.
"""

from __future__ import annotations

import csv
import functools
import re
import unicodedata
from pathlib import Path
from typing import Final

TABLE: Final = Path(__file__).with_name("country_names.csv")
_PUNCTUATION = re.compile(r"[\s.,'\u2019\u02bc\u2010-\u2015()/_-]+")


def key(text: str) -> str:
    """Return a name without case, accents, spaces and punctuation: `Côte d'Ivoire`, COTEDIVOIRE."""
    plain = unicodedata.normalize("NFKD", text).casefold()
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    return _PUNCTUATION.sub("", letters.replace("&", "and")).upper()


@functools.cache
def table() -> dict[str, tuple[str, str]]:
    """Return kind (alpha-3, numeric, name) and alpha-2 code by the key of a form."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["form"]: (row["kind"], row["country_iso"]) for row in csv.DictReader(file)}
