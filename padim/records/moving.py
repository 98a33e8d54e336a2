"""Copying records from one database to another, such as from the workspace's file to a server."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Integer, func, insert, select, text

from padim.records.schema import METADATA, WORKSPACE
from padim.records.sqlite_file import FILE, SqliteFile

# Rows that are in memory at a time; some have a small image.
_STEP = 500


def copy_file(root: Path, target: Connection) -> int:
    """Copy all rows of the workspace's file, which stays as it is; return their number.

    Args:
        root: the workspace's folder.
        target: a connection in a transaction, to a database whose tables are empty.

    Raises:
        PadimError: the file is damaged, or of a later version.
        StorageError: the file's tables are old, and it cannot be written to bring them up to date.
    """
    if not (root / FILE).is_file():
        return 0
    with SqliteFile(root, moving=True).reading() as source:
        assert source is not None
        return copy_rows(source, target)


def copy_rows(source: Connection, target: Connection) -> int:
    """Copy all rows but the workspace's identity to a database whose tables are empty; return their number.

    Args:
        source: a connection that sees one state of the database, whose tables are up to date.
        target: a connection in a transaction.
    """
    copied = 0
    for table in METADATA.sorted_tables:
        if table is WORKSPACE:
            continue
        key = next(iter(table.primary_key))
        found = source.execute(select(table).order_by(key), execution_options={"yield_per": _STEP})
        for rows in found.partitions(_STEP):
            target.execute(insert(table), [{**row._mapping} for row in rows])
            copied += len(rows)
        counted = key.autoincrement == "auto" and isinstance(key.type, Integer) and not key.foreign_keys
        if counted and target.dialect.name == "postgresql":
            # The next row gets the next number.
            last = target.execute(select(func.max(key))).scalar()
            sequence = {"table": table.name, "column": key.name, "last": last}
            if last is not None:
                target.execute(
                    text("SELECT setval(pg_get_serial_sequence(:table, :column), :last)"), sequence
                )
    return copied
