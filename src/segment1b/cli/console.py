"""The terminal, the log and the progress of a run."""

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
from rich.text import Text

from segment1b.cli.terminal import indented, json_line
from segment1b.errors import visible
from segment1b.pipeline.execution import Progress

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
    """A rich console that escapes control characters, and does not replace `:name:` by emoji."""

    def __init__(self, **options: Any) -> None:
        super().__init__(emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text with its markup, its control characters escaped."""
        return super().render_str(visible(text), **options)


class LogProgress(Progress):
    """Progress as log lines, for files and programs."""

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
    """Progress bars with rows, rate and remaining time, for a terminal."""

    def __init__(self, bars: Bars) -> None:
        self.bars = bars
        self._task: TaskID | None = None
        self._rows = 0

    def plan(self, state: str) -> None:
        """Show a bar without length until the number of shards is known."""
        self._start, self._rows = time.perf_counter(), 0
        self._task = self.bars.add_task(state, total=None, note="planning")

    def begin(self, shards: int) -> None:
        """Set the length of the bar: the number of shards."""
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
    """Set up the log; yield progress bars at a terminal, log lines elsewhere."""
    set_up_logs(log_format, quiet=quiet)
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
