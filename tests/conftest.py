"""What several folders of tests share."""

from __future__ import annotations

import pytest

import worlds


@pytest.fixture(scope="session")
def embedded_world(tmp_path_factory: pytest.TempPathFactory) -> worlds.RunResult:
    """Run the embedded world from outlets to flag, once; tests that change it take a copy."""
    return worlds.run(tmp_path_factory.mktemp("embedded") / "world", to_state="s9")
