"""The daily deletion of images and level maps of records that are beyond the limits of the workspace."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from padim.errors import PadimError
from ui.app import workspace

__all__ = ["daily"]

_LOGGER = logging.getLogger(__name__)


def daily() -> None:
    """Delete in the background what is beyond the limits, unless that was done within a day."""
    root = workspace.root()
    if root.is_dir():
        threading.Thread(target=_prune, args=(root,), name="prune evidence", daemon=True).start()


def _prune(root: Path) -> None:
    from padim.records.retention import prune_daily

    try:
        done = prune_daily(root)
    except (OSError, PadimError) as error:
        _LOGGER.warning("images and level maps of records were not deleted: %s", error)
        return
    if done is not None and (done.deleted.originals or done.deleted.maps):
        _LOGGER.info("deleted %d images and %d level maps", done.deleted.originals, done.deleted.maps)
