"""Scenarios side by side: figures against plain definitions, refusals, the printed answers."""

from __future__ import annotations

import json
import math
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from segment1b.cli import explanations
from segment1b.cli.app import app
from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.pipeline import compare as comparison
from segment1b.states.quality import nearest_km, neighbours
from worlds import lay_small_world, outlet_list, run

REPOSITORY = Path(__file__).parents[2]
NAMES = ("largest_remainder", "stable", "without_nl")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Lay a small world for each scenario, an outlet list and a scenario file of our own."""
    found = tmp_path_factory.mktemp("comparison")
    for name in NAMES:
        lay_small_world(found / "roots" / name, degrees=1.0)
    outlet_list(found / "my.csv")
    (found / "mine.yaml").write_text(
        "name: without_nl\nseed: 42\nsettings: [allocation.law=stable, 'exclude_countries=[NL]']\n"
    )
    return found


@pytest.fixture(scope="module")
def files(folder: Path) -> list[Path]:
    """Return the scenario files, two of them as they are shipped."""
    shipped = REPOSITORY / "config" / "scenarios"
    return [shipped / "largest_remainder.yaml", shipped / "stable.yaml", folder / "mine.yaml"]


@pytest.fixture(scope="module")
def found(folder: Path, files: list[Path]) -> dict[str, Any]:
    common = RunSettings(outlets=folder / "my.csv")
    return comparison.compare(files, common, folder / "roots")


@pytest.fixture
def rows(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in found["scenarios"]}


def read(folder: Path, name: str, dataset: str) -> list[dict[str, Any]]:
    parts = sorted((folder / "roots" / name / "data/layer1/1B" / dataset).rglob("part-*.parquet"))
    return [row for part in parts for row in pq.ParquetFile(part).read().to_pylist()]


def tiles(folder: Path, name: str) -> dict[tuple[int, str, int], int]:
    return {
        (row["merchant_id"], row["legal_country_iso"], row["site_order"]): row["tile_id"]
        for row in read(folder, name, "s5_site_tile_assignment")
    }


def test_scenarios_stand_in_the_order_of_their_files_under_their_names(
    found: dict[str, Any], folder: Path
) -> None:
    assert [row["name"] for row in found["scenarios"]] == list(NAMES)
    assert [row["law"] for row in found["scenarios"]] == ["largest_remainder", "stable", "stable"]
    for row in found["scenarios"]:
        assert row["data_root"] == str(folder / "roots" / row["name"])
        assert row["manifest_fingerprint"] == found["outlets"]


@pytest.mark.parametrize("name", NAMES)
def test_the_figures_of_the_plan_are_those_of_the_plain_definitions(
    name: str, rows: dict[str, dict[str, Any]], folder: Path
) -> None:
    placed: dict[str, Counter[int]] = defaultdict(Counter)
    for row in read(folder, name, "s4_alloc_plan"):
        placed[row["legal_country_iso"]][row["tile_id"]] += row["n_sites_tile"]
    weights: dict[str, dict[int, int]] = defaultdict(dict)
    for row in read(folder, name, "tile_weights"):
        weights[row["country_iso"]][row["tile_id"]] = row["weight_fp"]
    sites = {code: sum(own.values()) for code, own in placed.items()}
    total = sum(sites.values())
    said = rows[name]
    assert said["sites"] == total
    assert said["distinct_tiles"] == sum(len(own) for own in placed.values())
    error = max(
        abs(placed[code][tile] - n * weight / sum(weights[code].values()))
        for code, n in sites.items()
        for tile, weight in weights[code].items()
    )
    assert said["tile_load_error_max"] == pytest.approx(error)
    top = sum(sum(sorted(own.values())[-5:]) for own in placed.values()) / total
    assert said["top_five_share"] == pytest.approx(top)
    heavy = sum(
        n * sum(sorted(weights[code].values())[-5:]) / sum(weights[code].values())
        for code, n in sites.items()
    )
    assert said["top_five_weight"] == pytest.approx(heavy / total)


def test_distances_are_those_between_the_published_sites(
    rows: dict[str, dict[str, Any]], folder: Path
) -> None:
    sites = read(folder, "without_nl", "site_locations")
    unit = [
        (
            math.cos(math.radians(row["lat_deg"])) * math.cos(math.radians(row["lon_deg"])),
            math.cos(math.radians(row["lat_deg"])) * math.sin(math.radians(row["lon_deg"])),
            math.sin(math.radians(row["lat_deg"])),
        )
        for row in sites
    ]
    at = np.array(unit)
    closest = []
    for number in range(len(at)):
        away = np.sqrt(((at - at[number]) ** 2).sum(axis=1))
        away[number] = 9
        closest.append(2 * 6371.0088 * math.asin(away.min() / 2))
    said = rows["without_nl"]
    assert said["nearest_p10_km"] == pytest.approx(np.percentile(closest, 10), abs=0.001)
    assert said["nearest_p50_km"] == pytest.approx(np.percentile(closest, 50), abs=0.001)


@pytest.mark.parametrize("name", NAMES)
def test_moved_are_the_outlets_that_both_have_in_different_tiles(
    name: str, rows: dict[str, dict[str, Any]], folder: Path
) -> None:
    first, own = tiles(folder, NAMES[0]), tiles(folder, name)
    both = first.keys() & own.keys()
    changed = sum(first[key] != own[key] for key in both)
    assert rows[name]["moved"] == {"outlets": len(both), "moved": changed}
    assert bool(changed) == (name != NAMES[0])
    assert (len(both) < len(first)) == (name == "without_nl")


def test_nothing_moves_under_the_stable_law_when_lists_grow(
    rows: dict[str, dict[str, Any]],
) -> None:
    for name in ("stable", "without_nl"):
        assert rows[name]["moved_by_growth"] == {"outlets": rows[name]["sites"], "moved": 0}
    assert rows["largest_remainder"]["moved_by_growth"]["moved"] > 0


def test_data_roots_are_kept_reused_and_hold_nothing_but_the_scenario(
    found: dict[str, Any],
    folder: Path,
    files: list[Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["scenario", "compare", *map(str, files[:2]), "--data-root", str(folder / "roots")]
    words += ["--outlets", str(folder / "my.csv"), "--log-format", "json"]
    assert not app([*words, "--json"], standalone_mode=False)
    out, err = capsys.readouterr()
    said = json.loads(out)
    for now, before in zip(said["scenarios"], found["scenarios"][:2], strict=True):
        assert now == {**before, "seconds": now["seconds"]}  # the gate is checked at every run
    assert len(said["scenarios"]) == 2
    assert said["answers"] == explanations.answers(found["scenarios"][:2])
    told = [json.loads(line)["message"] for line in err.splitlines()]
    assert "stable s8 reused: published, inputs unchanged" in told
    chosen = run(folder / "roots/stable", settings=("allocation.law=stable",), to_state="s9")
    assert [one.what for one in chosen.outcomes] == ["unchanged", *["reused"] * 8, "published"]
    receipts = list((folder / "roots/stable/data/layer1/1B/s0_gate_receipt").iterdir())
    assert len(receipts) == 1


def test_data_roots_are_temporary_unless_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[Path], folder: Path
) -> None:
    def lay(settings: RunSettings, progress: Any) -> Any:
        seen.append(settings.data_root)
        raise Segment1BError("E_USAGE", "enough")

    seen: list[Path] = []
    monkeypatch.setattr(comparison, "run_pipeline", lay)
    with pytest.raises(Segment1BError, match="enough"):
        comparison.compare(files, RunSettings(outlets=folder / "my.csv"))
    assert seen[0].name == "largest_remainder"
    assert not seen[0].parent.exists()


def refused(files: list[Path], common: RunSettings | None = None, root: Path | None = None) -> str:
    """Return what is said of scenarios that cannot be compared, with the hint."""
    with pytest.raises(Segment1BError) as caught:
        comparison.compare(files, common or RunSettings(), root)
    assert caught.value.code == "E_USAGE"
    return f"{caught.value.message}; {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("setings: []", "'setings' is not a key of a scenario that is compared; did you mean 's"),
        ("data_root: x", "'data_root' is not a key of a scenario"),
        ("to_state: s9", "'to_state' is not a key of a scenario"),
        ("seed: many", "seed: Input should be a valid integer"),
        ("name: ../up", "name '../up' cannot be a folder's"),
        ("name: 7", "name 7 cannot be a folder's"),
        ("name: ''", "name '' cannot be a folder's"),
        ("name: stable", "there is a scenario 'stable' already"),
        ("- law", "holds no mapping"),
    ],
)
def test_a_file_that_is_no_scenario_is_refused_by_its_path(
    text: str, says: str, tmp_path: Path, files: list[Path]
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    told = refused([files[1], file])
    assert str(file) in told
    assert says in told


def test_one_scenario_is_no_comparison(files: list[Path]) -> None:
    assert "name two files or more" in refused(files[:1])


def test_scenarios_over_other_outlets_are_refused(tmp_path: Path, files: list[Path]) -> None:
    for name in ("mine", "stable"):
        lay_small_world(tmp_path / name, degrees=1.0, countries=("VA",))
        (tmp_path / f"{name}.csv").write_text(
            f"merchant_id,country_iso,n_outlets\n{len(name)},VA,1"
        )
    (tmp_path / "mine.yaml").write_text(f"outlets: {tmp_path / 'mine.csv'}\n")
    common = RunSettings(outlets=tmp_path / "stable.csv")
    told = refused([tmp_path / "mine.yaml", files[1]], common, tmp_path)
    assert "mine is about the outlets " in told
    assert "compare scenarios over one outlet list" in told


def test_data_roots_in_an_object_store_are_refused(files: list[Path]) -> None:
    assert "compare in a folder of this machine" in refused(files, root=Path("s3://bucket/x"))


def test_a_bad_policy_has_its_own_code(tmp_path: Path, files: list[Path]) -> None:
    (tmp_path / "mine.yaml").write_text("settings: [allocation.law=fair]\n")
    with pytest.raises(Segment1BError, match=r"^E_POLICY_INVALID:"):
        comparison.compare([tmp_path / "mine.yaml", files[0]], RunSettings(), tmp_path / "roots")
    assert not (tmp_path / "roots").exists()


def test_every_law_has_a_scenario_file_named_after_it() -> None:
    shipped = comparison.read_scenarios(sorted((REPOSITORY / "config/scenarios").iterdir()))
    laws = {name: settings.settings for name, settings in shipped.items()}
    names = ("balanced", "largest_remainder", "stable", "systematic")
    assert laws == {name: (f"allocation.law={name}",) for name in names}


def row(name: str, **figures: Any) -> dict[str, Any]:
    """Return a row of a comparison."""
    return {
        "name": name,
        "law": "stable",
        "data_root": None,
        "sites": 10,
        "distinct_tiles": 9,
        "collapse_index": 1.0,
        "tile_load_error_max": 2.0,
        "tile_load_error_p99": 1.0,
        "top_five_share": 0.5,
        "top_five_weight": 0.4,
        "nearest_p10_km": 1.0,
        "nearest_p50_km": 2.0,
        "moved": {"outlets": 10, "moved": 0},
        "moved_by_growth": {"outlets": 10, "moved": 0},
        "seconds": 1.0,
        **figures,
    }


def test_answers_name_the_best_and_the_worst_and_warn_of_piles() -> None:
    close, steady, bad = explanations.answers(
        [
            row("a", tile_load_error_max=1.0, moved_by_growth={"outlets": 10, "moved": 9}),
            row("b", moved={"outlets": 10, "moved": 4}),
            row("c", collapse_index=0.4, tile_load_error_max=70.04),
        ]
    )[0:3]
    assert close == (
        "Closest to the weights, tile by tile: a; no tile is more than 1.0 outlets from its "
        "share of its country; under c one is 70.0 off."
    )
    assert steady == (
        "Spread over most tiles: a and b, collapse index 1.00; c has 0.40. "
        "Below 0.5 outlets pile up: c."
    )
    assert bad == (
        "Steadiest when every merchant opens one more outlet in each of its countries: "
        "b and c, 0.0% of outlets change their tile; under a 90.0% do."
    )


def test_answers_of_scenarios_that_agree_name_no_worst() -> None:
    answers = explanations.answers([row("a"), row("b"), row("c", moved=None)])
    assert answers[0].endswith("a, b and c; no tile is more than 2.0 outlets from its share.")
    assert answers[1] == "Spread over most tiles: a, b and c, collapse index 1.00."
    assert answers[2].endswith("a, b and c, 0.0% of outlets change their tile.")
    assert answers[3] == "Outlets in another tile than under a: b 0.0%."


def test_the_table_has_a_column_for_each_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row("a"), row("b", moved=None, nearest_p10_km=None, nearest_p50_km=None)]
    explanations.print_comparison({"scenarios": rows})
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["a", "b"]
    told = [re.split(r"\s{2,}", line) for line in lines]
    assert ["moved against the first", "0.0%", "other grid"] in told
    assert ["nearest outlet, p10 km", "1.00", "none"] in told
    assert {len(line) for line in lines[:14]} == {len(lines[0])}


def test_distances_of_fewer_than_two_sites_are_none() -> None:
    one = np.zeros(1)
    assert len(nearest_km(one, one, 10, 42)) == 0
    assert neighbours(one, one, 10, 42) == {"p50": 0.0, "p90": 0.0, "p99": 0.0}


def test_a_list_is_read_as_an_import_reads_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The list grows by its numbers and codes, whatever its columns are called."""
    lines = ["Kunde,Land,Filialen,area", "ACME,nl,3.0,north", "Best,Lesotho,2,south"]
    (tmp_path / "loose.csv").write_text("\n".join(lines) + "\n")
    words = ["scenario", "compare", "stable", "balanced", "--outlets", str(tmp_path / "loose.csv")]
    words += ["--map", "merchant_id=Kunde", "--map", "country_iso=Land", "--json", "--quiet"]
    words += ["--map", "n_outlets=Filialen", "--normalise", "--columns", "area"]
    for name in ("stable", "balanced"):
        lay_small_world(tmp_path / "roots" / name, degrees=1.0)
    assert not app([*words, "--data-root", str(tmp_path / "roots")], standalone_mode=False)
    rows = json.loads(capsys.readouterr().out)["scenarios"]
    assert [row["sites"] for row in rows] == [5, 5]
    assert [row["moved_by_growth"]["outlets"] for row in rows] == [5, 5]
