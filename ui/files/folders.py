"""Naming a folder on the server, only below the roots its operator has opened (``PADIM_FOLDERS``)."""

from __future__ import annotations

import os
from pathlib import Path

from padim.errors import PadimError

VARIABLE = "PADIM_FOLDERS"


class FolderError(PadimError):
    """The folder named cannot be used; the message says why in one sentence."""


def roots() -> list[Path]:
    """The configured root folders, resolved; empty where the operator has opened none.

    ``PADIM_FOLDERS`` holds one path or several, separated as in ``PATH``.
    """
    given = os.environ.get(VARIABLE, "")
    return [Path(part).expanduser().resolve() for part in given.split(os.pathsep) if part.strip()]


def resolve(named: str) -> Path:
    """The folder or zip a user named, checked to lie below a root after links and ``..`` are followed.

    Args:
        named: a path relative to a root, or an absolute one below a root.

    Raises:
        FolderError: no root is configured, the path leads outside every root, or nothing is there.
    """
    allowed = roots()
    if not allowed:
        raise FolderError("No folder on this server is open to the app. Its operator can open one.")
    named = named.strip()
    if not named:
        raise FolderError("Name a folder.")
    if "\0" in named:
        raise FolderError("This is not a folder name.")
    inside = False
    for root in allowed:
        try:
            path = (root / named).resolve()
        except (OSError, RuntimeError):
            continue
        if path != root and root not in path.parents:
            continue
        inside = True
        if path.is_dir() or (path.is_file() and path.suffix.lower() == ".zip"):
            return path
    if not inside:
        # The same words whether or not something exists there: what lies outside is nobody's business here.
        raise FolderError(f"“{named}” lies outside the folders that are open to the app.")
    raise FolderError(f"There is no folder or zip file “{named}” here.")


def suggestions(limit: int = 50) -> list[str]:
    """Folders directly below the roots, to offer while the user types, relative to their root."""
    found: list[str] = []
    for root in roots():
        try:
            children = sorted(child for child in root.iterdir() if not child.name.startswith("."))
        except OSError:
            continue
        found += [child.name for child in children if child.is_dir() or child.suffix.lower() == ".zip"]
    return found[:limit]
