"""A thread that writes a watch's status once a second, and asks whether the watch is still wanted."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from padim.errors import PadimError
from padim.service.watch_status import WatchStatus, write_refused, write_status

__all__ = ["WatchReporter"]

_LOGGER = logging.getLogger(__name__)
# Seconds between two reports, and reports between two questions.
_INTERVAL, _ASK_EACH = 1.0, 2


class WatchReporter:
    """Reports while a watch works, so that it is seen also when a network folder does not answer.

    Args:
        status: returns the present status.
        wanted: returns whether the watch is still wanted.
        unwanted: called once it is not.
    """

    def __init__(
        self,
        status: Callable[[], WatchStatus],
        wanted: Callable[[], bool],
        unwanted: Callable[[], None],
    ) -> None:
        self._status, self._wanted, self._unwanted = status, wanted, unwanted
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="watch report", daemon=True)
        self._refused = -1

    def start(self) -> None:
        """Begin to report."""
        self.report()
        self._thread.start()

    def stop(self) -> None:
        """Report a last time, and end."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout=30)
        self.report()

    def report(self) -> None:
        """Write the status, and the list of refused files if there are more; a full disk is passed over."""
        status = self._status()
        try:
            write_status(status)
            refused = status.counts.get("refused", 0)
            if refused != self._refused:
                write_refused(Path(status.output))
                self._refused = refused
        except OSError as error:  # the watch itself says what is wrong with the disk
            _LOGGER.debug("the status cannot be written: %s", error)

    def _work(self) -> None:
        number = 0
        while not self._stop.wait(_INTERVAL):
            self.report()
            number += 1
            if number % _ASK_EACH == 0:
                with suppress(PadimError, OSError):  # the database may be away
                    if not self._wanted():
                        self._unwanted()
