"""A budget of units (bytes, places) that threads share: a thread waits until enough units are free."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from padim.errors import Cancelled

Cancel = Callable[[], bool]

# Seconds between two checks of `cancel` while a thread waits.
POLL_S = 0.05


class Budget:
    """Number of units that threads reserve and release in the order in which they asked.

    A thread must release what it holds before it reserves more; this rules out deadlocks.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._held = 0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @property
    def held(self) -> int:
        """Number of units reserved at this moment."""
        with self._changed:
            return self._held

    @property
    def waiting(self) -> int:
        """Number of threads that wait for units."""
        with self._changed:
            return len(self._queue)

    @contextmanager
    def holding(self, amount: int, cancel: Cancel | None = None) -> Iterator[None]:
        """Reserve `amount` units for the duration of the block, waiting until they are free.

        Raises:
            ValueError: `amount` is negative or more than the whole budget.
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
    """Return the budget in bytes that all decoding in this process shares.

    A different `total`, after a change of the setting, creates a new budget; bytes held in the former one are
    not counted in it.
    """
    with _lock:
        if total not in _shared:
            _shared.clear()
            _shared[total] = Budget(total)
        return _shared[total]


def _forget() -> None:
    """Reset the budgets in a forked process, which does not have the threads that hold the units."""
    global _lock
    _lock = threading.Lock()
    _shared.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
