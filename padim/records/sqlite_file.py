"""The workspace's records in an SQLite file: several processes read it, and one at a time writes.

Every write holds a lock beside the file and is one transaction, flushed to the disk before it returns.
Reading never waits. A workspace without the file has no records, and reading creates none, so that a
read-only workspace can be opened.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.dialects.sqlite.base import SQLiteCompiler
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from padim.errors import PadimError, StorageError
from padim.records import migrating, server_mark
from padim.records.schema import HEAD
from padim.records.server_url import VARIABLE
from padim.storage.atomic import explain_os_error
from padim.storage.leftovers import locked_beside

FILE = "records.sqlite"
# Milliseconds that a statement waits for another process, such as a backup, before it fails.
_PATIENCE = 20_000


class SqliteFile:
    """The records of one workspace in its file; cheap to create, with a connection for each block."""

    def __init__(self, root: Path, *, moving: bool = False) -> None:
        """
        Args:
            root: the workspace's folder.
            moving: whether the file is read to move the records to a server.
        """
        self.root = root
        self.path = root / FILE
        self._moving = moving

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Yield a connection that sees one state of the database; None if there is no database yet."""
        self._refuse_if_moved()
        if not self.path.is_file():
            yield None
            return
        with _explained(self.path):
            connection = _open(self.path, "ro")
            try:
                current = _revision(connection, self.path)
            except DBAPIError as error:
                # In a read-only folder the files that readers share cannot be created, and nobody writes.
                if not _cannot_share(error):
                    raise
                connection.close()
                connection = _open(self.path, "ro&immutable=1")
                current = _revision(connection, self.path)
            try:
                if current != HEAD:
                    connection.close()
                    with self.writing():
                        pass  # brings the tables up to date
                    connection = _open(self.path, "ro")
                connection.begin()
                yield connection
            finally:
                connection.close()

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction, which is committed when the block ends without an exception.

        The file is created at first use, and its tables are brought up to date.
        """
        with _explained(self.path):
            self.root.mkdir(parents=True, exist_ok=True)
            with locked_beside(self.path):
                self._refuse_if_moved()
                # Opened by Python too, which raises the system's own errors: SQLite's say less.
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666))
                connection = _open(self.path, "rw")
                try:
                    if _revision(connection, self.path) != HEAD:
                        # Its own transaction: a process that is killed leaves no half of a migration.
                        with connection.begin():
                            migrating.upgrade(connection)
                    with connection.begin():
                        yield connection
                finally:
                    connection.close()

    def replace(self, source: Path) -> None:
        """Replace all that is in the file by what another database file has, in one transaction.

        Readers see what was there before until they have ended.

        Raises:
            PadimError: either file is damaged.
            StorageError: it is read-only, full or locked by another program.
        """
        with _explained(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked_beside(self.path):
                self._refuse_if_moved()
                try:
                    with (
                        closing(sqlite3.connect(source)) as other,
                        closing(sqlite3.connect(self.path, timeout=_PATIENCE / 1000)) as mine,
                    ):
                        other.backup(mine)
                except sqlite3.Error as error:
                    raise DBAPIError("replacing the records", None, error) from error

    def _refuse_if_moved(self) -> None:
        if not self._moving:
            server_mark.refuse_file(self.root, VARIABLE)


def _open(path: Path, mode: str) -> Connection:
    return _engine(str(path.resolve()), mode).connect()


class _WithHints(SQLiteCompiler):
    """Writes the hints of statements behind their tables (``INDEXED BY``), which the library leaves out."""

    def get_from_hint_text(self, table: Any, text: str | None) -> str | None:
        return text


# Kept, because an engine has the compiled statements; it holds no connection.
@lru_cache(maxsize=32)
def _engine(path: str, mode: str) -> Engine:
    writes = mode == "rw"
    url = f"sqlite+pysqlite:///file:{quote(path)}?mode={mode}&uri=true"
    engine = create_engine(
        url, poolclass=NullPool, connect_args={"check_same_thread": False, "timeout": _PATIENCE / 1000}
    )

    engine.dialect.statement_compiler = _WithHints

    @event.listens_for(engine, "connect")
    def _set_up(dbapi_connection: sqlite3.Connection, _: object) -> None:
        # Transactions begin where we say so, not where Python's module guesses, so that they cover DDL too.
        dbapi_connection.isolation_level = None
        cursor = dbapi_connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={_PATIENCE}")
        if writes:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=FULL")
            cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _revision(connection: Connection, path: Path) -> str | None:
    """Return the migration that the database is at; None if it is empty.

    Raises:
        PadimError: it is of a later version than this program.
    """
    cursor = connection.connection.cursor()
    try:
        cursor.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name = 'alembic_version'")
        if cursor.fetchone() is None:
            return None
        cursor.execute("SELECT version_num FROM alembic_version")
        found = cursor.fetchone()
    except sqlite3.Error as error:
        raise DBAPIError("reading the version", None, error) from error
    finally:
        cursor.close()
    return migrating.checked(None if found is None else str(found[0]), str(path))


def _cannot_share(error: DBAPIError) -> bool:
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Convert errors of the system and of SQLite to ours, with the file and the remedy."""
    try:
        yield
    except OSError as error:
        raise explain_os_error(error) from error
    except DBAPIError as error:
        code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF
        if code == sqlite3.SQLITE_READONLY:
            what = "cannot be written, the file is read-only for this program; what is saved is unchanged"
            raise StorageError(f"{path}: {what}", path, read_only=True) from error
        if code == sqlite3.SQLITE_FULL:
            what = "no space left on the disk; free some space there, and then do it again"
            raise StorageError(f"{path}: {what}", path) from error
        if code == sqlite3.SQLITE_NOTADB or code == sqlite3.SQLITE_CORRUPT:
            raise PadimError(
                f"{path}: is damaged or no database; move it away (labels, lists and inspections start anew, "
                "models are not affected), or restore it from a backup"
            ) from error
        if code == sqlite3.SQLITE_BUSY:
            raise StorageError(
                f"{path}: another program keeps it locked; close that, and do it again", path
            ) from error
        if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
            raise StorageError(
                f"{path}: cannot be read or written ({error.orig}); check the disk and the rights of its "
                "folder, and do it again",
                path,
            ) from error
        raise
