"""A budget that threads share: who wants a part waits until the others have given enough back."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from padim.errors import Cancelled

Cancel = Callable[[], bool]

# How often a waiting thread asks whether it should stop.
POLL_S = 0.05


class Budget:
    """Units that threads take and give back, first come, first served.

    Whoever holds a part must not ask for more before giving it back: with that, waiting always ends.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._held = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def held(self) -> int:
        """Units taken at this moment."""
        with self._changed:
            return self._held

    @property
    def waiting(self) -> int:
        """Threads that wait for units."""
        with self._changed:
            return len(self._queue)

    @contextmanager
    def holding(self, amount: int, cancel: Cancel | None = None) -> Iterator[None]:
        """Hold `amount` units inside the block, waiting for them first.

        Raises:
            ValueError: it is more than there will ever be.
            Cancelled: `cancel` returned True while waiting.
        """
        self._take(amount, cancel)
        try:
            yield
        finally:
            with self._changed:
                self._held -= amount
                self._changed.notify_all()

    def _take(self, amount: int, cancel: Cancel | None) -> None:
        if not 0 <= amount <= self.total:
            raise ValueError(f"amount must be 0 to {self.total}, got {amount}")
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            try:
                while self._queue[0] is not ticket or self._held + amount > self.total:
                    if cancel is not None and cancel():
                        raise Cancelled("stopped on request; nothing was changed")
                    self._changed.wait(None if cancel is None else POLL_S)
                self._held += amount
            finally:
                # Also after an interrupt: a ticket left behind would block everyone after it.
                self._queue.remove(ticket)
                self._changed.notify_all()


_lock = threading.Lock()
_shared: dict[int, Budget] = {}


def memory_budget(total: int) -> Budget:
    """The one budget of bytes for all decoding in this process.

    Another `total`, where the setting was changed, is another budget: what is held of the former stays there.
    """
    with _lock:
        if total not in _shared:
            _shared.clear()
            _shared[total] = Budget(total)
        return _shared[total]


def _forget() -> None:
    """A forked process begins with nothing held: the holders are threads that it does not have."""
    global _lock
    _lock = threading.Lock()
    _shared.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
