"""Work for processes: functions that another process can import."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from segment1b.errors import Segment1BError


def square_slowly(number: int) -> int:
    """Return the square; even numbers take longer, so that work ends out of order."""
    time.sleep(0.01 if number % 2 == 0 else 0.0)
    return number * number


def fail_at_three(number: int) -> int:
    """Raise a coded error with a scope for 3."""
    if number == 3:
        raise Segment1BError(
            "E404_ALLOCATION_MISMATCH", "3 is too much", "give 2", merchant_id=3, country_iso="NO"
        )
    return number


def die_at_three(number: int) -> int:
    """End the process at once for 3, like the out-of-memory killer would."""
    if number == 3:
        os._exit(9)
    return number


def say_pid(_number: int) -> int:
    time.sleep(0.01)
    return os.getpid()


def say_pid_and_sleep(folder: Path) -> None:
    """Leave a file named by the process id and sleep."""
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def discard_until_killed(root: Path, from_state: str, removals: int) -> None:
    """Discard, and be killed before the removal after so many."""
    from segment1b.config import RunSettings
    from segment1b.pipeline.discard import discard

    rename, done = os.rename, [0]

    def counted(source: Path, target: Path) -> None:
        if done[0] == removals:
            os.kill(os.getpid(), signal.SIGKILL)
        done[0] += 1
        rename(source, target)

    os.rename = counted  # type: ignore[assignment]
    discard(RunSettings(data_root=root, from_state=from_state), lambda _found: True)  # type: ignore[arg-type]
