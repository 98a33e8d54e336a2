"""Saving a model from a command: one in the app's workspace gets a version, which names who made it."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padim.model import Padim


def login_name() -> str:
    """Return the name under which the user of this computer is logged in; "shell" if there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # a process without a login name, as in a container
        return "shell"


def save_model(model: Padim, path: Path, *, replaces: str | None = None, force: bool = False) -> None:
    """Save a model as :meth:`padim.Padim.save` does, with a version if it is in a workspace."""
    if path.resolve().parent.name != "models":
        model.save(path, replaces=replaces, force=force)
        return
    # Imported here, because most commands need no database.
    from padim.records.version import VersionChange
    from padim.records.versions import of_path
    from padim.storage.model_folders import held

    versions = of_path(path)
    if versions is None:
        model.save(path, replaces=replaces, force=force)
        return
    with held(path), versions.saving(VersionChange(login_name())) as saved:
        model.save(path, replaces=replaces, force=force)
        saved(model)
