"""Whichever system call fails: a code and nothing wrong, and the next run ends as if none had."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import pytest

from faults.bench import Bench
from faults.cases import (
    ERRORS,
    Case,
    Judged,
    calls_of,
    plain_staged_writes,
    spread,
    try_all,
)
from faults.children import Fault

#: Cases of each kind of call in each command.
MANY = dict.fromkeys(ERRORS, 20)
SOME = dict.fromkeys(ERRORS, 10)
SHORT = dict.fromkeys(ERRORS, 8)
COUNTS = {
    "run": MANY | {"openat": 30, "write": 30, "fsync": 30, "rename": 30, "unlinkat": 8, "rmdir": 6},
    "threads": SOME,
    "balanced": dict.fromkeys(("write", "openat", "fsync"), 6),
    "outlets": SHORT | {"write": 20},
    "countries": SHORT,
    "population": SHORT,
    "codes": SHORT,
    "page": SHORT,
    "csv": SHORT,
    "geoparquet": SHORT,
    "geojsonseq": SHORT,
    "flatgeobuf": SHORT,
    # Not mmap: a worker process that finds no memory while Python starts prints its own traceback.
    "evidence": {kind: 2 for kind in ERRORS if kind != "mmap"},
}
#: Staged files that are not Parquet: documents, runs and bundles, and the splits of five states.
STAGED_FILES = 10
#: Their sorts, each with one writer: documents, runs, splits, the bundle of 1A and that of 1B.
STAGED_SORTS = 5


def report(failed: Sequence[Judged]) -> str:
    return f"{len(failed)} faults are not survived:\n\n" + "\n\n".join(map(str, failed))


def one_of_each_writer(faults: Sequence[Fault]) -> list[Fault]:
    """Return one fault for each sort of staged file, whichever state writes it."""
    chosen: dict[str, Fault] = {}
    for fault in faults:
        sort = re.sub(r"[0-9a-f]{32}|/s\d(?=/)|\w+(?=\.split/)|(?<=\.split)/[\d-]+", "", fault.path)
        chosen.setdefault(re.sub(r"validation_bundle.*", "validation_bundle", sort), fault)
    return list(chosen.values())


def all_fired(judged: Sequence[Judged]) -> bool:
    return all(one.injected for one in judged if one.case.fault.path)


@pytest.mark.slow
def test_a_sample_of_failing_calls_is_survived(bench: Bench, made: Counter[str]) -> None:
    faults = one_of_each_writer(plain_staged_writes(calls_of(bench, "run")))
    assert len(faults) >= STAGED_SORTS
    cases = [Case("run", fault) for fault in faults]
    cases += spread("outlets", calls_of(bench, "outlets"), dict.fromkeys(ERRORS, 1))
    judged = try_all(bench, cases)
    failed = count(made, judged)
    assert not failed, report(failed)
    assert all_fired(judged)
    assert {"write", "fsync", "rename", "openat", "flock"} <= {
        one.case.fault.kind for one in judged if one.injected
    }


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("command", COUNTS)
def test_a_command_survives_the_failure_of_any_of_its_calls(
    command: str, bench: Bench, made: Counter[str]
) -> None:
    calls = calls_of(bench, command)
    assert {"write", "openat", "rename"} <= {call.kind for call in calls}
    judged = try_all(bench, list(spread(command, calls, COUNTS[command], seed=11)))
    failed = count(made, judged)
    assert not failed, report(failed)
    fired = sum(bool(one.injected) for one in judged)
    assert fired >= 0.9 * len(judged)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_write_to_a_staged_file_that_is_not_parquet_loses_its_error(
    bench: Bench, made: Counter[str]
) -> None:
    faults = plain_staged_writes(calls_of(bench, "run"))
    assert len(faults) >= STAGED_FILES
    judged = try_all(bench, [Case("run", fault) for fault in faults])
    failed = count(made, judged)
    assert not failed, report(failed)
    assert all_fired(judged)


def count(made: Counter[str], judged: Sequence[Judged]) -> list[Judged]:
    """Count the faults that were made; return the cases that did not keep the promises."""
    for one in judged:
        if one.injected:
            made[f"{one.case.fault.kind} {one.case.fault.error}"] += 1
    return [one for one in judged if one.wrong]
