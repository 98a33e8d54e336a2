"""Inspections as tables: CSV for spreadsheets, Parquet for data tools; written row by row."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, BinaryIO

from padim.output.csv_form import CsvForm
from padim.output.results import csv_line
from padim.records.exports.columns import COLUMNS, cells, header, record_values, utc
from padim.records.inspection import Inspection

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["parquet_schema", "write_csv", "write_parquet"]

# Rows in memory at a time, and in a row group.
ROW_GROUP = 5_000


def write_csv(file: BinaryIO, inspections: Iterable[Inspection], form: CsvForm = "comma") -> int:
    """Write a CSV in UTF-8, with the byte order mark that spreadsheets need; return the number of rows.

    Text that a spreadsheet would take for a formula gets an apostrophe in front.
    """
    file.write(codecs.BOM_UTF8 + csv_line(header(), form).encode())
    number = 0
    for one in inspections:
        file.write(csv_line(cells(one), form).encode("utf-8", "replace"))
        number += 1
    return number


def parquet_schema() -> pa.Schema:
    """Return the Arrow schema of exported inspections; times are microseconds, UTC."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "whole": pa.int64(),
        "number": pa.float64(),
        "truth": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    return pa.schema([(column.name, types[column.kind]) for column in COLUMNS])


def write_parquet(file: BinaryIO, inspections: Iterable[Inspection]) -> int:
    """Write a Parquet file, a row group at a time; return the number of rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = parquet_schema()
    rows = iter(inspections)
    number = 0
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        while group := list(islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(list(_typed(group)), schema=schema))
            number += len(group)
    return number


def _typed(group: Iterable[Inspection]) -> Iterator[dict[str, Any]]:
    times = [column.name for column in COLUMNS if column.kind == "time"]
    texts = [column.name for column in COLUMNS if column.kind == "text"]
    for one in group:
        values = record_values(one)
        for name in times:
            values[name] = None if values[name] is None else utc(values[name])
        for name in texts:
            # A name whose bytes are no UTF-8 must not end the file.
            values[name] = None if values[name] is None else values[name].encode("utf-8", "replace").decode()
        yield values
