"""Prints the results of commands as tables and lines."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from segment1b.cli.console import Terminal
from segment1b.errors import visible
from segment1b.storage.root import root_at

if TYPE_CHECKING:
    from segment1b.audit import CheckResult
    from segment1b.pipeline.outcome import Outcome, RunResult

Row = Mapping[str, Any]
COLLAPSE_WARNING = 0.5
_ACTIONS = {
    "check": "check it",
    "reuse": "reuse it",
    "run": "run it",
    "depends": "run it if its inputs change",
    "stop": "stop here",
    "never": "not come here",
    "refuse": "not start",
}
_DIGITS = 12
_WORST = 10


def print_rich(*parts: str | Text | Table) -> None:
    """Print what has colours; codes and figures stay whole, as a narrow terminal may wrap."""
    Terminal(width=200, soft_wrap=True, highlight=False, markup=False).print(*parts)


def print_table(rows: Sequence[Row], *, texts: int = 0, title: str = "") -> None:
    """Print rows of cells by column name; the first `texts` columns are left-aligned."""
    table = Table(title=title or None)
    for number, name in enumerate(rows[0] if rows else ()):
        table.add_column(name, justify="left" if number < texts else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row.values())
    print_rich(table)


def print_fields(fields: Mapping[str, object], width: int = 21) -> None:
    """Print a line for each field, the values below each other."""
    for name, value in fields.items():
        print(f"{name:<{width}} {value}")


def run_summary(result: RunResult) -> dict[str, Any]:
    """Return the summary of a run as one JSON object."""
    proof = ("verdict", "proved_at_utc", "flag_sha256_hex")
    return {
        "data_root": root_at(result.root).location,
        **result.identity,
        "policy": result.policy,
        "since": result.since.document if result.since else None,
        "states": {
            o.state: {
                "outcome": o.what,
                "rows": o.rows,
                "wall_seconds": o.report["resources"]["wall_clock_seconds_total"],
                "max_worker_rss_bytes": o.report["resources"]["max_worker_rss_bytes"],
                "datasets": [str(path) for path in o.datasets],
                "run_report": str(o.report_path),
                "determinism_receipt": o.report["determinism_receipt"],
            }
            for o in result.outcomes
        },
        "proof": next(
            ({name: o.report[name] for name in proof} for o in result.outcomes if o.state == "s9"),
            None,
        ),
    }


def print_run(result: RunResult, odd: Sequence[str] = ()) -> None:
    """Print a run: a table of states, the path of each dataset, the figures of S4 in full.

    Then what looks odd, and which methods keep outlets from piling up.
    """
    print_table([_run_row(outcome) for outcome in result.outcomes], texts=2, title="Segment 1B")
    print_fields({"data root": root_at(result.root), **result.identity})
    for outcome in result.outcomes:
        for path in outcome.datasets:
            print_fields({outcome.state: path.relative_to(result.root)})
    for outcome in result.outcomes:
        print_fields(_run_fields(outcome))
    for sentence in odd:
        print_rich(Text(f"look: {sentence}", "yellow"))
    for outcome in result.outcomes:
        if outcome.state == "s4" and outcome.report["collapse_index"] < COLLAPSE_WARNING:
            print_rich(
                Text(f"Outlets pile up (collapse index below {COLLAPSE_WARNING}):", "yellow"),
                "the laws 'stable', 'systematic' and 'balanced' avoid it "
                "(--set allocation.law=stable)",
            )


def _run_row(outcome: Outcome) -> dict[str, str]:
    used = outcome.report["resources"]
    # The time of an earlier run does not describe this one.
    timed = outcome.what not in ("reused", "adopted")
    return {
        "state": outcome.state,
        "outcome": outcome.what,
        "rows": f"{outcome.rows:,}" if outcome.state != "s9" else "",
        "seconds": f"{used['wall_clock_seconds_total']:.2f}" if timed else "",
        "peak MB": f"{used['max_worker_rss_bytes'] / 1e6:.0f}" if timed else "",
    }


def _run_fields(outcome: Outcome) -> dict[str, object]:
    """Return the figures of S4, the path of S8's sites and the verdict of S9."""
    report = outcome.report
    if outcome.state == "s4":
        return {
            "allocation plan": outcome.datasets[0],
            "law": f"{report['law']}, dp {report['dp']}",
            "sites = requirements": f"{report['alloc_sum_equals_requirements']} "
            f"({report['sites_total']:,} sites, {report['pairs_total']:,} pairs)",
            "shortfall, ties": f"{report['shortfall_total']:,}, {report['ties_broken_total']:,}",
            "collapse index": f"{report['collapse_index']:.3f} (1: as spread as independent draws)",
        }
    if outcome.state == "s8":
        return {"site locations": outcome.datasets[0]}
    if outcome.state != "s9":
        return {}
    verdict = f"{report['verdict']}, proved at {report['proved_at_utc']}"
    fields: dict[str, object] = {"verdict": f"{verdict}, flag {report['flag_sha256_hex']}"}
    if outcome.reused:
        fields[""] = "reused; the sites and the bundle were hashed, other datasets"
        fields[" "] = "compared by size: --verify hashes them too"
    return fields


def print_status(result: Row) -> None:
    """Print the cache status of a data root: a line for each state, then why no run would start."""
    names = ("data_root", "seed", "manifest_fingerprint", "parameter_hash", "law")
    print_fields({name.replace("_root", " root"): result[name] for name in names})
    print(f"\n{'state':<6} {'published (UTC)':<21} {'content':<27} a run would")
    for state, own in result["states"].items():
        digests = ", ".join(str(one)[:_DIGITS] for one in own["content_sha256_hex"].values())
        would = _ACTIONS[own["would"]] + (f": {own['why']}" if own["why"] else "")
        print(f"{state:<6} {own['published_at_utc'] or 'no':<21} {digests:<27} {would}")
    if result["refusal"]:
        print(f"\na run would be refused: {result['refusal']}")


def print_items(items: Mapping[Any, int]) -> None:
    """Print bytes and path of each item, in order."""
    for path, size in items.items():
        print(f"{size:>15,} bytes  {visible(str(path))}")


def print_total(items: Mapping[Any, int], what: str) -> None:
    """Print the bytes of all items, and what becomes of them."""
    total = f"{sum(items.values()):>15,} bytes {what}" if items else f"nothing {what}"
    # A question that follows must not overtake the list.
    print(total, flush=True)


def check_summary(results: Sequence[CheckResult]) -> dict[str, Any]:
    """Return the results of checks as one JSON object."""
    return {"ok": all(result.ok for result in results), "checks": [vars(r) for r in results]}


def print_states(summary: Row) -> None:
    """Print one line a state, then each check that failed in full."""
    for state, group in itertools.groupby(summary["checks"], lambda check: check["state"]):
        checks = list(group)
        failed = sum(check["offending"] > 0 for check in checks)
        verdict = Text(f"passed, {len(checks)} checks")
        if failed:
            verdict = Text(f"failed, {failed} of {len(checks)} checks", "red")
        print_rich(f"{state.upper():<4}", verdict)
    _print_failed(summary["checks"])


def print_checks(summary: Row) -> None:
    """Print one line a check, then the offending rows."""
    checks = summary["checks"]
    rows = [
        {
            "state": check["state"],
            "code": check["code"],
            "check": check["name"],
            "verdict": Text(_rows(check), "red") if check["offending"] else "pass",
        }
        for check in checks
    ]
    print_table(rows, texts=4, title="Checks")
    _print_failed(checks)


def _print_failed(checks: Sequence[Row]) -> None:
    """Print each failed check with its offending rows, then how many checks pass."""
    failed = [check for check in checks if check["offending"]]
    for check in failed:
        code, rest = Text(check["code"], "bold red"), f"{_rows(check)} {check['detail']}"
        print_rich(code, f"{check['name']}, {rest}\n  it proves: {check['proves']}")
        for row in check["rows"]:
            print(f"  {row}")
    print(f"{len(checks) - len(failed)} of {len(checks)} checks pass")


def _rows(check: Row) -> str:
    return f"{check['offending']:,} offending row" + ("s" if check["offending"] > 1 else "")


def print_proof(result: Row) -> None:
    """Print what the gate of a data root has checked."""
    egress = result["egress"]
    print(f"passed: flag {result['flag_sha256_hex']} over {result['bundle_files']} bundle files")
    print(f"{egress['path']}: {egress['files']} files, {egress['bytes']:,} bytes as they passed")
    print(f"hashed against receipts: {', '.join(result['receipts']) or 'no other dataset is here'}")


def print_evidence(result: Row) -> None:
    """Print what an evidence bundle holds, and where one that was written starts."""
    flag = f"flag {result['flag_sha256_hex']} over {result['bundle_files']} files"
    fields = {
        "evidence holds": f"{result['files']} files as SHA256SUMS has them",
        "validation bundle": flag,
        "checks": f"{result['checks']}, none with offending rows",
        "made again": f"{result['datasets']} datasets and logs, content equal",
    }
    if "out" in result:
        fields["start reading at"] = str(Path(result["out"]) / "README.md")
    print_fields(fields, 23)


def print_imported(document: Row) -> None:
    """Print what an import of a reference surface has published."""
    from segment1b.reference.overlaps import audit_text

    fields = {
        document["dataset"]: document["path"] + (" (there already)" if document["no_op"] else ""),
        "sha256": document["receipt"]["sha256_hex"],
        "licence": f"{document['licence']}; {document['attribution']}",
        **document["counts"],
    }
    print_fields(fields, 25)
    for note in document.get("notes", ()):
        print_fields({"note": note}, 25)
    if "audit" in document:
        print(f"\n{audit_text(document['audit'])}", end="")


def print_surface_check(result: Row) -> None:
    """Print the measures of reference surfaces, and what exceeds its bound."""
    print(f"{'country':<8} {'measured km2':>16} {'published km2':>16} {'error':>8}  published by")
    for row in result["countries"][:_WORST]:
        if row["error"] is not None:
            print(
                f"{row['country_iso']:<8} {row['measured_km2']:>16,.0f} "
                f"{row['published_km2']:>16,.0f} {row['error']:>+8.1%}  {row['published_by']}"
            )
    left = len(result["countries"]) - _WORST
    if left > 0:
        print(f"and {left} more, closer or without a published area (--json lists all)")
    people, places = result["population"], result["places"]
    beyond = [f"{code} {share:.0%}" for code, share in result["beyond_raster"].items()]
    fields = {
        "people": f"{people['people']:,.0f}",
        "in cells no country touches": f"{people['uncovered']:,.0f}",
        "in cells centred in none": f"{people['centre_uncovered']:,.0f}",
        "ISO codes without polygon": _listed(result["iso_without_polygon"]),
        "polygons without tile": _listed(result["polygons_without_tiles"]),
        "polygons without zone": _listed(result["polygons_without_zone"]),
        "partly beyond the raster": _listed(beyond),
    }
    if places:
        fields["places"] = f"{places['places']:,}"
        fields["outside every polygon"] = f"{places['outside']:,}"
        fields["in another country"] = f"{places['in_another_country']:,}"
    for dataset_id, about in result["surfaces"].items():
        fields[dataset_id] = about["licence"] or "licence not recorded"
    print()
    print_fields(fields, 28)
    print()
    for line in result["breaches"]:
        print(line)
    if not result["breaches"]:
        print("within bounds")


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)}" + (f": {', '.join(names)}" if names else "")


def print_diff(result: Row) -> None:
    """Print a diff: a line for each country with changes, then the total; by outlet_id likewise."""
    _print_changes(result, ("kept", "added", "removed", "moved"))
    if result["by_key"]:
        print("by outlet_id:")
        _print_changes(result["by_key"], ("kept", "opened", "closed", "moved"))


def _print_changes(result: Row, kinds: Sequence[str]) -> None:
    for code, country in result["by_country"].items():
        if any(country[name] for name in kinds[1:]):
            print(f"{code:<5} {_changes(country, kinds)}")
    print(f"total {_changes(result['total'], kinds)}")


def _changes(row: Row, kinds: Sequence[str]) -> str:
    text = ", ".join(f"{row[name]:,} {name}" for name in kinds)
    if row["moved"]:
        text += f" by {row['moved_p50_km']:.3g} km (median), {row['moved_max_km']:.3f} km at most"
    return text


def print_night(summary: Row) -> None:
    """Print a nightly summary: a row for each run, then errors, offences and warnings in full."""
    title = f"Night of {summary['began_utc'][:10]}: {summary['status']}"
    print_table([_night_row(run) for run in summary["runs"]], texts=5, title=title)
    for run in summary["runs"]:
        name = f"{run['name']}:"
        if error := run["error"]:
            print_rich(name, Text(error["code"], "bold red"), error["message"])
            if error["hint"]:
                print(f"  what to do: {error['hint']}")
        for validator, offence in _offences(run):
            state = validator["state"]
            print_rich(
                name,
                Text(offence["code"], "bold red"),
                f"{state} {offence['name']}, {offence['offending']:,} offending; 'segment1b "
                f"validate-{state} --data-root {run['data_root']}' shows them",
            )
    for warning in summary["warnings"]:
        print_rich(Text("warning:", "yellow"), warning)


def _offences(run: Row) -> list[tuple[Row, Row]]:
    return [(one, offence) for one in run["validators"] for offence in one["offences"]]


def _night_row(run: Row) -> dict[str, str | Text]:
    gate = run["states"].get("s0", {})
    passed, failed = (sum(v[name] for v in run["validators"]) for name in ("passed", "failed"))
    validators: str | Text = f"{passed} pass" if passed else ""
    if failed:
        validators = Text(f"{failed} of {passed + failed} fail", "red")
    return {
        "run": run["name"],
        "status": run["status"],
        "states": _states(run),
        "outlets": f"{gate['rows']:,}" if "rows" in gate else "",
        "validators": validators,
        "seconds": _seconds(run) if run["began_utc"] else "",
    }


def _seconds(run: Row) -> str:
    began, ended = (datetime.fromisoformat(run[name]) for name in ("began_utc", "ended_utc"))
    return f"{(ended - began).total_seconds():.1f}"


def _states(run: Row) -> str:
    """Return the states by outcome, in order: `s0 unchanged, s1-s9 reused`."""
    groups = []
    for outcome, entries in itertools.groupby(run["states"].items(), lambda e: e[1]["outcome"]):
        names = [state for state, _ in entries]
        groups.append(f"{names[0]}{f'-{names[-1]}' if len(names) > 1 else ''} {outcome}")
    return ", ".join(groups)


def print_dry_run(summary: Row) -> None:
    """Print what a night would do, run by run."""
    for run in summary["runs"]:
        if run["status"] == "skipped":
            print(f"{run['name']}: left out")
            continue
        states = f"{run['asked_states'][0]} to {run['asked_states'][-1]}"
        print(f"{run['name']}: would run {states} in {run['data_root']}")
        for setting in run["settings"]:
            print(f"  with {setting}")
        if run["asked_validators"]:
            print(f"  then validate {', '.join(run['asked_validators'])}")
        if run["notes"]:
            print(f"  {run['notes']}")
    print("nothing was run and nothing was written")
