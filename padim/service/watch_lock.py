"""One process a watched folder, and one a folder for results: the locks that see to it.

A lock is the system's, on the folder itself, and ends with its process, however that ends. Nothing is written
into the watched folder. Computers that share a network folder see each other where it has locks.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from filelock import FileLock, Timeout

from padim.errors import PadimError
from padim.service.watch_status import read_status
from padim.storage.leftovers import held_folder

__all__ = ["WatchLock"]


class WatchLock:
    """The lock of one folder, held until it is released.

    Args:
        folder: the folder, with links resolved.
        what: "watched folder" or "folder for results".
        output: the folder for results, whose status names the other process.
    """

    def __init__(self, folder: Path, what: str, output: Path) -> None:
        self._folder, self._what, self._output = folder, what, output
        self._held: ExitStack | None = None

    def acquire(self) -> None:
        """Take the lock; nothing happens if it is held by this object.

        Raises:
            PadimError: another watch has it.
            OSError: the folder cannot be opened.
        """
        if self._held is not None:
            return
        with ExitStack() as held:
            if not self._take(held):
                status = read_status(self._output)
                by = f" (process {status.pid} on {status.host})" if status and status.running else ""
                raise PadimError(
                    f"{self._folder}: this {self._what} is in use by another watch{by}; stop that one, or "
                    "choose another folder"
                )
            self._held = held.pop_all()

    def _take(self, held: ExitStack) -> bool:
        if os.name != "nt":
            return held.enter_context(held_folder(self._folder))
        # Folders cannot be locked there.
        digest = hashlib.sha256(str(self._folder).lower().encode()).hexdigest()[:24]
        lock = FileLock(Path(tempfile.gettempdir()) / f"padim-watch-{digest}.lock", timeout=0)
        try:
            held.enter_context(lock)
        except Timeout:
            return False
        return True

    def release(self) -> None:
        """Release the lock, if it is held."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
