"""A list that follows an earlier one, from the command line to the sites: who stays stays."""

from __future__ import annotations

import csv
import json
import math
import random
import shutil
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

import segment1b
import worlds
from segment1b import contracts
from segment1b.cli.app import app
from segment1b.config import RunSettings, load_policy
from segment1b.contracts.urls import split_list
from segment1b.errors import Segment1BError
from segment1b.outlets.directories import directory
from segment1b.pipeline.since import continued

KNOWN = contracts.load()
Keys = dict[tuple[str, str], set[str]]
#: By merchant, country and outlet_id.
Sites = dict[tuple[str, str, str], tuple[float, float]]


def called(*words: object) -> Result:
    result = CliRunner().invoke(app, [*map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result


def said(*words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(called(*words, "--json").stdout)
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
        assert now["since"]["manifest_fingerprint"] == then["manifest_fingerprint"]
        kept, opened, closed = (now["since"][name] for name in ("kept", "opened", "closed"))
        assert (kept + len(listed), opened, closed) == (
            len(stayed),
            len(sites.keys() - was.keys()),
            len(was.keys() - sites.keys()),
        )
        assert (now["seed"], now["policy"]) == (7, then["policy"])
        assert now["parameter_hash"] == then["parameter_hash"]
    assert some > 2


def km_between(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Return the distance on a sphere, by the angle between two vectors."""
    (lon, lat), (lon1, lat1) = (map(math.radians, place) for place in (one, other))
    cosine = math.sin(lat) * math.sin(lat1)
    cosine += math.cos(lat) * math.cos(lat1) * math.cos(lon - lon1)
    return 6371.0088 * math.acos(min(1.0, cosine))


def test_a_comparison_counts_by_key(months: list[tuple[Path, str, dict[str, Any]]]) -> None:
    for (old, before, _), (new, after, _) in pairwise(months):
        was, sites = sites_of(old, before), sites_of(new, after)
        stayed = was.keys() & sites.keys()
        moved = {key for key in stayed if was[key] != sites[key]}
        changes = {
            "kept": stayed - moved,
            "opened": sites.keys() - was.keys(),
            "closed": was.keys() - sites.keys(),
            "moved": moved,
        }
        names = (f"{old}:{before}", f"{new}:{after}")
        found = said("diff", *names)["by_key"]
        furthest = max((km_between(was[key], sites[key]) for key in moved), default=0.0)
        assert found["total"]["moved_max_km"] == pytest.approx(furthest, rel=1e-6)
        for kind, keys in changes.items():
            counts = Counter(code for _, code, _ in keys)
            assert found["total"][kind] == len(keys)
            for code, country in found["by_country"].items():
                assert country[kind] == counts[code]
        lines = called("diff", *names).stdout.splitlines()
        assert "by outlet_id:" in lines
        assert f"{len(stayed - moved)} kept, {len(changes['opened'])} opened" in lines[-1]


def test_without_keys_a_comparison_is_by_site_alone(
    months: list[tuple[Path, str, dict[str, Any]]], tmp_path: Path
) -> None:
    root, name, _ = months[0]
    file = tmp_path / "plain.csv"
    file.write_text("merchant_id,country_iso,n_outlets\n17,NL,3\n")
    plain = tmp_path / "plain"
    said("run", "--data-root", plain, "--outlets", file, "--world", root, "--seed", 7, "--quiet")
    assert segment1b.diff(f"{root}:{name}", plain)["by_key"] is None


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a root with an imported list, which was not run."""
    folder = tmp_path_factory.mktemp("earlier")
    root = worlds.lay_small_world(folder / "root", countries=("NL",))
    list_ = write_list(folder / "jan.csv", {("ACME", "NL"): {"a", "b", "c"}}, random.Random(1))
    said("outlets", "import", list_, "--data-root", root, "--seed", 7)
    return root


@pytest.fixture
def root(earlier: Path, tmp_path: Path) -> Path:
    return shutil.copytree(earlier, tmp_path / "root")


@pytest.fixture
def february(tmp_path: Path) -> Path:
    """Return a list in which the outlet in position 1 has closed."""
    keys = {("ACME", "NL"): {"b", "c"}}
    return write_list(tmp_path / "feb.csv", keys, random.Random(1))


def positions_of(root: Path, fingerprint: str) -> list[str]:
    found = directory(root, KNOWN, fingerprint)
    assert found is not None
    assert found.outlets is not None
    keys: list[str] = found.outlets["outlet_id"].to_pylist()
    return keys


def test_positions_are_part_of_the_list(root: Path, february: Path) -> None:
    """With and without an earlier list it is another, if positions are; twice it is the same."""
    words = ("outlets", "import", february, "--data-root", root)
    first = said(*words, "--since", root)
    moved = {"merchant": "ACME", "country_iso": "NL", "outlet_id": "c", "from": 3, "to": 1}
    january = first["since"].pop("manifest_fingerprint")
    assert first["since"] == {"kept": 1, "opened": 0, "closed": 1, "moved": [moved]}
    again = said(*words, "--since", f"{root}:jan")
    assert again["since"].pop("manifest_fingerprint") == january
    assert again == first
    alone = said(*words)
    assert alone["since"] is None
    prints = [one["manifest_fingerprint"] for one in (first, alone)]
    assert [positions_of(root, one) for one in prints] == [["c", "b"], ["b", "c"]]
    # Positions that are the same give the same list, whatever it follows.
    follows = said(*words, "--since", f"{root}:{prints[0]}")
    assert (follows["manifest_fingerprint"], follows["since"]["kept"]) == (prints[0], 2)


def test_a_person_sees_counts_and_those_who_move(root: Path, february: Path) -> None:
    result = called("outlets", "import", february, "--data-root", root, "--since", root)
    assert "since                 1 kept, 0 opened, 1 closed, 1 moved; list " in result.stdout
    assert "ACME in NL: c from position 3 to 1" in result.stderr


def test_keys_that_were_written_in_another_way_are_a_warning(root: Path, tmp_path: Path) -> None:
    file = write_list(tmp_path / "feb.csv", {("ACME", "NL"): {"A", "B", "C"}}, random.Random(1))
    result = called("outlets", "import", file, "--data-root", root, "--since", root)
    assert "ids differ only in case or spaces: 3" in result.stderr
    assert "ACME in NL: a closed, ACME: A opened" in result.stderr
    assert "of which no outlet is kept" in result.stderr


@pytest.mark.code("E_USAGE")
@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--seed", 8), "seed is 8, was 7"),
        (("--set", "allocation.law=balanced"), "allocation.law is balanced, was stable"),
        (("--set", "dp=9", "--set", "max_attempts_clip=7"), "prep.dp is 9, was 12; jitter."),
        (("--world", "other"), "world_countries in "),
    ],
)
def test_what_would_move_all_outlets_is_refused(
    root: Path, february: Path, options: tuple[object, ...], problem: str, tmp_path: Path
) -> None:
    if "other" in options:
        options = ("--world", worlds.lay_small_world(tmp_path / "other", countries=("NL", "LS")))
    words = ("run", "--outlets", february, "--data-root", tmp_path / "new", "--since", root)
    with pytest.raises(Segment1BError, match=r"^E_USAGE: --since") as caught:
        said(*words, *options)
    assert problem in caught.value.message
    assert not (tmp_path / "new").exists()


def test_what_moves_nobody_may_differ(root: Path, february: Path) -> None:
    asked = {"data_root": root, "outlets": february, "since": root, "seed": 7}
    same = ("allocation.law=stable", "realism.neighbour_sample=9")
    settings = continued(RunSettings(**asked, settings=same))  # type: ignore[arg-type]
    policy = load_policy((), settings.settings)
    assert policy.realism.neighbour_sample == 9
    assert policy.allocation == load_policy(imported=True).allocation
    assert (settings.seed, settings.world) == (7, None)
    assert continued(settings) == settings


def test_under_another_method_a_warning_says_that_outlets_may_move(
    root: Path, february: Path, tmp_path: Path
) -> None:
    words = ("outlets", "import", february, "--data-root")
    called(*words, root, "--name", "other", "--set", "allocation.law=systematic")
    result = called(*words, tmp_path / "new", "--since", f"{root}:other")
    assert "allocation.law is systematic: outlets that stay keep their position" in result.stderr


@pytest.mark.code("E_OUTLETS_INVALID")
def test_a_list_without_keys_cannot_follow(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "plain.csv"
    file.write_text("merchant_id,country_iso,n_outlets\n7,NL,3\n")
    with pytest.raises(Segment1BError, match=r"^E_OUTLETS_INVALID:.* --map 'outlet_id") as caught:
        said("outlets", "import", file, "--data-root", tmp_path / "new", "--since", root)
    assert "has no column outlet_id, by which --since matches outlets" in caught.value.message


@pytest.mark.code("E_USAGE")
def test_a_list_without_keys_cannot_be_followed(root: Path, february: Path, tmp_path: Path) -> None:
    file = tmp_path / "plain.csv"
    for text in ("merchant_id,country_iso,n_outlets\n7,NL,3\n", "merchant_id,country_iso\nA,NL\n"):
        file.write_text(text)
        said("outlets", "import", file, "--data-root", root)
        with pytest.raises(Segment1BError, match=r"^E_USAGE:.* the list there has no outlet_id"):
            said("outlets", "import", february, "--data-root", root, "--since", root)


@pytest.mark.code("E_EGRESS_CHECKSUM_MISMATCH")
def test_positions_that_are_not_the_sealed_ones_are_refused(root: Path, february: Path) -> None:
    (part,) = root.glob("data/layer1/1A/outlet_directory/*/part-00000.parquet")
    data = bytearray(part.read_bytes())
    data[100] ^= 1
    part.unlink()
    part.write_bytes(data)
    with pytest.raises(Segment1BError, match=r"^E_EGRESS_CHECKSUM_MISMATCH:"):
        said("outlets", "import", february, "--data-root", root, "--since", root)


@pytest.mark.parametrize(
    ("place", "code", "problem"),
    [
        ("{root}:march", "E_USAGE", "holds no outlet list 'march'"),
        ("{root}/data", "E_BUNDLE_MISSING", "there is no outlet list"),
        ("s3://user:secret@bucket/a", "E_USAGE", "URL is not SCHEME"),
    ],
)
def test_an_earlier_list_that_is_not_there_is_refused(
    root: Path, february: Path, place: str, code: str, problem: str
) -> None:
    with pytest.raises(Segment1BError, match=f"^{code}: ") as caught:
        said("outlets", "import", february, "--data-root", root, "--since", place.format(root=root))
    assert problem in caught.value.message
    assert "secret" not in str(caught.value)


@pytest.mark.code("E_USAGE")
def test_only_a_list_can_follow(root: Path) -> None:
    with pytest.raises(Segment1BError, match=r"^E_USAGE: since is given, but no out"):
        said("run", "--data-root", root, "--since", root)


def test_a_data_root_and_a_list_in_it(tmp_path: Path) -> None:
    (tmp_path / "a:b").mkdir()
    for place, wanted in {
        "root": ("root", None),
        "root:jan-2024.v1": ("root", "jan-2024.v1"),
        "a/b:c": ("a/b", "c"),
        "s3://bucket/a": ("s3:/bucket/a", None),
        "s3:/bucket/a:b": ("s3:/bucket/a", "b"),
        f"{tmp_path}/a:b": (f"{tmp_path}/a:b", None),
        f"{tmp_path}/a:b:c": (f"{tmp_path}/a:b", "c"),
        "a:b/c": ("a:b/c", None),
    }.items():
        root, name = split_list(place)
        assert (str(root), name) == wanted
