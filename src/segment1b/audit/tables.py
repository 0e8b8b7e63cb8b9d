"""What holds for the tables of every state: receipts, files, columns, values, tokens, inputs."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from typing import Any

from segment1b.audit.case import RECEIPT, Case, Check, StateChecks
from segment1b.audit.opening import BYTES_OF
from segment1b.audit.proofs import prove_bytes
from segment1b.audit.published import Published, UnusableError, declared_columns
from segment1b.audit.results import CheckResult, Row, Rule, differences
from segment1b.audit.shapes import cut_differences
from segment1b.contracts import Column, Dataset

# site_order numbers the sites of a pair; it is part of the key and ranks no country.
_RANKS = re.compile(r"rank|order|priority|position|precedence", re.IGNORECASE)


def generic_checks(plan: StateChecks, published: Published) -> list[Check]:
    """Return the checks that a state's report and tables get whatever the state."""

    def check(name: str, code: str, proves: str, needs: tuple[str, ...], run: Any) -> Check:
        return Check(Rule(plan.id, name, code, "R", proves), needs, functools.partial(run, plan))

    checks = [
        check(
            "tokens",
            plan.identity_code,
            "run report, receipts and gate carry the tokens and paths of this identity",
            (plan.report,),
            _tokens,
        ),
        check(
            "disallowed_reads",
            plan.disallowed_code,
            "the run report names exactly the inputs that the state's design allows",
            (plan.report,),
            _reads,
        ),
        check(
            "input_digests",
            plan.stale[""],
            "the inputs hash today to what the run report says was read",
            (plan.report,),
            _inputs,
        ),
    ]
    if plan.owns:
        proves = "no column of the state's tables ranks countries"
        needs = plan.owns
        checks.append(check("ranking", plan.ranking_code, proves, needs, _ranking))
    for dataset_id in plan.owns:
        checks += _table_checks(plan, published.dataset(dataset_id))
    return checks


def _table_checks(plan: StateChecks, dataset: Dataset) -> list[Check]:
    name = dataset.id
    rules = (
        (
            _receipt,
            "receipt",
            dataset.code("receipt"),
            "files, sizes, SHA-256, composite and content digest are those of the receipt",
            (BYTES_OF + name, plan.report),
        ),
        (
            _stray,
            "stray_files",
            plan.hygiene_code,
            "the partition holds the files of its receipt and nothing else",
            (plan.report,),
        ),
        (
            _columns,
            "columns",
            dataset.code("schema"),
            "every file has the declared columns in order, of the declared types, without nulls",
            (name,),
        ),
        (
            _values,
            "values",
            dataset.code("schema"),
            "every value fits the pattern and the bounds of its schema",
            (name,),
        ),
        (
            _file_cut,
            "file_cut",
            plan.hygiene_code,
            "files and row groups are cut as the design says",
            (name,),
        ),
    )
    return [
        Check(
            Rule(plan.id, f"{what}_{name}", code, "R", f"{name}: {proves}"),
            needs,
            functools.partial(run, dataset),
        )
        for run, what, code, proves, needs in rules
    ]


def _tokens(plan: StateChecks, case: Case, rule: Rule) -> CheckResult:
    def found() -> Iterator[Row]:
        report, tokens = case.report(plan.report), case.published.tokens
        named = {name: report[name] for name in tokens if name in report}
        yield from differences(named, {name: tokens[name] for name in named}, document=plan.report)
        for dataset_id in plan.owns:
            said = case.published.receipt(dataset_id)["partition_path"]
            is_at = case.published.dataset(dataset_id).locate(tokens)
            yield from differences(
                {"partition_path": said}, {"partition_path": is_at}, document=plan.report
            )
        if RECEIPT in case.usable:
            receipt = case.report(RECEIPT)
            sealed = {name: receipt[name] for name in tokens if name in receipt}
            expected = {name: tokens[name] for name in sealed}
            yield from differences(sealed, expected, document=RECEIPT)

    return rule.judge(found())


def _reads(plan: StateChecks, case: Case, rule: Rule) -> CheckResult:
    said = set(case.report(plan.report)["input_digests"])
    return rule.judge(
        {
            "dataset": name,
            "found": "in input_digests" if name in said else "absent",
            "expected": "in input_digests" if name in plan.reads else "absent",
        }
        for name in sorted(said ^ set(plan.reads))
    )


def _inputs(plan: StateChecks, case: Case, rule: Rule) -> CheckResult:
    """Judge under the code of the first input that differs."""
    rows, codes = [], []
    for name, said in sorted(case.report(plan.report)["input_digests"].items()):
        if name not in plan.reads:
            continue
        try:
            today: str | None = case.published.digest_today(name)
        except UnusableError as error:
            # Reported at the dataset itself where this state looks into it.
            if name in plan.absent:
                continue
            today = error.reason
        if today != said:
            rows.append({"dataset": name, "found": today, "expected": said})
            codes.append(plan.stale.get(name, plan.stale[""]))
    return rule.judge(rows, code=codes[0] if codes else "")


def _ranking(plan: StateChecks, case: Case, rule: Rule) -> CheckResult:
    return rule.judge(
        {"dataset": dataset_id, "path": file.name, "column": name}
        for dataset_id in plan.owns
        for file in case.published.proof(dataset_id).files
        for name, _, _ in file.columns
        if _RANKS.search(name) and name != "site_order"
    )


def _receipt(dataset: Dataset, case: Case, rule: Rule) -> CheckResult:
    said = case.published.receipt(dataset.id)
    try:
        proof = case.published.proof(dataset.id)
        whole = {"rows": proof.rows, "content_sha256_hex": proof.content}
    except UnusableError:
        proof = prove_bytes(case.published.path(dataset.id), case.published.files(dataset.id))
        whole = {}
    whole["sha256_hex"] = proof.composite
    found = {file.name: f"{file.size} bytes, {file.sha256}" for file in proof.files}
    listed = {f["path"]: f"{f['bytes']} bytes, {f['sha256_hex']}" for f in said["files"]}
    rows = [
        {
            "dataset": dataset.id,
            "path": name,
            "found": found.get(name),
            "expected": listed.get(name),
        }
        for name in sorted(set(found) | set(listed))
        if found.get(name) != listed.get(name)
    ]
    rows += differences(whole, {name: said[name] for name in whole}, dataset=dataset.id)
    if [f["path"] for f in said["files"]] != sorted(listed):
        rows.append({"dataset": dataset.id, "field": "files", "found": "not in ASCII order"})
    return rule.judge(rows)


def _stray(dataset: Dataset, case: Case, rule: Rule) -> CheckResult:
    listed = {file["path"] for file in case.published.receipt(dataset.id)["files"]}
    folder = case.published.path(dataset.id)
    parts = {path.name for path in case.published.files(dataset.id)}
    strange = [*sorted(parts - listed), *case.published.stray(dataset.id)]
    folders = folder.rglob("*") if folder.is_dir() else ()
    strange += sorted(one.relative_to(folder).as_posix() for one in folders if one.is_dir())
    return rule.judge({"dataset": dataset.id, "path": name} for name in strange)


def _columns(dataset: Dataset, case: Case, rule: Rule) -> CheckResult:
    declared = tuple(declared_columns(dataset))
    names = {name for name, _, _ in declared}
    rows, extras = [], False
    for file in case.published.proof(dataset.id).files:
        if file.columns != declared:
            extras = extras or any(name not in names for name, _, _ in file.columns)
            rows.append(
                {"path": file.name, "found": _shape(file.columns), "expected": _shape(declared)}
            )
    return rule.judge(rows, code=dataset.code("extras") if extras else "")


def _shape(columns: tuple[tuple[str, str, bool], ...]) -> str:
    return ", ".join(f"{name} {kind}{' null' if null else ''}" for name, kind, null in columns)


def _values(dataset: Dataset, case: Case, rule: Rule) -> CheckResult:
    keys = ", ".join(dataset.key)
    # Names, patterns and bounds come from the contracts.
    queries = [
        f"SELECT {keys}, '{column.name}' AS column_name, "  # noqa: S608
        f"CAST({column.name} AS VARCHAR) AS found, '{_wanted(column)}' AS expected "
        f"FROM {dataset.id} WHERE {_wrong(dataset, column, case)}"
        for column in dataset.columns
    ]
    return rule.judge(case.session.rows(" UNION ALL ".join(queries)))


def _wrong(dataset: Dataset, column: Column, case: Case) -> str:
    name, wrong = column.name, [f"{column.name} IS NULL"]
    if column.pattern:
        # Few words stand in millions of rows: the rows are asked only where a word is wrong.
        words = case.session.rows(f"SELECT DISTINCT {name} AS word FROM {dataset.id}")  # noqa: S608
        if not all(row["word"] and re.fullmatch(column.pattern, row["word"]) for row in words):
            wrong.append(f"NOT regexp_full_match({name}, '{column.pattern}')")
    if column.type == "float64":
        wrong.append(f"NOT isfinite({name})")
    if column.minimum is not None:
        wrong.append(f"{name} < {column.minimum}")
    if column.maximum is not None:
        wrong.append(f"{name} > {column.maximum}")
    if column.exclusive_minimum is not None:
        wrong.append(f"{name} <= {column.exclusive_minimum}")
    return " OR ".join(wrong)


def _wanted(column: Column) -> str:
    bounds = {
        "matches": column.pattern,
        "from": column.minimum,
        "above": column.exclusive_minimum,
        "to": column.maximum,
    }
    said = [f"{word} {bound}" for word, bound in bounds.items() if bound is not None]
    return " ".join([column.type, *said])


def _file_cut(dataset: Dataset, case: Case, rule: Rule) -> CheckResult:
    return rule.judge(cut_differences(dataset, case.published.proof(dataset.id), case.session))
