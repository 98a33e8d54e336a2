"""The folder a model is worked on in: the one it was given, or a temporary one."""

from __future__ import annotations

import threading
from pathlib import Path

from padim.storage.leftovers import ScratchFolder


class WorkFolder:
    """A folder that is made when it is first asked for, so that constructing a model leaves no trace."""

    def __init__(self, path: str | Path | None) -> None:
        """
        Args:
            path: the folder; None: a temporary one, gone with this object.
        """
        self._path = None if path is None else Path(path)
        self._temporary: ScratchFolder | None = None
        # Its own lock: readers must not wait for a fit that goes on.
        self._making = threading.Lock()

    @property
    def path(self) -> Path:
        """Where it is; a temporary one exists from now on."""
        with self._making:
            if self._path is None:
                self._temporary = ScratchFolder()
                self._path = Path(self._temporary.name)
            return self._path
