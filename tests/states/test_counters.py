"""The counters of run reports are measured: none is a literal, and each counts what it names."""

from __future__ import annotations

import ast
import inspect
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from segment1b import contracts
from segment1b.config import load_policy
from segment1b.identity import Identity
from segment1b.laws.assignment import sites_of
from segment1b.states import STATES, s8_egress
from segment1b.states.protocol import Run
from segment1b.states.s5_assignment import _repeated_keys
from segment1b.states.s6_jitter import _foreign_rows

KNOWN = contracts.load()
SITES = KNOWN["site_locations"]


def run_in(folder: Path) -> Run:
    return Run(folder, Identity(42, "1" * 64, "2" * 64), load_policy(), {}, folder)


def is_literal(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) or (isinstance(value, ast.Dict) and not value.keys)


@pytest.mark.parametrize("state", STATES)
def test_no_field_of_a_run_report_is_a_literal(state: str) -> None:
    node = KNOWN.schemas._node(KNOWN[f"{state}_run_report"].schema_ref)
    fields = set(node["schema"]["properties"])
    source = inspect.getsource(sys.modules[type(STATES[state]).__module__])
    literals = [
        key.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Dict)
        for key, value in zip(node.keys, node.values, strict=True)
        if isinstance(key, ast.Constant) and key.value in fields and is_literal(value)
    ]
    assert not literals


def egress(*rows: tuple[int, str, int, float, float]) -> pa.Table:
    columns = [list(column) for column in zip(*rows, strict=True)]
    return pa.table(columns, schema=SITES.arrow_schema).cast(SITES.words_schema)


def test_rows_that_the_schema_does_not_allow_are_counted() -> None:
    fine = (1, "NL", 1, 5.0, 52.0)
    changes: list[dict[int, Any]] = [
        {0: 0},
        {0: 2**63},
        {1: "nl"},
        {2: 0},
        {3: 180.5},
        {3: math.nan},
        {4: -90.5},
        {4: math.inf},
    ]
    rows = [tuple(change.get(at, value) for at, value in enumerate(fine)) for change in changes]
    table = egress(fine, *rows, fine)  # type: ignore[arg-type]
    assert s8_egress._invalid_rows(table, SITES) == len(changes)
    nullable = pa.schema([field.with_nullable(True) for field in SITES.words_schema])
    for column in SITES.words_schema.names:
        row = dict.fromkeys(nullable.names) | {
            name: value for name, value in zip(nullable.names, fine, strict=True) if name != column
        }
        table = pa.Table.from_pylist([row], schema=nullable)
        assert s8_egress._invalid_rows(table, SITES) == 1, column


def test_rows_out_of_key_order_are_counted_within_and_between_row_groups() -> None:
    def unsorted(table: pa.Table, last: list[Any]) -> tuple[int, list[Any]]:
        return s8_egress._unsorted_rows(table, SITES, last)

    first = egress(*((m, c, j, 0.0, 0.0) for m, c, j in ((1, "NL", 1), (1, "NL", 2), (2, "AT", 1))))
    count, last = unsorted(first, [])
    assert count == 0
    assert unsorted(egress((2, "AT", 2, 0.0, 0.0)), last)[0] == 0
    for key in ((2, "AT", 1), (1, "ZA", 9), (2, "AD", 5)):
        assert unsorted(egress((*key, 0.0, 0.0)), last)[0] == 1
    assert unsorted(first.take([2, 1, 0]), [])[0] == 2


def test_sites_with_the_key_of_another_are_counted() -> None:
    merchant, tile = np.array([7, 7, 9], np.uint64), np.array([1, 2, 1], np.uint64)
    sites = sites_of(merchant, tile, np.array([2, 1, 3]))
    assert _repeated_keys(sites) == 0
    order = sites.order.copy()
    order[[1, 4]] -= 1
    assert _repeated_keys(sites._replace(order=order)) == 2


def test_offsets_with_another_lineage_than_their_path_are_counted(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    parts = run.parts("s6_site_jitter")
    parts.mkdir()
    own, other = "1" * 64, "3" * 64
    for number, lineage in enumerate(([own] * 5, [own, other, other])):
        pq.write_table(pa.table({"manifest_fingerprint": lineage}), parts / f"{number}.parquet")
    assert _foreign_rows(run) == 2
