"""Country codes: reads ISO 3166-1 tables, and maps alpha-3 and numeric codes to alpha-2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from segment1b.contracts.faults import coded_read_errors
from segment1b.contracts.locations import nearest
from segment1b.errors import file_error, schema_invalid
from segment1b.reference.sources import Features
from segment1b.storage.durable import regular_file

#: Columns of the table; the first alone is required, and all are text.
COLUMNS: Final = ("country_iso", "alpha3", "numeric", "name", "status")
_FORMS: Final = {
    "country_iso": re.compile("[A-Z]{2}"),
    "alpha3": re.compile("[A-Z]{3}"),
    "numeric": re.compile("[0-9]{3}"),
}


def read_codes(path: Path) -> dict[str, str]:
    """Return the alpha-2 code of each code, in any of its forms, of an ISO table in Parquet."""
    table = pq.read_table(path)
    alpha2 = table.column("country_iso").to_pylist()
    codes: dict[str, str] = {}
    for name in ("country_iso", "alpha3", "numeric"):
        if name in table.column_names:
            pairs = zip(table.column(name).to_pylist(), alpha2, strict=True)
            codes |= {str(code): own for code, own in pairs if code}
    return codes


def with_alpha2(
    features: Features, codes: Mapping[str, str], *, drop_unknown: bool
) -> tuple[Features, dict[str, int]]:
    """Return the rows with known codes under their alpha-2 code, and the rows dropped by code.

    Without `drop_unknown`, E005_ISO_FK lists the unknown codes with their rows.
    """
    alpha2 = [codes.get(key.zfill(3) if key.isdigit() else key) for key in features.keys]
    rows = Counter(k for k, code in zip(features.keys, alpha2, strict=True) if code is None)
    unknown = dict(sorted(rows.items()))
    if unknown and not drop_unknown:
        listed = ", ".join(f"'{key}' ({rows} rows)" for key, rows in unknown.items())
        what = f": column {features.column} holds codes that are not in the ISO table: {listed}"
        hint = (
            "choose another column with --column country_iso=COLUMN, correct them at their source, "
            "or leave their rows out with --drop-unknown"
        )
        raise file_error("E005_ISO_FK", features.path, what, hint, codes=list(unknown))
    kept = [row for row, code in enumerate(alpha2) if code is not None]
    keys = [code for code in alpha2 if code is not None]
    return replace(features, keys=keys, geometries=features.geometries[kept]), unknown


def own_codes(features: Features) -> pa.Table:
    """Return the table of the codes that polygons have, ascending: any two upper-case letters.

    Raises E_INPUT_SCHEMA_INVALID, naming the row of another code.
    """
    for row, key in enumerate(features.keys, 1):
        if not _FORMS["country_iso"].fullmatch(key):
            what = f", row {row}: column {features.column} holds '{key}'"
            hint = "codes of your own are two upper-case letters, for example AA"
            raise schema_invalid(features.path, what, hint, row=row)
    return pa.table({"country_iso": pa.array(sorted(set(features.keys)), pa.string())})


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
