"""Schemas: anchors, strict columns, JSON Schema of documents."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from segment1b.contracts.locations import SCHEMAS
from segment1b.contracts.program import contracts_root
from segment1b.contracts.schemas import ARROW_TYPES, Column, Schemas
from segment1b.errors import Segment1BError

FAILED = "E_SCHEMA_RESOLUTION_FAILED"


def packaged() -> Schemas:
    return Schemas(contracts_root() / SCHEMAS)


def written(tmp_path: Path, text: str) -> Schemas:
    (tmp_path / "own.yaml").write_text(text)
    return Schemas(tmp_path)


def test_columns_come_in_their_declared_order_with_their_limits() -> None:
    columns = packaged().columns("schemas.1B.yaml#/plan/s3_requirements")
    assert columns == (
        Column("merchant_id", "uint64", minimum=1, maximum=2**63 - 1),
        Column("legal_country_iso", "string", pattern="^[A-Z]{2}$"),
        Column("n_sites", "int64", minimum=1),
    )


def test_every_type_word_is_an_arrow_type_of_the_same_name(tmp_path: Path) -> None:
    lines = "".join(f"      c_{word}: {{type: {word}}}\n" for word in ARROW_TYPES)
    columns = written(tmp_path, f"a:\n  b:\n    kind: table\n    columns:\n{lines}").columns(
        "own.yaml#/a/b"
    )
    assert {str(c.arrow_type).replace("double", "float64") for c in columns} == set(ARROW_TYPES)


def test_a_column_knows_its_arrow_type_and_compiled_pattern() -> None:
    column = Column("a", "string", pattern="^[A-Z]{2}$")
    assert column.arrow_type == pa.string()
    assert column.regex is not None
    assert column.regex.match("NO")
    assert Column("b", "int64").regex is None


def test_an_anchor_that_leads_nowhere_names_the_nearest_step() -> None:
    with pytest.raises(Segment1BError, match="leads nowhere at 's3_requirement'") as caught:
        packaged().columns("schemas.1B.yaml#/plan/s3_requirement")
    assert caught.value.code == FAILED
    assert caught.value.hint == "did you mean 's3_requirements'?"


@pytest.mark.parametrize(
    "ref",
    ["schemas.1B.yaml", "schemas.1B.yaml#/plan", "other.yaml#/plan", "", "#/plan", "../x#/a"],
)
def test_a_reference_to_no_schema_is_refused(ref: str) -> None:
    with pytest.raises(Segment1BError) as caught:
        packaged().kind(ref)
    assert caught.value.code == FAILED


@pytest.mark.parametrize(
    "column",
    [
        *("{type: int128}", "{type: int64, minimun: 1}", "{pattern: a}", "{type: float64, x: 1}"),
        *("{type: int64, name: b}", "{type: [int64]}", "int64", "7"),
    ],
)
def test_a_column_that_is_not_understood_is_refused(tmp_path: Path, column: str) -> None:
    schemas = written(tmp_path, f"a: {{b: {{kind: table, columns: {{c: {column}}}}}}}")
    with pytest.raises(Segment1BError, match="column c") as caught:
        schemas.columns("own.yaml#/a/b")
    assert caught.value.code == FAILED


def test_a_key_of_a_schema_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    schemas = written(tmp_path, "a: {kind: table, colums: {c: {type: int64}}}")
    with pytest.raises(Segment1BError, match="unknown key 'colums'") as caught:
        schemas.columns("own.yaml#/a")
    assert (caught.value.code, caught.value.hint) == (FAILED, "did you mean 'columns'?")


def test_a_document_has_no_columns_and_a_raster_is_its_own_kind() -> None:
    assert packaged().columns("schemas.1B.yaml#/report/s3_run_report") == ()
    assert packaged().kind("schemas.1B.yaml#/report/s3_run_report") == "document"
    assert packaged().kind("schemas.ingress.layer1.yaml#/reference/population_raster") == "raster"


def test_a_document_that_fits_has_no_problems() -> None:
    record = {"event": "S4_ERROR", "code": "E", "at": "now", "tokens": {}, "detail": "x"}
    assert packaged().problems("schemas.1B.yaml#/report/failure_record", record) == []


def test_problems_name_the_place_in_the_document() -> None:
    index = [{"artifact_id": "a b", "kind": "summary", "path": "a"}, {"artifact_id": "b"}]
    problems = packaged().problems("schemas.ingress.layer1.yaml#/validation/bundle_index", index)
    assert any(problem.startswith("/0/artifact_id: ") for problem in problems)
    assert any(problem.startswith("/1: ") and "path" in problem for problem in problems)


def test_shared_definitions_bind_the_documents_that_name_them() -> None:
    document = {"policy": {"prep": {}, "allocation": {}, "jitter": {}, "realism": {}}}
    ref = "schemas.1B.yaml#/policy/parameter_policy"
    assert packaged().problems(ref, {**document, "surfaces": {"a": "0" * 64}}) == []
    (problem,) = packaged().problems(ref, {**document, "surfaces": {"a": "0" * 63}})
    assert problem.startswith("/surfaces/a: ")
