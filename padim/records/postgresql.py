"""The workspace's records in a PostgreSQL database, which many read while one at a time writes.

Writers hold one advisory lock of the database until their transaction ends, so that everything that holds of
the SQLite file holds here too: what a writer has read stays true until it commits.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, insert, select, text

from padim.errors import PadimError
from padim.records import migrating, moving, server_mark, server_url
from padim.records.postgresql_errors import explained
from padim.records.schema import HEAD, WORKSPACE
from padim.records.server_mark import ServerMark
from padim.records.sqlite_file import FILE
from padim.storage.atomic import explain_os_error

# "padim", as a number: the lock that writers hold.
_LOCK = 0x706164696D
# How long a writer waits for the others; and how long one may do nothing in its transaction before the server
# ends it, as the lock of a machine without power would otherwise stop everybody.
_PATIENCE, _IDLE = "20s", "10min"


class PostgresqlDatabase:
    """The records of one workspace in a server's database; cheap to create."""

    def __init__(self, root: Path, url: URL) -> None:
        """
        Args:
            root: the workspace's folder.
            url: the database, as :func:`padim.records.server_url.configured` returns it.
        """
        self.root = root
        self.place = server_url.described(url)
        self._url = url

    @contextmanager
    def reading(self) -> Iterator[Connection | None]:
        """Yield a connection that sees one state of the database; None if there are no records yet."""
        with explained(self.place):
            with self._engine().connect() as connection:
                _see_one_state(connection)
                if self._is_ready(connection):
                    yield connection
                    return
            if self._mark() is None and not (self.root / FILE).is_file():
                yield None
                return
            self._prepare()
            with self._engine().connect() as connection:
                _see_one_state(connection)
                yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Yield a connection in a transaction, which is committed when the block ends without an exception.

        The tables are created at first use, and brought up to date; records that the workspace has in an
        SQLite file are copied then.
        """
        with explained(self.place):
            with self._engine().connect() as connection, connection.begin():
                _lock(connection)
                ready = self._is_ready(connection)
                if ready:
                    yield connection
            if ready:
                return
            self._prepare()
            with self._engine().connect() as connection, connection.begin():
                _lock(connection)
                yield connection

    # -- taking into use ---------------------------------------------------------------------------------

    def _is_ready(self, connection: Connection) -> bool:
        """Return whether the database has this workspace's records, in the present tables.

        Raises:
            PadimError: it has those of another workspace, or of a later version.
        """
        there = text(
            "SELECT to_regclass('alembic_version') IS NOT NULL, to_regclass('workspace') IS NOT NULL"
        )
        has_tables, has_workspace = connection.execute(there).one()
        revision = workspace = None
        if has_tables:
            revision = connection.execute(text("SELECT max(version_num) FROM alembic_version")).scalar()
        migrating.checked(revision, self.place)
        if has_tables and has_workspace:
            workspace = connection.execute(select(WORKSPACE.c.id)).scalar()
        mark = self._mark()
        if workspace is None:
            if mark is not None and mark.ready:
                raise PadimError(
                    f"{self.place}: has no records, and those of this workspace are in {mark.server}; give "
                    "that database, restore a backup, or delete "
                    f"{self._mark_file} to begin without records"
                )
            return False
        if mark is None or mark.workspace != workspace:
            raise PadimError(
                f"{self.place}: has the records of another workspace ({workspace}), which would lose those "
                "of its models; give each workspace a database of its own. If this folder has replaced that "
                f"workspace, copy its {server_mark.FILE} to {self.root}"
            )
        return revision == HEAD and mark.ready

    def _prepare(self) -> None:
        """Bring the tables up to date, and take the database into use for this workspace.

        The mark in the workspace is written before the database has the workspace's identity, and is made
        final afterwards: a process that is killed in between goes on where it was.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            before = self._mark()
            mark = before or ServerMark(uuid.uuid4().hex, self.place)
            with self._engine().connect() as connection:
                with connection.begin():
                    _lock(connection)
                    migrating.upgrade(connection)
                    found = connection.execute(select(WORKSPACE.c.id)).scalar()
                    if found is None:
                        mark.write(self.root, ready=False)
                        moving.copy_file(self.root, connection)
                        connection.execute(insert(WORKSPACE).values(id=mark.workspace))
                    elif found != mark.workspace:
                        raise PadimError(f"{self.place}: another workspace has just taken it into use")
                mark.write(self.root)
        except OSError as error:
            raise explain_os_error(error) from error

    @property
    def _mark_file(self) -> Path:
        return self.root / server_mark.FILE

    def _mark(self) -> ServerMark | None:
        return server_mark.read(self.root)

    def _engine(self) -> Engine:
        return _engine_of(self._url, os.getpid())


# A process that was forked does not use the connections of its parent.
@lru_cache(maxsize=8)
def _engine_of(url: URL, _: int) -> Engine:
    return create_engine(
        url,
        pool_size=4,
        max_overflow=-1,
        pool_pre_ping=True,
        pool_recycle=600,
        hide_parameters=True,
        connect_args={"prepare_threshold": None},
    )


def _see_one_state(connection: Connection) -> None:
    """Let a transaction that has begun see the database as it is now, whatever others commit meanwhile."""
    connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))


def _lock(connection: Connection) -> None:
    """Wait until no other writer is in a transaction."""
    connection.execute(text(f"SET LOCAL lock_timeout = '{_PATIENCE}'"))
    connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = '{_IDLE}'"))
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
