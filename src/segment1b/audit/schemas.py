"""What the contracts themselves say of a state's datasets, and where its logs lie."""

from __future__ import annotations

from segment1b.audit.case import Case, Check
from segment1b.audit.results import CheckResult, Rule, differences


def schema_check(state: str, code: str, dataset_ids: tuple[str, ...]) -> Check:
    """Return the check that dictionary and schemas agree on some datasets."""

    def run(case: Case, rule: Rule) -> CheckResult:
        return rule.judge(
            {"dataset": dataset_id, "reason": problem}
            for dataset_id in dataset_ids
            for problem in case.published.contracts.check()
            if problem.startswith(f"{dataset_id}:")
        )

    proves = f"dictionary and schema agree on {', '.join(dataset_ids)}"
    return Check(Rule(state, "dictionary", code, "R", proves), (), run)


def run_id_check(state: str, code: str, report: str, events: str) -> Check:
    """Return the check that a log lies under the run id that its tokens give."""

    def run(case: Case, rule: Rule) -> CheckResult:
        tokens, dataset = case.published.tokens, case.published.dataset(events)
        expected = {
            "run_id": tokens["run_id"],
            "partition": [
                f"{name.removeprefix('manifest_')}={tokens[name]}" for name in dataset.tokens
            ],
        }
        said = case.report(report)
        path = case.published.receipt(events)["partition_path"]
        found = {
            "run_id": said["run_id"],
            "partition": [step for step in path.split("/") if "=" in step],
        }
        return rule.judge(differences(found, expected, dataset=events))

    proves = f"{events} lies under the seed, parameter_hash and derived run_id of this identity"
    return Check(Rule(state, "log_path", code, "R", proves), (report,), run)
