"""Airflow: the runs of the night as one task.

Airflow's own environment needs no package of ours: the task starts the program. Three variables
say where it is; a night that finds another at work (exit code 4) is skipped, not failed. It is not
tried again by itself: what failed by its input fails again.
"""

from __future__ import annotations

import os
from datetime import datetime

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

FOLDER = os.environ.get("SEGMENT1B_FOLDER", "/srv/segment1b")
PROGRAM = os.environ.get("SEGMENT1B_PROGRAM", f"{FOLDER}/.venv/bin/segment1b")
CONFIG = os.environ.get("SEGMENT1B_CONFIG", "config/runs/segment1b_nightly.yaml")

with DAG(
    dag_id="segment1b_nightly",
    description="A coordinate for every outlet, checked by the validators.",
    schedule="15 2 * * *",
    start_date=datetime(2026, 1, 1),
    catchup=False,
    max_active_runs=1,
) as dag:
    BashOperator(
        task_id="nightly",
        bash_command='exec "$PROGRAM" nightly --config "$CONFIG" --log-format json',
        cwd=FOLDER,
        env={"PROGRAM": PROGRAM, "CONFIG": CONFIG},
        append_env=True,
        skip_on_exit_code=4,
    )
