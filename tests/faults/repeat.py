"""Repeats one fault: `python -m faults.repeat COMMAND KIND ERROR WHEN [PATH]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from faults.bench import Bench
from faults.cases import Case, try_one
from faults.children import Fault


def main(command: str, kind: str, error: str, when: str, path: str = "") -> int:
    """Make the fault, print what became of it; the folder of a case with a fault stays."""
    folder = Path(tempfile.mkdtemp(prefix="segment1b-fault-"))
    bench = Bench(folder / "bench")
    print(*bench.start(command, folder).argv)
    judged = try_one(bench, Case(command, Fault(kind, error, when, path)))
    print(judged)
    print(f"{len(judged.injected)} calls failed; everything lies in {folder}")
    return 1 if judged.wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
