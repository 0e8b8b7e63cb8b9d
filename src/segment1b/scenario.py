"""The scenario runner: the one thing that whoever wants a run calls."""

from __future__ import annotations

from segment1b.config import RunSettings
from segment1b.pipeline import Progress, RunResult, run_pipeline


def run(config: RunSettings, progress: Progress) -> RunResult:
    """Run the states that the settings ask for.

    Args:
        config: what to run.
        progress: what is told while it goes on.

    Raises:
        Segment1BError: the code of whatever stopped the run; once the identity is known, its
            scope has the state and the tokens.
    """
    return run_pipeline(config, progress)
