"""The folders of studies: one for each set of images, below a common folder."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from padim.errors import BusyError

if TYPE_CHECKING:
    from padim.study.data import Category

__all__ = ["EarlierStudy", "earlier_studies", "remove_study", "study_folder"]


@dataclass(frozen=True)
class EarlierStudy:
    """An existing study with at least one result.

    Attributes:
        folder: its folder.
        label: a description of its images.
        changed: the time of its last change, in local time.
    """

    folder: Path
    label: str
    changed: datetime


def study_folder(root: Path, categories: Sequence[Category], label: str) -> Path:
    """Return the folder for a study of some images; a study of the same images is resumed in it.

    Args:
        root: the folder of all studies.
        categories: the images.
        label: a description of the images for the user.
    """
    contents = [(one.name, *one.normals.samples, "", *one.tests.samples) for one in categories]
    digest = hashlib.sha256(repr(contents).encode()).hexdigest()[:12]
    slug = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40] or "study"
    return root / f"{slug}-{digest}"


def earlier_studies(root: Path) -> list[EarlierStudy]:
    """Return the studies with at least one result, the newest first."""
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
    """Delete a study permanently; a folder that is not directly below ``root`` is not deleted.

    Raises:
        BusyError: the study is at work, in this or another process.
    """
    if folder.parent != root or not folder.is_dir():
        return
    try:
        with FileLock(folder / ".lock", timeout=0):
            shutil.rmtree(folder, ignore_errors=True)
    except Timeout as error:
        raise BusyError(
            f"{folder.name}: a comparison is at work there; delete it when that has ended"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)  # its lock file, where an open file cannot be deleted
