"""Checks of every state's report and tables: receipts, files, columns, values, tokens, inputs."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from typing import Any

from segment1b.audit.case import BYTES_OF, ISO, RECEIPT, Case, Check, Checks, StateChecks
from segment1b.audit.proofs import prove_bytes
from segment1b.audit.published_files import Published, UnusableError, declared_columns
from segment1b.audit.results import Found, Row, Rule, differences, fields_differ
from segment1b.audit.shapes import cut_differences
from segment1b.contracts import Column, Dataset

# site_order numbers the sites of a pair; it is part of the key and ranks no country.
_RANKS = re.compile(r"rank|order|priority|position|precedence", re.IGNORECASE)
# Budgets of bytes, time, memory and files (docs/spec/receipts.md#budgets).
_BUDGETS = {"s1": "E009_PERF_BUDGET", "s2": "E109_PERF_BUDGET"}
_READ_FACTOR = 1.25
_TIME_FACTOR, _TIME_ALLOWANCE = 1.75, 300.0
_WORKER_BYTES = 1 << 30
_OPEN_FILES = 256


def generic_checks(plan: StateChecks, published: Published) -> list[Check]:
    """Return the checks that every state's report and tables get."""
    checks, audit = Checks(plan.id), plan.contract.audit

    @checks.add("tokens", audit.identity, plan.report)
    def tokens(case: Case) -> Iterator[Row]:
        """Run report, receipts and gate carry the tokens and paths of this identity."""
        return _tokens(plan, case)

    @checks.add("disallowed_reads", plan.contract.disallowed, plan.report)
    def disallowed_reads(case: Case) -> Iterator[Row]:
        """The run report names exactly the inputs that the state's design allows."""
        named = set(case.report(plan.report)["input_digests"])
        for name in sorted(named ^ plan.inputs):
            both = ("in input_digests", "absent")
            found, expected = both if name in named else reversed(both)
            yield {"dataset": name, "found": found, "expected": expected}

    @checks.add("input_digests", plan.stale(), plan.report)
    def input_digests(case: Case) -> Found:
        """The inputs hash today to what the run report says was read."""
        rows = list(_stale_inputs(plan, case))
        return Found(rows, plan.stale(rows[0]["dataset"]) if rows else "")

    if plan.owns:

        @checks.add("ranking", audit.ranking, *plan.owns)
        def ranking(case: Case) -> Iterator[Row]:
            """No column of the state's tables ranks countries."""
            for dataset_id in plan.owns:
                for file in case.published.proof(dataset_id).files:
                    for name, _, _ in file.columns:
                        if _RANKS.search(name) and name != "site_order":
                            yield {"dataset": dataset_id, "path": file.name, "column": name}

    for dataset_id in plan.owns:
        checks += _table_checks(plan, published.dataset(dataset_id))
    return checks


def _table_checks(plan: StateChecks, dataset: Dataset) -> Iterator[Check]:
    name, hygiene, schema = dataset.id, plan.contract.audit.hygiene, dataset.code("schema")
    rules: tuple[tuple[str, str, str, tuple[str, ...], Callable[..., Any]], ...] = (
        (
            *("receipt", dataset.code("receipt")),
            "files, sizes, SHA-256, composite and content digest are those of the receipt",
            *((BYTES_OF + name, plan.report), _receipt),
        ),
        (
            *("stray_files", hygiene),
            "the partition holds the files of its receipt and nothing else",
            *((plan.report,), _stray),
        ),
        (
            *("columns", schema),
            "every file has the declared columns in order, of the declared types, without nulls",
            *((name,), _columns),
        ),
        (
            *("values", schema),
            "every value fits the pattern and the bounds of its schema",
            *((name,), _values),
        ),
        (
            *("file_cut", hygiene),
            "files and row groups are cut as the design says",
            *((name,), _file_cut),
        ),
    )
    for what, code, proves, needs, run in rules:
        rule = Rule(plan.id, f"{what}_{name}", code, "R", f"{name}: {proves}")
        yield Check(rule, needs, functools.partial(run, dataset))


def _tokens(plan: StateChecks, case: Case) -> Iterator[Row]:
    tokens = case.published.tokens

    def wrong(document: str) -> Iterator[Row]:
        value = case.report(document)
        expected = {name: tokens[name] for name in tokens if name in value}
        return fields_differ(value, expected, document=document)

    yield from wrong(plan.report)
    for dataset_id in plan.owns:
        receipt = case.published.receipt(dataset_id)
        path = case.published.dataset(dataset_id).locate(tokens)
        yield from fields_differ(receipt, {"partition_path": path}, document=plan.report)
    if RECEIPT in case.usable:
        yield from wrong(RECEIPT)


def _stale_inputs(plan: StateChecks, case: Case) -> Iterator[Row]:
    for name, read in sorted(case.report(plan.report)["input_digests"].items()):
        if name not in plan.inputs:
            continue
        try:
            today: str | None = case.published.digest_today(name)
        except UnusableError as error:
            # Reported at the dataset itself where this state looks into it.
            if name in plan.absent:
                continue
            today = error.reason
        if today != read:
            yield {"dataset": name, "found": today, "expected": read}


def _receipt(dataset: Dataset, case: Case) -> Iterator[Row]:
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
    for name in sorted(set(found) | set(listed)):
        pair = {"found": found.get(name), "expected": listed.get(name)}
        if pair["found"] != pair["expected"]:
            yield {"dataset": dataset.id, "path": name, **pair}
    yield from differences(whole, {name: receipt[name] for name in whole}, dataset=dataset.id)
    if [f["path"] for f in receipt["files"]] != sorted(listed):
        yield {"dataset": dataset.id, "field": "files", "found": "not in ASCII order"}


def _stray(dataset: Dataset, case: Case) -> Iterator[Row]:
    listed = {file["path"] for file in case.published.receipt(dataset.id)["files"]}
    folder = case.published.path(dataset.id)
    parts = {path.name for path in case.published.files(dataset.id)}
    strange = [*sorted(parts - listed), *case.published.stray(dataset.id)]
    below = folder.rglob("*") if folder.is_dir() else ()
    strange += sorted(path.relative_to(folder).as_posix() for path in below if path.is_dir())
    return ({"dataset": dataset.id, "path": name} for name in strange)


def _columns(dataset: Dataset, case: Case) -> Found:
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
    return cut_differences(dataset, case.published.proof(dataset.id), case.session)


def budget_checks(plan: StateChecks) -> list[Check]:
    """Return the budget check of a state; only S1 and S2 have budgets."""
    checks = Checks(plan.id)
    if plan.id in _BUDGETS:

        @checks.add("budgets", _BUDGETS[plan.id], plan.report)
        def budgets(case: Case) -> Iterator[Row]:
            """Bytes read, wall time, memory of a worker and open files kept their budgets."""
            for field, found, limit in _spent(plan, case):
                if found > limit:
                    yield {"field": field, "found": found, "expected_at_most": limit}

    return checks


def _spent(plan: StateChecks, case: Case) -> Iterator[tuple[str, float, float]]:
    """Yield each field with what was used and its limit."""
    used = case.report(plan.report)["resources"]
    seconds = _TIME_ALLOWANCE
    for dataset_id in plan.contract.reads:
        read = used.get(f"bytes_read_{dataset_id}", 0)
        size = sum(path.stat().st_size for path in case.published.files(dataset_id))
        yield f"bytes_read_{dataset_id}", read, _READ_FACTOR * size
        speed = used.get(f"io_baseline_{dataset_id}_bps", 0)
        seconds += _TIME_FACTOR * read / speed if speed else 0.0
    yield "wall_clock_seconds_total", used["wall_clock_seconds_total"], seconds
    yield "max_worker_rss_bytes", used["max_worker_rss_bytes"], _WORKER_BYTES
    yield "open_files_peak", used["open_files_peak"], _OPEN_FILES
