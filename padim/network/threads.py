"""Run a function over blocks of grid positions in several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from padim.network.runtime import cores, threads

T = TypeVar("T")
Block = TypeVar("Block")

# Positions per block: limits the temporaries to a few megabytes without slowing the matrix products.
POSITIONS_PER_BLOCK = 64


def position_blocks(positions: int) -> list[slice]:
    """Return slices that cover the positions, each small enough to keep its temporaries small."""
    return [
        slice(start, min(start + POSITIONS_PER_BLOCK, positions))
        for start in range(0, positions, POSITIONS_PER_BLOCK)
    ]


def workers() -> int:
    """Return the number of threads for fitting: as many as the network uses (``PADIM_THREADS``)."""
    return threads() or cores()


def each_block(positions: int, work: Callable[[slice], None]) -> None:
    """Call ``work`` for every block of positions, in as many threads as :func:`workers`.

    Blocks must not write to the same data; the result does not depend on which thread takes which block.
    """
    for _ in in_threads(work, position_blocks(positions)):
        pass


def in_threads(work: Callable[[Block], T], blocks: Sequence[Block]) -> Iterator[T]:
    """Yield the results of ``work`` in order; blocks not begun when the caller stops are cancelled."""
    count = min(len(blocks), workers())
    if count == 1:
        yield from map(work, blocks)
        return
    with one_blas_thread, ThreadPoolExecutor(count) as pool:
        pending = [pool.submit(work, block) for block in blocks]
        try:
            for done in pending:
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _OneBlasThread:
    """Context manager that limits the linear algebra library to one thread while any caller is inside.

    Thousands of small matrices are already distributed among threads; a library that splits every one of them
    again was measured to take nine times as long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limits: threadpool_limits | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._limits = threadpool_limits(1, user_api="blas")

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._limits is not None:
                self._limits.restore_original_limits()


one_blas_thread = _OneBlasThread()
