"""Divides a list into two CSV files: rows that an import takes, and the others with reasons."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa

from segment1b.errors import file_error
from segment1b.outlets.columns import ALL, id_fault
from segment1b.outlets.lists import COLUMNS, Reading
from segment1b.outlets.merchant_trades import numbers_of
from segment1b.outlets.normalising import NormalisedSource
from segment1b.outlets.pairs import refused_rows
from segment1b.outlets.readers import open_source
from segment1b.outlets.value_faults import value_fault
from segment1b.storage.durable import coded_os_errors, fsync_file, fsync_folder
from segment1b.storage.scratch import scratch_beside


def divide(
    path: Path,
    iso: set[str],
    mapped: Mapping[str, str],
    fixed: Path | None,
    rejects: Path | None,
    wanted: str = ALL,
) -> dict[str, int]:
    """Write the rows that are valid, or become so, to `fixed`, and the others to `rejects`.

    `fixed` has the names of a list's columns and corrected values; `rejects` the columns `line`
    (or `row`) and `reason`, then the texts of the file as they are, all of them quoted. Both have
    all columns; `wanted` is as in `read_outlets`.

    Raises:
        Segment1BError: as `open_source`; E_USAGE for a file to write that exists.
    """
    source = open_source(path, Reading(normalise=True, mapped=mapped), iso)
    assert isinstance(source, NormalisedSource)
    refused, shared = refused_rows(source, iso, wanted)
    corrected = source.findings.corrections
    names, width = source.names, len(source.names)
    judged = [name for name in COLUMNS if name in names]
    accepted = rejected = 0
    row = -1
    with ExitStack() as files:
        good = files.enter_context(_writer(fixed, csv.QUOTE_MINIMAL))
        bad = files.enter_context(_writer(rejects, csv.QUOTE_ALL))
        good.writerow(names)
        bad.writerow([source.unit, "reason", *names])
        for number, texts in source.rows():
            reason: str | None = f"{len(texts)} fields, the first line has {width}"
            if len(texts) == width:
                row += 1
                reason = refused.get(row)
                if reason == "":
                    values = {name: texts[names.index(name)] for name in judged}
                    reason = _reasons(source, values, iso, shared)
            if reason is not None:
                rejected += 1
                bad.writerow([number, reason, *texts])
                continue
            accepted += 1
            good.writerow(_fixed(source, *named) for named in zip(names, texts, strict=True))
    return {"accepted": accepted, "corrected": sum(corrected.values()), "rejected": rejected}


def _reasons(
    source: NormalisedSource,
    texts: Mapping[str, str | None],
    iso: set[str],
    shared: Mapping[str, str],
) -> str:
    found = []
    for name, text in texts.items():
        value = _fixed(source, name, text)
        if not value and name in ("trade", "mcc"):
            continue
        if not value or value in shared or not _is_valid(name, value, iso):
            found.append(f"{name}: {value_fault(name, text, iso, shared)}")
    return "; ".join(found) or "not valid"


def _is_valid(name: str, value: str, iso: set[str]) -> bool:
    if name == "country_iso":
        return value in iso
    if name in ("merchant_id", "outlet_id"):
        return not id_fault(value)
    if name in ("trade", "mcc"):
        return bool(numbers_of(name, pa.array([value]))[0])
    return value.isdecimal() and 0 < int(value) < 10**6


def _fixed(source: NormalisedSource, name: str, text: str | None) -> str | None:
    correction = source.corrected(name, text) if text and name in COLUMNS else None
    return correction.value if correction else text


class _Nothing:
    """A writer for a file that is not asked for."""

    def writerow(self, _: Any) -> None:
        """Write nothing."""


@contextmanager
def _writer(path: Path | None, quoting: Any) -> Iterator[Any]:
    """Yield a CSV writer; its file gets its name when it is whole and on the disk."""
    if path is None:
        yield _Nothing()
        return
    path = Path(os.path.abspath(path))
    _check_new(path)
    with coded_os_errors(path), scratch_beside(path) as folder:
        fresh = folder / path.name
        with fresh.open("w", encoding="utf-8", newline="") as file:
            yield csv.writer(file, quoting=quoting, lineterminator="\n")
        fsync_file(fresh)
        _check_new(path)
        os.rename(fresh, path)
        fsync_folder(path.parent)


def _check_new(path: Path) -> None:
    if os.path.lexists(path):
        raise file_error("E_USAGE", path, "exists already", "remove it, or give another name")
    if not path.parent.is_dir():
        raise file_error("E_USAGE", path.parent, "is not a directory", "create it first")
