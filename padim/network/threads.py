"""Positions in blocks, shared out among threads: how everything that is done at every position is done."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from threadpoolctl import threadpool_limits

from padim.network.runtime import cores, threads

T = TypeVar("T")
Block = TypeVar("Block")

# Positions handled at once: bounds the temporaries to a few megabytes without slowing the matrix products.
POSITIONS_PER_BLOCK = 64


def position_blocks(positions: int) -> list[slice]:
    """Slices that cover the positions, each small enough for its temporaries to stay cheap."""
    return [
        slice(start, min(start + POSITIONS_PER_BLOCK, positions))
        for start in range(0, positions, POSITIONS_PER_BLOCK)
    ]


def workers() -> int:
    """Threads that learn at the same time: as many as the network's (``PADIM_THREADS``)."""
    return threads() or cores()


def each_block(positions: int, work: Callable[[slice], None]) -> None:
    """Do ``work`` for every block of positions, as many at a time as there are processors.

    Blocks must not share what they write. Which thread takes which block changes nothing in the result.
    """
    for _ in in_threads(work, position_blocks(positions)):
        pass


def in_threads(work: Callable[[Block], T], blocks: Sequence[Block]) -> Iterator[T]:
    """Results of ``work`` in order; what is not begun when the caller stops is not done any more."""
    count = min(len(blocks), workers())
    if count == 1:
        yield from map(work, blocks)
        return
    with _one_blas_thread, ThreadPoolExecutor(count) as pool:
        pending = [pool.submit(work, block) for block in blocks]
        try:
            for done in pending:
                yield done.result()
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


class _OneBlasThread:
    """While any fit is inside, the linear algebra library starts no threads of its own.

    The matrices are small and come by the thousand, shared out among threads already; a library that splits
    every one of them again was seen to take nine times as long.
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


_one_blas_thread = _OneBlasThread()
