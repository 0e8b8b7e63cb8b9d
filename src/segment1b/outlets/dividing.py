"""Divides a list into two CSV files: rows that an import takes, and the others with reasons."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from segment1b.errors import file_error
from segment1b.outlets.lists import Reading
from segment1b.outlets.normalising import normalised
from segment1b.outlets.pairs import refused_rows, value_fault
from segment1b.outlets.readers import open_source
from segment1b.storage.durable import coded_os_errors, fsync_file, fsync_folder
from segment1b.storage.scratch import scratch_beside

_LIST = ("merchant_id", "country_iso", "n_outlets", "site_order", "outlet_id")


def divide(
    path: Path, iso: set[str], mapped: Mapping[str, str], fixed: Path | None, rejects: Path | None
) -> dict[str, int]:
    """Write the rows that are valid, or become so, to `fixed`, and the others to `rejects`.

    `fixed` has the names of a list's columns and corrected values; `rejects` the columns `line`
    (or `row`) and `reason`, then the texts of the file as they are, all of them quoted.

    Raises:
        Segment1BError: as `open_source`; E_USAGE for a file to write that exists.
    """
    source = open_source(path, Reading(normalise=True, mapped=mapped), iso)
    refused = refused_rows(source, iso)
    corrected = source.findings.corrections
    names, width = source.names, len(source.names)
    judged = [name for name in _LIST if name in names]
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
                    reason = _reasons(judged, dict(zip(names, texts, strict=True)), iso)
            if reason is not None:
                rejected += 1
                bad.writerow([number, reason, *texts])
                continue
            accepted += 1
            good.writerow(_fixed(name, text, iso) for name, text in zip(names, texts, strict=True))
    return {"accepted": accepted, "corrected": sum(corrected.values()), "rejected": rejected}


def _reasons(names: list[str], texts: Mapping[str, str | None], iso: set[str]) -> str:
    found = []
    for name in names:
        text = texts[name]
        correction = normalised(name, text, iso) if text else None
        value = correction.value if correction else text
        if not _is_valid(name, value, iso):
            found.append(f"{name}: {value_fault(name, text, iso)}")
    return "; ".join(found) or "not valid"


def _is_valid(name: str, value: str | None, iso: set[str]) -> bool:
    if not value:
        return False
    if name == "country_iso":
        return value in iso
    return name in ("merchant_id", "outlet_id") or (value.isdecimal() and 0 < int(value) < 10**6)


def _fixed(name: str, text: str | None, iso: set[str]) -> str | None:
    correction = normalised(name, text, iso) if text and name in _LIST else None
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
