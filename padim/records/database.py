"""The workspace's database: opened, brought up to date, read and written by several processes.

It is an SQLite file in the workspace (:mod:`padim.records.sqlite_file`) or, where ``PADIM_DATABASE_URL`` is
set, a PostgreSQL database (:mod:`padim.records.postgresql`). Either way a write is one transaction, one
writer at a time, on the disk before it returns; and reading waits for nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from padim.records import server_url
from padim.records.postgresql import PostgresqlDatabase
from padim.records.sqlite_file import FILE, SqliteFile


class RecordsDatabase:
    """The database of one workspace; cheap to create."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    @property
    def path(self) -> Path:
        """The SQLite file that the workspace has, or would have."""
        return self.root / FILE

    @property
    def place(self) -> str:
        """Where the records are, for people: the file, or the server's address without the password.

        Raises:
            PadimError: ``PADIM_DATABASE_URL`` is not usable.
        """
        url = server_url.configured()
        return str(self.path) if url is None else server_url.described(url)

    def mark(self) -> tuple[int, ...] | None:
        """Return times and sizes of the SQLite file and its log of changes; None if the records are in a
        server.

        Raises:
            PadimError: ``PADIM_DATABASE_URL`` is not usable.
        """
        if server_url.configured() is not None:
            return None
        found: list[int] = []
        for path in (self.path, self.path.with_name(f"{FILE}-wal")):
            try:
                status = path.stat()
                found += [status.st_mtime_ns, status.st_size]
            except OSError:
                found += [0, 0]
        return tuple(found)

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Yield a connection that sees one state of the database; None if there is no database yet.

        Raises:
            PadimError: it is damaged, a later version of this program wrote it, or it is another
                workspace's.
            StorageError: it is locked by another program, or its server cannot be reached.
        """
        with self._there().reading() as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction, which is committed when the block ends without an exception.

        The tables are created at first use, and brought up to date.

        Raises:
            PadimError: it is damaged, a later version of this program wrote it, or it is another
                workspace's.
            StorageError: it is read-only, full or locked by another program, or its server cannot be reached
                or went away: nothing is saved then, as far as the server could say so.
        """
        with self._there().writing() as connection:
            yield connection

    def _there(self) -> SqliteFile | PostgresqlDatabase:
        url = server_url.configured()
        return SqliteFile(self.root) if url is None else PostgresqlDatabase(self.root, url)
