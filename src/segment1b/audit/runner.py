"""How the checks of one state are run: what can be looked into first, then everything on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import duckdb
from rasterio.errors import RasterioError

from segment1b.audit.case import (
    BYTES_OF,
    POLICY,
    PREFIX,
    RASTER,
    Case,
    Check,
    Preparation,
    StateChecks,
)
from segment1b.audit.grid import read_grid
from segment1b.audit.published_files import Published, UnusableError, is_log
from segment1b.audit.queries import broken_off, checks_of, run_check
from segment1b.audit.results import CheckResult, RefusedError, Rule
from segment1b.audit.session import Session
from segment1b.contracts import Dataset
from segment1b.contracts.faults import raise_machine_fault
from segment1b.errors import Segment1BError

_BREAKS = (duckdb.Error, RasterioError, OSError, ValueError, ArithmeticError)


@dataclass
class _Skipped:
    """Which checks were not possible, by the fault that is to blame."""

    blame: dict[str, str] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def lacks(self, case: Case, needs: Sequence[str], name: str, makes: Sequence[str] = ()) -> bool:
        """Return whether something needed is missing; note whose fault that is."""
        for need in needs:
            if need not in case.usable:
                fault = self.blame.get(need, PREFIX + need.removeprefix(BYTES_OF))
                self.names.setdefault(fault, []).append(name)
                self.blame |= dict.fromkeys(makes, fault)
                return True
        return False

    def unexplained(self, plan: StateChecks, results: Sequence[CheckResult]) -> list[CheckResult]:
        """Return an offence for what nothing was found wrong with, and yet could not be used."""
        explained = {result.name for result in results if not result.ok}
        proves = "all that the checks need could be made"
        return [
            Rule(plan.id, fault, plan.contract.audit.report, "R", proves).judge(
                [{"missing": fault}]
            )
            for fault in sorted(set(self.names) - explained)
        ]

    def named(self, result: CheckResult) -> CheckResult:
        """Name, at the one fault, all checks that it has made impossible."""
        names = self.names.get(result.name)
        if result.ok or not names:
            return result
        return replace(result, detail=f"checks not possible: {', '.join(names)}")


def run_state(
    plan: StateChecks,
    published: Published,
    session: Session,
    generic: Sequence[Check],
    only: Collection[str] | None = None,
) -> list[CheckResult]:
    """Run all checks of one state, or some of them."""
    case = Case(published, session)
    results, skipped = prepare_state(plan, case)
    results += [
        _run(case, check)
        for check in (*generic, *plan.checks)
        if (only is None or check.rule.name in only)
        and not skipped.lacks(case, check.needs, check.rule.name)
    ]
    results += [
        run_check(session, script)
        for script in checks_of(plan.id, published.contracts)
        if (only is None or script.rule.name in only)
        and not skipped.lacks(case, script.needs, script.rule.name)
    ]
    results += skipped.unexplained(plan, results)
    return [skipped.named(result) for result in results]


def prepare_state(plan: StateChecks, case: Case) -> tuple[list[CheckResult], _Skipped]:
    """Open the state's datasets and make the tables of its checks, as far as that is possible."""
    skipped = _Skipped()
    results = [_open_dataset(plan, case, dataset_id) for dataset_id in plan.absent]
    policy = case.published.document(POLICY) if POLICY in case.usable else None
    case.session.open_run(case.grid, policy)
    for step in plan.preparations:
        if skipped.lacks(case, step.needs, step.name, step.makes):
            continue
        if step.wanted(case):
            failure = _prepare(plan, case, step)
            if failure:
                skipped.blame |= dict.fromkeys(step.makes, step.name)
                results.append(failure)
    return results, skipped


def _run(case: Case, check: Check) -> CheckResult:
    try:
        return check.rule.judge(check.run(case))
    except RefusedError as error:
        return check.rule.judge(error.rows, code=error.code)
    except UnusableError as error:
        return check.rule.judge([error.row()], "the check could not come to its end")
    except _BREAKS as error:
        return broken_off(check.rule, error)
    except Segment1BError as error:
        if error.code != "E_INPUT_UNREADABLE":
            raise
        return broken_off(check.rule, error)


def _prepare(plan: StateChecks, case: Case, step: Preparation) -> CheckResult | None:
    try:
        step.run(case)
    except _BREAKS as error:
        proves = f"what {', '.join(step.makes)} is made from holds together"
        return broken_off(Rule(plan.id, step.name, plan.contract.audit.report, "R", proves), error)
    case.usable.update(step.makes)
    return None


def _open_dataset(plan: StateChecks, case: Case, dataset_id: str) -> CheckResult:
    """Make a dataset usable for the checks of a state, and say whether that was possible."""
    rule = Rule(
        plan.id,
        PREFIX + dataset_id,
        plan.absent[dataset_id],
        "R",
        f"{dataset_id} is present and can be read to its last value",
    )
    try:
        _open(case, dataset_id)
    except UnusableError as error:
        code = _open_code(plan, case.published.dataset(dataset_id), error)
        if error.fault == "schema":
            case.usable.add(BYTES_OF + dataset_id)
        return rule.judge([error.row()], code=code)
    case.usable |= {dataset_id, BYTES_OF + dataset_id}
    return rule.judge(())


def _open(case: Case, dataset_id: str) -> None:
    dataset = case.published.dataset(dataset_id)
    if dataset_id == RASTER:
        case.grid = read_grid(case.published)
    elif is_log(dataset):
        case.published.lines(dataset_id)
    elif dataset.kind == "folder":
        case.published.proof(dataset_id)
    elif dataset.kind == "document":
        case.published.document(dataset_id)
        if dataset_id.endswith("_run_report"):
            case.session.open_report(dataset_id)
    else:
        _open_table(case, dataset)


def _open_table(case: Case, dataset: Dataset) -> None:
    path = case.published.path(dataset.id)
    known = case.published.is_as_received(dataset.id)
    if not known:
        case.published.proof(dataset.id)
    try:
        case.session.open_table(dataset.id)
        if not known:
            case.session.scan(dataset)
    except duckdb.Error as error:
        raise_machine_fault(error, path)
        # A column that is absent fails the binder, a value that does not fit the conversion.
        other = isinstance(error, (duckdb.BinderException, duckdb.ConversionException))
        reason = str(error).strip().splitlines()[0]
        raise UnusableError(dataset.id, "schema" if other else "damaged", reason, path) from None


def _open_code(plan: StateChecks, dataset: Dataset, error: UnusableError) -> str:
    if error.code:
        return error.code
    if error.fault == "absent":
        return plan.absent[dataset.id]
    if dataset.id in plan.contract.audit.faults:
        return plan.contract.audit.faults[dataset.id]
    if dataset.id == plan.report:
        return plan.contract.audit.report
    if dataset.receipt_in and error.fault == "damaged":
        return dataset.codes.get("receipt") or dataset.code("schema")
    if error.fault == "damaged":
        return "E_INPUT_UNREADABLE"
    return dataset.code("schema")
