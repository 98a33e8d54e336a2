"""The entry to all exports of inspections: to a file, with progress; cancelled, nothing is left behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Literal, get_args

from padim.output.csv_form import CsvForm
from padim.records.exports.archive import ExportAccount, RecordProgress, counted
from padim.records.inspection_query import InspectionQuery
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewRecords
from padim.storage.atomic import explain_os_error, write_atomic

__all__ = ["EXPORTS", "SUFFIXES", "ExportFormat", "export_records"]

ExportFormat = Literal["csv", "parquet", "zip", "mvtec", "coco"]
EXPORTS: tuple[ExportFormat, ...] = get_args(ExportFormat)
SUFFIXES: dict[ExportFormat, str] = {
    "csv": ".csv",
    "parquet": ".parquet",
    "zip": ".zip",
    "mvtec": ".zip",
    "coco": ".zip",
}


def export_records(
    root: str | Path,
    query: InspectionQuery,
    kind: ExportFormat,
    path: Path,
    *,
    csv_form: CsvForm = "comma",
    progress: RecordProgress | None = None,
    cancel: Callable[[], bool] | None = None,
) -> ExportAccount:
    """Write the inspections that a query selects to a file, oldest first, in constant memory.

    Args:
        root: the workspace's folder.
        query: which inspections.
        kind: what to write.
        path: the file; it is replaced when the new one is complete, and left alone otherwise.
        csv_form: the form of a CSV.
        progress: called with (done, total) inspections.
        cancel: returns True to stop.

    Raises:
        Cancelled: ``cancel`` returned True.
        StorageError: the file cannot be written.
    """
    records, reviews = InspectionRecords(root), ReviewRecords(root)
    account = ExportAccount()

    def write(file: BinaryIO) -> None:
        nonlocal account
        chosen = counted(records.iterate(query), records.count(query), progress, cancel)
        if kind == "csv":
            from padim.records.exports.tables import write_csv

            account.written = write_csv(file, chosen, csv_form)
        elif kind == "parquet":
            from padim.records.exports.tables import write_parquet

            account.written = write_parquet(file, chosen)
        elif kind == "zip":
            from padim.records.exports.evidence_zip import write_evidence

            account = write_evidence(file, chosen, records, reviews)
        elif kind == "mvtec":
            from padim.records.exports.labeled import write_mvtec

            account = write_mvtec(file, chosen, records)
        else:
            from padim.records.exports.labeled import write_coco

            account = write_coco(file, chosen, records)

    try:
        write_atomic(path, write)
    except OSError as error:
        raise explain_os_error(error, path) from error
    return account
