"""What a state's checks can look into: each dataset is opened once, or named as not readable."""

from __future__ import annotations

import duckdb

from segment1b.audit.case import RASTER, Case, StateChecks
from segment1b.audit.grid import read_grid
from segment1b.audit.published import UnusableError, is_log
from segment1b.audit.results import CheckResult, Rule
from segment1b.contracts import Dataset
from segment1b.contracts.faults import raise_machine_fault

PREFIX = "readable_"
# What a check needs that looks at a dataset's bytes, whatever columns they hold.
BYTES_OF = "bytes of "


def open_dataset(plan: StateChecks, case: Case, dataset_id: str) -> CheckResult:
    """Make a dataset usable for the checks of a state, and say whether that was possible."""
    rule = Rule(
        plan.id,
        PREFIX + dataset_id,
        plan.absent[dataset_id],
        "R",
        f"{dataset_id} is there and can be read to its last value",
    )
    try:
        _open(case, dataset_id)
    except UnusableError as error:
        code = _code(plan, case.published.dataset(dataset_id), error)
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
        # A column that is not there fails the binder, a value that does not fit the conversion.
        other = isinstance(error, (duckdb.BinderException, duckdb.ConversionException))
        reason = str(error).strip().splitlines()[0]
        raise UnusableError(dataset.id, "schema" if other else "damaged", reason, path) from None


def _code(plan: StateChecks, dataset: Dataset, error: UnusableError) -> str:
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
