"""Merchant ids above 2^53 stay whole numbers everywhere: numpy makes floats of mixed signs."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segment1b import contracts
from segment1b.audit import validate
from segment1b.identity import Identity
from segment1b.page.page import write_page
from segment1b.read.diff import diff
from segment1b.read.explanation import explain
from segment1b.read.export import export
from segment1b.storage.snapshot import Snapshot
from worlds import lay_small_world, run

KNOWN = contracts.load()
COUNTRIES = ("NL", "PT", "VA")
STATES = [f"s{number}" for number in range(10)]
LARGEST = 2**63 - 1


def outlets(path: Path, more: int = 0) -> Path:
    """Write a list of twelve merchants whose ids are one float."""
    lines = ["merchant_id,country_iso,n_outlets"]
    for number in range(12):
        for place, code in enumerate(COUNTRIES):
            if (number + place) % 3:
                lines.append(f"{LARGEST - number},{code},{1 + number % 5 + more}")
    path.write_text("\n".join(lines) + "\n")
    return path


def guarded(name: str) -> Callable[..., Any]:
    """Return numpy's function, which fails where the package mixes integers to floats."""
    plain = getattr(np, name)

    def call(*arguments: Any, **more: Any) -> Any:
        arrays = arguments[0] if name == "concatenate" else arguments[:2]
        kinds = {np.asarray(one).dtype for one in arrays if np.size(one)}
        integers = kinds and all(kind.kind in "iu" for kind in kinds)
        where = str(sys._getframe(1).f_globals.get("__name__"))
        if where.startswith("segment1b.") and integers and np.result_type(*kinds).kind == "f":
            raise TypeError(f"{where}: np.{name} of {kinds} compares floats")
        return plain(*arguments, **more)

    return call


@pytest.mark.parametrize(
    "law",
    [
        "stable",
        *(
            pytest.param(law, marks=pytest.mark.slow)
            for law in ("largest_remainder", "systematic", "balanced")
        ),
    ],
)
def test_every_command_tells_merchants_apart_whose_ids_are_one_float(
    law: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert float(LARGEST) == float(LARGEST - 11)
    for name in ("searchsorted", "isin", "concatenate", "array_equal"):
        monkeypatch.setattr(np, name, guarded(name))
    roots, sites = [], []
    for more in (0, 1):
        root = lay_small_world(tmp_path / f"root{more}", 1.0, COUNTRIES)
        result = run(
            root,
            outlets=outlets(tmp_path / "my.csv", more),
            settings=(f"allocation.law={law}",),
            to_state="s9",
        )
        roots.append(root)
        sites.append(result.s4.report["sites_total"])
    identity = Identity(**result.identity)
    assert [one.name for one in validate(root, KNOWN, identity.places, STATES) if not one.ok] == []
    total = diff(*roots)["total"]
    assert (total["added"], total["removed"]) == (sites[1] - sites[0], 0)
    assert total["kept"] + total["moved"] == sites[0]
    merchants = [LARGEST - 1]
    one = export(root, tmp_path / "one.csv", format="csv", countries=["NL"], merchants=merchants)
    assert one == 1 + 1 + 1
    assert explain(root, LARGEST - 1, "NL")["n_sites"] == one
    if law == "stable":
        page = write_page(Snapshot(root, KNOWN, identity.places), tmp_path / "p.html")
        assert f"{sites[1]:,} outlets of 12 merchants" in page.read_text("utf-8")
