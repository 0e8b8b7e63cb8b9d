"""Country codes: reads ISO 3166-1 tables, and maps alpha-3 and numeric codes to alpha-2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from segment1b.contracts.faults import coded_read_errors
from segment1b.contracts.locations import nearest
from segment1b.errors import file_error, schema_invalid
from segment1b.storage.durable import regular_file

#: Columns of the table; the first alone is required, and all are text.
COLUMNS: Final = ("country_iso", "alpha3", "numeric", "name", "status")
_FORMS: Final = {
    "country_iso": re.compile("[A-Z]{2}"),
    "alpha3": re.compile("[A-Z]{3}"),
    "numeric": re.compile("[0-9]{3}"),
}


class Codes:
    """The codes of an ISO table: column country_iso, and alpha3 and numeric if present."""

    def __init__(self, table: pa.Table) -> None:
        own = table.column("country_iso").to_pylist()
        self.all = sorted(set(own))
        self._alpha2: dict[str, str] = {code: code for code in own}
        for name in ("alpha3", "numeric"):
            if name in table.column_names:
                pairs = zip(table.column(name).to_pylist(), own, strict=True)
                self._alpha2 |= {str(other): code for other, code in pairs if other}

    def alpha2(self, code: str) -> str | None:
        """Return the alpha-2 code of a code in any of its forms, or None if it is unknown."""
        return self._alpha2.get(code.zfill(3) if code.isdigit() else code)


def read_codes(path: Path) -> Codes:
    """Return the codes of an ISO table in Parquet."""
    return Codes(pq.read_table(path))


def mapped(path: Path, column: str, keys: Sequence[str], codes: Codes) -> list[str]:
    """Return the alpha-2 code of each key; E005_ISO_FK lists unknown keys with their rows."""
    if unknown := unknown_keys(keys, codes):
        listed = ", ".join(f"'{key}' ({rows} rows)" for key, rows in unknown.items())
        what = f": column {column} holds codes that are not in the ISO table: {listed}"
        hint = (
            "choose another column with --column country_iso=COLUMN, correct them at their source, "
            "or leave their rows out with --drop-unknown"
        )
        raise file_error("E005_ISO_FK", path, what, hint, codes=list(unknown))
    return [str(codes.alpha2(key)) for key in keys]


def unknown_keys(keys: Sequence[str], codes: Codes) -> dict[str, int]:
    """Return the number of rows of each unknown key, keys ascending."""
    return dict(sorted(Counter(key for key in keys if codes.alpha2(key) is None).items()))


def read_code_list(path: Path, renamed: Mapping[str, str]) -> pa.Table:
    """Return the ISO table of a CSV file (UTF-8, with a header), codes ascending.

    `renamed` has the columns of the file by those of the table. Raises E_INPUT_UNREADABLE, and
    E_INPUT_SCHEMA_INVALID for a missing column and malformed or repeated codes, with their line.
    """
    regular_file(path)
    hint = "save it as CSV, separated by commas, with a header"
    kinds = (pa.ArrowException, OSError)
    with coded_read_errors(path, kinds, "is not a CSV file in UTF-8", hint):
        with pc.open_csv(path) as reader:
            texts = pa.schema([(name, pa.string()) for name in reader.schema.names])
        options = pc.ConvertOptions(column_types=texts, strings_can_be_null=False)
        table = pc.read_csv(path, convert_options=options)
    columns = {}
    for name in COLUMNS:
        column = renamed.get(name, name)
        if column in table.column_names:
            columns[name] = [text.strip() for text in table.column(column).to_pylist()]
        elif name == "country_iso" or column != name:
            what = f"has no column {column}; it has {', '.join(table.column_names)}"
            hint = f"name it with --column {name}=COLUMN; {nearest(column, table.column_names)}"
            raise schema_invalid(path, what, hint)
    if "numeric" in columns:
        columns["numeric"] = [t.zfill(3) if t.isdigit() else t for t in columns["numeric"]]
    _check_codes(path, columns)
    arrays = {name: pa.array(texts, pa.string()) for name, texts in columns.items()}
    return pa.table(arrays).sort_by("country_iso")


def _check_codes(path: Path, columns: Mapping[str, list[str]]) -> None:
    if not columns["country_iso"]:
        raise schema_invalid(path, "lists no country", "give one line a country")
    for name, form in _FORMS.items():
        lines: dict[str, int] = {}
        for line, text in enumerate(columns.get(name, []), 2):
            if not text and name != "country_iso":
                continue
            if not form.fullmatch(text):
                what = f", line {line}: '{text}' is not a valid {name}"
                raise schema_invalid(path, what, "use ISO 3166-1 codes in upper case")
            if text in lines:
                what = f", line {line}: {text} is a duplicate of line {lines[text]}"
                raise schema_invalid(path, what, "list it once")
            lines[text] = line
