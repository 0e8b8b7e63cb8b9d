"""Dagster: the runs of the night as one op, with what became of each run as metadata.

Dagster's own environment needs no package of ours: the op starts the program. Three variables
say where it is.
"""

import json
import os
import subprocess

from dagster import Definitions, Failure, OpExecutionContext, ScheduleDefinition, job, op

FOLDER = os.environ.get("SEGMENT1B_FOLDER", "/srv/segment1b")
PROGRAM = os.environ.get("SEGMENT1B_PROGRAM", f"{FOLDER}/.venv/bin/segment1b")
CONFIG = os.environ.get("SEGMENT1B_CONFIG", "config/runs/segment1b_nightly.yaml")
LOCKED = 4


@op
def nightly(context: OpExecutionContext) -> None:
    """Do the runs; a night that finds another at work does nothing."""
    done = subprocess.run(
        [PROGRAM, "nightly", "--config", CONFIG, "--json", "--log-format", "json"],
        cwd=FOLDER,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    said = json.loads(done.stdout) if done.stdout else {}
    if done.returncode == LOCKED:
        context.log.warning(said["error"]["message"])
        return
    runs = {run["name"]: run["status"] for run in said.get("runs", [])}
    if done.returncode != 0:
        problem = said["error"]["message"] if "error" in said else "a run or a validator failed"
        raise Failure(description=problem, metadata={"exit_code": done.returncode, **runs})
    context.add_output_metadata(runs)


@job
def segment1b_nightly() -> None:
    """A coordinate for every outlet, checked by the validators."""
    nightly()


defs = Definitions(
    jobs=[segment1b_nightly],
    schedules=[ScheduleDefinition(job=segment1b_nightly, cron_schedule="15 2 * * *")],
)
