"""What people and machines see of a run: progress and logs on stderr, results on stdout."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console  # noqa: TID251 - Terminal is made of it
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from segment1b.cli.terminal import indented, json_line, print_json
from segment1b.contracts.texts import visible
from segment1b.pipeline.execution import Progress
from segment1b.pipeline.outcome import Outcome, RunResult
from segment1b.storage.root import root_at

__all__ = ["print_json"]

LOG = logging.getLogger("segment1b")
COLLAPSE_WARNING = 0.5
_PROOF = ("verdict", "proved_at_utc", "flag_sha256_hex")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json_line(line | getattr(record, "fields", {}))


class _TextLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return indented(super().format(record))


def set_up_logs(log_format: str, *, quiet: bool) -> None:
    """Send the package's log to stderr, as text or JSON lines; quiet keeps warnings only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if log_format == "json" else _TextLines())
    LOG.handlers[:] = [handler]
    LOG.propagate = False
    LOG.setLevel(logging.WARNING if quiet else logging.INFO)


class Terminal(Console):
    """A rich console that escapes control characters, and leaves `:name:` as it is written."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text with its markup, its control characters escaped."""
        return super().render_str(visible(text), **options)


class LogProgress(Progress):
    """Progress as log lines, for files and machines."""

    def plan(self, state: str) -> None:
        """Start the state's clock."""
        self._state, self._start, self._rows = state, time.perf_counter(), 0

    def begin(self, shards: int) -> None:
        """Log the start of a state's work."""
        LOG.info(
            "%s starts, %d shards",
            self._state,
            shards,
            extra={"fields": {"state": self._state, "event": "start", "shards": shards}},
        )

    def advance(self, rows: int) -> None:
        """Count the rows of a shard."""
        self._rows += rows

    def end(self, state: str, outcome: str) -> None:
        """Log the end of a state."""
        fields: dict[str, Any] = {"state": state, "event": outcome}
        if outcome == "reused":
            LOG.info("%s reused: published, inputs unchanged", state, extra={"fields": fields})
            return
        seconds = time.perf_counter() - self._start
        fields |= {"rows": self._rows, "seconds": round(seconds, 3)}
        LOG.info(
            "%s published, %s rows in %.1f s",
            state,
            f"{self._rows:,}",
            seconds,
            extra={"fields": fields},
        )


class BarProgress(Progress):
    """Progress as bars with rows, rate and remaining time, for a person at a terminal."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self._task: TaskID | None = None
        self._rows = 0

    def plan(self, state: str) -> None:
        """Show a bar that waits for the number of shards."""
        self._start, self._rows = time.perf_counter(), 0
        self._task = self.bars.add_task(state, total=None, note="planning")

    def begin(self, shards: int) -> None:
        """Give the bar the number of the state's shards."""
        assert self._task is not None
        self.bars.update(self._task, total=max(1, shards), note="")

    def advance(self, rows: int) -> None:
        """Move the bar by one shard."""
        self._rows += rows
        rate = self._rows / max(time.perf_counter() - self._start, 1e-9)
        assert self._task is not None
        self.bars.update(self._task, advance=1, note=f"{self._rows:,} rows, {rate:,.0f} rows/s")

    def end(self, state: str, outcome: str) -> None:
        """Fill the bar, or show that the state is reused."""
        if outcome == "reused" or self._task is None:
            self.bars.add_task(state, total=1, completed=1, note="reused: inputs unchanged")
        else:
            self.bars.update(self._task, completed=self.bars.tasks[self._task].total or 1)


@contextmanager
def progress(log_format: str, *, quiet: bool) -> Iterator[Progress]:
    """Give bars at a terminal, log lines elsewhere."""
    err = Terminal(stderr=True)
    if quiet or log_format == "json" or not err.is_terminal:
        yield LogProgress()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=err) as bars:
        yield BarProgress(bars)


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
    """Print a run's summary: a table of states, where each dataset lies, S4's figures in full."""
    table = Table(title="Segment 1B")
    for name in ("state", "outcome"):
        table.add_column(name)
    for name in ("rows", "seconds", "peak MB"):
        table.add_column(name, justify="right")
    for outcome in result.outcomes:
        resources = outcome.report["resources"]
        # What an earlier run took says nothing of this one.
        used = (
            ("", "")
            if outcome.reused
            else (
                f"{resources['wall_clock_seconds_total']:.2f}",
                f"{resources['max_worker_rss_bytes'] / 1e6:.0f}",
            )
        )
        table.add_row(outcome.state, outcome.what, f"{outcome.rows:,}", *used)
    out = Terminal(soft_wrap=True, highlight=False, markup=False)
    out.print(table)
    out.print(f"data root             {root_at(result.root)}")
    for name, value in result.identity.items():
        out.print(f"{name:<21} {value}")
    for outcome in result.outcomes:
        for path in outcome.datasets:
            out.print(f"{outcome.state:<21} {path.relative_to(result.root)}")
    for outcome in result.outcomes:
        if outcome.state == "s4":
            _print_plan(out, outcome)
        elif outcome.state == "s8":
            out.print(f"site locations        {outcome.datasets[0]}")
        elif outcome.state == "s9":
            report = outcome.report
            out.print(
                f"verdict               {report['verdict']}, proved at {report['proved_at_utc']}, "
                f"flag {report['flag_sha256_hex']}"
            )
            if outcome.reused:
                out.print(f"{'':<21} reused; the sites and the bundle were hashed, other datasets")
                out.print(f"{'':<21} compared by size: --verify hashes them too")


def _print_plan(out: Terminal, outcome: Outcome) -> None:
    report = outcome.report
    out.print(f"allocation plan       {outcome.datasets[0]}")
    out.print(f"law                   {report['law']}, dp {report['dp']}")
    out.print(
        f"sites = requirements  {report['alloc_sum_equals_requirements']} "
        f"({report['sites_total']:,} sites, {report['pairs_total']:,} pairs)"
    )
    out.print(
        f"shortfall, ties       {report['shortfall_total']:,}, {report['ties_broken_total']:,}"
    )
    out.print(
        f"collapse index        {report['collapse_index']:.3f} (1: as spread as independent draws)"
    )
    if report["collapse_index"] < COLLAPSE_WARNING:
        out.print(
            f"[yellow]Outlets pile up (collapse index below {COLLAPSE_WARNING}):[/] "
            "the laws 'stable', 'systematic' and 'balanced' avoid it (--set allocation.law=stable)",
            markup=True,
        )
