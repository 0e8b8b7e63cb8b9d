"""What several folders of tests share."""

from __future__ import annotations

import pytest

from segment1b import scenario
from segment1b.outcome import RunResult


@pytest.fixture(scope="session")
def embedded_world(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """Run the embedded world from outlets to flag, once; tests that change it take a copy."""
    return scenario.run({"data_root": tmp_path_factory.mktemp("embedded") / "world"})
