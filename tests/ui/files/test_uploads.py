"""Release of uploads: the server's copy is dropped, and the uploader starts empty."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from streamlit import runtime
from streamlit.proto.Common_pb2 import FileURLs
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.uploaded_file_manager import UploadedFileRec
from streamlit.typing import UploadedFile

from ui.app import state
from ui.files import uploads


@pytest.fixture
def manager(monkeypatch: pytest.MonkeyPatch) -> MemoryUploadedFileManager:
    """Return Streamlit's own upload store, without a server."""
    store = MemoryUploadedFileManager("/upload")
    monkeypatch.setattr(runtime, "exists", lambda: True)
    monkeypatch.setattr(runtime, "get_instance", lambda: SimpleNamespace(uploaded_file_mgr=store))
    monkeypatch.setattr(uploads, "get_script_run_ctx", lambda: SimpleNamespace(session_id="me"))
    kept: dict[type, object] = {}
    monkeypatch.setattr(state, "of", lambda kind: kept.setdefault(kind, kind()))
    return store


def upload(store: MemoryUploadedFileManager, session: str, file_id: str) -> uploads.Named:
    record = UploadedFileRec(file_id, f"{file_id}.png", "image/png", b"pixels")
    store.add_file(session, record)
    return record.name, UploadedFile(record, FileURLs())


def test_released_files_leave_the_server_but_not_their_reader(manager: MemoryUploadedFileManager) -> None:
    mine = [upload(manager, "me", "a"), upload(manager, "me", "b")]
    upload(manager, "me", "still wanted")
    upload(manager, "another session", "a")
    before = uploads._key("normals")
    uploads.release("normals", mine)
    assert [record.file_id for record in manager.get_files("me", ["a", "b", "still wanted"])] == [
        "still wanted"
    ]
    assert manager.get_files("another session", ["a"])
    assert mine[0][1].getvalue() == b"pixels"  # a running fit can still read it
    assert uploads._key("normals") != before  # a new widget, and so an empty one
    assert uploads._key("tests") == "tests-0"
