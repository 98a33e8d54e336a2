"""The workspace's database: migrations lead to its tables, and what cannot be opened has a remedy."""

from __future__ import annotations

import multiprocessing
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import select

from padim.errors import PadimError, StorageError
from padim.records import migrating, sqlite_file
from padim.records.database import RecordsDatabase
from padim.records.schema import HEAD, IMAGES, METADATA
from tests.refusing import refusing, tree


def create(root: Path) -> RecordsDatabase:
    made = RecordsDatabase(root)
    with made.writing():
        pass
    return made


def tables(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {name for (name,) in found}


def test_all_migrations_together_make_the_tables(tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory

    with create(tmp_path).writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
        # What autogenerate does not compare on SQLite.
        checks = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'labels'").scalar()
        assert "ck_labels_label" in str(checks)
    assert ScriptDirectory(str(migrating.MIGRATIONS)).get_current_head() == HEAD


def test_reading_creates_nothing(tmp_path: Path) -> None:
    with RecordsDatabase(tmp_path).reading() as connection:
        assert connection is None
    assert list(tmp_path.iterdir()) == []


def test_a_migration_is_done_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from alembic import command

    def interrupted(config: object, revision: str) -> None:
        config.attributes["connection"].exec_driver_sql("CREATE TABLE half (id INTEGER)")  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", interrupted)
        with pytest.raises(KeyboardInterrupt):
            create(tmp_path)
    assert tables(tmp_path / sqlite_file.FILE) == set()
    create(tmp_path)
    assert tables(tmp_path / sqlite_file.FILE) == {*METADATA.tables, "alembic_version"}


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    records = create(tmp_path)

    def failing() -> None:
        with records.writing() as connection:
            connection.execute(IMAGES.insert().values(**ROW))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    with records.reading() as reading:
        assert reading is not None
        assert reading.execute(select(IMAGES)).all() == []


ROW = {
    "model_id": "m",
    "sha256": "0" * 64,
    "name": "a.png",
    "bytes": 1,
    "origin": "files",
    "origin_name": "",
    "added": "2026-01-01T00:00:00+00:00",
}


def test_a_database_of_a_later_version_is_refused(tmp_path: Path) -> None:
    records = create(tmp_path)
    with sqlite3.connect(records.path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0999'")
    with pytest.raises(PadimError, match=r"records\.sqlite: was written by a later version.*install that"):
        records.writing().__enter__()
    with pytest.raises(PadimError, match="later version"):
        records.reading().__enter__()


def test_a_file_that_is_no_database_is_named_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / sqlite_file.FILE).write_bytes(b"no database at all" * 100)
    for opened in (RecordsDatabase(tmp_path).reading(), RecordsDatabase(tmp_path).writing()):
        with pytest.raises(PadimError, match=r"records\.sqlite: is damaged or no database; move it away"):
            opened.__enter__()


def test_a_read_only_workspace_is_read_and_refuses_changes(tmp_path: Path) -> None:
    records = create(tmp_path)
    with records.writing() as connection:
        connection.execute(IMAGES.insert().values(**ROW))
    with refusing(tmp_path):
        with records.reading() as reading:
            assert reading is not None
            assert len(reading.execute(select(IMAGES)).all()) == 1
        with pytest.raises(StorageError, match="read-only") as caught, records.writing():
            pass
    assert caught.value.read_only


def test_a_folder_where_readers_share_nothing_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a read-only file system, where SQLite cannot create the files that readers share."""
    records = create(tmp_path)
    with records.writing() as connection:
        connection.execute(IMAGES.insert().values(**ROW))
    for name in ("-wal", "-shm"):
        (tmp_path / f"{sqlite_file.FILE}{name}").unlink(missing_ok=True)
    revision, asked = sqlite_file._revision, []

    def refused(connection: object, path: Path) -> str | None:
        asked.append(1)
        if len(asked) == 1:
            error = sqlite3.OperationalError("unable to open database file")
            error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
            raise sqlite_file.DBAPIError("reading", None, error)
        return revision(connection, path)  # type: ignore[arg-type]

    monkeypatch.setattr(sqlite_file, "_revision", refused)
    before = tree(tmp_path)
    with records.reading() as reading:
        assert reading is not None
        assert len(reading.execute(select(IMAGES)).all()) == 1
    assert tree(tmp_path) == before


def _insert(root: Path, start: int) -> None:
    for number in range(start, start + 20):
        with RecordsDatabase(root).writing() as connection:
            connection.execute(IMAGES.insert().values({**ROW, "sha256": f"{number:064d}"}))


def test_processes_that_create_it_at_once_lose_no_row(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_insert, args=(tmp_path, start)) for start in (0, 100, 200)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    with RecordsDatabase(tmp_path).reading() as reading:
        assert reading is not None
        found = set(reading.execute(select(IMAGES.c.sha256)).scalars())
    assert found == {f"{start + number:064d}" for start in (0, 100, 200) for number in range(20)}
