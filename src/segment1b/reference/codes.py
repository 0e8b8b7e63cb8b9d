"""Country codes: the ISO table people bring, and any of its three kinds of code made alpha-2."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.locations import nearest
from segment1b.errors import Segment1BError
from segment1b.storage.durable import regular_file

#: Columns of the table; the first alone is required, and all are text.
COLUMNS: Final = ("country_iso", "alpha3", "numeric", "name", "status")
_FORMS: Final = {
    "country_iso": re.compile("[A-Z]{2}"),
    "alpha3": re.compile("[A-Z]{3}"),
    "numeric": re.compile("[0-9]{3}"),
}


class Codes:
    """The codes of an ISO table.

    Args:
        table: columns country_iso and, where it has them, alpha3 and numeric.
    """

    def __init__(self, table: pa.Table) -> None:
        own = table.column("country_iso").to_pylist()
        self.all = sorted(set(own))
        self._alpha2: dict[str, str] = {code: code for code in own}
        for name in ("alpha3", "numeric"):
            if name in table.column_names:
                pairs = zip(table.column(name).to_pylist(), own, strict=True)
                self._alpha2 |= {str(other): code for other, code in pairs if other}

    def alpha2(self, code: str) -> str | None:
        """Return the two letters of a code in any of its forms; None for one that is not known."""
        return self._alpha2.get(code.zfill(3) if code.isdigit() else code)


def read_codes(path: Path) -> Codes:
    """Return the codes of an ISO table in Parquet."""
    return Codes(pq.read_table(path))


def mapped(path: Path, column: str, keys: Sequence[str], codes: Codes) -> list[str]:
    """Return the two-letter code of each key.

    Raises:
        Segment1BError: E005_ISO_FK listing every key that is no code, with its rows.
    """
    if unknown := unknown_keys(keys, codes):
        listed = ", ".join(f"'{key}' ({rows} rows)" for key, rows in unknown.items())
        raise Segment1BError(
            "E005_ISO_FK",
            f"{path}: column {column} holds codes that are not in the ISO table: {listed}",
            "choose another column with --column country_iso=COLUMN, mend them at their source, "
            "or leave their rows out with --drop-unknown",
            path=str(path),
            codes=list(unknown),
        )
    return [str(codes.alpha2(key)) for key in keys]


def unknown_keys(keys: Sequence[str], codes: Codes) -> dict[str, int]:
    """Return how many rows have each key that is no code, keys ascending."""
    return dict(sorted(Counter(key for key in keys if codes.alpha2(key) is None).items()))


def read_code_list(path: Path, renamed: Mapping[str, str]) -> pa.Table:
    """Return the ISO table of a CSV file (UTF-8, with a header), codes ascending.

    Args:
        path: the file.
        renamed: its column by the table's name, where they differ.

    Raises:
        Segment1BError: E_INPUT_UNREADABLE; E_INPUT_SCHEMA_INVALID for a missing column, and for
            malformed or repeated codes with their line.
    """
    regular_file(path)
    try:
        options = pc.ConvertOptions(
            column_types=pa.schema([(c, pa.string()) for c in _header(path)]),
            strings_can_be_null=False,
        )
        table = pc.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise_machine_fault(error, path)
        raise Segment1BError(
            "E_INPUT_UNREADABLE",
            f"{path} is no CSV file in UTF-8: {error}",
            "save it as CSV, separated by commas, with a header",
            path=str(path),
        ) from None
    columns = {}
    for name in COLUMNS:
        wanted = renamed.get(name, name)
        if wanted in table.column_names:
            columns[name] = [text.strip() for text in table.column(wanted).to_pylist()]
        elif name == "country_iso" or wanted != name:
            raise _invalid(
                path,
                f"has no column {wanted}; it has {', '.join(table.column_names)}",
                f"name it with --column {name}=COLUMN; {nearest(wanted, table.column_names)}",
            )
    if "numeric" in columns:
        columns["numeric"] = [t.zfill(3) if t.isdigit() else t for t in columns["numeric"]]
    _check_codes(path, columns)
    return pa.table(
        {name: pa.array(texts, pa.string()) for name, texts in columns.items()}
    ).sort_by("country_iso")


def _header(path: Path) -> list[str]:
    with pc.open_csv(path) as reader:
        return [str(name) for name in reader.schema.names]


def _check_codes(path: Path, columns: Mapping[str, list[str]]) -> None:
    if not columns["country_iso"]:
        raise _invalid(path, "lists no country", "give one line a country")
    for name, form in _FORMS.items():
        lines: dict[str, int] = {}
        for line, text in enumerate(columns.get(name, []), 2):
            if not text and name != "country_iso":
                continue
            if not form.fullmatch(text):
                raise _invalid(
                    path, f"line {line}: '{text}' is no {name}", "ISO 3166-1, upper case"
                )
            if text in lines:
                raise _invalid(
                    path, f"line {line}: {text} stands in line {lines[text]} too", "list it once"
                )
            lines[text] = line


def _invalid(path: Path, what: str, hint: str) -> Segment1BError:
    return Segment1BError("E_INPUT_SCHEMA_INVALID", f"{path} {what}", hint, path=str(path))
