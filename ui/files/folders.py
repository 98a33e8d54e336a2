"""Access to folders on the server, only below the roots that its operator has opened (``PADIM_FOLDERS``)."""

from __future__ import annotations

from pathlib import Path

from padim import settings
from padim.data.formats import IMAGE_SUFFIXES
from padim.errors import PadimError

VARIABLE = "PADIM_FOLDERS"


class FolderError(PadimError):
    """Raised when a named folder cannot be used; the message states the reason in one sentence."""


def roots() -> list[Path]:
    """Return the configured root folders, resolved; empty if the operator has opened none.

    ``PADIM_FOLDERS`` contains one or more paths, separated as in ``PATH``.
    """
    return [path.resolve() for path in settings.current().folders]


def resolve(named: str) -> Path:
    """Return the folder or zip that a user named, if it is below a root with links and ``..`` resolved.

    Args:
        named: a path relative to a root, or an absolute one below a root.

    Raises:
        FolderError: no root is configured, the path is outside every root, or it does not exist.
    """
    candidates = _candidates(named)
    for path in candidates:
        if path.is_dir() or (path.is_file() and path.suffix.lower() in (".zip", *IMAGE_SUFFIXES)):
            return path
    raise FolderError(f"There is no folder, zip file or image “{named.strip()}” here.")


def place(named: str) -> Path:
    """Return the folder that a user named for files to be written to; it need not exist.

    Args:
        named: a path relative to a root, or an absolute one below a root.

    Raises:
        FolderError: no root is configured, the path is outside every root, or a file has its name.
    """
    candidates = _candidates(named)
    if found := next((path for path in candidates if path.is_dir()), None):
        return found
    # Where there are several roots: the one that has the folder in which it is to be made.
    path = next((path for path in candidates if path.parent.is_dir()), candidates[0])
    if path.exists():
        raise FolderError(f"“{named.strip()}” is a file. Name a folder.")
    return path


def _candidates(named: str) -> list[Path]:
    """Return the paths below the roots that a name stands for, at least one.

    Raises:
        FolderError: there is none.
    """
    allowed = roots()
    if not allowed:
        raise FolderError("No folder on this server is open to the app. Its operator can open one.")
    named = named.strip()
    if not named:
        raise FolderError("Name a folder.")
    if "\0" in named:
        raise FolderError("This is not a folder name.")
    found = []
    for root in allowed:
        try:
            path = (root / named).resolve()
        except (OSError, RuntimeError):
            continue
        if path == root or root in path.parents:
            found.append(path)
    if not found:
        # The same message whether or not the path exists, so that it reveals nothing about other folders.
        raise FolderError(f"“{named}” lies outside the folders that are open to the app.")
    return found


def suggestions(limit: int = 50) -> list[str]:
    """Return up to ``limit`` folders and zips directly below the roots, relative to their root."""
    found: list[str] = []
    for root in roots():
        try:
            children = sorted(child for child in root.iterdir() if not child.name.startswith("."))
        except OSError:
            continue
        found += [child.name for child in children if child.is_dir() or child.suffix.lower() == ".zip"]
    return found[:limit]
