"""A comparison finds every site that came, went or moved, and how far."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from read.conftest import IDENTITY, KNOWN, PLACES, SITES, MakeRoot, sites
from segment1b.cli.tables import print_diff
from segment1b.errors import Segment1BError
from segment1b.read import diff as growth
from segment1b.read.diff import diff

Rows = list[dict[str, Any]]


def table_of(some: Rows) -> pa.Table:
    return pa.Table.from_pylist(some, schema=SITES.arrow_schema)


@pytest.fixture
def changed(table: pa.Table) -> tuple[Rows, Rows]:
    """Return the sites before and after: a shorter list, new merchants, some sites moved."""
    before: Rows = table.to_pylist()
    rng = np.random.default_rng(3)
    after = [dict(row) for row in before if rng.random() > 0.1]
    for row in after:
        if row["legal_country_iso"] == "NL" and row["site_order"] == 3:
            row["lat_deg"] += 0.1
    more = [row | {"merchant_id": 5000 + row["merchant_id"]} for row in before[:77]]
    return before, after + more


def test_added_removed_and_moved(
    make_root: MakeRoot, changed: tuple[Rows, Rows], capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = changed
    old = make_root(table_of(before), "old")
    new = make_root(table_of(after), "new", parts=3)
    found = diff(old, new)

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return row["legal_country_iso"], row["merchant_id"], row["site_order"]

    was, now = {key(r): r for r in before}, {key(r): r for r in after}
    wanted: dict[str, Counter[str]] = {
        "added": Counter(k[0] for k in now.keys() - was.keys()),
        "removed": Counter(k[0] for k in was.keys() - now.keys()),
        "moved": Counter(k[0] for k in was.keys() & now.keys() if was[k] != now[k]),
        "kept": Counter(k[0] for k in was.keys() & now.keys() if was[k] == now[k]),
    }
    for name, counts in wanted.items():
        assert {c: own[name] for c, own in found["by_country"].items() if own[name]} == counts
        assert found["total"][name] == sum(counts.values())
    assert wanted["moved"].keys() == {"NL"}
    assert (found["old"]["rows"], found["new"]["rows"]) == (len(before), len(after))
    km = 0.1 * np.pi / 180 * growth.EARTH_KM
    assert found["total"]["moved_max_km"] == pytest.approx(km, rel=1e-9)
    assert found["by_country"]["NL"]["moved_p50_km"] == pytest.approx(km, rel=0.001)
    print_diff(found)
    text = capsys.readouterr().out.splitlines()
    assert text[-1].startswith("total ")
    assert text[-1].endswith("moved by 11.1 km (median), 11.120 km at most")
    assert diff(new, old)["total"]["added"] == found["total"]["removed"]


@pytest.mark.parametrize("top", [2**53 + 8, 2**63 - 1])
def test_merchants_above_the_whole_numbers_of_a_float_are_told_apart(
    make_root: MakeRoot, top: int
) -> None:
    before: Rows = sites(240).to_pylist()
    for row in before:
        row["merchant_id"] += top - 1005
    gone = {top - 1, top - 4}
    after = [row for row in before if row["merchant_id"] not in gone]
    assert len({row["merchant_id"] for row in before}) == 6
    old, new = make_root(table_of(before), "old"), make_root(table_of(after), "new")
    for pair, name in (((old, new), "removed"), ((new, old), "added")):
        total = diff(*pair)["total"]
        changes = {key: total[key] for key in ("kept", "added", "removed", "moved")}
        assert changes == {"kept": 160, "added": 0, "removed": 0, "moved": 0, name: 80}


def test_equal_roots_have_no_changes(
    make_root: MakeRoot, table: pa.Table, capsys: pytest.CaptureFixture[str]
) -> None:
    found = diff(make_root(table, "old"), make_root(table, "new", parts=5))
    assert found["total"] == {
        "kept": 1000,
        "added": 0,
        "removed": 0,
        "moved": 0,
        "moved_p50_km": 0.0,
        "moved_max_km": 0.0,
    }
    print_diff(found)
    assert capsys.readouterr().out == "total 1,000 kept, 0 added, 0 removed, 0 moved\n"


@pytest.mark.parametrize("empty", ["old", "new"])
def test_an_empty_side(make_root: MakeRoot, table: pa.Table, empty: str) -> None:
    roots = {
        name: make_root(table.slice(0, 0) if name == empty else table, name, parts=1)
        for name in ("old", "new")
    }
    total = diff(roots["old"], roots["new"])["total"]
    assert total["added" if empty == "old" else "removed"] == 1000


def test_the_median_is_of_all_moves(make_root: MakeRoot) -> None:
    table = sites(600)
    lat = table.column("lat_deg").to_numpy().copy()
    moves = np.random.default_rng(5).exponential(0.01, len(lat))
    moved = table.set_column(4, SITES.arrow_schema.field(4), pa.array(lat + moves))
    total = diff(make_root(table, "old"), make_root(moved, "new"))["total"]
    km = np.abs(lat + moves - lat) * np.pi / 180 * growth.EARTH_KM
    assert total["moved"] == 600
    assert total["moved_p50_km"] == pytest.approx(np.sort(km)[299], rel=0.001)
    assert total["moved_max_km"] == pytest.approx(km.max(), rel=1e-6)


def test_across_the_date_line_is_near(make_root: MakeRoot) -> None:
    def one(lon: float, lat: float) -> pa.Table:
        row = {"merchant_id": 1, "legal_country_iso": "FJ", "site_order": 1}
        return table_of([row | {"lon_deg": lon, "lat_deg": lat}])

    near = diff(make_root(one(179.9, 0), "a", parts=1), make_root(one(-179.9, 0), "b", parts=1))
    assert near["total"]["moved_max_km"] == pytest.approx(22.239, abs=0.001)
    zero = diff(make_root(one(0.0, 0.0), "c", parts=1), make_root(one(-0.0, 0.0), "d", parts=1))
    assert zero["total"]["moved"] == 1
    assert zero["total"]["moved_max_km"] == 0.0


def test_both_sides_must_be_proven(make_root: MakeRoot, table: pa.Table) -> None:
    old, new = make_root(table, "old"), make_root(table, "new")
    (new / KNOWN["validation_bundle_1B"].locate(PLACES) / "_passed.flag").unlink()
    for pair in ((old, new), (new, old)):
        with pytest.raises(Segment1BError, match="E910"):
            diff(*pair)


def test_old_and_new_may_share_a_root(root: Path) -> None:
    same = IDENTITY.manifest_fingerprint
    total = diff(root, root, old_fingerprint=same, new_fingerprint=same)["total"]
    assert total["kept"] == 1000
