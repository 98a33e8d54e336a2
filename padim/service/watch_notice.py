"""The system's notice that something has changed in a folder, so that a watch need not look all the time.

It only wakes the watch, which looks for itself: a notice that is lost costs seconds and no image. Network
folders give no notice of what other computers do; they are looked into each second.
"""

from __future__ import annotations

import logging
import threading
from pathlib import Path

__all__ = ["ChangeNotice", "is_network_folder"]

_LOGGER = logging.getLogger(__name__)
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ncpfs", "ceph", "glusterfs", "davfs")
_MOUNTS = Path("/proc/self/mounts")
# Milliseconds: changes that come within this time wake once.
_DEBOUNCE, _STEP = 200, 50


def is_network_folder(folder: Path) -> bool:
    """Return whether a folder lies on another computer, as far as the system says so."""
    if str(folder).startswith(("\\\\", "//")):
        return True
    try:
        lines = _MOUNTS.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    best, kind = -1, ""
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = fields[1].replace("\\040", " ")
        if folder.is_relative_to(point) and len(point) > best:
            best, kind = len(point), fields[2]
    return kind in _NETWORK or kind.startswith("fuse")


class ChangeNotice:
    """Sets an event whenever something changes in a folder.

    Attributes:
        works: whether the system gives notice; if not, the folder must be looked into at short intervals.
    """

    def __init__(self, folder: Path, woken: threading.Event, *, sub_folders: bool) -> None:
        self._folder, self._woken, self._sub_folders = folder, woken, sub_folders
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.works = False

    def start(self) -> None:
        """Begin to listen, in a thread; nothing happens if it listens."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._stop.clear()
        self._thread = threading.Thread(target=self._listen, name="watch notice", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._stop.set()
        self.works = False

    def _listen(self) -> None:
        try:
            from watchfiles import watch
        except ImportError:
            return
        try:
            self.works = True
            for _ in watch(
                self._folder,
                watch_filter=None,
                debounce=_DEBOUNCE,
                step=_STEP,
                stop_event=self._stop,
                rust_timeout=1_000,
                raise_interrupt=False,
                recursive=self._sub_folders,
                ignore_permission_denied=True,
            ):
                self._woken.set()
        except Exception as error:  # the folder has gone, or the system has no more watches
            _LOGGER.info("no notice of changes: %s", error)
        finally:
            self.works = False
            self._woken.set()
