"""The bench that the tests of faults share, and the count of the faults that they made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from faults.bench import Bench
from faults.cases import ERRORS

_MADE = pytest.StashKey[Counter[str]]()
#: Faults that a session of all tests makes at least, and calls that fail in it. No command of these
#: tests calls pwrite64 or ftruncate.
LEAST = 600
_MADE_BY_ALL = {*ERRORS} - {"pwrite64", "ftruncate"}


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("faults") / "bench")


@pytest.fixture
def made(pytestconfig: pytest.Config) -> Iterator[Counter[str]]:
    """Count faults that were made, by kind; the end of the session prints them."""
    counts = Counter[str]()
    yield counts
    pytestconfig.stash.setdefault(_MADE, Counter[str]()).update(counts)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the faults that a worker process of pytest-xdist made."""
    counts = node.config.stash.setdefault(_MADE, Counter[str]())
    counts.update(getattr(node, "workeroutput", {}).get("faults", {}))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session of all tests that has made fewer faults, or not all kinds of them."""
    counts = session.config.stash.get(_MADE, Counter[str]())
    if (to_controller := getattr(session.config, "workeroutput", None)) is not None:
        to_controller["faults"] = dict(counts)
        return
    chosen = session.config.option.keyword or session.config.option.markexpr
    everything = not chosen and session.config.args == session.config.getini("testpaths")
    made = {name.partition(" ")[0] for name, count in counts.items() if count}
    if everything and (counts.total() < LEAST or not made.issuperset(_MADE_BY_ALL)):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Print how many faults of each kind were made."""
    counts = config.stash.get(_MADE, None)
    if not counts:
        return
    kinds: dict[str, list[str]] = {kind: [] for kind in ERRORS}
    for name, count in sorted(counts.items()):
        kind, _, detail = name.partition(" ")
        kinds.setdefault(kind, []).append(f"{detail} {count}")
    failed = [one for one in terminalreporter.getreports("failed") if "/faults/" in one.nodeid]
    all_well = f"{len(failed)} tests say which were not survived" if failed else "all recovered"
    terminalreporter.section(f"{counts.total()} faults made, {all_well}; all tests make {LEAST}")
    for kind, details in kinds.items():
        total = sum(count for name, count in counts.items() if name.partition(" ")[0] == kind)
        listed = ", ".join(details) or "no command that was run makes this call"
        terminalreporter.write_line(f"{kind:<10} {total:>4}  ({listed})")
