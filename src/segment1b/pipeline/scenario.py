"""The scenario runner: one run from settings, a mapping or a YAML file, with a typed result.

It is what the command line and nightly automation call, and what a notebook calls:

    from segment1b import scenario

    result = scenario.run({"data_root": "what-if", "settings": ["allocation.law=systematic"]})
    print(result.s4.alloc_plan_path, result.s4.alloc_sum_equals_requirements)
    print(result.s9.report["verdict"])
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from segment1b.config import RunSettings, run_settings
from segment1b.contracts.locations import read_yaml
from segment1b.pipeline.execution import Progress, run_pipeline
from segment1b.pipeline.outcome import Outcome, PlanOutcome, RunResult

__all__ = ["Outcome", "PlanOutcome", "Progress", "RunResult", "Silent", "read_settings", "run"]


class Silent:
    """Tells nobody how far a run is."""

    def plan(self, state: str) -> None:
        """Ignore that a state starts to cut its work."""

    def begin(self, shards: int) -> None:
        """Ignore how many shards there are."""

    def advance(self, rows: int) -> None:
        """Ignore that a shard is done."""

    def end(self, state: str, outcome: str) -> None:
        """Ignore that a state is published or reused."""


def run(
    config: RunSettings | Mapping[str, Any] | Path | str, progress: Progress | None = None
) -> RunResult:
    """Run the states that a scenario asks for.

    Args:
        config: settings; or a mapping of their fields (see `RunSettings`); or the path of a YAML
            file with such a mapping, in which relative paths start at the working directory.
        progress: whom to tell how far the run is; nobody when absent.

    Returns:
        What became of each state: `result.s4.alloc_plan_path`, `result.s9.report["verdict"]`, ...

    Raises:
        Segment1BError: E_USAGE for an unknown field or a bad value, else the code of whatever
            stopped the run; what was published before is kept.
    """
    return run_pipeline(read_settings(config), progress or Silent())


def read_settings(config: RunSettings | Mapping[str, Any] | Path | str) -> RunSettings:
    """Return the settings that a scenario means; see `run`."""
    if isinstance(config, RunSettings):
        return config
    if isinstance(config, Mapping):
        return run_settings(config, "scenario")
    return run_settings(read_yaml(Path(config), "E_USAGE"), str(config))
