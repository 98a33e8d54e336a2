"""Group repeat shots by part, from their folders and file names alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Literal

import numpy as np

from padim.data.grouping import SIDE, propose_groups

__all__ = ["Part", "Split", "splits"]

Split = Literal["one", "folder", "name"]
# The part's name and the positions of its images.
Part = tuple[str, list[int]]


def splits(names: Sequence[str]) -> dict[Split, list[Part]]:
    """Return the possible ways of dividing repeat shots into parts.

    Args:
        names: names of the images, with their folders where there are any.

    Returns:
        The parts by way of dividing, the most reliable first: by folder, then by name; last, always, that all
        images show one part.
    """
    paths = [name.replace("\\", "/") for name in names]
    # By names alone: without several other parts to compare with, similarity cannot distinguish shots.
    blank = np.zeros((len(paths), SIDE * SIDE), np.float32)
    proposed = {p.rule: p.groups for p in propose_groups(paths, [str(i) for i in range(len(paths))], blank)}
    found: dict[Split, list[Part]] = {}
    folders = proposed.get("sub_folder") or _by_folder(paths)
    if folders:
        found["folder"] = [(_common_folder(paths, group), list(group)) for group in folders]
    if "name_prefix" in proposed:
        found["name"] = [(_prefix(paths, group), list(group)) for group in proposed["name_prefix"]]
    found["one"] = [("The part", list(range(len(paths))))]
    return found


def _by_folder(paths: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the images of each folder, if two or more folders have at least two images each.

    ``propose_groups`` requires three folders of at most twenty images: it looks for repeat shots among normal
    images, where a folder is more often a day. Here the user has stated that the images are repeat shots.
    """
    by_folder: dict[str, list[int]] = {}
    for i, path in enumerate(paths):
        by_folder.setdefault(str(PurePosixPath(path).parent), []).append(i)
    groups = [tuple(group) for group in by_folder.values() if len(group) > 1]
    return groups if len(groups) > 1 else []


def _common_folder(paths: Sequence[str], group: Sequence[int]) -> str:
    common = PurePosixPath(paths[group[0]]).parent
    while any(not PurePosixPath(paths[i]).is_relative_to(common) for i in group):
        common = common.parent
    return str(common)


def _prefix(paths: Sequence[str], group: Sequence[int]) -> str:
    stems = [paths[i].removesuffix(PurePosixPath(paths[i]).suffix) for i in group]
    end = 0
    while all(len(stem) > end and stem[end] == stems[0][end] for stem in stems):
        end += 1
    return stems[0][:end].rstrip("-_ .(") or stems[0]
