"""Databases that are locked, full, read-only, newer or away: said with the remedy, nothing half saved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, insert, select, text

from padim.errors import PadimError, StorageError
from padim.records import postgresql as postgresql_module
from padim.records import sqlite_file
from padim.records.database import RecordsDatabase
from padim.records.inspections import InspectionRecords
from padim.records.reviews import ReviewRecords
from padim.records.schema import HEAD, WORKSPACE
from padim.records.server_url import VARIABLE
from tests.recorded import new
from tests.records.postgresql_server import PASSWORD, PostgresqlServer


@pytest.fixture
def records(tmp_path: Path) -> InspectionRecords:
    """One inspection on record, in SQLite."""
    made = InspectionRecords(tmp_path, draw=lambda: 0.999)
    made.add([new(1)])
    return made


def refused(records: InspectionRecords, match: str, *, read_only: bool = False) -> StorageError:
    """Neither an inspection nor a decision is stored; return the error."""
    with pytest.raises(StorageError, match=match) as caught:
        records.add([new(2), new(3)])
    with pytest.raises(StorageError, match=match):
        ReviewRecords(records.files.folder.parent).decide(1, "Anna", "reject")
    assert caught.value.read_only == read_only
    assert PASSWORD not in str(caught.value)
    return caught.value


def unchanged(records: InspectionRecords) -> None:
    assert [one.uid for one in records.page().items] == [new(1).uid]
    assert ReviewRecords(records.files.folder.parent).events(1) == []


# -- SQLite ----------------------------------------------------------------------------------------------


def test_a_locked_file(records: InspectionRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "_PATIENCE", 1)
    sqlite_file._engine.cache_clear()
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as other:
        other.execute("BEGIN IMMEDIATE")
        refused(records, r"records\.sqlite: another program keeps it locked; close that, and do it again")
        unchanged(records)  # reading waits for nobody
    sqlite_file._engine.cache_clear()
    assert len(records.add([new(2)])) == 1


def test_a_full_disk(records: InspectionRecords, tmp_path: Path) -> None:
    engine = sqlite_file._engine(str((tmp_path / "records.sqlite").resolve()), "rw")

    def full(connection: sqlite3.Connection, _: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")

    event.listen(engine, "connect", full)
    large = [new(number, thumbnail=bytes(20_000)) for number in range(2, 40)]
    with pytest.raises(StorageError, match=r"records\.sqlite: no space left on the disk; free some space"):
        records.add(large)
    unchanged(records)
    event.remove(engine, "connect", full)
    assert len(records.add(large)) == len(large)


def test_a_disk_that_fails(records: InspectionRecords, tmp_path: Path) -> None:
    (tmp_path / "records.sqlite-wal").unlink(missing_ok=True)
    (tmp_path / "records.sqlite-wal").mkdir()  # cannot be opened as a file
    refused(records, r"records\.sqlite: cannot be read or written .*; check the disk and the rights")


# -- PostgreSQL ------------------------------------------------------------------------------------------


@pytest.fixture
def url(postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with postgresql.database() as url:
        monkeypatch.setenv(VARIABLE, url)
        yield url


@pytest.fixture
def on_server(url: str, tmp_path: Path) -> InspectionRecords:
    made = InspectionRecords(tmp_path, draw=lambda: 0.999)
    made.add([new(1)])
    return made


def test_a_server_that_is_away_and_comes_back(
    on_server: InspectionRecords, postgresql: PostgresqlServer
) -> None:
    postgresql.stop()
    try:
        for ask in (on_server.page, lambda: on_server.add([new(2)])):
            with pytest.raises(
                StorageError, match=r"the database server cannot be reached .*start the"
            ) as caught:
                ask()
            assert PASSWORD not in str(caught.value)
    finally:
        postgresql.start()
    unchanged(on_server)
    on_server.add([new(2)])


def test_a_server_that_crashes_while_something_is_saved(
    on_server: InspectionRecords, postgresql: PostgresqlServer, tmp_path: Path
) -> None:
    database = RecordsDatabase(tmp_path)

    def saving() -> None:
        with database.writing() as connection:
            connection.execute(text("UPDATE inspections SET waits = false"))
            postgresql.stop("immediate")

    try:
        with pytest.raises(StorageError, match="what was being saved may not be saved"):
            saving()
    finally:
        postgresql.start()
    assert on_server.page().items[0].waits
    ReviewRecords(tmp_path).decide(1, "Anna", "reject")


def test_connections_that_the_server_has_ended_are_replaced(
    on_server: InspectionRecords, postgresql: PostgresqlServer
) -> None:
    postgresql.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'padim'")
    unchanged(on_server)


def test_a_server_where_another_writer_stays(
    on_server: InspectionRecords, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_module, "_PATIENCE", "1ms")

    def staying() -> None:
        with RecordsDatabase(tmp_path).writing() as connection:
            connection.execute(text("UPDATE inspections SET waits = false"))
            refused(on_server, "another program keeps it locked; close that, and do it again")
            assert on_server.page().items[0].waits, "reading waits for nobody, and sees what is committed"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        staying()
    unchanged(on_server)


@pytest.mark.parametrize(
    ("state", "match"),
    [
        ("53100", "no space left on the server's disk; free some space there"),
        ("53300", "no connection left"),
        ("53200", "not enough memory"),
        ("57014", "took too long"),
    ],
)
def test_a_server_without_room(on_server: InspectionRecords, tmp_path: Path, state: str, match: str) -> None:
    """As the server reports it, by an error of the same state."""

    def saving() -> None:
        with RecordsDatabase(tmp_path).writing() as connection:
            connection.execute(text("UPDATE inspections SET waits = false"))
            connection.execute(text(f"DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '{state}'; END $$"))

    with pytest.raises(StorageError, match=match):
        saving()
    assert on_server.page().items[0].waits


def test_a_server_that_is_read_only(
    on_server: InspectionRecords, postgresql: PostgresqlServer, url: str
) -> None:
    name = url.split("@/")[1].split("?")[0]
    postgresql.run(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    postgresql_module._engine_of.cache_clear()  # connections begin with the setting
    refused(on_server, "the server is read-only, perhaps a replica", read_only=True)
    unchanged(on_server)


def test_a_user_who_may_only_read(
    on_server: InspectionRecords, postgresql: PostgresqlServer, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = url.split("@/")[1].split("?")[0]
    postgresql.run(f"CREATE ROLE reader{name} LOGIN PASSWORD 'other'")
    postgresql.run(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader{name}", name)
    monkeypatch.setenv(VARIABLE, postgresql.url(name, "other", f"reader{name}"))
    refused(on_server, "this user may not change the tables", read_only=True)
    unchanged(on_server)


def test_what_the_server_refuses(
    on_server: InspectionRecords, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "postgres"
    for given, match in (
        (
            postgresql.url(name, "wrong-" + PASSWORD),
            "refuses the user or the password; correct them in PADIM_",
        ),
        (postgresql.url(name, "", "padim").replace(":@", "@"), "refuses the user or the password"),
        (postgresql.url("absent"), r"/absent: the server has no such database; create it \(createdb\)"),
        (
            "postgresql://x:secret@127.0.0.1:1/db",
            r"postgresql://x@127\.0\.0\.1:1/db: the database server can",
        ),
        ("postgresql://x:secret@host.invalid/db", "the database server cannot be reached"),
    ):
        monkeypatch.setenv(VARIABLE, given)
        with pytest.raises(StorageError, match=match) as caught:
            on_server.page()
        assert "secret" not in str(caught.value)
        assert PASSWORD not in str(caught.value)


def test_a_later_version_and_another_program(on_server: InspectionRecords, tmp_path: Path) -> None:
    for revision, match in (("0999", "later version.*install that version"), ("ab12cd", "another program")):
        with RecordsDatabase(tmp_path).writing() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = :new"), {"new": revision})
        for ask in (on_server.page, lambda: on_server.add([new(2)])):
            with pytest.raises(PadimError, match=match):
                ask()
        _set_back(tmp_path)
    unchanged(on_server)


def _set_back(root: Path) -> None:
    """Undo the change of the version behind the program's back."""
    there = RecordsDatabase(root)._there()
    assert isinstance(there, postgresql_module.PostgresqlDatabase)
    with there._engine().begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :head"), {"head": HEAD})


def test_a_text_that_cannot_be_stored(on_server: InspectionRecords, tmp_path: Path) -> None:
    def saving() -> None:
        with RecordsDatabase(tmp_path).writing() as connection:
            connection.execute(text("UPDATE inspections SET waits = false"))
            connection.execute(insert(WORKSPACE).values(id="a\0b"))

    with pytest.raises(PadimError, match=r"a value cannot be stored .*nothing was saved"):
        saving()
    assert on_server.page().items[0].waits
    with RecordsDatabase(tmp_path).reading() as connection:
        assert connection is not None
        assert len(connection.execute(select(WORKSPACE)).all()) == 1
