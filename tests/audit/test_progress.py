"""The progress of validators: every check counts once; bars are for terminals alone."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable

import pytest

import segment1b
from segment1b.cli.app import app
from spoil import World


class Terminal(io.StringIO):
    """A standard stream that a person looks at."""

    def isatty(self) -> bool:
        """Return true."""
        return True


def test_progress_counts_each_check_of_a_state_once(published: Callable[[str], World]) -> None:
    calls: list[tuple[str, int, int]] = []
    states = ["s3", "s8"]
    results = segment1b.validate(
        published("stable").root, states, progress=lambda *call: calls.append(call)
    )
    for state in states:
        own = [call for call in calls if call[0] == state]
        total = own[0][2]
        assert own == [(state, done, total) for done in range(total + 1)]
        # The results begin with whether each dataset can be read.
        assert 0 < total <= sum(result.state == state for result in results)


@pytest.mark.parametrize(
    ("options", "stream", "shown"),
    [
        ([], Terminal, True),
        (["--quiet"], Terminal, False),
        (["--json"], Terminal, False),
        ([], io.StringIO, False),
    ],
)
def test_bars_are_shown_on_a_terminal_unless_quiet(
    published: Callable[[str], World],
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    stream: type[io.StringIO],
    shown: bool,
) -> None:
    err = stream()
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("TERM", "xterm")
    words = ["validate-s8", "--data-root", str(published("stable").root), *options]
    assert not app(words, standalone_mode=False)
    assert ("s8" in err.getvalue() and "━" in err.getvalue()) == shown
    assert shown or err.getvalue() == ""
