"""A server's database belongs to one workspace, which brings its records and keeps to it."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from padim.errors import PadimError
from padim.records import migrating, moving, server_mark
from padim.records.database import RecordsDatabase
from padim.records.inspections import InspectionRecords
from padim.records.library import ImageLibrary, NewImage
from padim.records.reviews import ReviewRecords
from padim.records.schema import METADATA, WORKSPACE
from padim.records.server_url import VARIABLE
from padim.storage.model_folders import ModelFolders
from tests.recorded import new
from tests.records.postgresql_server import PASSWORD, PostgresqlServer


@pytest.fixture
def url(postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with postgresql.database() as url:
        monkeypatch.setenv(VARIABLE, url)
        yield url


def rows(root: Path) -> dict[str, list[tuple[object, ...]]]:
    with RecordsDatabase(root).reading() as connection:
        assert connection is not None
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in METADATA.sorted_tables
            if table is not WORKSPACE
        }


def filled(root: Path, model_id: str = "") -> ImageLibrary:
    """A workspace with a library, changes, an inspection and reviews."""
    library = ImageLibrary(root, model_id or ModelFolders(root).create("Flange").id)
    images = [NewImage(f"{i}.png", bytes([i]) * 9, "defect", "dent", (("m.png", b"mask"),)) for i in range(3)]
    shas = library.add(images, "files").all
    library.set_label(shas[:1], "good")
    library.remove(shas[1:2])
    InspectionRecords(root, draw=lambda: 0.999).add([new(1), new(2)])
    reviews = ReviewRecords(root)
    reviews.decide(1, "Anna", "reject", defect_type="dent")
    reviews.undo("Anna")
    return library


def test_reading_creates_nothing_and_the_first_write_takes_it_into_use(url: str, tmp_path: Path) -> None:
    with RecordsDatabase(tmp_path).reading() as connection:
        assert connection is None
    assert list(tmp_path.iterdir()) == []
    with RecordsDatabase(tmp_path).writing():
        pass
    assert [path.name for path in tmp_path.iterdir()] == [server_mark.FILE]
    text = (tmp_path / server_mark.FILE).read_text()
    assert json.loads(text)["ready"] is True
    assert PASSWORD not in text
    assert RecordsDatabase(tmp_path).place.startswith("postgresql://padim@")


def test_all_migrations_together_make_the_tables(url: str, tmp_path: Path) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with RecordsDatabase(tmp_path).writing() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_another_workspace_is_refused(url: str, tmp_path: Path) -> None:
    filled(tmp_path / "one")
    before = rows(tmp_path / "one")
    other = RecordsDatabase(tmp_path / "other")
    for opened in (other.reading(), other.writing()):
        with pytest.raises(PadimError, match=r"another workspace .* a database of its own") as caught:
            opened.__enter__()
        assert PASSWORD not in str(caught.value)
    assert rows(tmp_path / "one") == before
    # The remedy that the message names, for a folder that has replaced the workspace.
    (tmp_path / "other").mkdir(exist_ok=True)
    shutil.copy(tmp_path / "one" / server_mark.FILE, tmp_path / "other")
    assert rows(tmp_path / "other") == before


def test_an_empty_database_does_not_take_the_place_of_the_workspaces(
    url: str, tmp_path: Path, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = filled(tmp_path)
    files = {path.name for path in library.files.folder.iterdir()}
    with postgresql.database() as empty:
        for given, match in (
            (empty, "has no records, and those of this workspace are in postgresql://padim@"),
            ("", "the records of this workspace are in postgresql://padim@.*set PADIM_DATABASE_URL"),
        ):
            monkeypatch.setenv(VARIABLE, given)
            for ask in (library.images, library.sweep, lambda: library.set_label(["0" * 64], "good")):
                with pytest.raises(PadimError, match=match) as caught:
                    ask()
                assert PASSWORD not in str(caught.value)
    assert {path.name for path in library.files.folder.iterdir()} == files
    monkeypatch.setenv(VARIABLE, url)
    assert len(library.images()) == 2


def test_the_workspaces_file_is_copied_and_numbers_go_on(
    tmp_path: Path, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = filled(tmp_path)
    before = rows(tmp_path)
    assert all(before[name] for name in ("images", "masks", "changed_items", "evidence", "reviews"))
    with postgresql.database() as url:
        monkeypatch.setenv(VARIABLE, url)
        assert rows(tmp_path) == before, "reading is enough"
        library.add([NewImage("new.png", b"new", "defect", "scratch")], "files")
        assert InspectionRecords(tmp_path).add([new(3)]) == [3]
        assert ReviewRecords(tmp_path).decide(3, "Anna", "reject").id == 3
    with sqlite3.connect(tmp_path / "records.sqlite") as connection:
        assert connection.execute("SELECT count(*) FROM inspections").fetchone() == (2,)


def _killed_while_copying(root: Path) -> None:
    def kill(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    moving.copy_file = kill  # type: ignore[assignment]
    rows(root)


def _killed_before_the_mark_is_final(root: Path) -> None:
    write = server_mark.ServerMark.write

    def kill(self: server_mark.ServerMark, root: Path, *, ready: bool = True) -> None:
        if ready:
            os.kill(os.getpid(), signal.SIGKILL)
        write(self, root, ready=ready)

    server_mark.ServerMark.write = kill  # type: ignore[method-assign]
    rows(root)


@pytest.mark.parametrize("work", [_killed_while_copying, _killed_before_the_mark_is_final])
def test_taking_it_into_use_survives_a_kill(
    work: object, tmp_path: Path, postgresql: PostgresqlServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(tmp_path)
    before = rows(tmp_path)
    with postgresql.database() as url:
        monkeypatch.setenv(VARIABLE, url)
        process = multiprocessing.get_context("fork").Process(target=work, args=(tmp_path,))  # type: ignore[arg-type]
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert rows(tmp_path) == before
        assert json.loads((tmp_path / server_mark.FILE).read_text())["ready"] is True


def test_a_workspace_of_the_librarys_time_keeps_everything(
    tmp_path: Path, each_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables of before versions and inspections, with rows, are brought up to date."""
    url = os.environ.get(VARIABLE, "")
    monkeypatch.delenv(VARIABLE, raising=False)
    library = filled(tmp_path)
    first = ("defect_types", "images", "masks", "labels", "changes", "changed_items")
    before, images = {name: rows(tmp_path)[name] for name in first}, library.images()
    for path in tmp_path.glob("records.sqlite*"):
        path.unlink()
    _at_first_revision(tmp_path / "records.sqlite", before)
    monkeypatch.setenv(VARIABLE, url)
    after = rows(tmp_path)
    assert {name: after[name] for name in first} == before
    assert library.images() == images
    assert InspectionRecords(tmp_path).add([new(1)]) == [1]
    undone = library.undo()
    assert undone is not None
    assert (undone.kind, undone.images) == ("remove", 1)


def _at_first_revision(path: Path, content: dict[str, list[tuple[object, ...]]]) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    config = Config()
    config.set_main_option("script_location", str(migrating.MIGRATIONS))
    with create_engine(f"sqlite:///{path}").begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        for name, values in content.items():
            for row in values:
                marks = ", ".join("?" * len(row))
                connection.exec_driver_sql(f"INSERT INTO {name} VALUES ({marks})", row)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("mysql://root:secret@host/db", "of the kind “mysql”; records are kept in PostgreSQL"),
        ("sqlite:////tmp/secret.sqlite", "names an SQLite file; SQLite is used without this setting"),
        ("secret", "is not the URL of a database; give postgresql://user:password@host"),
        ("postgresql://user:secret@host:port/db", "is not the URL of a database"),
        ("postgresql://user:secret@host", "names no database"),
    ],
)
def test_other_databases_are_refused_without_telling_the_password(
    given: str, match: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, given)
    for opened in (RecordsDatabase(tmp_path).reading(), RecordsDatabase(tmp_path).writing()):
        with pytest.raises(PadimError, match=match) as caught:
            opened.__enter__()
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


def test_a_damaged_mark_is_named(tmp_path: Path) -> None:
    (tmp_path / server_mark.FILE).write_text("{")
    with pytest.raises(PadimError, match=r"records-server\.json: is damaged; restore it"):
        RecordsDatabase(tmp_path).reading().__enter__()
