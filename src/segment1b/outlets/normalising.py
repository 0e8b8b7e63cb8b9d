"""Corrects what can be told from a value alone: spaces, forms of numbers, codes and names.

`normalised` is the law for one value. An exact value is never changed, and a value that may mean
two things (`1.200`: 1 or 1200?) is none of those that are corrected.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from segment1b.outlets import country_names
from segment1b.outlets.columnar import ColumnarSource
from segment1b.outlets.lists import Findings, Source, Survey

#: How many corrected values the findings list, the first in their order, whatever the rows' order.
LISTED = 1000
_SHOWN = 100  # characters of a listed value
COUNTS = ("n_outlets", "site_order")
#: Merchant ids that a program wrote as fractions, where all of a list are of this form.
_WHOLE = r"[1-9][0-9]*\.0{1,2}"
_SPACES = (
    " \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"
    + "".join(map(chr, range(0x2000, 0x200C)))
)
_NUMERIC = re.compile(r"([0-9]{1,3})(?:\.0)?")
#: Forms of whole numbers, with what to remove, by kind; only those that mean one number.
_FORMS = (
    ("decimals", re.compile(r"[0-9]+[.,]0{1,2}|[0-9]+\.0{4,}|0*[0-9]{4,}\.000"), r"[.,]0+\Z"),
    ("thousands", re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{3})+(?:\.0{1,2})?"), r",|\.0+\Z"),
    ("thousands", re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3}){2,}(?:,0{1,2})?"), r"\.|,0+\Z"),
    ("thousands", re.compile(r"[1-9][0-9]{0,2}\.[0-9]{3},0{1,2}"), r"\.|,0+\Z"),
    ("thousands", re.compile("[1-9][0-9]{0,2}(?:[ \u00a0\u2009\u202f'\u2019_][0-9]{3})+"), r"\D"),
)


class Correction(NamedTuple):
    """What a value becomes, and the kind of its form."""

    value: str
    kind: str


def normalised(column: str, text: str, iso: Collection[str]) -> Correction | None:
    """Return what a value of a list's column becomes; None for one that stays as it is.

    Args:
        column: merchant_id, country_iso, n_outlets, site_order or outlet_id.
        text: the value.
        iso: the country codes that are known.
    """
    if column == "country_iso":
        return _country(text, iso)
    found = bare(text)
    if column in COUNTS and (count := _count(found)) is not None:
        return count
    return Correction(found, "spaces") if found and found != text else None


def bare(text: str) -> str:
    """Return a text without the spaces around it."""
    return text.strip(_SPACES)


def ambiguity(column: str, text: str) -> str:
    """Return the two meanings of a count that is never corrected, or nothing."""
    found = bare(text)
    if column not in COUNTS or not re.fullmatch(r"[1-9][0-9]{0,2}\.[0-9]{3}", found):
        return ""
    return f": it may be {found.replace('.', '')}, or a fraction"


def _count(text: str) -> Correction | None:
    for kind, form, removed in _FORMS:
        if form.fullmatch(text):
            return Correction(re.sub(removed, "", text), kind)
    return None


def _country(text: str, iso: Collection[str]) -> Correction | None:
    if text in iso:
        return None
    found = bare(text)
    if found in iso:
        return Correction(found, "spaces")
    if found.upper() in iso:
        return Correction(found.upper(), "lower case")
    number = _NUMERIC.fullmatch(found)
    form = number[1].zfill(3) if number else country_names.key(found)
    kind, code = country_names.table().get(form, ("", ""))
    return Correction(code, kind) if code in iso else None


class NormalisedSource(Source):
    """A source whose values are corrected; the places of rows keep the texts of the file."""

    def __init__(self, source: Source, iso: Collection[str]) -> None:
        """Take a source, and allow numbers of any type in its columns."""
        self.path, self.names, self.unit = source.path, source.names, source.unit
        self.findings = source.findings
        self._source, self._iso = source, frozenset(iso)
        self._whole_ids: bool | None = None  # whether all merchant ids are of the form `_WHOLE`
        if isinstance(source, ColumnarSource):
            source.any_type = True

    @property
    def skipped(self) -> int:  # type: ignore[override]
        """Return the rows with a wrong number of fields."""
        return self._source.skipped

    def batches(self, columns: list[str], carried: Sequence[str] = ()) -> Iterator[pa.RecordBatch]:
        """Yield corrected columns; the corrections are complete after the last batch.

        Columns that are carried stay as they are.
        """
        if "merchant_id" in columns and self._whole_ids is None:
            self._whole_ids = self._has_whole_ids()
        tally, width = _Tally(self.findings), len(columns)
        for batch in self._source.batches(columns, carried):
            arrays = [
                self._corrected(name, array, tally)
                for name, array in zip(columns, batch.columns[:width], strict=True)
            ]
            yield pa.record_batch([*arrays, *batch.columns[width:]], names=[*columns, *carried])
        tally.close()

    def corrected(self, column: str, text: str) -> Correction | None:
        """Return what a value of this list becomes, as `normalised` and by its merchant ids."""
        if column == "merchant_id" and self._whole_ids and re.fullmatch(_WHOLE, bare(text)):
            return Correction(bare(text).partition(".")[0], "decimals")
        return normalised(column, text, self._iso)

    def _has_whole_ids(self) -> bool:
        found = False
        # Ends with the first batch, in most lists.
        for batch in self._source.batches(["merchant_id"]):
            texts = batch.column(0)
            if not pa.types.is_string(texts.type):
                return False
            texts = pc.utf8_trim(texts, _SPACES)
            texts = texts.filter(pc.fill_null(pc.not_equal(texts, ""), False))
            if not pc.all(pc.match_substring_regex(texts, f"^{_WHOLE}$"), min_count=0).as_py():
                return False
            found = found or len(texts) > 0
        return found

    def survey(self, wanted: Collection[int]) -> Survey:
        """Return the places of rows with the texts of the file."""
        return self._source.survey(wanted)

    def rows(self) -> Iterator[tuple[int, list[str | None]]]:
        """Yield the rows of the file."""
        return self._source.rows()

    def _corrected(self, column: str, texts: pa.Array, tally: _Tally) -> pa.Array:
        suspects = _suspects(column, texts, self._iso, whole_ids=bool(self._whole_ids))
        if suspects is None or not pc.any(suspects).as_py():
            return texts
        words = texts.filter(suspects).dictionary_encode()
        values = words.dictionary.to_pylist()
        found = [self.corrected(column, value) for value in values]
        rows = Counter(words.indices.to_pylist())
        for number, correction in enumerate(found):
            if correction is not None:
                tally.add(column, values[number], correction, rows[number])
        fixed = [
            value if correction is None else correction.value
            for value, correction in zip(values, found, strict=True)
        ]
        return pc.replace_with_mask(
            texts, suspects, pa.array(fixed, pa.string()).take(words.indices)
        )


def _suspects(
    column: str, texts: pa.Array, iso: Collection[str], *, whole_ids: bool
) -> pa.Array | None:
    """Return which values may be corrected, without nulls; None where none may."""
    if not pa.types.is_string(texts.type):
        return None
    if column == "country_iso":
        exact = pc.is_in(texts, pa.array(sorted(iso), pa.string()))
    elif column in COUNTS or (whole_ids and column == "merchant_id"):
        exact = pc.match_substring_regex(texts, "^[0-9]+$")
    elif column in ("merchant_id", "outlet_id"):
        exact = pc.equal(texts, pc.utf8_trim(texts, _SPACES))
    else:
        return None
    return pc.and_(pc.invert(exact), texts.is_valid()).fill_null(False)


class _Tally:
    """Counts corrections into the findings of a source."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._kinds: Counter[str] = Counter()
        self._values: Counter[tuple[str, str, str, str]] = Counter()

    def add(self, column: str, text: str, correction: Correction, rows: int) -> None:
        """Count one value and its rows."""
        self._kinds[correction.kind] += rows
        shown = text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "\u2026"
        self._values[column, shown, correction.kind, correction.value[:_SHOWN]] += rows
        # What is removed has LISTED others before it, and so is never among the first.
        if len(self._values) > 2 * LISTED:
            self._values = Counter({key: self._values[key] for key in self._first()})

    def close(self) -> None:
        """Write the findings."""
        listed = self._first()
        self._findings.corrections = dict(sorted(self._kinds.items()))
        self._findings.values = [
            {
                **dict(zip(("column", "from", "kind", "to"), key, strict=True)),
                "rows": self._values[key],
            }
            for key in listed
        ]
        self._findings.unlisted = self._kinds.total() - sum(self._values[key] for key in listed)

    def _first(self) -> list[tuple[str, str, str, str]]:
        return sorted(self._values)[:LISTED]
