"""Copies of a workspace's records as an SQLite file, taken from and brought back to either kind of database.

A copy is one state of the database, while others read and write it. Bringing one back replaces all records in
one transaction: whoever reads meanwhile sees all of the former ones, or all of the new ones.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from sqlalchemy import URL, delete

from padim.errors import PadimError
from padim.records import migrating, moving
from padim.records.database import RecordsDatabase
from padim.records.postgresql import PostgresqlDatabase
from padim.records.schema import METADATA, WORKSPACE
from padim.records.sqlite_file import FILE, SqliteFile

__all__ = ["FILE", "checked_copy", "replace_records", "write_copy"]


def write_copy(root: Path, folder: Path) -> Path | None:
    """Write a copy of a workspace's records to ``records.sqlite`` in a folder; None if there are no records.

    Args:
        root: the workspace's folder.
        folder: an existing folder without that file.

    Raises:
        PadimError: as :meth:`RecordsDatabase.reading`.
        OSError: the copy cannot be written.
    """
    target = folder / FILE
    with RecordsDatabase(root).reading() as connection:
        if connection is None:
            return None
        if connection.dialect.name == "sqlite":
            source = connection.connection.dbapi_connection
            assert isinstance(source, sqlite3.Connection)
            with closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
        else:
            with SqliteFile(folder, moving=True).writing() as other:
                moving.copy_rows(connection, other)
    with closing(sqlite3.connect(target)) as copy:
        # One file, without a log beside it.
        copy.execute("PRAGMA journal_mode=DELETE")
    return target


def checked_copy(path: Path) -> int:
    """Check a copy, and return its number of inspections.

    Raises:
        PadimError: it is damaged, or a later version of this program wrote it.
    """
    try:
        with closing(sqlite3.connect(path)) as connection:
            (whole,) = connection.execute("PRAGMA quick_check").fetchone()
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            names = connection.execute("SELECT name FROM sqlite_master WHERE name = 'inspections'")
            inspections = 0
            if names.fetchone() is not None:
                (inspections,) = connection.execute("SELECT count(*) FROM inspections").fetchone()
    except (sqlite3.Error, TypeError) as error:
        raise PadimError(f"{path.name}: is damaged or no copy of records ({error})") from error
    if whole != "ok":
        raise PadimError(f"{path.name}: is damaged ({whole})")
    migrating.checked(str(revision), path.name)
    return int(inspections)


def replace_records(root: Path, folder: Path | None, url: URL | None) -> None:
    """Replace all records of a workspace by those of ``records.sqlite`` in a folder, or by none.

    Args:
        root: the workspace's folder.
        folder: the folder with the copy; None to leave no records.
        url: the database server that has the workspace's records; None for the workspace's file.

    Raises:
        PadimError: the copy is damaged; or as :meth:`RecordsDatabase.writing`.
    """
    if folder is not None and url is None:
        SqliteFile(root).replace(folder / FILE)
        return
    database = SqliteFile(root) if url is None else PostgresqlDatabase(root, url)
    with database.writing() as connection:
        for table in reversed(METADATA.sorted_tables):
            if table is not WORKSPACE:
                connection.execute(delete(table))
        if folder is not None:
            with SqliteFile(folder, moving=True).reading() as source:
                assert source is not None
                moving.copy_rows(source, connection)
