"""The working folder of a model: a given folder or a temporary one."""

from __future__ import annotations

import threading
from pathlib import Path

from padim.storage.leftovers import ScratchFolder


class WorkFolder:
    """Working folder that is created at first use, so that constructing a model creates no files."""

    def __init__(self, path: str | Path | None) -> None:
        """Set the folder, which is not created yet.

        Args:
            path: the folder; None for a temporary one, which is removed with this object.
        """
        self._path = None if path is None else Path(path)
        self._temporary: ScratchFolder | None = None
        # A lock of its own, so that readers do not wait for a running fit.
        self._making = threading.Lock()

    @property
    def given(self) -> bool:
        """Whether the folder was given, so that other models and processes may use it too."""
        with self._making:
            return self._path is not None and self._temporary is None

    @property
    def path(self) -> Path:
        """Path of the folder; a temporary folder is created at the first access."""
        with self._making:
            if self._path is None:
                self._temporary = ScratchFolder()
                self._path = Path(self._temporary.name)
            return self._path
