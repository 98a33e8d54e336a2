"""Labels: stored with the model by the image's hash, while the list of changes belongs to the session."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from padim import Workspace
from padim.storage.model_folders import Entry
from ui.widgets import labels

ONE, OTHER = "1" * 64, "2" * 64


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[Entry]:
    made = Workspace(tmp_path).create("Line 3")
    yield made
    labels.forget_kept(made)


def test_labels_are_kept_changed_and_taken_away(entry: Entry) -> None:
    labels.put(entry, ONE, "defect")
    labels.put(entry, OTHER, "good")
    assert labels.labels(entry) == {ONE: "defect", OTHER: "good"}
    labels.put(entry, ONE, "good")
    labels.put(entry, OTHER, None)
    assert labels.labels(entry) == {ONE: "good"}
    labels.put(entry, OTHER, None)  # there is no label to remove


def test_kept_is_no_label(entry: Entry) -> None:
    labels.put(entry, ONE, "defect")
    labels.keep(entry, ONE)
    assert labels.labels(entry) == {ONE: "defect"}
    assert labels.kept(entry) == {ONE}
    labels.keep(entry, ONE, off=False)
    assert labels.kept(entry) == set()
    labels.keep(entry, OTHER)
    labels.forget_kept(entry)
    assert labels.kept(entry) == set()


def test_a_deleted_model_does_not_come_back_as_a_folder(entry: Entry) -> None:
    shutil.rmtree(entry.path)
    with pytest.raises(FileNotFoundError, match="the model was deleted"):
        labels.put(entry, ONE, "defect")
    assert not entry.path.exists()


@pytest.mark.parametrize("content", [b"", b"[1]", b"{", b'{"a": "evil", "b": 3}', b"\xff\xfe"])
def test_a_damaged_file_does_not_prevent_calibration(entry: Entry, content: bytes) -> None:
    (entry.path / "labels.json").write_bytes(content)
    assert labels.labels(entry) == {}
    labels.put(entry, ONE, "defect")
    assert labels.labels(entry) == {ONE: "defect"}
