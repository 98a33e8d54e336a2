"""A level map that is not kept is made again, and is the one that decided; otherwise it is said why not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from padim import Padim, Workspace
from padim.records.inspection import Inspection, InspectionContext
from padim.records.inspections import InspectionRecords
from padim.records.recording import new_inspection
from padim.records.remade_map import RemadeMaps
from padim.records.versions import ModelVersions
from padim.records.workspace_settings import OriginalsSettings, WorkspaceSettings
from tests.parts import normals


@pytest.fixture
def accepted(tmp_path: Path, small_model: Padim) -> tuple[Inspection, np.ndarray]:
    """An accepted part on record whose image is kept and whose level map is not, and that map."""
    workspace = Workspace(tmp_path)
    entry = workspace.create("Plate")
    workspace.save(entry.id, small_model)
    version = ModelVersions(tmp_path, entry.id).catch_up()
    assert version is not None
    WorkspaceSettings(tmp_path).set(OriginalsSettings(keep="all"), "Anna")
    image = normals(1, first=400)[0]
    (prediction,) = small_model.predict([image])
    assert not prediction.rejected
    new = new_inspection(
        small_model,
        prediction,
        InspectionContext("Anna"),
        model_id=entry.id,
        version_id=version.id,
        original=bytes(image[1]),
    )
    records = InspectionRecords(tmp_path, draw=lambda: 0.999)
    (row,) = records.add([new])
    assert records.levels(row) is None
    found = records.get(row)
    assert found is not None
    return found, prediction.levels


def test_it_is_the_map_that_decided(accepted: tuple[Inspection, np.ndarray], tmp_path: Path) -> None:
    levels, why = RemadeMaps(tmp_path).levels(accepted[0])
    assert why == ""
    assert levels is not None
    np.testing.assert_array_equal(levels, accepted[1])


def test_it_is_said_why_it_cannot_be_made(accepted: tuple[Inspection, np.ndarray], tmp_path: Path) -> None:
    one, maps = accepted[0], RemadeMaps(tmp_path)
    assert "scores the image differently" in maps.levels(replace(one, score_level=one.score_level + 1))[1]
    assert "names no version" in maps.levels(replace(one, version_id=None))[1]
    assert "its version is not on record" in maps.levels(replace(one, version_id=99))[1]
    for path in ModelVersions(tmp_path, one.model_id).files.folder.rglob("*"):
        if path.is_file():
            path.unlink()
    assert (
        "cannot be made again: version 1 of “Plate” cannot be opened" in RemadeMaps(tmp_path).levels(one)[1]
    )
    InspectionRecords(tmp_path).files.original_path(one.sha256).unlink()
    assert RemadeMaps(tmp_path).levels(one) == (None, "not kept, and neither is the image")
