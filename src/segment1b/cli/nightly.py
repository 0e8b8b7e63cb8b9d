"""What a person sees of a night: one row a run, then what went wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from rich.markup import escape
from rich.table import Table

from segment1b.cli.console import Terminal

Json = dict[str, Any]


def print_night(summary: Json) -> None:
    """Print a night's summary on stdout: a table, then errors, offences and warnings in full."""
    table = Table(title=f"Night of {summary['began_utc'][:10]}: {summary['status']}")
    for name in ("run", "status", "states", "outlets", "validators"):
        table.add_column(name, no_wrap=True)
    table.add_column("seconds", justify="right")
    for run in summary["runs"]:
        table.add_row(
            escape(run["name"]),
            run["status"],
            _states(run),
            _outlets(run),
            _validators(run),
            _took(run),
        )
    out = Terminal(width=120, soft_wrap=True, highlight=False)
    out.print(table)
    for run in summary["runs"]:
        _print_problems(out, run)
    for warning in summary["warnings"]:
        out.print(f"[yellow]warning:[/] {escape(warning)}")


def print_dry_run(summary: Json) -> None:
    """Print what a night would do, run by run."""
    out = Terminal(width=120, soft_wrap=True, highlight=False)
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


def _print_problems(out: Terminal, run: Json) -> None:
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


def _states(run: Json) -> str:
    """Return the states by outcome, in order: `s0 unchanged, s1-s9 reused`."""
    groups: list[tuple[str, list[str]]] = []
    for state, entry in run["states"].items():
        if not groups or groups[-1][0] != entry["outcome"]:
            groups.append((entry["outcome"], []))
        groups[-1][1].append(state)
    return ", ".join(
        f"{names[0]}{f'-{names[-1]}' if len(names) > 1 else ''} {outcome}"
        for outcome, names in groups
    )


def _outlets(run: Json) -> str:
    gate = run["states"].get("s0", {})
    return f"{gate['rows']:,}" if "rows" in gate else ""


def _validators(run: Json) -> str:
    passed = sum(one["passed"] for one in run["validators"])
    failed = sum(one["failed"] for one in run["validators"])
    if failed:
        return f"[red]{failed} of {passed + failed} fail[/]"
    return f"{passed} pass" if passed else ""


def _took(run: Json) -> str:
    if run["began_utc"] is None:
        return ""
    ends = [datetime.fromisoformat(run[name]) for name in ("began_utc", "ended_utc")]
    return f"{(ends[1] - ends[0]).total_seconds():.1f}"
