"""The summary of a night: one JSON document for machines."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.audit import CheckResult
from segment1b.contracts.program import VERSION
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.nightly.plan import Night, RunPlan
from segment1b.storage.scratch import replace_file
from segment1b.storage.versions import versions

SCHEMA = "schemas.automation.yaml#/nightly/summary"
Json = dict[str, Any]


def run_entry(plan: RunPlan, status: str) -> Json:
    """Return the entry of a run that is not executed, or not yet."""
    return {
        "name": plan.name,
        "notes": plan.notes,
        "status": status,
        "data_root": str(plan.data_root),
        "asked_states": list(plan.states),
        "asked_validators": list(plan.checks),
        "settings": list(plan.overrides),
        "identity": None,
        "states": {},
        "validators": [],
        "error": None,
        "began_utc": None,
        "ended_utc": None,
    }


def validator_entry(state: str, checks: Sequence[CheckResult]) -> Json:
    """Return the entry of a state's validator."""
    names = ("code", "name", "scope", "proves", "offending", "detail")
    failed = [check for check in checks if not check.ok]
    return {
        "state": state,
        "passed": len(checks) - len(failed),
        "failed": len(failed),
        "offences": [{name: getattr(check, name) for name in names} for check in failed],
    }


def error_entry(error: Segment1BError) -> Json:
    """Return an error as data; what JSON does not know in its scope becomes text."""
    plain = (str, int, float, bool, type(None))
    scope = {
        key: value if isinstance(value, plain) else str(value) for key, value in error.scope.items()
    }
    return {"code": error.code, "message": error.message, "hint": error.hint, "scope": scope}


def night_summary(
    config: Path, night: Night, night_id: str | None, runs: Sequence[Json], times: Mapping[str, str]
) -> Json:
    """Return the summary of the file `config`; a dry run has no `night_id` in lineage."""
    found = {run["status"] for run in runs}
    status = "failed" if "failed" in found else "dry-run" if "dry-run" in found else "passed"
    return {
        "version": 1,
        "status": status,
        "night_id": night_id,
        "config": str(config),
        "working_directory": str(Path.cwd()),
        "host": socket.gethostname(),
        "fail_fast": night.fail_fast,
        **times,
        "versions": {"segment1b": VERSION, "python": platform.python_version(), **versions()},
        "runs": list(runs),
        "openlineage": None,
        "warnings": [],
    }


def check_summary(summary: Json) -> None:
    """Refuse a summary that does not fit its schema as E_INTERNAL: it is a fault of the program."""
    problems = contracts.load().schemas.problems(SCHEMA, summary)
    if problems:
        what = f"the night's summary does not fit {SCHEMA}: {problems[0]}"
        hint = "report this; the runs themselves are published as their reports say"
        raise Segment1BError("E_INTERNAL", what, hint)


def write_summary(path: Path, summary: Json) -> None:
    """Write a summary atomically; E_DATA_ROOT_UNUSABLE or E_STORAGE_FULL when that fails."""
    check_summary(summary)
    replace_file(path, canonical_json(summary))
