"""Outlet lists as files of formats that are not text."""

from __future__ import annotations

import io
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq


def parquet(columns: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(columns, sink)
    return sink.getvalue().to_pybytes()


def arrow(columns: pa.Table, compression: str | None = None, stream: bool = False) -> bytes:
    sink = pa.BufferOutputStream()
    make = pa.ipc.new_stream if stream else pa.ipc.new_file
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with make(sink, columns.schema, options=options) as writer:
        writer.write_table(columns)
    return sink.getvalue().to_pybytes()


def xlsx(rows: list[list[Any]], more: int = 0) -> bytes:
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for _ in range(more):
        book.create_sheet().append(["other"])
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()
