"""Rows of a model: kept while it can be restored, gone with it, and never those of another model."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from padim import Padim, Workspace
from padim.records import deleted_models
from padim.records.database import RecordsDatabase
from padim.records.library import ImageLibrary, NewImage
from padim.records.schema import CHANGED_ITEMS, CHANGES, DEFECT_TYPES, IMAGES, LABELS, MASKS
from padim.storage import bin as model_bin
from padim.storage.model_folders import Entry

ON_EACH_DATABASE = True


def with_images(store: Workspace, model: Padim, name: str) -> Entry:
    """Create a model whose library has rows in every table."""
    entry = store.create(name)
    model.save(entry.path)
    library = ImageLibrary(store.root, entry.id)
    images = [NewImage(f"{i}.png", bytes([i]) * 9, "defect", "dent", (("m.png", b"mask"),)) for i in range(3)]
    shas = library.add(images, "files").all
    library.set_label(shas[:1], "good")
    library.remove(shas[1:2])
    return entry


def rows(root: Path) -> dict[str, int]:
    with RecordsDatabase(root).reading() as connection:
        assert connection is not None
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (IMAGES, MASKS, LABELS, DEFECT_TYPES, CHANGES, CHANGED_ITEMS)
        }


@pytest.mark.parametrize("way", ["sweep", "remove", "by hand"])
def test_rows_go_with_the_model_and_not_before(tmp_path: Path, small_model: Padim, way: str) -> None:
    store = Workspace(tmp_path / "home")
    kept = with_images(store, small_model, "Kept")
    only_kept = rows(store.root)
    assert all(only_kept.values())
    gone = with_images(store, small_model, "Gone")
    both = rows(store.root)
    deleted = model_bin.put(store, gone.id)
    assert deleted_models.sweep(store) == []
    assert deleted_models.forget_missing(store) == []
    assert rows(store.root) == both, "it can be restored"
    if way == "sweep":
        assert deleted_models.sweep(store, deleted.deleted + timedelta(days=30)) == [deleted]
    elif way == "remove":
        deleted_models.remove(store, deleted)
    else:
        model_bin.remove(store, deleted)
        assert deleted_models.forget_missing(store) == [gone.id]
    assert rows(store.root) == only_kept
    assert ImageLibrary(store.root, kept.id).counts() == {"good": 1, "defect": 1, "unknown": 0}


def test_without_a_database_there_is_nothing_to_forget(tmp_path: Path) -> None:
    store = Workspace(tmp_path / "home")
    assert deleted_models.forget_missing(store) == []
    assert not (tmp_path / "home").exists()
