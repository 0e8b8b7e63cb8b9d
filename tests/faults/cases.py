"""Which faults are made: spread over the calls that an undisturbed command makes."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faults.bench import Bench, judge
from faults.children import Call, Fault, run

#: The errors that are made of each system call.
ERRORS = {
    "write": ("ENOSPC", "EDQUOT", "EIO", "ESTALE"),
    "pwrite64": ("ENOSPC", "EDQUOT", "EIO", "ESTALE"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT", "ESTALE", "EROFS"),
    "rename": ("EXDEV", "ENOSPC", "EDQUOT", "EIO", "ESTALE", "EROFS"),
    "mkdir": ("ENOSPC", "EDQUOT", "EIO", "ESTALE", "EROFS"),
    "openat": ("EMFILE", "ENOSPC", "EIO", "ESTALE", "EROFS", "ENOMEM"),
    "unlink": ("EIO", "ESTALE", "EROFS"),
    "unlinkat": ("EIO", "ESTALE", "EROFS"),
    "rmdir": ("EIO", "ESTALE", "EROFS"),
    "ftruncate": ("EIO", "ENOSPC", "ESTALE"),
    "flock": ("ENOLCK", "EIO", "ESTALE"),
    "mmap": ("ENOMEM",),
}
#: What lasts until somebody does something about it.
_LASTING = ("ENOSPC", "EDQUOT", "EROFS", "EMFILE", "ENOMEM", "ENOLCK")
_LASTING_SHARE = 3
_FILE = re.compile(r"^\d+<([^>]*)>")


@dataclass(frozen=True)
class Case:
    """A command and the fault in it."""

    command: str
    fault: Fault

    @property
    def repeat(self) -> str:
        """Return the shell command that repeats this case alone and keeps its folder."""
        fault = self.fault
        return (
            "PYTHONPATH=src:tests .venv/bin/python -m faults.repeat "
            f"{self.command} {fault.kind} {fault.error} {fault.when} {fault.path}"
        )


@dataclass(frozen=True)
class Judged:
    """What became of a case: the calls that failed, and what was wrong then."""

    case: Case
    injected: tuple[Call, ...]
    wrong: tuple[str, ...]

    def __str__(self) -> str:
        calls = "; ".join(f"{call.kind}({call.arguments}" for call in self.injected[:3])
        options = " ".join(self.case.fault.options(Path("case")))
        return "\n  ".join([self.case.repeat, f"strace {options}", calls, *self.wrong])


def calls_of(bench: Bench, command: str) -> tuple[Call, ...]:
    """Return the calls that an undisturbed command makes, of the kinds that faults are made in."""
    folder = bench.folder / uuid.uuid4().hex
    case = bench.copy(command, folder)
    ending = run(bench.start(command, case), traced=",".join(ERRORS))
    assert ending.exit_code == 0, ending.stderr
    shutil.rmtree(folder)
    return ending.calls


def spread(
    command: str, calls: Iterable[Call], counts: dict[str, int], seed: int = 0
) -> Iterator[Case]:
    """Yield cases whose Nth calls lie over the whole command.

    Args:
        command: its name.
        calls: what it does undisturbed.
        counts: how many cases of each kind of call.
        seed: of the choice of N within its stretch.
    """
    chance = random.Random(seed)
    most: dict[str, int] = defaultdict(int)
    for call in calls:
        # Files are also opened by imports, and by what looks at processors and processes.
        if call.kind == "openat" and "/case" not in call.arguments:
            continue
        most[call.kind] = max(most[call.kind], call.number)
    for kind, count in counts.items():
        errors = itertools.cycle(ERRORS[kind])
        count = min(count, most[kind])
        for number in range(count):
            low = most[kind] * number // count
            when = 1 + chance.randrange(low, max(low + 1, most[kind] * (number + 1) // count))
            error = next(errors)
            lasts = error in _LASTING and number % _LASTING_SHARE == 0
            yield Case(command, Fault(kind, error, f"{when}+" if lasts else f"{when}"))


def plain_staged_writes(calls: Iterable[Call]) -> list[Fault]:
    """Return a full disk at each write to a staged file that is not Parquet."""
    counts = Counter[str]()
    for call in calls:
        if call.kind == "write" and _is_plain_staged(path := path_of(call)):
            counts[path] += 1
    return [
        Fault("write", "ENOSPC", str(number + 1), path)
        for path, count in counts.items()
        for number in range(count)
    ]


def path_of(call: Call) -> str:
    """Return the path of the file that a call works on, below the case's folder."""
    found = _FILE.match(call.arguments)
    return found[1].rpartition("/case/")[2] if found else ""


def _is_plain_staged(path: str) -> bool:
    others = (".unfinished", ".parquet", ".tif")
    is_of_records = path.endswith(".unfinished") and path.split("/")[-2].endswith(
        ("runs", ".split")
    )
    return "/.staging/" in path and (is_of_records or not path.endswith(others))


def try_all(bench: Bench, cases: Sequence[Case]) -> list[Judged]:
    """Make the faults, two at a time; return what became of each case."""
    for name in {case.command for case in cases}:
        bench.undisturbed(name)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda case: try_one(bench, case), cases))


def try_one(bench: Bench, case: Case) -> Judged:
    """Make one fault and judge what the command does with it, in a folder of its own."""
    folder = bench.folder / uuid.uuid4().hex
    at = bench.copy(case.command, folder)
    ending = run(bench.start(case.command, at), case.fault)
    wrong = judge(bench, case.command, at, ending, may_die=case.fault.error == "ENOMEM")
    if wrong:
        wrong += [
            f"{name}: {text[-3000:]}"
            for name, text in (("stdout", ending.stdout), ("stderr", ending.stderr))
            if text.strip()
        ]
    else:
        shutil.rmtree(folder)
    return Judged(case, ending.injected, tuple(wrong))
