"""Prints the results of commands as tables and lines."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from segment1b.cli.console import Terminal
from segment1b.errors import visible
from segment1b.storage.root import root_at

if TYPE_CHECKING:
    from segment1b.audit import CheckResult
    from segment1b.pipeline.outcome import Outcome, RunResult
    from segment1b.reference.importing import Imported
    from segment1b.storage.staging import Leftover

Row = Mapping[str, Any]
COLLAPSE_WARNING = 0.5
_PROOF = ("verdict", "proved_at_utc", "flag_sha256_hex")
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


def table(
    columns: Mapping[str, str],
    rows: Iterable[Row],
    *,
    texts: int = 0,
    title: str = "",
) -> Table:
    """Return a table whose cells are the format of their column, filled with their row.

    The first `texts` columns are left-aligned. Cells are markup.
    """
    made = Table(title=title or None)
    for number, name in enumerate(columns):
        made.add_column(name, justify="left" if number < texts else "right", no_wrap=True)
    for row in rows:
        made.add_row(*(form.format_map(row) for form in columns.values()))
    return made


def wide() -> Terminal:
    """Return a terminal that keeps codes and figures whole: a narrow one may wrap a line."""
    return Terminal(width=200, soft_wrap=True, highlight=False)


def print_fields(fields: Mapping[str, object], width: int = 21) -> None:
    """Print a line for each field, the values below each other."""
    for name, value in fields.items():
        print(f"{name:<{width}} {value}")


def run_summary(result: RunResult) -> dict[str, Any]:
    """Return the summary of a run as one JSON object."""
    return {
        "data_root": root_at(result.root).location,
        **result.identity,
        "policy": result.policy,
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
            ({name: o.report[name] for name in _PROOF} for o in result.outcomes if o.state == "s9"),
            None,
        ),
    }


def print_run(result: RunResult) -> None:
    """Print a run: a table of states, the path of each dataset, the figures of S4 in full."""
    out = Terminal(soft_wrap=True, highlight=False, markup=False)
    columns = {"state": "{state}", "outcome": "{outcome}", "rows": "{rows:,}"}
    columns |= {"seconds": "{seconds}", "peak MB": "{peak}"}
    rows = [_run_row(outcome) for outcome in result.outcomes]
    out.print(table(columns, rows, texts=2, title="Segment 1B"))
    out.print(f"data root             {root_at(result.root)}")
    for name, value in result.identity.items():
        out.print(f"{name:<21} {value}")
    for outcome in result.outcomes:
        for path in outcome.datasets:
            out.print(f"{outcome.state:<21} {path.relative_to(result.root)}")
    for outcome in result.outcomes:
        report = outcome.report
        if outcome.state == "s4":
            _print_plan(out, outcome)
        elif outcome.state == "s8":
            out.print(f"site locations        {outcome.datasets[0]}")
        elif outcome.state == "s9":
            out.print(
                f"verdict               {report['verdict']}, proved at {report['proved_at_utc']}, "
                f"flag {report['flag_sha256_hex']}"
            )
            if outcome.reused:
                out.print(f"{'':<21} reused; the sites and the bundle were hashed, other datasets")
                out.print(f"{'':<21} compared by size: --verify hashes them too")


def _run_row(outcome: Outcome) -> dict[str, Any]:
    row = {"state": outcome.state, "outcome": outcome.what, "rows": outcome.rows}
    # The time of an earlier run does not describe this one.
    if outcome.what in ("reused", "adopted"):
        return {**row, "seconds": "", "peak": ""}
    used = outcome.report["resources"]
    seconds, peak = used["wall_clock_seconds_total"], used["max_worker_rss_bytes"]
    return {**row, "seconds": f"{seconds:.2f}", "peak": f"{peak / 1e6:.0f}"}


def _print_plan(out: Terminal, outcome: Outcome) -> None:
    lines = (
        "law                   {law}, dp {dp}",
        "sites = requirements  {alloc_sum_equals_requirements} "
        "({sites_total:,} sites, {pairs_total:,} pairs)",
        "shortfall, ties       {shortfall_total:,}, {ties_broken_total:,}",
        "collapse index        {collapse_index:.3f} (1: as spread as independent draws)",
    )
    out.print(f"allocation plan       {outcome.datasets[0]}")
    for line in lines:
        out.print(line.format_map(outcome.report))
    if outcome.report["collapse_index"] < COLLAPSE_WARNING:
        out.print(
            f"[yellow]Outlets pile up (collapse index below {COLLAPSE_WARNING}):[/] "
            "the laws 'stable', 'systematic' and 'balanced' avoid it (--set allocation.law=stable)",
            markup=True,
        )


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


def print_items(items: Mapping[str, int]) -> None:
    """Print bytes and path of each item, in order."""
    for path, size in items.items():
        print(f"{size:>15,} bytes  {visible(path)}")


def print_total(items: Mapping[str, int], what: str) -> None:
    """Print the bytes of all items, and what becomes of them."""
    total = f"{sum(items.values()):>15,} bytes {what}" if items else f"nothing {what}"
    # A question that follows must not overtake the list.
    print(total, flush=True)


def print_leftovers(root: Path, left: Sequence[Leftover], *, dry_run: bool) -> None:
    """Print bytes and path of what killed runs have left, and the bytes of all."""
    if not left:
        print("no killed run has left anything")
        return
    for one in left:
        path = one.path.relative_to(root) if one.path.is_absolute() else one.path
        print(f"{one.size:>15,} bytes  {path}")
    done = "would be freed" if dry_run else "freed"
    print(f"{sum(one.size for one in left):>15,} bytes {done}")


def check_summary(results: Sequence[CheckResult]) -> dict[str, Any]:
    """Return the results of checks as one JSON object."""
    names = ("state", "name", "code", "scope", "proves", "offending", "rows", "detail")
    checks = [{name: getattr(result, name) for name in names} for result in results]
    return {"ok": not any(result.offending for result in results), "checks": checks}


def print_checks(results: Sequence[CheckResult]) -> None:
    """Print one line a check, then the offending rows."""
    columns = {name: f"{{{name}}}" for name in ("state", "code", "check", "verdict")}
    rows = [
        {
            "state": result.state,
            "code": result.code,
            "check": escape(result.name),
            "verdict": f"[red]{_rows(result)}[/]" if result.offending else "pass",
        }
        for result in results
    ]
    out = wide()
    out.print(table(columns, rows, texts=4, title="Checks"))
    failed = [result for result in results if result.offending]
    for result in failed:
        out.print(
            f"[bold red]{result.code}[/] {escape(result.name)}, {_rows(result)} "
            f"{escape(result.detail)}\n  it proves: {escape(result.proves)}"
        )
        for row in result.rows:
            out.print(f"  {escape(str(row))}")
    out.print(f"{len(results) - len(failed)} of {len(results)} checks pass")


def _rows(result: CheckResult) -> str:
    return f"{result.offending:,} offending row" + ("s" if result.offending > 1 else "")


def print_proof(result: Row) -> None:
    """Print what the gate of a data root has checked."""
    egress = result["egress"]
    print(f"passed: flag {result['flag_sha256_hex']} over {result['bundle_files']} bundle files")
    print(f"{egress['path']}: {egress['files']} files, {egress['bytes']:,} bytes as they passed")
    print(f"hashed against receipts: {', '.join(result['receipts']) or 'no other dataset is here'}")


def print_evidence(result: Row) -> None:
    """Print what an evidence bundle holds, and where one that was written starts."""
    fields = {
        "evidence holds": f"{result['files']} files as SHA256SUMS has them",
        "validation bundle": (
            f"flag {result['flag_sha256_hex']} over {result['bundle_files']} files"
        ),
        "checks": f"{result['checks']}, none with offending rows",
        "made again": f"{result['datasets']} datasets and logs, content equal",
    }
    if "out" in result:
        fields["start reading at"] = str(Path(result["out"]) / "README.md")
    print_fields(fields, 23)


def print_imported(result: Imported) -> None:
    """Print what an import of a reference surface has published."""
    document = result.provenance
    print_fields(
        {
            document["dataset"]: f"{result.path}" + (" (there already)" if result.no_op else ""),
            "sha256": document["receipt"]["sha256_hex"],
            "licence": f"{document['licence']}; {document['attribution']}",
            **document["counts"],
        },
        25,
    )
    for note in document.get("notes", ()):
        print(f"{'note':<25} {note}")


def print_surface_check(result: Row) -> None:
    """Print the measures of reference surfaces, and which bounds are passed."""
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
        print(f"BOUND PASSED {line}")
    if not result["breaches"]:
        print("within bounds")


def _listed(names: Sequence[str]) -> str:
    return f"{len(names)}" + (f": {', '.join(names)}" if names else "")


def print_night(summary: Row) -> None:
    """Print a nightly summary: a row for each run, then errors, offences and warnings in full."""
    names = ("run", "status", "states", "outlets", "validators", "seconds")
    rows = [
        {
            "run": escape(run["name"]),
            "status": run["status"],
            "states": _states(run),
            "outlets": _outlets(run),
            "validators": _validators(run),
            "seconds": _seconds(run),
        }
        for run in summary["runs"]
    ]
    title = f"Night of {summary['began_utc'][:10]}: {summary['status']}"
    out = wide()
    out.print(table({name: f"{{{name}}}" for name in names}, rows, texts=5, title=title))
    for run in summary["runs"]:
        _print_problems(out, run)
    for warning in summary["warnings"]:
        out.print(f"[yellow]warning:[/] {escape(warning)}")


def print_dry_run(summary: Row) -> None:
    """Print what a night would do, run by run."""
    out = wide()
    for run in summary["runs"]:
        name = escape(run["name"])
        if run["status"] == "skipped":
            out.print(f"{name}: left out")
            continue
        states = f"{run['asked_states'][0]} to {run['asked_states'][-1]}"
        out.print(f"{name}: would run {states} in {escape(run['data_root'])}")
        for setting in run["settings"]:
            out.print(f"  with {escape(setting)}")
        if run["asked_validators"]:
            out.print(f"  then validate {', '.join(run['asked_validators'])}")
        if run["notes"]:
            out.print(f"  {escape(run['notes'])}")
    out.print("nothing was run and nothing was written")


def _print_problems(out: Terminal, run: Row) -> None:
    name = escape(run["name"])
    if run["error"] is not None:
        error = run["error"]
        out.print(f"{name}: [bold red]{error['code']}[/] {escape(error['message'])}")
        if error["hint"]:
            out.print(f"  what to do: {escape(error['hint'])}")
    for validator in run["validators"]:
        for offence in validator["offences"]:
            out.print(
                f"{name}: [bold red]{offence['code']}[/] {validator['state']} {offence['name']}, "
                f"{offence['offending']:,} offending; 'segment1b validate-{validator['state']} "
                f"--data-root {escape(run['data_root'])}' shows them"
            )


def _states(run: Row) -> str:
    """Return the states by outcome, in order: `s0 unchanged, s1-s9 reused`."""
    groups = []
    for outcome, entries in itertools.groupby(run["states"].items(), lambda e: e[1]["outcome"]):
        names = [state for state, _ in entries]
        groups.append(f"{names[0]}{f'-{names[-1]}' if len(names) > 1 else ''} {outcome}")
    return ", ".join(groups)


def _outlets(run: Row) -> str:
    gate = run["states"].get("s0", {})
    return f"{gate['rows']:,}" if "rows" in gate else ""


def _validators(run: Row) -> str:
    passed = sum(one["passed"] for one in run["validators"])
    failed = sum(one["failed"] for one in run["validators"])
    if failed:
        return f"[red]{failed} of {passed + failed} fail[/]"
    return f"{passed} pass" if passed else ""


def _seconds(run: Row) -> str:
    if run["began_utc"] is None:
        return ""
    began, ended = (datetime.fromisoformat(run[name]) for name in ("began_utc", "ended_utc"))
    return f"{(ended - began).total_seconds():.1f}"
