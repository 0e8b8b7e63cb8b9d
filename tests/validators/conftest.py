"""Two published small worlds that tests copy before they tamper with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import worlds
from segment1b import contracts
from segment1b.audit import CheckResult, validate
from segment1b.audit.proofs import prove_table
from segment1b.audit.published import declared_columns
from segment1b.identity import Identity

Rows = list[dict[str, Any]]


class Failing(dict[str, CheckResult]):
    """Failing checks by state and name."""

    def of_code(self, code: str) -> CheckResult:
        found = [result for result in self.values() if result.code == code]
        assert found, f"no check said {code}, but {[(n, r.code) for n, r in self.items()]}"
        return found[0]

    def rows(self, code: str) -> Rows:
        return [row for result in self.values() if result.code == code for row in result.rows]


@dataclass(frozen=True)
class World:
    """A data root with everything published at one identity."""

    root: Path
    tokens: dict[str, Any]

    def path(self, dataset_id: str) -> Path:
        return self.root / contracts.load()[dataset_id].locate(self.tokens)

    def part(self, dataset_id: str) -> Path:
        return self.path(dataset_id) / "part-00000.parquet"

    def failing(self, *states: str) -> Failing:
        found = validate(self.root, contracts.load(), self.tokens, states)
        return Failing({f"{r.state} {r.name}": r for r in found if not r.ok})

    def edit(self, dataset_id: str, change: Callable[[Rows], Any]) -> None:
        """Rewrite a part file with changed rows, in the row groups it had."""
        with pq.ParquetFile(self.part(dataset_id)) as file:
            schema = file.schema_arrow
            rows = [
                {**row, "_group": group}
                for group in range(file.num_row_groups)
                for row in file.read_row_group(group).to_pylist()
            ]
        change(rows)
        with pq.ParquetWriter(self.part(dataset_id), schema) as writer:
            for group in sorted({row["_group"] for row in rows}):
                mine = [{n: r[n] for n in schema.names} for r in rows if r["_group"] == group]
                writer.write_table(pa.Table.from_pylist(mine, schema=schema))

    def rewrite(self, dataset_id: str, change: Callable[[Any], Any], name: str = "") -> None:
        """Rewrite a JSON document, or one by name in a folder; a list replaces it whole."""
        path = self.path(dataset_id) / name if name else self.path(dataset_id)
        value = json.loads(path.read_bytes())
        changed = change(value)
        path.write_text(json.dumps(changed if isinstance(changed, list) else value))

    def forge_receipt(self, dataset_id: str) -> None:
        """Make the run report's receipt fit the files as they are now."""
        dataset, folder = contracts.load()[dataset_id], self.path(dataset_id)
        proof = prove_table(folder, sorted(folder.iterdir()), declared_columns(dataset))
        taken = {
            "rows": proof.rows,
            "sha256_hex": proof.composite,
            "content_sha256_hex": proof.content,
            "files": [
                {"path": f.name, "bytes": f.size, "sha256_hex": f.sha256} for f in proof.files
            ],
        }
        field = dataset.receipt_field
        assert dataset.receipt_in is not None
        self.rewrite(dataset.receipt_in, lambda report: report[field].update(taken))


def publish(folder: Path, *settings: str, to_state: str = "s4") -> World:
    root = worlds.lay_small_world(folder / "root", degrees=1.0)
    outlets = worlds.outlet_list(folder / "outlets.csv", merchants=20)
    result = worlds.run(
        root, outlets=outlets, settings=settings, merchant_summaries=True, to_state=to_state
    )
    return World(root, Identity(**result.identity).places)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """Give the worlds as published: by population and each curve law, and uniform with ties."""
    return {
        **{
            law: publish(tmp_path_factory.mktemp(law), f"allocation.law={law}")
            for law in ("systematic", "stable", "balanced")
        },
        "ties": publish(
            tmp_path_factory.mktemp("ties"),
            "allocation.law=largest_remainder",
            "prep.basis=uniform",
            "prep.exclude_countries=[LS]",
        ),
    }


@pytest.fixture
def world(published: dict[str, World], tmp_path: Path) -> Callable[[str], World]:
    """Give a copy of a published world, to be spoiled."""

    def copy(name: str = "stable") -> World:
        shutil.copytree(published[name].root, tmp_path / name)
        return World(tmp_path / name, published[name].tokens)

    return copy


@pytest.fixture(scope="session")
def placed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, World]:
    """Give worlds that are published to their bundle: sites with own points, and permuted ones."""
    return {
        "own_point": publish(
            tmp_path_factory.mktemp("own"), "allocation.law=stable", to_state="s9"
        ),
        "permuted": publish(
            tmp_path_factory.mktemp("permuted"),
            "allocation.law=largest_remainder",
            "prep.exclude_countries=[LS]",
            to_state="s9",
        ),
    }


@pytest.fixture
def place(placed: dict[str, World], tmp_path: Path) -> Callable[[str], World]:
    """Give a copy of a world with locations, to be spoiled."""

    def copy(name: str = "permuted") -> World:
        shutil.copytree(placed[name].root, tmp_path / name)
        return World(tmp_path / name, placed[name].tokens)

    return copy


@pytest.fixture(scope="session")
def hurried_root(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Give a world whose sites have one attempt each, so that many end in the last lane."""
    attempts = ("jitter.max_attempts_tile=1", "jitter.max_attempts_clip=0")
    return publish(tmp_path_factory.mktemp("hurried"), *attempts, to_state="s6")


@pytest.fixture
def hurried(hurried_root: World, tmp_path: Path) -> Callable[[], World]:
    """Give a copy of that world, to be spoiled."""

    def copy() -> World:
        shutil.copytree(hurried_root.root, tmp_path / "hurried")
        return World(tmp_path / "hurried", hurried_root.tokens)

    return copy
