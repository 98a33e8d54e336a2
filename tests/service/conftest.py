"""A workspace with one approved model, for what inspects on the line."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from padim import Workspace
from padim.records.recipes import Recipes
from padim.records.versions import ModelVersions

PART_NUMBER = "FL-100"


@dataclass(frozen=True)
class Line:
    """A workspace's folder, and the id of the model in it, which inspects ``PART_NUMBER``."""

    root: Path
    model_id: str

    @property
    def model_path(self) -> Path:
        return self.root / "models" / self.model_id

    def set_threshold(self, value: float) -> None:
        """Save a changed model, which makes an approved version of it."""
        with Workspace(self.root).edit(self.model_id) as model:
            model.set_decision(value=value)


@pytest.fixture
def line(tmp_path: Path, saved_model: Path) -> Line:
    """A workspace in which the small model inspects part number FL-100."""
    workspace = Workspace(tmp_path / "workspace")
    entry = workspace.create("Flange")
    shutil.copytree(saved_model, entry.path, dirs_exist_ok=True)
    ModelVersions(workspace.root, entry.id).catch_up()
    Recipes(workspace.root).set(PART_NUMBER, entry.id, "Ann")
    return Line(workspace.root, entry.id)
