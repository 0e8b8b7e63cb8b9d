"""The scenario runner: what it is given, what it refuses, and the typed result it returns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

import segment1b
from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.pipeline.execution import Event
from segment1b.pipeline.outcome import PlanOutcome, RunResult
from worlds import lay_small_world, outlet_list

LAW = "allocation.law=systematic"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("scenario")
    lay_small_world(found / "root", degrees=1.0)
    outlet_list(found / "my.csv")
    return found


@pytest.fixture(scope="module")
def asked(folder: Path) -> dict[str, Any]:
    """Return a scenario as a mapping."""
    return {
        "data_root": folder / "root",
        "outlets": folder / "my.csv",
        "settings": [LAW],
        "to_state": "s4",
    }


@pytest.fixture(scope="module")
def result(asked: dict[str, Any]) -> RunResult:
    return segment1b.run(asked)


def refused(config: Any) -> Segment1BError:
    """Return the error of a scenario that means nothing; its code is checked."""
    with pytest.raises(Segment1BError) as caught:
        segment1b.run(config)
    assert caught.value.code == "E_USAGE"
    return caught.value


def test_a_result_names_root_identity_and_policy(result: RunResult, folder: Path) -> None:
    assert result.root == folder / "root"
    assert set(result.identity) == {"seed", "manifest_fingerprint", "parameter_hash"}
    assert result.policy["allocation"] == {"law": "systematic"}


def test_each_state_of_the_run_has_its_paths_report_receipts_and_counters(
    result: RunResult,
) -> None:
    states = (result.s0, result.s1, result.s2, result.s3, result.s4)
    assert [one.state for one in states] == ["s0", "s1", "s2", "s3", "s4"]
    assert set(result.s1.paths) == {"tile_index", "tile_bounds"}
    for one in states:
        assert one.report_path.is_file()
        assert one.report["parameter_hash"] == result.identity["parameter_hash"]
    for one in states[1:]:
        places = {result.root / receipt["partition_path"] for receipt in one.receipts.values()}
        assert places == set(one.datasets)
    rows = sum(pq.ParquetFile(part).metadata.num_rows for part in result.s3.datasets[0].iterdir())
    assert result.s3.counters["rows_emitted"] == result.s3.rows == rows
    assert "alloc_sum_equals_requirements" not in result.s4.counters


def test_the_plan_is_surfaced_as_its_report_has_it(result: RunResult) -> None:
    plan = result.s4
    assert isinstance(plan, PlanOutcome)
    assert sorted(plan.alloc_plan_path.glob("part-*.parquet"))
    assert plan.determinism_receipt == plan.receipts["determinism_receipt"]
    assert plan.shortfall_total == plan.report["shortfall_total"]
    assert plan.ties_broken_total == plan.report["ties_broken_total"]
    assert plan.alloc_sum_equals_requirements
    sites = sum(
        sum(pq.ParquetFile(part).read(["n_sites_tile"])["n_sites_tile"].to_pylist())
        for part in plan.alloc_plan_path.iterdir()
    )
    assert sites == plan.counters["sites_total"]


def test_a_state_that_was_not_run_is_named(result: RunResult) -> None:
    with pytest.raises(KeyError, match=r"the run had no state 's5'.*'s4'"):
        _ = result.s5


def test_a_yaml_file_a_mapping_and_settings_mean_the_same_run(
    result: RunResult, asked: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(yaml.safe_dump({k: str(v) if k != "settings" else v for k, v in asked.items()}))
    for config in (file, str(file), RunSettings(**asked)):
        again = segment1b.run(config)
        assert again.identity == result.identity
        assert [one.what for one in again.outcomes] == ["unchanged"] + ["reused"] * 4
        assert again.s4.determinism_receipt == result.s4.determinism_receipt


def test_relative_paths_of_a_file_start_at_the_working_directory(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"data_root: root\noutlets: my.csv\nsettings: [{LAW}]\nto_state: s1\n")
    monkeypatch.chdir(folder)
    assert segment1b.run(file).root == folder / "root"


def test_progress_hears_of_every_state(asked: dict[str, Any]) -> None:
    events: list[Event] = []
    ran = segment1b.run(asked, events.append)
    ends = [event.state for event in events if event.kind in ("published", "reused")]
    assert ends == [one.state for one in ran.outcomes]


@pytest.mark.parametrize(
    ("config", "says", "hint"),
    [
        ({"data_rot": "x"}, "scenario: unknown key 'data_rot'", "did you mean 'data_root'?"),
        ({"setting": []}, "scenario: unknown key 'setting'", "did you mean 'settings'?"),
        ({1: 2}, "scenario: unknown key '1'", "known: "),
        ({"workers": 0}, "scenario: workers: ", ""),
        ({"seed": -1}, "scenario: seed: ", ""),
        ({"settings": ["dp=6", 7]}, "scenario: settings.1: ", ""),
        ({"engine": "dusk"}, "there is no engine 'dusk'", ""),
        ({"to_state": "s12"}, "scenario: to_state: Input should be 's0', 's1',", ""),
        ({"from_state": "s5", "to_state": "s2"}, "no state lies from s5 to s2", "let the first"),
        ({"to_state": "s0", "skip_s0": True}, "no state lies from s0 to s0", "let the first"),
    ],
)
def test_an_unknown_key_or_a_bad_value_is_refused_by_name(
    config: dict[Any, Any], says: str, hint: str, tmp_path: Path
) -> None:
    error = refused(
        {"data_root": tmp_path / "root", **config} if "data_rot" not in config else config
    )
    assert says in error.message
    assert error.hint.startswith(hint)
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("data_rot: x", "unknown key 'data_rot'", "did you mean 'data_root'?"),
        ("workers: many", "workers: Input should be a valid integer", ""),
        ("- data_root", "holds no mapping", "start it with"),
        ("data_root: [", "is not readable YAML", ""),
    ],
)
def test_a_file_that_means_nothing_is_refused_by_its_path(
    text: str, says: str, hint: str, tmp_path: Path
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    error = refused(file)
    assert str(file) in error.message
    assert says in error.message
    assert error.hint.startswith(hint)


def test_an_absent_file_is_refused_by_its_path(tmp_path: Path) -> None:
    assert "absent.yaml does not exist" in refused(tmp_path / "absent.yaml").message


def test_a_bad_policy_is_refused_before_there_is_a_data_root(tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match=r"^E_POLICY_INVALID:"):
        segment1b.run({"data_root": tmp_path / "root", "settings": ["allocation.law=fair"]})
    assert not (tmp_path / "root").exists()


def test_further_columns_are_carried_unless_they_are_left_out(
    folder: Path, asked: dict[str, Any]
) -> None:
    lines = (folder / "my.csv").read_text().splitlines()
    wide = [f"{line},{'note' if number == 0 else 'x'}" for number, line in enumerate(lines)]
    (folder / "wide.csv").write_text("\n".join(wide) + "\n")
    carried = {**asked, "outlets": folder / "wide.csv", "to_state": "s0"}
    lists = ({**asked, "to_state": "s0"}, {**carried, "columns": "none"}, carried)
    plain, left_out, other = (segment1b.run(one).identity["manifest_fingerprint"] for one in lists)
    assert plain == left_out != other


def test_a_key_that_stands_twice_in_a_scenario_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data_root: x\nto_state: s0\ndata_root: y\n")
    error = refused(tmp_path / "a.yaml")
    assert "a.yaml is not readable YAML: line 3, column 1: key 'data_root' is repeated" in str(
        error
    )
