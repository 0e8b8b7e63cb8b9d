"""What other code has published is computed again, not reused silently."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

import segment1b
import worlds
from segment1b.contracts import program
from segment1b.pipeline import execution as pipeline


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = worlds.lay_small_world(tmp_path / "root", degrees=1.0)
    worlds.run(root, outlets=worlds.outlet_list(tmp_path / "list.csv"), to_state="s9")
    return root


def test_the_same_program_reuses_all_states(root: Path) -> None:
    again = worlds.run(root, to_state="s9")
    assert [o.state for o in again.outcomes if not o.reused] == ["s0"]


def test_another_program_computes_all_states_again_and_says_so(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = worlds.run(root, to_state="s9")
    lines: list[str] = []
    monkeypatch.setattr(program, "digest", lambda: "f" * 64)
    monkeypatch.setattr(pipeline.LOG, "info", lambda text, *words: lines.append(text % words))
    again = worlds.run(root, to_state="s9")
    assert not [o.state for o in again.outcomes if o.reused]
    assert worlds.digests(again) == worlds.digests(before)
    said = [line for line in lines if "runs again" in line]
    assert [line.split()[0] for line in said] == [f"s{n}" for n in range(1, 10)]
    assert all("this is 0.2.0, source ffffffff" in line for line in said)
    assert all(
        o.report["program"] == {"version": segment1b.__version__, "source_sha256_hex": "f" * 64}
        for o in again.outcomes
    )


def test_the_digest_covers_every_python_sql_and_contract_file() -> None:
    folder, whole = Path(segment1b.__file__).parent, hashlib.sha256()
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.py")}
    files |= {p.relative_to(folder).as_posix(): p for p in folder.rglob("*.sql")}
    rules = Path(__file__).parents[2] / "contracts"
    files |= {f"contracts/files/{p.relative_to(rules)}": p for p in rules.rglob("*.yaml")}
    for name in sorted(files):
        data = files[name].read_bytes()
        whole.update(f"{name} {len(data)}\n".encode() + data)
    assert len(files) > 200
    assert program.digest() == whole.hexdigest()
