"""Removal of files that killed servers have left on this machine, when the app starts."""

from __future__ import annotations

import logging
import threading

from padim.errors import PadimError
from ui.app import workspace

_LOGGER = logging.getLogger(__name__)
_ONCE = threading.Lock()
_SWEPT: set[str] = set()


def sweep_once() -> None:
    """Remove temporary files and uploads that no process and no interrupted fit needs, once per server."""
    root = str(workspace.root())
    with _ONCE:
        if root in _SWEPT:
            return
        _SWEPT.add(root)
    threading.Thread(target=_sweep, name="sweep", daemon=True).start()


def _sweep() -> None:
    from padim import doctor
    from padim.records import deleted_models
    from padim.storage import bin as model_bin

    try:
        for deleted in deleted_models.sweep(workspace.store()):
            _LOGGER.info("%s was in the bin for %d days and is gone", deleted.name, model_bin.DAYS)
        deleted_models.forget_missing(workspace.store())  # of models removed by hand, or by a killed process
        gone = doctor.sweep(doctor.leftovers_of_workspace(workspace.store()) + doctor.leftovers_of_cache())
    except (OSError, PadimError) as error:
        _LOGGER.warning("leftover files in the workspace were not removed: %s", error)
        return
    if gone:
        size = sum(leftover.bytes for leftover in gone)
        _LOGGER.info("removed %d temporary files of killed processes, %.1f MB", len(gone), size / 1e6)
