"""The summary of a night: one JSON document that a machine can rely on."""

from __future__ import annotations

import platform
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segment1b.audit import CheckResult
from segment1b.contracts.locations import SCHEMAS
from segment1b.contracts.program import VERSION, contracts_root
from segment1b.contracts.schemas import Schemas
from segment1b.errors import Segment1BError
from segment1b.identity import canonical_json
from segment1b.nightly.plan import Night, RunPlan
from segment1b.nightly.published import PublishedState
from segment1b.nightly.tracking import StateTrace
from segment1b.storage.scratch import replace_file
from segment1b.storage.versions import versions

SCHEMA = "schemas.automation.yaml#/nightly/summary"
Json = dict[str, Any]


def run_entry(plan: RunPlan, status: str) -> Json:
    """Return a run's entry as it is before anything is known of its course."""
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


def state_entry(trace: StateTrace, published: PublishedState | None, copy: Path | None) -> Json:
    """Return a state's entry; without what is published when its identity is not known."""
    entry: Json = {
        "outcome": trace.outcome,
        "began_utc": trace.began_utc,
        "ended_utc": trace.ended_utc,
    }
    if published is not None:
        if trace.outcome == "published" and published.report.get("no_op"):
            entry["outcome"] = "unchanged"
        entry["rows"] = published.rows
        entry["run_report"] = str(published.report_path)
        entry["run_report_copy"] = None if copy is None else str(copy)
        entry["datasets"] = {
            one.dataset.id: {
                "path": str(one.path),
                "rows": one.rows,
                "bytes": one.bytes,
                "content_sha256_hex": one.content_sha256_hex,
            }
            for one in published.outputs
        }
    return entry


def validator_entries(results: Sequence[CheckResult]) -> list[Json]:
    """Return one entry for each state that was checked, in order."""
    states = list(dict.fromkeys(result.state for result in results))
    return [
        _validator_entry(state, [one for one in results if one.state == state]) for state in states
    ]


def _validator_entry(state: str, results: Sequence[CheckResult]) -> Json:
    offences = [
        {
            "code": one.code,
            "name": one.name,
            "scope": one.scope,
            "proves": one.proves,
            "offending": one.offending,
            "detail": one.detail,
        }
        for one in results
        if not one.ok
    ]
    return {
        "state": state,
        "passed": len(results) - len(offences),
        "failed": len(offences),
        "offences": offences,
    }


def error_entry(error: Segment1BError) -> Json:
    """Return an error as data; what JSON does not know in its scope becomes text."""
    plain = (str, int, float, bool, type(None))
    return {
        "code": error.code,
        "message": error.message,
        "hint": error.hint,
        "scope": {
            key: value if isinstance(value, plain) else str(value)
            for key, value in error.scope.items()
        },
    }


def night_summary(
    config: Path, night: Night, night_id: str | None, runs: Sequence[Json], times: Mapping[str, str]
) -> Json:
    """Return the whole summary.

    Args:
        config: the night's file.
        night: what it asks for.
        night_id: the id of the night in lineage; None for a dry run.
        runs: the entries, in the order of the file.
        times: began_utc and ended_utc.
    """
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
        "versions": {
            "segment1b": VERSION,
            "python": platform.python_version(),
            **versions(),
        },
        "runs": list(runs),
        "openlineage": None,
        "warnings": [],
    }


def check_summary(summary: Json) -> None:
    """Refuse a summary that does not fit its schema.

    Raises:
        Segment1BError: E_INTERNAL, as only a fault of the program can make such a one.
    """
    problems = Schemas(contracts_root() / SCHEMAS).problems(SCHEMA, summary)
    if problems:
        raise Segment1BError(
            "E_INTERNAL",
            f"the night's summary does not fit {SCHEMA}: {problems[0]}",
            "report this; the runs themselves are published as their reports say",
        )


def write_summary(path: Path, summary: Json) -> None:
    """Write a summary whole or not at all.

    Raises:
        Segment1BError: E_DATA_ROOT_UNUSABLE or E_STORAGE_FULL when it cannot be written.
    """
    check_summary(summary)
    replace_file(path, canonical_json(summary))
