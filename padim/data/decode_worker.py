"""Main program of the helper process that decodes files whose cost cannot be bounded by their size.

It reads requests from standard input and answers on standard output until its input ends, so it ends with
the process that started it. Each request sets the memory that it may use and the time after which the
operating system kills the process. ``padim.data.decode_pool`` is the other side.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from padim.data.decode_protocol import ANSWER, READY, REQUEST

# Address space beside the image: thread stacks and the libraries' own allocations.
_SLACK = 96 * 1024 * 1024
# Extra time after the deadline at which the parent should have ended this process; it may itself be gone.
_GRACE_S = 2.0


def main() -> None:
    """Answer requests until standard input ends."""
    # The parent process handles Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    requests, answers = _streams()
    # Imported before the first request, so that it does not count toward a request's limits.
    from PIL import AvifImagePlugin, Image

    from padim.data.bit_depth import Samples
    from padim.data.decode import decode_here, prepare

    # Each request has its own limit, and nothing else in this process relies on Pillow's.
    Image.MAX_IMAGE_PIXELS = None
    # The stacks of further threads would count toward the limit on memory.
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    answers.write(READY)
    answers.flush()
    while True:
        head = requests.read(REQUEST.size)
        if len(head) < REQUEST.size:
            return
        length, pixels, memory, seconds, bit_depth = REQUEST.unpack(head)
        _set_alarm(seconds + _GRACE_S)
        data = requests.read(length)
        if len(data) < length:
            return
        prepare(data)
        with _memory_limit(memory):
            notes: list[Samples] = []
            found = decode_here(data, pixels, bit_depth or None, notes.append)
        del data
        if isinstance(found, str):
            reason = found.encode("utf-8", "replace")
            answers.write(ANSWER.pack(False, 0, 0, len(reason)) + reason)
        else:
            note = json.dumps(notes[0].to_dict()).encode() if notes else b""
            answers.write(ANSWER.pack(True, found.shape[0], found.shape[1], len(note)) + note)
            answers.write(found.data.cast("B"))
        answers.flush()
        del found
        _set_alarm(0)


def _streams() -> tuple[BinaryIO, BinaryIO]:
    """Return the streams of requests and answers; redirect this process's other output to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sys.stdin.buffer, answers


def _set_alarm(seconds: float) -> None:
    """Let the system end this process after so many seconds; 0 cancels it. Does nothing on Windows."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


@contextlib.contextmanager
def _memory_limit(extra: int) -> Iterator[None]:
    """Limit this process to `extra` bytes above its present size; no limit where the system offers none."""
    try:
        import resource

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        wanted = pages * resource.getpagesize() + extra + _SLACK
        resource.setrlimit(resource.RLIMIT_AS, (_within(wanted, hard), hard))
    except (ImportError, OSError, ValueError, IndexError):
        # Windows, or a system without /proc: the deadline and the memory budget still apply.
        yield
        return
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _within(wanted: int, hard: int) -> int:
    return wanted if hard < 0 else min(wanted, hard)


if __name__ == "__main__":
    main()
