"""The terminal, the log and the progress of a run."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console  # noqa: TID251 - Terminal is made of it
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars
from rich.text import Text

from segment1b.cli.terminal import TextLines, json_line
from segment1b.errors import visible

if TYPE_CHECKING:
    from segment1b.pipeline.execution import Event, Progress

LOG = logging.getLogger("segment1b")


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


def set_up_logs(log_format: str, *, quiet: bool) -> None:
    """Send the package's log to stderr, as text or JSON lines; quiet keeps warnings only."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines() if log_format == "json" else TextLines())
    LOG.handlers[:] = [handler]
    LOG.propagate = False
    LOG.setLevel(logging.WARNING if quiet else logging.INFO)


class Terminal(Console):
    """A rich console that escapes control characters, and does not replace `:name:` by emoji."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text with its markup, its control characters escaped."""
        return super().render_str(visible(text), **options)


class LogProgress:
    """Progress as log lines, for files and programs."""

    def __call__(self, event: Event) -> None:
        """Log the start and the end of a state, and count its rows."""
        fields: dict[str, Any] = {"state": event.state, "event": event.kind}
        if event.kind == "plan":
            self._start, self._rows = time.perf_counter(), 0
        elif event.kind == "begin":
            fields |= {"event": "start", "shards": event.count}
            _log("%s starts, %d shards", event.state, event.count, fields=fields)
        elif event.kind == "advance":
            self._rows += event.count
        elif event.kind == "reused":
            _log("%s reused: published, inputs unchanged", event.state, fields=fields)
        else:
            seconds = time.perf_counter() - self._start
            fields |= {"rows": self._rows, "seconds": round(seconds, 3)}
            rows = f"{self._rows:,}"
            _log("%s published, %s rows in %.1f s", event.state, rows, seconds, fields=fields)


def _log(text: str, *values: object, fields: dict[str, Any]) -> None:
    LOG.info(text, *values, extra={"fields": fields})


class BarProgress:
    """Progress bars with rows, rate and remaining time, for a terminal."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._task = TaskID(0)

    def __call__(self, event: Event) -> None:
        """Show the bar of a state, its length as soon as it is known, and move it."""
        if event.kind == "plan":
            self._start, self._rows = time.perf_counter(), 0
            self._task = self._bars.add_task(event.state, total=None, note="planning")
        elif event.kind == "begin":
            self._bars.update(self._task, total=max(1, event.count), note="")
        elif event.kind == "advance":
            self._rows += event.count
            rate = self._rows / max(time.perf_counter() - self._start, 1e-9)
            note = f"{self._rows:,} rows, {rate:,.0f} rows/s"
            self._bars.update(self._task, advance=1, note=note)
        elif event.kind == "reused":
            note = "reused: inputs unchanged"
            self._bars.add_task(event.state, total=1, completed=1, note=note)
        else:
            total = self._bars.tasks[self._task].total
            self._bars.update(self._task, completed=total or 1)


@contextmanager
def progress(log_format: str, *, quiet: bool) -> Iterator[Progress]:
    """Set up the log; yield progress bars at a terminal, log lines elsewhere."""
    set_up_logs(log_format, quiet=quiet)
    err = Terminal(stderr=True)
    if quiet or log_format == "json" or not err.is_terminal:
        yield LogProgress()
        return
    with _bars(err) as bars:
        yield BarProgress(bars)


@contextmanager
def check_progress(*, quiet: bool) -> Iterator[Callable[[str, int, int], None] | None]:
    """Set up the log for warnings; yield what shows a bar a state at a terminal, else None."""
    set_up_logs("text", quiet=True)
    err = Terminal(stderr=True)
    if quiet or not err.is_terminal:
        yield None
        return
    with _bars(err) as bars:
        tasks: dict[str, TaskID] = {}

        def show(state: str, done: int, total: int) -> None:
            if state not in tasks:
                tasks[state] = bars.add_task(state, total=total, note="checks")
            bars.update(tasks[state], completed=done)

        yield show


def _bars(err: Terminal) -> Bars:
    return Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=err,
    )
