"""Checks of every state's report and tables: receipts, files, columns, values, tokens, inputs."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from segment1b.audit.case import BYTES_OF, ISO, RECEIPT, Case, Checks, StateChecks
from segment1b.audit.proofs import prove_bytes
from segment1b.audit.published_files import UnusableError, declared_columns
from segment1b.audit.results import Found, Row, differences, fields_differ
from segment1b.audit.shapes import cut_differences
from segment1b.contracts import Column, Contracts, Dataset

# site_order numbers the sites of a pair; it is part of the key and ranks no country.
_RANKS = re.compile(r"rank|order|priority|position|precedence", re.IGNORECASE)
# Budgets of bytes, time, memory and files (docs/spec/receipts.md#budgets).
_BUDGETS = {"s1": "E009_PERF_BUDGET", "s2": "E109_PERF_BUDGET"}
_READ_FACTOR = 1.25
_TIME_FACTOR, _TIME_ALLOWANCE = 1.75, 300.0
_WORKER_BYTES, _OPEN_FILES = 1 << 30, 256
_Run = Callable[..., Iterator[Row] | Found]


def generic_checks(plan: StateChecks, contracts: Contracts, *, perf: bool = False) -> Checks:
    """Return the checks that every state's report and tables get; with `perf`, of budgets too."""
    checks, audit, report = Checks(plan.id), plan.contract.audit, plan.report

    def add(name: str, code: str, needs: Iterable[str], run: _Run, of: Any = None) -> None:
        bound = functools.update_wrapper(functools.partial(run, of or plan), run)
        if of:
            checks.add(f"{name}_{of.id}", code, *needs, about=of.id)(bound)
        else:
            checks.add(name, code, *needs)(bound)

    add("tokens", audit.identity, [report], _tokens)
    add("disallowed_reads", plan.contract.disallowed, [report], _reads)
    add("input_digests", plan.stale(), [report], _stale_inputs)
    if plan.owns:
        add("ranking", audit.ranking, plan.owns, _ranks)
    for table in (contracts[dataset_id] for dataset_id in plan.owns):
        add("receipt", table.code("receipt"), [BYTES_OF + table.id, report], _receipt, table)
        add("stray_files", audit.hygiene, [report], _stray, table)
        add("columns", table.code("schema"), [table.id], _columns, table)
        add("values", table.code("schema"), [table.id], _values, table)
        add("file_cut", audit.hygiene, [table.id], _file_cut, table)
    if perf and plan.id in _BUDGETS:
        add("budgets", _BUDGETS[plan.id], [report], _over_budget)
    return checks


def _tokens(plan: StateChecks, case: Case) -> Iterator[Row]:
    """Run report, receipts and gate carry the tokens and paths of this identity."""
    tokens = case.published.tokens
    for document in (plan.report, *({RECEIPT} & case.usable)):
        value = case.report(document)
        expected = {name: tokens[name] for name in tokens if name in value}
        yield from fields_differ(value, expected, document=document)
    for dataset_id in plan.owns:
        path = {"partition_path": case.published.dataset(dataset_id).locate(tokens)}
        yield from fields_differ(case.published.receipt(dataset_id), path, document=plan.report)


def _reads(plan: StateChecks, case: Case) -> Iterator[Row]:
    """The run report names exactly the inputs that the state's design allows."""
    named, allowed = (
        dict.fromkeys(names, "in input_digests")
        for names in (case.report(plan.report)["input_digests"], plan.inputs(case.published))
    )
    return differences(named, allowed, named="dataset")


def _stale_inputs(plan: StateChecks, case: Case) -> Found:
    """The inputs hash today to what the run report says was read."""
    rows, inputs = [], plan.inputs(case.published)
    for name, read in sorted(case.report(plan.report)["input_digests"].items()):
        if name not in inputs:
            continue
        try:
            today: str | None = case.published.digest_today(name)
        except UnusableError as error:
            # Reported at the dataset itself where this state looks into it.
            if name in plan.absent:
                continue
            today = error.reason
        if today != read:
            rows.append({"dataset": name, "found": today, "expected": read})
    return Found(rows, plan.stale(rows[0]["dataset"]) if rows else "")


def _ranks(plan: StateChecks, case: Case) -> Iterator[Row]:
    """No column of the state's tables ranks countries."""
    for dataset_id in plan.owns:
        for file in case.published.proof(dataset_id).files:
            for name, _, _ in file.columns:
                if _RANKS.search(name) and name != "site_order":
                    yield {"dataset": dataset_id, "path": file.name, "column": name}


def _receipt(dataset: Dataset, case: Case) -> Iterator[Row]:
    """Files, sizes, SHA-256, composite and content digest are those of the receipt."""
    receipt = case.published.receipt(dataset.id)
    try:
        proof = case.published.proof(dataset.id)
        whole = {"rows": proof.rows, "content_sha256_hex": proof.content}
    except UnusableError:
        proof = prove_bytes(case.published.path(dataset.id), case.published.files(dataset.id))
        whole = {}
    whole["sha256_hex"] = proof.composite
    found = {file.name: f"{file.size} bytes, {file.sha256}" for file in proof.files}
    listed = {f["path"]: f"{f['bytes']} bytes, {f['sha256_hex']}" for f in receipt["files"]}
    yield from differences(found, listed, named="path", absent=None, dataset=dataset.id)
    yield from differences(whole, {name: receipt[name] for name in whole}, dataset=dataset.id)
    if [f["path"] for f in receipt["files"]] != sorted(listed):
        yield {"dataset": dataset.id, "field": "files", "found": "not in ASCII order"}


def _stray(dataset: Dataset, case: Case) -> Iterator[Row]:
    """The partition holds the files of its receipt and nothing else."""
    listed = {file["path"] for file in case.published.receipt(dataset.id)["files"]}
    kept = listed & {path.name for path in case.published.files(dataset.id)}
    folder = case.published.path(dataset.id)
    below = {path.relative_to(folder).as_posix() for path in folder.rglob("*")}
    return ({"dataset": dataset.id, "path": name} for name in sorted(below - kept))


def _columns(dataset: Dataset, case: Case) -> Found:
    """Every file has the declared columns in order, of the declared types, without nulls."""
    declared = tuple(declared_columns(dataset))
    files = [file for file in case.published.proof(dataset.id).files if file.columns != declared]
    names = {name for name, _, _ in declared}
    extras = any(name not in names for file in files for name, _, _ in file.columns)
    rows = (
        {"path": file.name, "found": _shape(file.columns), "expected": _shape(declared)}
        for file in files
    )
    return Found(rows, dataset.code("extras") if extras else "")


def _shape(columns: tuple[tuple[str, str, bool], ...]) -> str:
    return ", ".join(f"{name} {kind}{' null' if null else ''}" for name, kind, null in columns)


def _values(dataset: Dataset, case: Case) -> Iterator[Row]:
    """Every value fits the pattern and the bounds of its schema."""
    keys = ", ".join(dataset.key)
    # Names, patterns and bounds come from the contracts.
    queries = [
        f"SELECT {keys}, '{column.name}' AS column_name, "  # noqa: S608
        f"CAST({column.name} AS VARCHAR) AS found, '{_wanted(column)}' AS expected "
        f"FROM {dataset.id} WHERE {_wrong(dataset, column, case)}"
        for column in dataset.columns
    ]
    return case.session.rows(" UNION ALL ".join(queries))


def _wrong(dataset: Dataset, column: Column, case: Case) -> str:
    name, wrong = column.name, [f"{column.name} IS NULL"]
    if column.pattern:
        # Millions of rows hold few words: rows are searched only where a word is wrong.
        words = case.session.rows(f"SELECT DISTINCT {name} AS word FROM {dataset.id}")  # noqa: S608
        if not all(row["word"] and re.fullmatch(column.pattern, row["word"]) for row in words):
            wrong.append(f"NOT regexp_full_match({name}, '{column.pattern}')")
    if column.type == "float64":
        wrong.append(f"NOT isfinite({name})")
    bounds = {"<": column.minimum, ">": column.maximum, "<=": column.exclusive_minimum}
    wrong += [f"{name} {sign} {bound}" for sign, bound in bounds.items() if bound is not None]
    return " OR ".join(wrong)


def _wanted(column: Column) -> str:
    bounds = {
        "matches": column.pattern,
        "from": column.minimum,
        "above": column.exclusive_minimum,
        "to": column.maximum,
    }
    texts = [f"{word} {bound}" for word, bound in bounds.items() if bound is not None]
    return " ".join([column.type, *texts])


def iso_version_differs(case: Case, report: str) -> Iterator[Row]:
    """Yield where a run report does not name the version of its ISO table."""
    expected = {"iso3166": case.published.dataset(ISO).version_tag}
    return differences(case.report(report)["ingress_versions"], expected)


def _file_cut(dataset: Dataset, case: Case) -> Iterator[Row]:
    """Files and row groups are cut as the design says."""
    return cut_differences(dataset, case.published.proof(dataset.id), case.session)


def _over_budget(plan: StateChecks, case: Case) -> Iterator[Row]:
    """Bytes read, wall time, memory of a worker and open files kept their budgets."""
    used = case.report(plan.report)["resources"]
    limits: dict[str, float] = {
        "max_worker_rss_bytes": _WORKER_BYTES,
        "open_files_peak": _OPEN_FILES,
    }
    seconds = _TIME_ALLOWANCE
    for dataset_id in plan.contract.reads:
        read = used.get(f"bytes_read_{dataset_id}", 0)
        size = sum(path.stat().st_size for path in case.published.files(dataset_id))
        limits[f"bytes_read_{dataset_id}"] = _READ_FACTOR * size
        speed = used.get(f"io_baseline_{dataset_id}_bps", 0)
        seconds += _TIME_FACTOR * read / speed if speed else 0.0
    limits["wall_clock_seconds_total"] = seconds
    for field, limit in limits.items():
        if used.get(field, 0) > limit:
            yield {"field": field, "found": used[field], "expected_at_most": limit}
