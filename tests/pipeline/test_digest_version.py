"""A root whose content digests follow another rule is refused, with what makes it anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import segment1b
import worlds
from discards import KNOWN, World, publish, take_back
from published import raises
from segment1b.config import RunSettings
from segment1b.pipeline.status import status
from segment1b.read.gate import verify_bundle
from segment1b.storage.snapshot import Snapshot


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> World:
    return publish(tmp_path_factory.mktemp("made"))


@pytest.fixture(params=[None, 1, 3, "2"])
def older(made: World, request: pytest.FixtureRequest) -> World:
    """Return the root with reports of another version, or of none."""
    for path in (made.root / "control").rglob("*_run_report.json"):
        report: dict[str, Any] = json.loads(path.read_text())
        for value in report.values():
            if isinstance(value, dict) and "content_sha256_hex" in value:
                value.pop("digest_version", None)
                value |= {} if request.param is None else {"digest_version": request.param}
        path.write_text(json.dumps(report))
    return made


def verified(world: World) -> Any:
    return verify_bundle(Snapshot(world.root, KNOWN, world.tokens))


@pytest.mark.code("E_DIGEST_VERSION")
@pytest.mark.parametrize(
    "use",
    [
        lambda world: worlds.run(world.root, to_state="s9"),
        lambda world: worlds.run(world.root, from_state="s4", to_state="s4"),
        lambda world: segment1b.validate(world.root),
        lambda world: segment1b.validate(world.root, ["s8"]),
        verified,
    ],
    ids=["run", "run s4", "validate", "validate s8", "verify-bundle"],
)
def test_what_reads_receipts_refuses_another_version_and_names_the_commands(
    older: World, use: Callable[[World], Any]
) -> None:
    with raises("E_DIGEST_VERSION", "this program has 2") as caught:
        use(older)
    hint = "run 'segment1b discard --from-state s1', then 'segment1b run'"
    assert caught.value.hint == hint
    assert caught.value.scope["path"].endswith("_run_report.json")


def test_status_shows_that_a_run_would_stop(older: World) -> None:
    state = status(RunSettings(data_root=older.root))["states"]["s1"]
    assert state["would"] == "stop"
    assert state["why"].startswith("E_DIGEST_VERSION: ")


def test_the_commands_of_the_hint_make_the_data_anew(older: World) -> None:
    take_back(older.root, "s1")
    result = worlds.run(older.root, to_state="s9")
    assert worlds.digests(result) == older.digests
    assert [check for check in segment1b.validate(older.root) if not check.ok] == []
    assert verified(older)
