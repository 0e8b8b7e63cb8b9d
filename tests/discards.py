"""A small published world from which states are discarded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segment1b import contracts
from segment1b.config import RunSettings
from segment1b.pipeline.discard import discard
from segment1b.pipeline.finding import find_identity
from worlds import digests, lay_small_world, outlet_list, run

KNOWN = contracts.load()
STATES = [f"s{number}" for number in range(10)]
COUNTRIES = ("NL", "PT")
SHARED = ("tile_index", "tile_bounds", "tile_weights", "parameter_policy_1B")


@dataclass(frozen=True)
class World:
    """A root with one list published, its identity's tokens, and the digests."""

    root: Path
    outlets: Path
    tokens: Mapping[str, object]
    digests: dict[str, str]

    def path(self, root: Path, dataset_id: str) -> Path:
        return root / KNOWN[dataset_id].locate(self.tokens)


def publish(folder: Path) -> World:
    """Publish a small list from S0 to S9."""
    root = lay_small_world(folder / "root", degrees=1.0, countries=COUNTRIES)
    outlets = outlet_list(folder / "my.csv", COUNTRIES, merchants=6)
    result = run(root, outlets=outlets, to_state="s9")
    return World(root, outlets, find_identity(root, None, {})[1].places, digests(result))


def take_back(
    root: Path | str, from_state: str, *, keep_shared: bool = False, **tokens: Any
) -> dict[str, int]:
    asked = RunSettings(data_root=Path(root), from_state=from_state, **tokens)  # type: ignore[arg-type]
    return discard(asked, lambda _found: True, keep_shared=keep_shared)


def check_commits(world: World, present: set[str]) -> None:
    """Check that a report has all that it commits, but S9's, and the flag has all reports."""
    known = [dataset for dataset in KNOWN if "trade" not in dataset.tokens]  # the list has none
    where = {dataset.id: dataset.locate({**world.tokens, "attempt": 1}) for dataset in known}
    for dataset in known:
        if dataset.owner != "S9" and dataset.receipt_in and where[dataset.receipt_in] in present:
            assert where[dataset.id] in present
    if where["validation_bundle_1B"] in present:
        assert {where[f"{state}_run_report"] for state in STATES} <= present
