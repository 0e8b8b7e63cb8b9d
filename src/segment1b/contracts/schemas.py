"""Schemas: strict columns of tables, JSON Schema of documents, resolved by their anchors."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema_rs
import pyarrow as pa

from segment1b.contracts.locations import nearest, read_yaml, refuse_unknown
from segment1b.errors import Segment1BError

ARROW_TYPES: dict[str, pa.DataType] = {
    "string": pa.string(),
    "binary": pa.binary(),
    "bool": pa.bool_(),
    "uint8": pa.uint8(),
    "uint16": pa.uint16(),
    "uint32": pa.uint32(),
    "uint64": pa.uint64(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
}
_NODE_KEYS = {"kind", "columns", "schema", "crs", "bands"}
_FAILED = "E_SCHEMA_RESOLUTION_FAILED"


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, Arrow type and the values it may hold."""

    name: str
    type: str
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: float | None = None
    unit: str | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """Return the Arrow type."""
        return ARROW_TYPES[self.type]

    @functools.cached_property
    def regex(self) -> re.Pattern[str] | None:
        """Return the compiled pattern of a string column, or None."""
        return re.compile(self.pattern) if self.pattern else None


class Schemas:
    """The schema files of one folder; `resolve` follows `file.yaml#/a/b`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files: dict[str, dict[str, Any]] = {}
        self._validators: dict[str, jsonschema_rs.Draft202012Validator] = {}

    def _node(self, ref: str) -> dict[str, Any]:
        file, _, anchor = ref.partition("#/")
        if file not in self._files:
            self._files[file] = read_yaml(self.folder / file, _FAILED)
        node: Any = self._files[file]
        for step in filter(None, anchor.split("/")):
            if not isinstance(node, dict) or step not in node:
                known = node if isinstance(node, dict) else {}
                what = f"{ref} leads nowhere at '{step}'"
                raise Segment1BError(_FAILED, what, nearest(step, known), schema_ref=ref)
            node = node[step]
        if not isinstance(node, dict) or "kind" not in node:
            raise Segment1BError(_FAILED, f"{ref} is no schema")
        refuse_unknown(node, _NODE_KEYS, _FAILED, ref, schema_ref=ref)
        return node

    def kind(self, ref: str) -> str:
        """Return table, document or raster."""
        return str(self._node(ref)["kind"])

    def columns(self, ref: str) -> tuple[Column, ...]:
        """Return the columns of a table schema, in order."""
        columns = []
        for name, spec in self._node(ref).get("columns", {}).items():
            try:
                columns.append(Column(name, **spec))
                _ = ARROW_TYPES[spec["type"]]
            except (KeyError, TypeError):
                what = f"{ref} column {name}: {spec} is not understood"
                raise Segment1BError(_FAILED, what) from None
        return tuple(columns)

    def problems(self, ref: str, document: Any) -> list[str]:
        """Return what is wrong with a JSON document, empty when it fits its schema."""
        if ref not in self._validators:
            node = self._node(ref)
            shared = self._files[ref.partition("#/")[0]].get("definitions", {})
            schema = {**node["schema"], "$defs": shared}
            self._validators[ref] = jsonschema_rs.Draft202012Validator(schema)
        try:
            return [
                f"/{'/'.join(str(step) for step in error.instance_path)}: {error.message[:200]}"
                for error in self._validators[ref].iter_errors(document)
            ]
        except ValueError as error:  # JSON that is nested deeper than the library goes
            return [f"/: {error}"]
