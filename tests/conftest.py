"""The error codes that tests are marked with, and published worlds to be spoiled."""

from __future__ import annotations

import functools
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest
from playwright.sync_api import Browser, sync_playwright

import worlds
from chromium import ARGUMENTS, CHROMIUM
from segment1b.errors import CODES
from spoil import World, publish

MANY_CASES = 4
#: Files that take longest: begun first, so that no process waits for one in the end.
LONGEST = {"test_frozen.py", "test_page.py", "test_object_store.py", "test_cluster.py"}
# A busy machine is no fault of the code.
hypothesis.settings.register_profile("segment1b", deadline=None)
#: Of `make test`.
hypothesis.settings.register_profile("quick", deadline=None, max_examples=25)
hypothesis.settings.load_profile("segment1b")


def _codes_of(item: pytest.Item) -> set[str]:
    """Return the codes that a test of `make test` provokes."""
    if item.get_closest_marker("slow"):
        return set()
    return {code for mark in item.iter_markers("code") for code in mark.args}


def _test_of(item: pytest.Item) -> str:
    """Return the name of a test without that of its case."""
    return item.nodeid.partition("[")[0]


@pytest.hookimpl(tryfirst=True)  # before tests are deselected
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test that has a parameter `code`; every code has a test, every marker a code.

    Of a test with many cases `make test` runs every fourth, of one with very many about eight, and
    as many more as every code needs.
    """
    items.sort(key=lambda item: item.path.name not in LONGEST)
    for item in items:
        code = item.callspec.params.get("code") if hasattr(item, "callspec") else None
        if code in CODES:
            item.add_marker(pytest.mark.code(code))
    cases, seen, rest = Counter(map(_test_of, items)), Counter[str](), []
    for item in items:
        test = _test_of(item)
        if cases[test] > MANY_CASES and seen[test] % max(4, cases[test] // 8):
            rest.append(item)
        seen[test] += 1
    tested = {code for item in {*items} - {*rest} for code in _codes_of(item)}
    for item in rest:
        if tested >= _codes_of(item):
            item.add_marker(pytest.mark.slow)
        tested |= _codes_of(item)
    if unknown := tested - CODES.keys():
        raise pytest.UsageError(f"tests are marked with unknown codes: {sorted(unknown)}")
    whole = config.args == config.getini("testpaths")
    if whole and (untested := CODES.keys() - tested):
        raise pytest.UsageError(f"no test is marked with these codes: {sorted(untested)}")


@pytest.fixture(scope="session", autouse=True)
def _empty_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the tests, and the programs that they start, out of the user's cache."""
    os.environ["SEGMENT1B_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], World]:
    """Return a function that publishes a world once."""
    return functools.cache(lambda name: publish(tmp_path_factory.mktemp(name), name))


@pytest.fixture
def world(published: Callable[[str], World], tmp_path: Path) -> Callable[[str], World]:
    """Return a function that copies a published world, to be spoiled."""

    def copy(name: str) -> World:
        source = published(name)
        return World(name, shutil.copytree(source.root, tmp_path / name), source.tokens)

    return copy


@pytest.fixture(scope="session")
def embedded_world(tmp_path_factory: pytest.TempPathFactory) -> worlds.RunResult:
    """Run the embedded world from outlets to flag, once; tests that change it take a copy."""
    own = tmp_path_factory.getbasetemp()
    # Processes of tests share it: who comes second waits, and finds everything published.
    folder = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    return worlds.run(folder / "embedded" / "world", to_state="s9", wait_seconds=600)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Start Chromium, as Debian ships it."""
    if not Path(CHROMIUM).exists() or not shutil.which("chromium"):
        pytest.fail(f"{CHROMIUM} is not there: apt-get install chromium chromium-driver")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()
