"""A night's file is checked as a whole: one clear error, with file, run and key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from segment1b.config import RunSettings
from segment1b.errors import Segment1BError
from segment1b.nightly.plan import Night, RunPlan, load_night, overridden, substitute

HEX = "ab" * 32


def load(tmp_path: Path, value: Any, **environment: str) -> Night:
    path = tmp_path / "night.yaml"
    path.write_text(value if isinstance(value, str) else yaml.safe_dump(value))
    return load_night(path, environment)


def one(tmp_path: Path, **keys: Any) -> RunPlan:
    return load(tmp_path, {"runs": [{"name": "a", "data_root": "x", **keys}]}).runs[0]


def test_a_run_takes_everything_that_a_run_from_the_command_line_takes() -> None:
    keys = {field.alias or name for name, field in RunPlan.model_fields.items()}
    assert set(RunSettings.model_fields) - keys == {"policy_files"}
    assert "policy" in keys


def test_a_run_becomes_run_settings(tmp_path: Path) -> None:
    same: dict[str, Any] = {
        "seed": 2**64 - 1,
        "parameter_hash": HEX,
        "manifest_fingerprint": HEX,
        "workers": 3,
        "s1_workers": 2,
        "s4_workers": 1,
        "engine": "processes",
        "from_state": "s1",
        "to_state": "s8",
        "wait_seconds": 2.5,
    }
    own = {"basis": "area_m2", "dp": 9, "notes": "any", "s4_run_report": "r.json"}
    paths = {"outlets": "o.csv", "validation_bundle": "b"}
    run = one(tmp_path, settings=["allocation.law=stable"], **same, **paths, **own)
    assert run.run_settings() == RunSettings(
        data_root=Path("x"),
        outlets=Path("o.csv"),
        validation_bundle=Path("b"),
        settings=("allocation.law=stable", "prep.basis=area_m2", "prep.dp=9"),
        **same,
    )
    assert run.report_copy("s4") == Path("r.json")
    assert run.report_copy("s3") is None


def test_defaults_hold_where_a_run_says_nothing(tmp_path: Path) -> None:
    runs = [{"name": "a"}, {"name": "b", "data_root": "y", "dp": 3}]
    night = load(tmp_path, {"defaults": {"data_root": "x", "dp": 9}, "runs": runs})
    assert [(str(run.data_root), run.dp) for run in night.runs] == [("x", 9), ("y", 3)]


def test_all_validators_are_those_up_to_the_last_state(tmp_path: Path) -> None:
    assert one(tmp_path, validate="all").checks == tuple(f"s{n}" for n in range(10))
    assert one(tmp_path, validate="all", to_state="s2").checks == ("s0", "s1", "s2")
    assert one(tmp_path, validate=["s4", "s3", "s4"]).checks == ("s3", "s4")
    assert one(tmp_path).checks == ()


def test_policy_files_are_one_or_several(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("prep: {dp: 3}\n")
    file = str(tmp_path / "p.yaml")
    assert one(tmp_path, policy=file).policy_files == (Path(file),)
    assert one(tmp_path, policy=[file, file]).policy_files == (Path(file),) * 2


RUN = "runs: [{name: a, data_root: x}]"


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("runs: [{nam: a}]", "run 1: unknown key 'nam'", "'name'"),
        ("runs: [{name: a, outlet: b}]", "run 'a': unknown key 'outlet'", "'outlets'"),
        ("run: []", "night.yaml: unknown key 'run'", "'runs'"),
        ("defaults: {valdate: all}\n" + RUN, "defaults: unknown key", "'validate'"),
        ("defaults: {name: b}\n" + RUN, "defaults: unknown key 'name'", ""),
        ("openlineage: {url: x}\n" + RUN, "openlineage: unknown", ""),
        ("runs: []", "key runs", ""),
        ("runs: [a]", "run 1: not a mapping", ""),
        ("runs: [", "not readable YAML", ""),
        ("defaults: 3\n" + RUN, "defaults: not a mapping", ""),
        ("fail_fast: 1\n" + RUN, "night.yaml, key fail_fast", ""),
        *(
            (f"openlineage: '{url}'\n" + RUN, "openlineage, key to", "")
            for url in ("http://u:secret@h/", "http://", "http://h:x")
        ),
        ("runs: [{name: a}]", "run 'a', key data_root", ""),
        ("runs: [{name: 'a b', data_root: x}]", "run 'a b', key name", ""),
        ("runs: [{name: a, data_root: x}, {name: a, data_root: y}]", "two runs are called 'a'", ""),
        ("runs: [{name: a, data_root: ''}]", "run 'a', key data_root: it is empty", ""),
        *(
            (f"runs: [{{name: a, data_root: x, {keys}}}]", f"run 'a'{said}", "")
            for keys, said in {
                "seed: true": ", key seed",
                "seed: -1": ", key seed",
                "workers: 1.5": ", key workers",
                "engine: fast": ", key engine",
                "validate: [s10]": ", key validate.0",
                "validate: some": ", key validate",
                "to_state: s11": ", key to_state",
                "from_state: s4, to_state: s1": ": no state lies from s4 to s1",
                "parameter_hash: AB": ": parameter_hash",
                "dictionary: no.yaml": ": no.yaml",
            }.items()
        ),
    ],
)
def test_what_cannot_be_used_is_one_error_with_its_place(
    tmp_path: Path, text: str, said: str, hint: str
) -> None:
    with pytest.raises(Segment1BError, match=re.escape(said)) as caught:
        load(tmp_path, text)
    assert caught.value.code == "E_USAGE"
    assert "night.yaml" in caught.value.message
    assert hint in caught.value.hint
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "keys",
    [
        *({"s7_run_report": "r.json", "to_state": "s4"}, {"s4_workers": 2, "from_state": "s5"}),
        *({"s0_run_report": "r.json", "skip_s0": True}, {"s1_workers": 2, "to_state": "s0"}),
    ],
)
def test_a_key_about_a_state_that_is_left_out_is_refused(
    tmp_path: Path, keys: dict[str, Any]
) -> None:
    key = next(iter(keys))
    with pytest.raises(Segment1BError, match=f"run 'a', key {key}: the run leaves {key[:2]} out"):
        one(tmp_path, **keys)
    assert one(tmp_path, **{key: keys[key]}).name == "a"
    # As a default it holds for the runs that have the state.
    defaults = {"data_root": "x", key: keys[key]}
    rest = {name: value for name, value in keys.items() if name != key}
    load(tmp_path, {"defaults": defaults, "runs": [{"name": "a", **rest}]})


@pytest.mark.timeout(60)  # Aliases in the defaults of settings once made nine billion strings.
@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("runs: [{name: a, data_root: x, data_root: y}]", "key 'data_root' is repeated"),
        ("defaults: {settings: &s [a]}\nruns: [{name: a, settings: *s}]", "aliases"),
        ("defaults: {settings: &s [*s]}\nruns: [{name: a}]", "aliases"),
        ("runs: [{name: a, data_root: x, seed: .nan}]", "not a finite number"),
        ("runs: [{name: a, seed: " + "9" * 6000 + "}]", "an integer of 6,000 characters"),
        ("runs: " + "[" * 900 + "]" * 900, "nested deeper"),
    ],
)
def test_yaml_that_is_more_than_plain_values_is_refused(
    tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(Segment1BError, match=says) as caught:
        load(tmp_path, text)
    assert caught.value.code == "E_USAGE"
    assert "line " in caught.value.message


@pytest.mark.parametrize("value", ["[", "{a: 1, a: 2}", "9" * 6000, ".inf"])
def test_a_variable_that_is_no_number_is_refused_by_its_key(tmp_path: Path, value: str) -> None:
    with pytest.raises(Segment1BError, match="run 'a', key workers"):
        load(tmp_path, "runs: [{name: a, data_root: x, workers: '${N}'}]", N=value)


@pytest.mark.parametrize(
    "keys", [{"settings": ["prep.dq=1"]}, {"dp": 99}, {"basis": "x"}, {"policy": "absent.yaml"}]
)
def test_a_policy_that_cannot_be_used_names_its_run(tmp_path: Path, keys: dict[str, Any]) -> None:
    with pytest.raises(Segment1BError, match=r"^E_POLICY_INVALID: .*run 'a': "):
        one(tmp_path, **keys)


def test_variables_are_put_in_everywhere_and_numbers_read_as_such(tmp_path: Path) -> None:
    text = """
summary: ${OUT}/s.json
fail_fast: ${FAST}
openlineage: {to: "${OUT}/l", tries: "${N}", api_key: "${KEY}"}
defaults: {workers: "${N}", data_root: "${OUT}/root-${N}"}
runs:
- {name: "r${N}", settings: ["prep.dp=${N}"], seed: "${SEED:-7}", notes: "5 $$ $x"}
"""
    night = load(tmp_path, text, OUT="/o", FAST="true", N="3", KEY="007")
    (run,) = night.runs
    assert (str(night.summary), night.fail_fast, run.name) == ("/o/s.json", True, "r3")
    assert (run.workers, str(run.data_root), run.seed) == (3, "/o/root-3", 7)
    assert (run.settings, run.notes) == (("prep.dp=3",), "5 $ $x")
    assert night.openlineage is not None
    assert (night.openlineage.tries, night.openlineage.api_key) == (3, "007")
    assert "007" not in repr(night)


def test_an_unset_variable_is_named_with_run_and_key(tmp_path: Path) -> None:
    runs = [{"name": "a", "data_root": "x", "settings": ["ok", "prep.dp=${DIGITS}"]}]
    with pytest.raises(
        Segment1BError, match=r"run 'a', key settings: .*DIGITS is not set"
    ) as error:
        load(tmp_path, {"runs": runs}, DIGIT="3", WINDOW="hidden")
    assert error.value.code == "E_USAGE"
    assert error.value.hint.endswith("did you mean 'DIGIT'?")
    with pytest.raises(Segment1BError) as error:
        load(tmp_path, {"runs": runs}, WINDOW="hidden")
    assert "WINDOW" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("$$", "$"), ("$${A}", "${A}"), ("$A", "$A"), ("a$", "a$"), ("${A}${A}", "${B}${B}")),
        *(("${E:-d}", "d"), ("${E}", ""), ("${U:-}", ""), ("${U:-a:-b/c d}", "a:-b/c d")),
    ],
)
def test_references(text: str, value: str) -> None:
    """What a variable holds is put in as it is, `${` and all."""
    environment = {"A": "${B}", "B": "no", "E": ""}
    assert substitute([{"k": text}, 1, None], environment, "here") == [{"k": value}, 1, None]


@pytest.mark.parametrize("text", ["${", "${}", "${1}", "${A", "${A-b}", "${A:-${B}}"])
def test_a_broken_reference_is_refused(text: str) -> None:
    with pytest.raises(Segment1BError, match=r"here: '\$\{' without"):
        substitute(text, {"A": "x", "B": "y"}, "here")


def test_the_command_line_goes_over_the_file(tmp_path: Path) -> None:
    top = {"summary": "s", "openlineage": {"to": "l", "tries": 9}}
    night = load(tmp_path, {**top, "runs": [{"name": "a", "data_root": "x"}]})
    same = overridden(night, fail_fast=False, summary=None, openlineage=None)
    assert same == night
    other = overridden(night, fail_fast=True, summary=Path("t"), openlineage="http://h")
    assert (other.fail_fast, other.summary) == (True, Path("t"))
    assert other.openlineage is not None
    assert (other.openlineage.to, other.openlineage.tries) == ("http://h", 9)
    with pytest.raises(Segment1BError, match="--openlineage"):
        overridden(night, fail_fast=False, summary=None, openlineage="http://")
