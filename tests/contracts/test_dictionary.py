"""The dictionary: what it must say of each dataset, and where it disagrees with the schemas."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from segment1b.contracts import Contracts, Dataset, dictionary, load
from segment1b.contracts.locations import DICTIONARY, read_yaml
from segment1b.contracts.program import contracts_root
from segment1b.errors import Segment1BError

FAILED = "E_DICTIONARY_RESOLUTION_FAILED"
TOKENS = {"seed": 42, "manifest_fingerprint": "f" * 64, "parameter_hash": "a" * 64}
PLAN, REPORT = "schemas.1B.yaml#/plan/s4_alloc_plan", "schemas.1B.yaml#/report/s4_run_report"
Edit = Callable[[dict[str, Any]], object]


def edited(tmp_path: Path, edit: Edit) -> Contracts:
    """Load the packaged dictionary with one thing changed."""
    raw = read_yaml(contracts_root() / DICTIONARY, FAILED)
    edit(raw)
    path = tmp_path / "dictionary.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return load(str(path))


def refused(tmp_path: Path, edit: Edit) -> Segment1BError:
    """Return the error that the changed dictionary raises."""
    with pytest.raises(Segment1BError) as caught:
        edited(tmp_path, edit)
    return caught.value


def s4(raw: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = raw["datasets"]["s4_alloc_plan"]
    return entry


def test_the_packaged_dictionary_agrees_with_its_schemas() -> None:
    assert load().check() == []


def test_a_copy_of_the_packaged_dictionary_says_the_same(tmp_path: Path) -> None:
    assert list(edited(tmp_path, lambda _: None)) == list(load())


@pytest.mark.parametrize("name", ["plan/s3_requirements", "plan/s4_alloc_plan"])
def test_the_named_datasets_stand_under_their_anchors(name: str) -> None:
    dataset_id = name.partition("/")[2]
    assert load()[dataset_id].schema_ref == f"schemas.1B.yaml#/{name}"
    report = f"{dataset_id[:2]}_run_report"
    assert load()[report].schema_ref == f"schemas.1B.yaml#/report/{report}"


def test_every_dataset_that_a_state_publishes_is_committed_by_a_report_of_its_tokens() -> None:
    known = load()
    published = [dataset for dataset in known if dataset.receipt_in]
    assert len(published) >= 6
    for dataset in published:
        # A run id is derived from the other three tokens.
        mine = set(dataset.tokens) - {"run_id"}
        assert mine <= set(known[str(dataset.receipt_in)].tokens), dataset.id


def test_no_two_datasets_share_a_path() -> None:
    paths = [dataset.path.rstrip("/") for dataset in load()]
    assert len(set(paths)) == len(paths)


def put(field: str, value: object) -> Edit:
    return lambda raw: s4(raw).update({field: value})


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        # A field is absent or of another form.
        *(
            (lambda raw, field=field: s4(raw).pop(field), f"dataset s4_alloc_plan: {field}")
            for field in ("path", "licence", "retention_days", "schema_ref", "kind")
        ),
        *(
            (put(field, value), f"dataset s4_alloc_plan: {field}")
            for field, value in (
                *(("path", ""), ("path", None), ("licence", ""), ("licence", 3)),
                *(("retention_days", 0), ("retention_days", "365"), ("retention_days", True)),
                *(("kind", "matrix"), ("cut", "merchants"), ("key", "merchant_id")),
                ("encodings", {"merchant_id": "DELTA_BINARY_PACKT"}),
            )
        ),
        # A path leaves the root or has other tokens.
        *(
            (put("path", path), path)
            for path in (
                *("/data/s4/seed={seed}", "data/../../s4/seed={seed}", "data/s4/seed={sed}"),
                *("data/s4/{}", "data/s4/{seed", "data/s4/seed={seed!r}"),
            )
        ),
        # An unknown key has a known one near it.
        (lambda raw: raw.update(dataset={}), "(did you mean 'datasets'?)"),
        (put("licens", "MIT"), "(did you mean 'licence'?)"),
        (put("encoding", {}), "(did you mean 'encodings'?)"),
        (lambda raw: s4(raw)["codes"].update(unsortet="E"), "(did you mean 'unsorted'?)"),
        # It is not shaped like a dictionary.
        (lambda raw: raw.update({7: 8}), "unknown key '7'"),
        (put(7, 8), "unknown key '7'"),  # type: ignore[arg-type]
        (lambda raw: raw["datasets"].update({7: deepcopy(s4(raw))}), "dataset 7"),
        (lambda raw: raw["datasets"].update(s4_alloc_plan=None), "not a mapping"),
        (lambda raw: raw.update(datasets=["s4_alloc_plan"]), "not a mapping"),
    ],
)
def test_a_wrong_entry_is_refused_by_name(tmp_path: Path, edit: Edit, text: str) -> None:
    error = refused(tmp_path, edit)
    assert error.code == FAILED
    assert text in str(error)


def test_an_absent_dictionary_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(Segment1BError, match=r"absent\.yaml does not exist") as caught:
        load(str(tmp_path / "absent.yaml"))
    assert caught.value.code == FAILED


def test_an_unknown_dataset_names_the_nearest_known_one() -> None:
    with pytest.raises(Segment1BError) as caught:
        load()["s4_aloc_plan"]
    assert caught.value.code == FAILED
    assert caught.value.hint == "did you mean 's4_alloc_plan'?"


def test_a_dictionary_without_a_dataset_fails_where_it_is_asked_for(tmp_path: Path) -> None:
    known = edited(tmp_path, lambda raw: raw["datasets"].pop("tile_bounds"))
    with pytest.raises(Segment1BError) as caught:
        known["tile_bounds"]
    assert caught.value.code == FAILED


@pytest.mark.parametrize(
    "anchor",
    [
        "schemas.1B.yaml#/plan/s4_aloc_plan",
        "schemas.1B.yaml#/plan",
        "schemas.1B.yaml#/plan/s4_alloc_plan/columns/merchant_id/type/x",
        "schemas.1C.yaml#/plan/s4_alloc_plan",
        "schemas.1B.yaml",
        "",
    ],
)
def test_an_anchor_that_leads_to_no_schema_is_refused(tmp_path: Path, anchor: str) -> None:
    error = refused(tmp_path, lambda raw: s4(raw).update(schema_ref=anchor))
    assert error.code == "E_SCHEMA_RESOLUTION_FAILED"


def test_tokens_come_in_path_order() -> None:
    assert load()["s4_alloc_plan"].tokens == ("seed", "manifest_fingerprint", "parameter_hash")
    assert load()["tile_index"].tokens == ("parameter_hash",)
    assert load()["world_countries"].tokens == ()


def test_a_path_is_its_pattern_with_the_tokens_in_place_and_no_final_slash() -> None:
    steps = ["seed=42", f"fingerprint={'f' * 64}", f"parameter_hash={'a' * 64}"]
    plan, index = load()["s4_alloc_plan"], load()["tile_index"]
    assert plan.locate(TOKENS) == "/".join(["data/layer1/1B/s4_alloc_plan", *steps])
    assert index.locate(TOKENS) == f"data/layer1/1B/tile_index/{steps[2]}"
    assert plan.partition(TOKENS) == steps
    assert load()["world_countries"].partition(TOKENS) == []


def test_the_arrow_schema_has_the_declared_columns_and_no_nulls() -> None:
    assert load()["s4_alloc_plan"].arrow_schema == pa.schema(
        [
            pa.field("merchant_id", pa.uint64(), nullable=False),
            pa.field("legal_country_iso", pa.string(), nullable=False),
            pa.field("tile_id", pa.uint64(), nullable=False),
            pa.field("n_sites_tile", pa.int64(), nullable=False),
        ]
    )


def test_a_fault_has_the_dataset_s_own_code_or_a_common_one() -> None:
    s3, index, outlets = map(
        load().__getitem__, ("s3_requirements", "tile_index", "outlet_catalogue")
    )
    assert s3.code("extras") == "E305_SCHEMA_EXTRAS"
    assert index.code("extras") == index.code("schema") == "E108_WRITER_HYGIENE"
    assert index.code("duplicate") == "E003_DUP_TILE"
    assert s3.code("differs") == "E_IMMUTABLE_PARTITION_EXISTS_NONIDENTICAL"
    assert load()["parameter_policy_1B"].code("differs") == "E_PARAMETER_HASH_REUSED"
    assert outlets.code("schema") == "E_INPUT_SCHEMA_INVALID"


@pytest.mark.parametrize(
    ("edit", "finding"),
    [
        (put("schema_ref", REPORT), "s4_alloc_plan: a table, but its schema is a document"),
        (
            lambda raw: raw["datasets"]["s4_run_report"].update(schema_ref=PLAN),
            "s4_run_report: a document, but its schema is a table",
        ),
        (put("key", ["merchant_id", "tile"]), "s4_alloc_plan: key names unknown column tile"),
        (
            lambda raw: s4(raw)["encodings"].update(n_sites="PLAIN"),
            "s4_alloc_plan: encodings names unknown column n_sites",
        ),
        (
            lambda raw: s4(raw)["encodings"].pop("tile_id"),
            "s4_alloc_plan: no encoding for ['tile_id']",
        ),
        (lambda raw: s4(raw).pop("key"), "s4_alloc_plan: no key"),
        (put("receipt_in", "s4_report"), "s4_alloc_plan: receipt_in names unknown s4_report"),
        (
            lambda raw: s4(raw)["codes"].update(schema="E999_NOTHING"),
            "s4_alloc_plan: unknown code E999_NOTHING",
        ),
    ],
)
def test_check_reports_each_disagreement(tmp_path: Path, edit: Edit, finding: str) -> None:
    assert finding in edited(tmp_path, edit).check()


def test_check_reports_all_disagreements_at_once(tmp_path: Path) -> None:
    def edit(raw: dict[str, Any]) -> None:
        s4(raw)["encodings"].pop("tile_id")
        raw["datasets"]["tile_index"]["key"] = ["country", "tile_id"]

    assert edited(tmp_path, edit).check() == [
        "tile_index: key names unknown column country",
        "s4_alloc_plan: no encoding for ['tile_id']",
    ]


@pytest.mark.parametrize("dataset", list(load()), ids=lambda dataset: dataset.id)
def test_a_dataset_names_the_state_that_makes_it(dataset: Dataset) -> None:
    hint = f"'segment1b discard --from-state {dataset.owner.lower()}'"
    made = dataset.owner in {f"S{number}" for number in range(10)}
    assert (hint in dataset.redo) == made
    place = dataset.path.partition("{")[0]
    if made and not place.startswith("logs/rng/trace"):
        assert hint in load().redo(f"{place}x")


def test_no_hint_asks_to_remove_a_partition_by_hand() -> None:
    for path in sorted(Path(dictionary.__file__).parents[1].rglob("*.py")):
        for words in ("remove the partition", "by hand if", "remove it with its report"):
            assert words not in " ".join(path.read_text().split()), path
