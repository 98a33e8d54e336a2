"""Identity of scores, and edits of a model that wait for each other."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest

from padim import Padim, Workspace
from padim.errors import PadimError
from padim.storage.model_folders import Entry
from ui.app import workspace


@pytest.fixture
def entry(small_model: Padim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Entry:
    """Return a saved model in the test's own workspace."""
    monkeypatch.setenv("PADIM_HOME", str(tmp_path))
    store = Workspace(tmp_path)
    made = store.create("Parts")
    shutil.copytree(small_model.working_set.folder, store.work_dir(made.id))
    small_model.save(made.path)
    return store.get(made.id)


def test_scores_outlive_a_threshold_and_a_smallest_region_only(entry: Entry) -> None:
    def identity() -> str:
        return workspace.scoring_identity(workspace.store().get(entry.id))

    before = identity()
    with workspace.edit(entry) as model:
        model.set_decision(percentile=80, min_area=30)
    assert identity() == before
    assert workspace.changed(entry)
    seen = {before}
    for change in (
        lambda model: model.set_decision(smoothing_sigma=3.0),
        lambda model: model.set_roi(np.eye(64, dtype=bool)),
        lambda model: model.exclude(0, "kept_out"),
    ):
        with workspace.edit(entry) as model:
            change(model)
        assert identity() not in seen
        seen.add(identity())


def test_held_out_maps_change_with_the_parts_alone(entry: Entry) -> None:
    with workspace.edit(entry) as model:
        model.regroup({"good_000.png": "a", "good_001.png": "a"})
    now = workspace.store().get(entry.id)
    assert workspace.scoring_identity(now) == workspace.scoring_identity(entry)
    assert workspace.held_out_identity(now) != workspace.held_out_identity(entry)


def test_an_edit_does_not_wait_for_ever(entry: Entry) -> None:
    inside, done = threading.Event(), threading.Event()

    def long_work() -> None:
        with workspace.edit(entry):
            inside.set()
            done.wait(240)

    thread = threading.Thread(target=long_work)
    thread.start()
    try:
        assert inside.wait(240)
        with pytest.raises(PadimError, match="being changed"), workspace.edit(entry, patience=0.01):
            pytest.fail("two edits at once")
    finally:
        done.set()
        thread.join()
    with workspace.edit(entry, patience=0.01) as model:  # and afterwards it goes on
        assert model.normals_


def test_an_edit_that_fails_changes_nothing(entry: Entry) -> None:
    def failing() -> None:
        with workspace.edit(entry) as model:
            model.exclude(0, "not_good")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert not workspace.changed(entry)
    with workspace.edit(entry, patience=0.01):
        pass  # the lock was released
