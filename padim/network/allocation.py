"""What the C library does with memory that is freed: kept for the next image, not returned at once.

These are settings of the whole process. The application and the command line make them; importing the
package, or using it from another program, does not: that program's allocator is its own business.

Images and matrices of some megabytes come and go by the thousand. By default glibc gives each back to the
system and asks for it anew, page by page, which was seen to take a third of the time of a fit. What is kept
is bounded; where there is no glibc, or someone has chosen otherwise, nothing is done.
"""

from __future__ import annotations

import ctypes
import os
import sys
from functools import lru_cache

# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_KEPT_BYTES = 256 * 2**20
_LARGEST_KEPT_BYTES = 32 * 2**20  # glibc takes no more


@lru_cache(maxsize=1)
def keep_freed_memory() -> bool:
    """Set this process's allocator up, once; whether anything was set."""
    if not sys.platform.startswith("linux") or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library
        return False
    settings = (
        (_M_MMAP_THRESHOLD, _LARGEST_KEPT_BYTES),
        (_M_TRIM_THRESHOLD, _KEPT_BYTES),
        # One pool for all threads: what one has freed, the next takes.
        (_M_ARENA_MAX, 1),
    )
    accepted = [mallopt(name, value) for name, value in settings]
    return all(accepted)


def return_freed_memory() -> bool:
    """Give the memory that was freed and kept back to the system; whether that can be done here.

    For moments in which nothing is worked on: the next image has to ask the system anew.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError):  # another C library
        return False
    trim(0)
    return True
