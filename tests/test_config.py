"""Policies: overlay, settings, refusals, the parameter hash; run settings."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from segment1b.config import (
    RunSettings,
    load_policy,
    parameter_document,
    parameter_hash,
    policy_file,
    usable_cores,
)
from segment1b.contracts.locations import POLICIES
from segment1b.contracts.policy import Policy, packaged_bounds
from segment1b.contracts.program import contracts_root
from segment1b.errors import Segment1BError

SURFACES = {"world_countries": "1" * 64, "population_raster_2025": "2" * 64}

#: Another valid value for every policy key.
OTHERS = {
    "prep.grid": "0.1",
    "prep.inclusion_rule": "any_overlap",
    "prep.on_empty_country": "omit",
    "prep.widen_below": "0.25",
    "prep.basis": "uniform",
    "prep.dp": "11",
    "prep.min_units_per_tile": "99",
    "prep.exclude_countries": "[NO]",
    "allocation.law": "stable",
    "jitter.max_attempts_tile": "63",
    "jitter.max_attempts_clip": "961",
    "jitter.centres": "{}",
    "realism.max_country_gini": "0.5",
    "realism.max_top_one_percent_share": "0.5",
    "realism.min_countries_with_sites_share": "0.5",
    "realism.min_southern_share": "0.5",
    "realism.max_southern_share": "0.5",
    "realism.max_tile_load_error": "0.5",
    "realism.collapse_flag_below": "0.25",
    "realism.neighbour_sample": "10001",
    "realism.enforce": "true",
    "realism.few_sites": "31",
    "realism.many_sites": "101",
    "realism.min_collapse_index": "0.4",
    "realism.max_tile_error": "2.0",
    "realism.min_distinct_tiles": "3",
    "realism.min_latitude_span_share": "0.2",
    "realism.max_fullest_tile_share": "0.5",
    "realism.min_nearest_outlet_m": "10.0",
    "realism.urban_share": "{fuel: [0.1, 0.9]}",
}


def refused(files: tuple[Path, ...] = (), settings: tuple[str, ...] = ()) -> Segment1BError:
    """Return the error of a policy that cannot be used; its code is checked."""
    with pytest.raises(Segment1BError) as caught:
        load_policy(files, settings)
    assert caught.value.code == "E_POLICY_INVALID"
    return caught.value


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_without_files_and_settings_the_contract_is_in_force() -> None:
    policy = load_policy()
    assert (policy.prep.basis, policy.prep.dp) == ("population", 12)
    assert policy.prep.min_units_per_tile == 100
    assert policy.prep.exclude_countries == ()
    assert policy.allocation.law == "largest_remainder"


def test_the_embedded_world_lays_its_own_wishes_over_the_contract_and_below_the_user_s() -> None:
    assert load_policy(imported=True).allocation.law == "stable"
    told = load_policy(settings=["allocation.law=largest_remainder"], imported=True)
    assert told.allocation.law == "largest_remainder"


def test_a_number_of_yaml_1_1_is_read_as_written_or_refused() -> None:
    assert load_policy(settings=["jitter.max_attempts_tile=010"]).jitter.max_attempts_tile == 10
    for value in ("1:30", "1_000", "0b1"):
        error = refused(settings=(f"jitter.max_attempts_tile={value}",))
        assert error.message.startswith("jitter.max_attempts_tile")


def test_later_files_win_over_earlier_ones_and_settings_over_files(tmp_path: Path) -> None:
    first = written(tmp_path / "1.yaml", "prep: {dp: 9, basis: uniform, widen_below: 0.1}")
    second = written(tmp_path / "2.yaml", "prep: {dp: 8, basis: area_m2}")
    policy = load_policy([first, second], ["dp=6", "prep.dp=7"])
    assert (policy.prep.dp, policy.prep.basis, policy.prep.widen_below) == (7, "area_m2", 0.1)
    other = load_policy([second, first])
    assert other.prep.dp == 9
    # Keys that no file names are those of the contract.
    named = {"prep": {"dp", "basis", "widen_below"}}
    assert other.model_dump(exclude=named) == load_policy().model_dump(exclude=named)


@pytest.mark.parametrize("key", OTHERS)
def test_a_setting_is_taken_by_section_and_key_and_by_the_key_alone(key: str) -> None:
    section, _, name = key.partition(".")
    value = OTHERS[key]
    long, short = (load_policy(settings=[f"{one}={value}"]) for one in (key, name))
    assert long == short
    assert getattr(getattr(long, section), name) != getattr(getattr(load_policy(), section), name)


def test_every_policy_key_has_been_tried() -> None:
    sections = policy_file(load_policy().document())
    assert set(OTHERS) == {f"{s}.{name}" for s, values in sections.items() for name in values}


def test_norway_can_be_left_out_in_a_file_and_in_a_setting(tmp_path: Path) -> None:
    file = written(tmp_path / "p.yaml", "prep:\n  exclude_countries: [NO, SE]\n")
    assert load_policy([file]).prep.exclude_countries == ("NO", "SE")
    assert load_policy(settings=["exclude_countries=[NO]"]).prep.exclude_countries == ("NO",)


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("prepp: {dp: 9}", "unknown section 'prepp'", "did you mean 'prep'?"),
        ("prep: {basys: uniform}", "unknown key 'prep.basys'", "did you mean 'basis'?"),
        ("prep: {law: stable}", "unknown key 'prep.law'", "known: basis"),
        ("prep: {1: 2}", "unknown key 'prep.1'", "known: basis"),
        ("true: {dp: 2}", "unknown section 'True'", ""),
        ("prep: 12", "section 'prep' is not a mapping", ""),
        ("prep:", "section 'prep' is not a mapping", ""),
        ("- prep", "holds no mapping", ""),
        ("prep: {dp: [", "is not readable YAML", ""),
        ("", "does not exist", ""),
    ],
)
def test_a_file_with_an_unknown_name_or_shape_is_refused_by_name(
    tmp_path: Path, text: str, says: str, hint: str
) -> None:
    file = written(tmp_path / "mine.yaml", text) if text else tmp_path / "absent.yaml"
    error = refused((file,))
    assert str(file) in error.message
    assert says in error.message
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    ("setting", "says", "hint"),
    [
        ("dp", "no '='", "write KEY=VALUE"),
        ("dpp=9", "unknown key 'dpp'", "did you mean 'dp'?"),
        ("prep.dpp=9", "unknown key 'prep.dpp'", "did you mean 'dp'?"),
        ("prp.dp=9", "unknown section 'prp'", "did you mean 'prep'?"),
        ("prep=9", "unknown key 'prep'", ""),
        ("=9", "unknown key ''", ""),
        ("dp=[", "is not YAML", ""),
    ],
)
def test_a_setting_that_names_nothing_is_refused_with_a_suggestion(
    setting: str, says: str, hint: str
) -> None:
    error = refused(settings=(setting,))
    assert says in error.message
    assert error.hint.startswith(hint)


@pytest.mark.parametrize(
    "setting",
    [
        *(f"prep.dp={value}" for value in ("-1", "16", "1.5", "twelve", "true", "")),
        *("prep.dp.x=1", "prep.grid=0", "prep.grid=.inf", "prep.widen_below=1.01"),
        *("prep.widen_below=.nan", "prep.basis=people", "prep.inclusion_rule=centre"),
        *("prep.on_empty_country=null", "prep.min_units_per_tile=-1"),
        *("prep.exclude_countries=NO", "prep.exclude_countries=[1]"),
        *("allocation.law=balanced_out", "jitter.max_attempts_tile=0"),
        *("jitter.max_attempts_tile=65536", "realism.max_tile_load_error=.inf"),
        *("realism.max_tile_load_error=-1", "realism.neighbour_sample=0"),
        *("jitter.centres.radius_m=0", "jitter.centres.tail_permille=1001"),
        *("jitter.centres.people_per_centre=0", "jitter.centres.radius=1", "jitter.centres=12"),
        "realism.min_southern_share=2",
    ],
)
def test_a_bad_value_is_refused_by_its_key(setting: str) -> None:
    key = setting.partition("=")[0].removesuffix(".x")
    assert refused(settings=(setting,)).message.startswith(key)


def test_null_is_a_value_where_the_contract_has_null() -> None:
    assert load_policy(settings=["grid=null"]).prep.grid is None
    assert load_policy(settings=["grid="]).prep.grid is None


def contract_document() -> dict[str, Any]:
    """Return the policies of the contract, without the realism bounds that came later."""
    merged: dict[str, Any] = {}
    for name in ("prep", "alloc_plan", "jitter", "realism"):
        merged |= yaml.safe_load((contracts_root() / POLICIES / f"{name}.yaml").read_text())
    assert merged["jitter"].pop("centres") is None  # left out of the document while unused
    realism = merged["realism"].items()
    merged["realism"] = {k: v for k, v in realism if k not in packaged_bounds()}
    return merged


def test_the_parameter_hash_is_the_sha256_of_the_canonical_json() -> None:
    document = {"policy": contract_document(), "surfaces": SURFACES}
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    assert parameter_hash(load_policy(), SURFACES) == hashlib.sha256(text.encode()).hexdigest()
    assert parameter_document(load_policy(), SURFACES) == document


def test_every_policy_value_changes_the_parameter_hash() -> None:
    hashes = [parameter_hash(load_policy(), SURFACES)]
    hashes += [
        parameter_hash(load_policy(settings=[f"{k}={v}"]), SURFACES) for k, v in OTHERS.items()
    ]
    assert len(set(hashes)) == len(OTHERS) + 1


def test_imported_lists_have_centres_and_a_part_of_them_can_be_set() -> None:
    numbers = {"people_per_centre": 12_000, "radius_m": 450, "tail_permille": 50}
    assert load_policy().jitter.centres is None
    assert load_policy(imported=True).model_dump()["jitter"]["centres"] == numbers
    some = load_policy(settings=["jitter.centres.radius_m=300"], imported=True)
    assert some.model_dump()["jitter"]["centres"] == {**numbers, "radius_m": 300}
    off = load_policy(settings=["jitter.centres=null"], imported=True)
    assert parameter_document(off, {})["policy"]["jitter"] == contract_document()["jitter"]


def test_every_number_of_the_centres_changes_the_parameter_hash() -> None:
    others = ("people_per_centre=12001", "radius_m=451", "tail_permille=51")
    changed = [[], *([f"jitter.centres.{one}"] for one in others)]
    hashes = {parameter_hash(load_policy(settings=one, imported=True), {}) for one in changed}
    assert len(hashes) == len(changed)


@pytest.mark.code("E_POLICY_INVALID")
def test_centres_that_are_asked_for_need_people() -> None:
    assert load_policy(settings=["basis=uniform"], imported=True).jitter.centres is None
    refusal = refused(settings=("basis=uniform", "jitter.centres={}"))
    assert "prep.basis is uniform" in refusal.message


@pytest.mark.parametrize("settings", [["jitter.centres=null"], ["jitter.centres.radius_m=9"], []])
def test_the_document_of_a_policy_is_a_policy_file(tmp_path: Path, settings: list[str]) -> None:
    policy = load_policy(settings=settings, imported=True)
    text = json.dumps(policy_file(policy.model_dump(mode="json")))
    assert load_policy([written(tmp_path / "p.yaml", text)], imported=True) == policy


def test_every_surface_digest_changes_the_parameter_hash() -> None:
    policy = load_policy()
    others = [SURFACES | {name: "3" * 64} for name in SURFACES]
    others += [{name: SURFACES[name]} for name in SURFACES] + [{}, SURFACES]
    assert len({parameter_hash(policy, one) for one in others}) == len(others)


def test_the_parameter_hash_knows_no_order_and_no_spelling(tmp_path: Path) -> None:
    file = written(tmp_path / "p.yaml", "prep: {widen_below: 5.0e-1, dp: 12}\n")
    turned = dict(reversed(SURFACES.items()))
    assert parameter_hash(load_policy([file]), turned) == parameter_hash(load_policy(), SURFACES)


def test_a_policy_cannot_be_changed_after_loading() -> None:
    policy = load_policy()
    with pytest.raises(ValidationError, match="frozen"):
        policy.prep.dp = 3  # type: ignore[misc]
    assert isinstance(policy, Policy)


CORES = len(os.sched_getaffinity(0))


def test_cores_are_counted_where_a_process_cannot_be_bound_to_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert usable_cores() == CORES
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert usable_cores() == 7
    assert RunSettings().workers_for("s1") == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert usable_cores() == 1


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"s0": CORES, "s1": CORES, "s3": CORES, "s4": 1}),
        ({"workers": 7}, {"s0": 7, "s1": 7, "s3": 7, "s4": 7}),
        ({"s1_workers": 3}, {"s0": CORES, "s1": 3, "s3": CORES, "s4": 1}),
        ({"s4_workers": 5}, {"s0": CORES, "s1": CORES, "s3": CORES, "s4": 5}),
        ({"workers": 7, "s1_workers": 3, "s4_workers": 5}, {"s0": 7, "s1": 3, "s3": 7, "s4": 5}),
        ({"workers": 7, "s4_workers": 1}, {"s0": 7, "s1": 7, "s3": 7, "s4": 1}),
    ],
)
def test_workers_are_set_for_all_states_or_for_one_and_s4_has_one_by_itself(
    given: dict[str, int], expected: dict[str, int]
) -> None:
    told = RunSettings(**given)  # type: ignore[arg-type]
    assert {state: told.workers_for(state) for state in expected} == expected


@pytest.mark.parametrize(
    "given",
    [
        *({"workers": 0}, {"s4_workers": -1}, {"seed": -1}, {"seed": 2**64}, {"worker": 2}),
        *({"engine": "cluster"}, {"wait_seconds": -1.0}, {"to_state": "s10"}),
    ],
)
def test_run_settings_of_another_form_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RunSettings(**given)


@pytest.mark.parametrize(
    "engine", ["dask", "tcp://127.0.0.1:8786", "tls://head-1.example.org:1", "tcp://[::1]:65535"]
)
def test_an_engine_may_be_a_cluster(engine: str) -> None:
    assert RunSettings(engine=engine).engine == engine


@pytest.mark.parametrize(
    ("engine", "hint"),
    [
        ("dusk", "did you mean 'dask'"),
        ("thread", "did you mean 'threads'"),
        ("tcp://HOST", "did you mean 'tcp://HOST:PORT'"),
        ("tls://HOST:99999", "did you mean 'tls://HOST:PORT'"),
        ("tcp://HOST:0", "did you mean 'tcp://HOST:PORT'"),
        ("http://HOST:8786", "HOST:PORT'"),
        ("", "known: dask, processes, serial, tcp://HOST:PORT, threads, tls://HOST:PORT"),
    ],
)
def test_an_engine_that_is_none_is_refused_with_the_nearest_one(engine: str, hint: str) -> None:
    with pytest.raises(ValidationError, match=f"there is no engine '{engine}'; .*{hint}"):
        RunSettings(engine=engine)


def test_workers_of_a_running_cluster_are_those_it_has_unless_told_otherwise() -> None:
    assert RunSettings().workers_for("s1", 12) == 12
    assert RunSettings().workers_for("s4", 12) == 1
    assert RunSettings(workers=3).workers_for("s1", 12) == 3
