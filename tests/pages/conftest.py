"""Fixtures of the page tests: an own workspace, models in it, and heavy work in this process."""

from __future__ import annotations

import functools
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import streamlit as st
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache

from padim import Padim, Workspace
from padim.storage.model_folders import Entry
from padim.worker import messages, verbs
from padim.worker.process import OnCancel
from tests.pages.session import AddModel
from ui import health
from ui.jobs import watch, work_queue
from ui.views import health as view_of_health
from ui.widgets import health_line


@pytest.fixture(scope="session", autouse=True)
def quick_sessions() -> Iterator[None]:
    """A new session neither looks through the installed packages again nor compiles the pages anew."""
    compiled, get_bytecode = ScriptCache(), ScriptCache.get_bytecode
    scan = functools.cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", scan)
        patch.setattr(ScriptCache, "get_bytecode", lambda _, path: get_bytecode(compiled, path))
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty workspace, and caches that remember nothing of other tests."""
    st.cache_resource.clear()
    st.cache_data.clear()
    watch.registry().clear()
    folder = tmp_path / "home"
    monkeypatch.setenv("PADIM_HOME", str(folder))
    monkeypatch.delenv("PADIM_FOLDERS", raising=False)
    yield folder
    for job in watch.registry().running():
        job.cancel()
        job.wait(240)


def perform_here(
    request: messages.Request, progress: verbs.ReportProgress, on_cancel: OnCancel
) -> messages.WorkerResult:
    """What the worker process does, in this one: quick, and within reach of a test's monkeypatch.

    Requests, outcomes and errors still go through JSON, as they do between the processes.
    """
    cancelled = threading.Event()
    on_cancel(cancelled.set)
    request = messages.request_from_json(messages.request_to_json(request))
    try:
        outcome = verbs.perform(request, progress, cancelled.is_set)
    except Exception as error:
        raise messages.error_from_json(json.loads(json.dumps(messages.error_to_json(error)))) from error
    return messages.WorkerResult.model_validate_json(outcome.model_dump_json())


@pytest.fixture(autouse=True)
def worker_here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heavy work stays in this process, but for tests marked ``worker_process``."""
    if request.node.get_closest_marker("worker_process") is None:
        monkeypatch.setattr(work_queue, "perform", perform_here)


@pytest.fixture(autouse=True)
def no_health_check(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages do not check models in the background, but in tests marked ``health``."""
    if request.node.get_closest_marker("health") is None:
        for where in (health_line, view_of_health):
            monkeypatch.setattr(where, "_checking", lambda entry: None)
        monkeypatch.setattr(health, "start", lambda entry, owner: None)
    monkeypatch.setattr(health, "QUIET_S", 0.0)


@pytest.fixture
def add_model(home: Path, small_model: Padim) -> AddModel:
    """Put a copy of the small model, or of another, with its features, into the workspace."""

    def add(name: str, model: Padim = small_model) -> Entry:
        store = Workspace(home)
        entry = store.create(name)
        shutil.copytree(model.working_set.folder, store.work_dir(entry.id))
        model.save(entry.path)
        return store.get(entry.id)

    return add
