"""Limits on the size, memory and time of decoding, each of which is a setting.

``PADIM_MAX_MEGAPIXELS`` (default 25) is the largest image; ``PADIM_DECODE_MEMORY`` (megabytes) is the memory
that all decoding of the process may use at a time; ``PADIM_DECODE_SECONDS`` (default 20) is the longest
decoding of a file whose decoding time cannot be bounded by its size.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from padim import settings

MEGAPIXELS = "PADIM_MAX_MEGAPIXELS"
MEMORY = "PADIM_DECODE_MEMORY"
SECONDS = "PADIM_DECODE_SECONDS"

MB = 1_000_000
# The least suffices for a 25-megapixel image of any usual format; above the most, more parallel images gain
# little.
LEAST_MEMORY, MOST_MEMORY = 800 * MB, 2000 * MB
# Share of the memory that is free when the first image is decoded.
MEMORY_SHARE = 0.25


@dataclass(frozen=True)
class DecodeLimits:
    """Limits on the decoding of images.

    Attributes:
        pixels: largest width x height of one image.
        memory: bytes that all decoding of this process may use at a time.
        seconds: longest decoding of one file.
    """

    pixels: int = 25_000_000
    memory: int = LEAST_MEMORY
    seconds: float = 20.0


def current() -> DecodeLimits:
    """Return the limits in force.

    Raises:
        PadimError: a setting is not a positive number; the message names it.
    """
    found = settings.current()
    return DecodeLimits(
        pixels=max(1, round(found.max_megapixels * 1e6)),
        memory=default_memory() if found.decode_memory is None else round(found.decode_memory * MB),
        seconds=found.decode_seconds,
    )


@lru_cache(maxsize=1)
def default_memory() -> int:
    """Return the default memory for decoding in bytes: a share of the memory free at the first call."""
    free = available_memory()
    if free is None:
        return LEAST_MEMORY
    return round(min(MOST_MEMORY, max(LEAST_MEMORY, MEMORY_SHARE * free)))


def available_memory() -> int | None:
    """Return the bytes of memory free for new work, within the container's limit; None if not known."""
    known = [value for value in (_free_on_this_machine(), *map(_free_in_group, _GROUPS)) if value is not None]
    return min(known, default=None)


def _free_on_this_machine() -> int | None:
    if sys.platform == "win32":
        return _free_on_windows()
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        # Elsewhere (macOS) only the total is known; half of it is assumed to be in use.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


# The limits of control groups, version 2 and version 1: (limit, in use).
_GROUPS = (
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (
        Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
        Path("/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ),
)


def _free_in_group(files: tuple[Path, Path]) -> int | None:
    try:
        limit, used = (int(file.read_text("ascii")) for file in files)
    except (OSError, ValueError):  # ValueError: "max", which is no limit
        return None
    return max(0, limit - used)


def _free_on_windows() -> int | None:
    if sys.platform != "win32":
        return None
    import ctypes

    class Status(ctypes.Structure):
        _fields_ = (
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "a", "b", "c", "d", "e")),
        )

    status = Status(length=ctypes.sizeof(Status))
    if not ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return None
    return int(status.free)
