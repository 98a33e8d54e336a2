"""What the page tests share: a workspace of the test's own, and models in it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st

from padim import Padim, Workspace
from padim.store import Entry
from tests.pages.session import AddModel
from ui import watch


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty workspace, and caches that remember nothing of other tests."""
    st.cache_resource.clear()
    st.cache_data.clear()
    folder = tmp_path / "home"
    monkeypatch.setenv("PADIM_HOME", str(folder))
    monkeypatch.delenv("PADIM_FOLDERS", raising=False)
    yield folder
    for job in watch.registry().running():
        job.cancel()
        job.wait(60)


@pytest.fixture
def add_model(home: Path, small_model: Padim) -> AddModel:
    """Put a copy of the small model, or of another, with its features, into the workspace."""

    def add(name: str, model: Padim = small_model) -> Entry:
        store = Workspace(home)
        entry = store.create(name)
        shutil.copytree(model.work_dir, store.work_dir(entry.id))
        model.save(entry.path)
        return store.get(entry.id)

    return add
