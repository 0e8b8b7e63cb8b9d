"""How the checks of one state are run: what can be looked into first, then everything on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

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
    script_check,
)
from segment1b.audit.grid import grid_of, read_grid
from segment1b.audit.merchants import each_trade
from segment1b.audit.passes import ENDS
from segment1b.audit.published_files import UnusableError, is_log
from segment1b.audit.queries import scripts_of
from segment1b.audit.results import CheckResult, Found, RefusedError, Rule, judge
from segment1b.audit.session import Session
from segment1b.audit.tables import generic_checks
from segment1b.contracts import Contracts, Dataset
from segment1b.contracts.faults import raise_machine_fault
from segment1b.contracts.states import OPTIONAL_SURFACES
from segment1b.errors import Segment1BError

#: Called with a state, how many of its checks are done, and how many it has.
Progress: TypeAlias = Callable[[str, int, int], None]
_BREAKS = (duckdb.Error, RasterioError, OSError, ValueError, ArithmeticError)


def silent(_state: str, _done: int, _total: int) -> None:
    """Report no progress."""


@dataclass
class _Skipped:
    """Which checks were not possible, by the fault that is to blame."""

    blame: dict[str, str] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)

    def lacks(self, case: Case, step: Check | Preparation) -> bool:
        """Return whether something that a step needs is missing; note whose fault that is."""
        for need in step.needs:
            if need not in case.usable:
                fault = self.blame.get(need, PREFIX + need.removeprefix(BYTES_OF))
                self.names.setdefault(fault, []).append(step.name)
                if isinstance(step, Preparation):
                    self.blame |= dict.fromkeys(step.makes, fault)
                return True
        return False

    def explained(self, plan: StateChecks, results: Sequence[CheckResult]) -> list[CheckResult]:
        """Return the results; each fault names all checks that it has made impossible.

        What nothing was found wrong with, and yet could not be used, is an offence of its own.
        """
        failed = {result.name for result in results if not result.ok}
        proves = "all that the checks need could be made"
        unexplained = [
            judge(plan.rule(fault, proves), [{"missing": fault}])
            for fault in sorted(self.names.keys() - failed)
        ]
        return [
            replace(result, detail=f"checks not possible: {', '.join(self.names[result.name])}")
            if not result.ok and result.name in self.names
            else result
            for result in (*results, *unexplained)
        ]


def run_state(
    plan: StateChecks,
    session: Session,
    only: Collection[str] | None = None,
    *,
    perf: bool = False,
    progress: Progress = silent,
) -> list[CheckResult]:
    """Run all checks of one state, or some of them; with `perf` the budgets are checked too."""
    case, plan = Case(session), plan.without(session.published.unused)
    checks = checks_of(plan, session.published.contracts, perf=perf)
    progress(plan.id, 0, len(checks))
    results = _open_state(plan, case)
    settled = {*_settled(plan, case)}
    if _is_clean(plan, case):
        settled |= plan.by_country
        plan = replace(plan, preparations=[step.of_clean() for step in plan.preparations])
    settled = {name for name in settled if only is None or name in only}
    left = [one for one in checks if (only is None or one.name in only) and one.name not in settled]
    failed, skipped = _prepare_all(plan.needed_by(left), case)
    results += failed
    for done, check in enumerate(checks, 1):
        if check.name in settled:
            results.append(judge(check, ()))
        elif check in left and not skipped.lacks(case, check):
            results.append(_run(case, check))
        progress(plan.id, done, len(checks))
    return skipped.explained(plan, results)


def run_trades(plan: StateChecks, session: Session) -> list[CheckResult]:
    """Run the checks of the weights of each trade in use; they are checks of S2, by trade."""
    published, results = session.published, list[CheckResult]()
    proves = "the merchants' trades can be read to the last value"
    rule = Rule("s2", "trades_in_use", plan.contract.stale, "R", proves)
    try:
        session.trades = each_trade(published)
    except UnusableError as error:
        return [judge(rule, [error.row()])]
    try:
        for own in session.trades:
            session.published = own
            named = own.tokens["trade"]
            found = run_state(plan, session)
            results += [replace(one, state="s2", name=f"{named} {one.name}") for one in found]
    finally:
        session.published = published
    return results


def checks_of(plan: StateChecks, contracts: Contracts, *, perf: bool = False) -> list[Check]:
    """Return all checks of one state in the order in which they are run."""
    scripts = scripts_of(plan.id, plan.contract, contracts)
    generic = generic_checks(plan, contracts, perf=perf)
    every = [*generic, *plan.checks, *(script_check(plan.id, script) for script in scripts)]
    # Without a dataset there are no checks of it, nor of what would be made from it.
    there = set(plan.absent).union(*(step.makes for step in plan.preparations))
    there |= {BYTES_OF + name for name in plan.absent}
    every = [replace(one, needs=plan.needs(one)) for one in every]
    return [one for one in every if not plan.unused or there.issuperset(one.needs)]


def prepare_state(plan: StateChecks, case: Case) -> tuple[list[CheckResult], _Skipped]:
    """Open the state's datasets and make the tables of its checks, as far as that is possible."""
    results = _open_state(plan, case)
    failed, skipped = _prepare_all(plan, case)
    return [*results, *failed], skipped


def _open_state(plan: StateChecks, case: Case) -> list[CheckResult]:
    results = [_open_dataset(plan, case, dataset_id) for dataset_id in plan.absent]
    policy = case.published.document(POLICY) if POLICY in case.usable else None
    case.session.open_run(case.grid, policy)
    return results


def _settled(plan: StateChecks, case: Case) -> Collection[str]:
    """Return the names of settled checks; what cannot be looked into is for the checks to say."""
    try:
        return plan.settle(case)
    except ENDS as error:
        raise_machine_fault(error)
        return ()


def clean_name(state: str) -> str:
    """Return under which name it is kept that all parts of a state's sites are taken as clean."""
    return f"clean parts of {state}"


def _is_clean(plan: StateChecks, case: Case) -> bool:
    """Return whether all can be read, and the checks by country have found nothing in any part."""
    return bool(case.memo.get(clean_name(plan.id))) and plan.absent.keys() <= case.usable


def _prepare_all(plan: StateChecks, case: Case) -> tuple[list[CheckResult], _Skipped]:
    skipped, failed = _Skipped(), list[CheckResult]()
    for step in plan.preparations:
        if not skipped.lacks(case, step) and step.wanted(case):
            failure = _prepare(plan, case, step)
            if failure:
                skipped.blame |= dict.fromkeys(step.makes, step.name)
                failed.append(failure)
    return failed, skipped


def _run(case: Case, check: Check) -> CheckResult:
    try:
        return judge(check, check.run(case))
    except RefusedError as error:
        return judge(check, Found(error.rows, error.code))
    except UnusableError as error:
        return judge(check, [error.row()], "the check could not come to its end")
    except _BREAKS as error:
        return broken_off(check, error)
    except Segment1BError as error:
        if error.code != "E_INPUT_UNREADABLE":
            raise
        return broken_off(check, error)


def broken_off(rule: Rule, error: Exception) -> CheckResult:
    """Return the verdict of a check that could not come to its end; its row gives the reason."""
    raise_machine_fault(error)
    lines = str(error).strip().splitlines()
    reason = {"reason": lines[0] if lines else type(error).__name__}
    return judge(rule, [reason], "the check could not come to its end")


def _prepare(plan: StateChecks, case: Case, step: Preparation) -> CheckResult | None:
    made = case.session.made
    try:
        source = step.name, step.source(case), tuple(made[n] for n in step.needs if n in made)
        before = [made.pop(name, None) for name in step.makes]
        if any(one != source for one in before):
            step.run(case)
    except _BREAKS as error:
        proves = f"what {', '.join(step.makes)} is made from holds together"
        return broken_off(plan.rule(step.name, proves), error)
    made |= dict.fromkeys(step.makes, source)
    case.usable.update(step.makes)
    return None


def _open_dataset(plan: StateChecks, case: Case, dataset_id: str) -> CheckResult:
    """Make a dataset usable for the checks of a state, and say whether that was possible."""
    proves = f"{dataset_id} is present and can be read to its last value"
    rule = Rule(plan.id, PREFIX + dataset_id, plan.absent[dataset_id], "R", proves)
    dataset = case.published.dataset(dataset_id)
    try:
        _open(case, dataset)
    except UnusableError as error:
        if error.fault == "schema":
            case.usable.add(BYTES_OF + dataset_id)
        return judge(rule, Found([error.row()], _open_code(plan, dataset, error)))
    case.usable |= {dataset_id, BYTES_OF + dataset_id}
    return judge(rule, ())


def _open(case: Case, dataset: Dataset) -> None:
    if dataset.id == RASTER:
        case.grid = read_grid(case.published)
    elif dataset.id in OPTIONAL_SURFACES:
        grid_of(case.published, dataset.id)
    elif dataset.kind == "folder":
        case.published.proof(dataset.id)
    elif dataset.kind == "document" or is_log(dataset):
        case.published.document(dataset.id)
        if dataset.id.endswith("_run_report"):
            case.session.open_report(dataset.id)
    else:
        _open_table(case, dataset)


def _open_table(case: Case, dataset: Dataset) -> None:
    path = case.published.path(dataset.id)
    # What parts of the sites need is proven where the whole is opened.
    known = bool(case.published.copies) or case.published.is_as_received(dataset.id)
    if not known:
        case.published.proof(dataset.id)
    try:
        case.session.open_table(dataset.id)
        if not known:
            case.session.scan(dataset.id)
    except duckdb.Error as error:
        raise_machine_fault(error, path)
        # A column that is absent fails the binder, a value that does not fit the conversion.
        other = isinstance(error, (duckdb.BinderException, duckdb.ConversionException))
        reason = str(error).strip().splitlines()[0]
        if ".parquet" not in reason:  # a damaged page is reported without its file
            reason += f", in {', '.join(file.name for file in case.published.files(dataset.id))}"
        raise UnusableError(dataset.id, "schema" if other else "damaged", reason, path) from None


def _open_code(plan: StateChecks, dataset: Dataset, error: UnusableError) -> str:
    audit = plan.contract.audit
    if error.code or error.fault == "absent":
        return error.code or plan.absent[dataset.id]
    if dataset.id in audit.faults:
        return audit.faults[dataset.id]
    if dataset.id == plan.report:
        return audit.report
    if error.fault == "schema":
        return dataset.code("schema")
    if dataset.receipt_in:
        return dataset.codes.get("receipt") or dataset.code("schema")
    return "E_INPUT_UNREADABLE"
