"""Settings of the C library's allocator: freed memory is kept for the next image, not returned at once.

They affect the whole process. The application and the command line make these settings; importing the
package into another program does not change that program's allocator.

Images and matrices of a few megabytes are allocated and freed by the thousand. By default glibc returns each
to the system and requests it again, page by page, which was measured to take a third of the time of a fit.
The memory kept is bounded. Without glibc, or where the environment sets ``MALLOC_*``, nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache

# Parameter numbers from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 256 * 2**20
_LARGEST_KEPT_BYTES = 32 * 2**20  # the largest value that glibc accepts


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Configure this process's allocator to keep freed memory, once; return whether that succeeded."""
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        # One arena for all threads, so that memory freed by one thread can be reused by another.
        (_M_ARENA_MAX, 1),
    )
    accepted = [mallopt(name, value) for name, value in settings]
    return all(accepted)


def return_freed_memory() -> bool:
    """Return the memory that was freed and kept to the system; return whether this is possible here.

    Call it when no work is running: the next image has to request memory from the system again.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library
        return False
    trim(0)
    return True
