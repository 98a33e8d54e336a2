"""The bin: a deleted model is kept as it was, comes back as it was, and goes after 30 days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from padim import Padim, Workspace
from padim.errors import ChangedSinceOpenedError, PadimError
from padim.storage import bin as model_bin
from padim.storage.model_folders import Entry


@pytest.fixture
def entry(tmp_path: Path, small_model: Padim) -> Entry:
    store = Workspace(tmp_path / "home")
    entry = store.create("Flange, left")
    small_model.save(entry.path)
    return store.get(entry.id)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_deleted_model_comes_back_as_it_was(entry: Entry, tmp_path: Path) -> None:
    store = Workspace(tmp_path / "home")
    before = files(entry.path)
    deleted = model_bin.put(store, entry.id, revision=entry.revision)
    assert store.models() == []
    assert not entry.path.exists()
    assert model_bin.contents(store) == [deleted]
    assert (deleted.id, deleted.name) == (entry.id, "Flange, left")
    back = model_bin.restore(store, deleted)
    assert (back.id, back.name, back.revision) == (entry.id, entry.name, entry.revision)
    assert files(back.path) == before
    assert model_bin.contents(store) == []


def test_it_goes_after_thirty_days_and_not_before(entry: Entry, tmp_path: Path) -> None:
    store = Workspace(tmp_path / "home")
    deleted = model_bin.put(store, entry.id)
    assert deleted.until - deleted.deleted == timedelta(days=30)
    assert model_bin.sweep(store) == []
    assert model_bin.sweep(store, deleted.until - timedelta(seconds=1)) == []
    assert model_bin.sweep(store, deleted.until) == [deleted]
    assert list((tmp_path / "home" / "bin").iterdir()) == []


def test_refusals_leave_everything_as_it_is(entry: Entry, tmp_path: Path) -> None:
    store = Workspace(tmp_path / "home")
    before = files(entry.path)
    with pytest.raises(ChangedSinceOpenedError):
        model_bin.put(store, entry.id, revision="another")
    assert files(entry.path) == before
    deleted = model_bin.put(store, entry.id)
    entry.path.mkdir()
    with pytest.raises(PadimError, match="restored"):
        model_bin.restore(store, deleted)
    entry.path.rmdir()
    model_bin.remove(store, deleted)
    with pytest.raises(PadimError, match="not in the bin"):
        model_bin.restore(store, deleted)


def test_what_is_no_deleted_model_is_left_alone(entry: Entry, tmp_path: Path) -> None:
    store = Workspace(tmp_path / "home")
    assert model_bin.contents(store) == [], "a workspace that has no bin yet"
    deleted = model_bin.put(store, entry.id)
    for name in ("notes", "20250101T000000-UPPER", f"99999999T999999-{entry.id}", "..x"):
        (deleted.folder.parent / name).mkdir()
    (deleted.folder.parent / f"20200101T000000-{entry.id}").write_text("a file")
    later = datetime.now(UTC) + timedelta(days=1000)
    assert model_bin.contents(store) == [deleted]
    assert model_bin.sweep(store, later) == [deleted]
    assert len(list(deleted.folder.parent.iterdir())) == 5
