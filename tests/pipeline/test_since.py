"""A list that follows an earlier one, from the command line to the sites: who stays stays."""

from __future__ import annotations

import csv
import json
import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import segment1b
import worlds
from segment1b import contracts
from segment1b.cli.app import app
from segment1b.outlets.directories import directory

KNOWN = contracts.load()
Keys = dict[tuple[str, str], set[str]]
#: By merchant, country and outlet_id.
Sites = dict[tuple[str, str, str], tuple[float, float]]


def said(*words: object) -> dict[str, Any]:
    result = CliRunner().invoke(app, [*map(str, words), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def write_list(path: Path, keys: Keys, order: random.Random) -> Path:
    rows = [(merchant, code, key) for (merchant, code), own in keys.items() for key in sorted(own)]
    order.shuffle(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("merchant", "country", "store"), *rows])
    return path


def sites_of(root: Path, name: str) -> Sites:
    """Return the coordinate of each outlet by its key."""
    snapshot = segment1b.open(root, list=name)
    found = directory(snapshot.root, KNOWN, snapshot.tokens["manifest_fingerprint"])
    assert found is not None
    assert found.outlets is not None
    names = dict(zip(*(column.to_pylist() for column in found.merchants.columns), strict=True))
    at = {
        (row["merchant_id"], row["legal_country_iso"], row["site_order"]): row
        for row in snapshot.sites.to_pylist()
    }
    outlets = found.outlets.to_pylist()
    assert len(at) == len(outlets)
    sites = {}
    for row in outlets:
        site = at[row["merchant_id"], row["country_iso"], row["site_order"]]
        key = (names[row["merchant_id"]], row["country_iso"], row["outlet_id"])
        sites[key] = (site["lon_deg"], site["lat_deg"])
    return sites


def next_month(keys: Keys, month: int, chance: random.Random) -> None:
    """Open and close outlets; the first pair grows, the second shrinks, the third does either."""
    for number, (pair, own) in enumerate([*keys.items()][:3]):
        closed = chance.randrange(1, 4) if number else 0
        opened = chance.randrange(1, 4) if number != 1 else 0
        own -= set(chance.sample(sorted(own), closed))
        own |= {f"{pair[0]} {month}-{n}" for n in range(opened)}
    keys["new", "NL"] = {str(month)}


@pytest.fixture(scope="module")
def months(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str, dict[str, Any]]]:
    """Run four months: two in one data root; return root, name and output of each."""
    folder, chance = tmp_path_factory.mktemp("months"), random.Random(5)
    surfaces = worlds.lay_small_world(folder / "surfaces", countries=("LS", "NL"))
    pairs = [("ACME", "NL"), ("ACME", "LS"), ("17", "NL")]
    keys: Keys = {pair: {f"{pair[0]} {n}" for n in range(12)} for pair in pairs}
    first = ("--seed", 7, "--set", "jitter.max_attempts_tile=9", "--world", surfaces)
    found: list[tuple[Path, str, dict[str, Any]]] = []
    for month, (root, name) in enumerate([("a", "jan"), ("b", "feb"), ("b", "mar"), ("c", "apr")]):
        options: tuple[object, ...] = first
        if found:
            next_month(keys, month, chance)
            # In a root with several lists the last imported is meant.
            options = ("--since", found[-1][0])
        file = write_list(folder / f"{name}.csv", keys, chance)
        words = ("--data-root", folder / root, "--outlets", file, "--quiet")
        found.append((folder / root, name, said("run", *words, *options)))
    return found


def test_in_every_month_only_those_move_that_are_listed(
    months: list[tuple[Path, str, dict[str, Any]]],
) -> None:
    some = 0
    for (old, before, then), (new, after, now) in pairwise(months):
        was, sites = sites_of(old, before), sites_of(new, after)
        listed = {(m["merchant"], m["country_iso"], m["outlet_id"]) for m in now["since"]["moved"]}
        stayed = was.keys() & sites.keys()
        assert {key for key in stayed if was[key] != sites[key]} == listed
        # Who has to move are the outlets of the pair that has become smaller.
        assert {pair[:2] for pair in listed} <= {("ACME", "LS"), ("17", "NL")}
        some += len(listed)
        counts = {
            "kept": len(stayed) - len(listed),
            "opened": len(sites.keys() - was.keys()),
            "closed": len(was.keys() - sites.keys()),
            "moved": len(listed),
        }
        assert {name: now["since"][name] for name in ("kept", "opened", "closed")} == {
            name: counts[name] for name in ("kept", "opened", "closed")
        }
        assert now["since"]["manifest_fingerprint"] == then["manifest_fingerprint"]
        changes = said("diff", f"{old}:{before}", f"{new}:{after}")["by_key"]["total"]
        assert {name: changes[name] for name in counts} == counts
        assert (changes["moved_max_km"] > 0) == bool(listed)
        assert (now["seed"], now["policy"]) == (7, then["policy"])
        assert now["parameter_hash"] == then["parameter_hash"]
    assert some > 2
