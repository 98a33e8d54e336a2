"""Portable file names made from arbitrary names."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

__all__ = ["flat_name"]

_LONGEST = 120


def flat_name(name: str, suffix: str, used_names: set[str]) -> str:
    """Return a portable, unused file name without folders.

    Args:
        name: any name; may contain folders and characters that file systems reject.
        suffix: the file's extension, with its dot.
        used_names: names in use, in lower case; the new one is added.
    """
    folders = [part for part in re.split(r"[\\/:]+", name) if part.strip(". ")]
    stem = "__".join([*folders[:-1], PurePosixPath(folders[-1]).stem]) if folders else ""
    plain = re.sub(r"[^\w.()-]+", "_", stem).strip("._") or "image"
    plain = plain[:_LONGEST]
    chosen, again = f"{plain}{suffix}", 2
    while chosen.lower() in used_names:
        chosen, again = f"{plain}_{again}{suffix}", again + 1
    used_names.add(chosen.lower())
    return chosen
