"""The second half of a job's work, in a thread of its own while the first half goes on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

__all__ = ["FollowUp"]


class FollowUp:
    """Makes calls one after another in another thread, in the order in which they are handed over.

    The end of the block waits for all of them, also if the block ends with an exception: what has been handed
    over is done. A call that fails ends the block with its exception, and the calls after it are not made.

    Args:
        ahead: calls that may wait; :meth:`do` waits while there are more, so that memory stays bounded.
    """

    def __init__(self, ahead: int) -> None:
        self._ahead = ahead
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="follow-up")
        self._pending: deque[Future[None]] = deque()
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def do(self, call: Callable[[], None]) -> None:
        """Hand over a call.

        Raises:
            Exception: that of a former call.
        """
        while len(self._pending) >= self._ahead:
            self._pending.popleft().result()
        self._pending.append(self._pool.submit(self._make, call))

    def _make(self, call: Callable[[], None]) -> None:
        if self._failed:
            return
        try:
            call()
        except BaseException:
            self._failed = True
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if error is None:
            for one in self._pending:
                one.result()
