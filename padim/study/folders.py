"""Studies below one folder: each in a folder of its own, named after the images it is made on."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padim.study.data import Category

__all__ = ["EarlierStudy", "earlier_studies", "remove_study", "study_folder"]


@dataclass(frozen=True)
class EarlierStudy:
    """A study with any result.

    Attributes:
        folder: its own.
        label: what it was made on.
        changed: when, in local time.
    """

    folder: Path
    label: str
    changed: datetime


def study_folder(root: Path, categories: Sequence[Category], label: str) -> Path:
    """The folder for a study of these images: the same ones have the same folder, and so go on with it.

    Args:
        root: of all studies.
        categories: the images.
        label: what they are, as the user knows it.
    """
    contents = [(one.name, *one.normals.samples, "", *one.tests.samples) for one in categories]
    digest = hashlib.sha256(repr(contents).encode()).hexdigest()[:12]
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40] or "study"
    return root / f"{slug}-{digest}"


def earlier_studies(root: Path) -> list[EarlierStudy]:
    """Those with any result, the newest first."""
    found = []
    for file in root.glob("*/study.json"):
        try:
            changed = datetime.fromtimestamp(file.stat().st_mtime)
        except OSError:  # deleted meanwhile
            continue
        if any((file.parent / "results").glob("*.json")):
            label = file.parent.name.rpartition("-")[0].replace("-", " ")
            found.append(EarlierStudy(file.parent, label, changed))
    return sorted(found, key=lambda one: one.changed, reverse=True)


def remove_study(root: Path, folder: Path) -> None:
    """Remove a study for good; a folder that does not lie directly below ``root`` stays."""
    if folder.parent == root:
        shutil.rmtree(folder, ignore_errors=True)
