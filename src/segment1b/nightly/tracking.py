"""What a run's progress tells: which states began, ended, when, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from segment1b.pipeline.execution import Progress
from segment1b.storage.failures import utc_now


@dataclass
class StateTrace:
    """The course of one state.

    Attributes:
        began_utc, ended_utc: RFC 3339; the end is None while the state works.
        outcome: failed until the state ends; then published or reused.
    """

    began_utc: str
    ended_utc: str | None = None
    outcome: str = "failed"


class TracedProgress(Progress):
    """A progress display that notes the course of each state as it hands everything on."""

    def __init__(self, shown: Progress, on_start: Callable[[str, str], None]) -> None:
        """Take the display behind this one, and what is called with state and time at a start."""
        self._shown, self._on_start = shown, on_start
        self.states: dict[str, StateTrace] = {}

    def plan(self, state: str) -> None:
        """Note that a state begins."""
        self._begin(state)
        self._shown.plan(state)

    def begin(self, shards: int) -> None:
        """Hand on."""
        self._shown.begin(shards)

    def advance(self, rows: int) -> None:
        """Hand on."""
        self._shown.advance(rows)

    def end(self, state: str, outcome: str) -> None:
        """Note that a state has ended; one that is reused never began."""
        if state not in self.states:
            self._begin(state)
        trace = self.states[state]
        trace.ended_utc, trace.outcome = utc_now(), outcome
        self._shown.end(state, outcome)

    def fail(self, state: str) -> None:
        """Note which state has failed; one whose inputs are refused never began."""
        if state not in self.states:
            self._begin(state)

    def _begin(self, state: str) -> None:
        self.states[state] = StateTrace(utc_now())
        self._on_start(state, self.states[state].began_utc)
