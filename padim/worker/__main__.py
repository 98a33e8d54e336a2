"""The entry point of the worker process, ``python -m padim.worker``."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from padim.network.allocation import keep_freed_memory
from padim.worker.messages import error_to_json, request_from_json
from padim.worker.process import ABANDONED, CANCEL

_LOGGER = logging.getLogger("padim.worker")
# Minimum number of seconds between two progress reports of a stage; users could not read faster ones.
_REPORT_INTERVAL = 0.1
# By how much the priority of the process is lowered.
_NICE = 10


class _Messages:
    """The worker's messages to the parent process, as lines of JSON on standard output."""

    def __init__(self) -> None:
        # Standard output is reserved for messages: other output is redirected to standard error, the log.
        self._out: IO[str] = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._last = ("", 0.0)

    def send(self, **message: Any) -> None:
        self._out.write(json.dumps(message) + "\n")
        self._out.flush()

    def progress(
        self, done: int, total: int | None = None, stage: str = "", *, in_bytes: bool = False
    ) -> None:
        now = time.monotonic()
        if stage == self._last[0] and done != total and now - self._last[1] < _REPORT_INTERVAL:
            return
        self._last = stage, now
        self.send(progress=[done, total, stage, in_bytes])


def _listen(rest: bytearray, cancel: threading.Event) -> None:
    # Reads the descriptor, as a thread waiting in sys.stdin would hold its lock when the process ends.
    while True:
        if CANCEL in rest:
            cancel.set()
            rest.clear()
        more = os.read(0, 4096)
        if not more:
            # The parent process has ended. Saving is atomic, so that nothing needs to be cleaned up.
            os._exit(ABANDONED)
        rest += more


def _first_line() -> tuple[bytes, bytearray]:
    read = bytearray()
    while b"\n" not in read:
        more = os.read(0, 1 << 16)
        if not more:
            os._exit(ABANDONED)
        read += more
    line, _, rest = bytes(read).partition(b"\n")
    return line, bytearray(rest)


def _raise_oom_score() -> None:
    """Make the kernel kill this process rather than the server when memory runs out (Linux only)."""
    with suppress(OSError), Path("/proc/self/oom_score_adj").open("w") as file:
        file.write("500")


def _lower_priority() -> None:
    """Let all other processes go first when the processors are busy (not on Windows)."""
    if hasattr(os, "nice"):
        with suppress(OSError):
            os.nice(_NICE)
    # Linux shares out the processors among sessions first, and a worker has one of its own: there its
    # priority would count for nothing, and a fit would take as much as the whole server.
    if hasattr(os, "getsid") and os.getsid(0) == os.getpid():
        with suppress(OSError), Path("/proc/self/autogroup").open("r+") as file:
            file.write(str(_NICE))


def main() -> int:
    """Carry out the request in the first line of the input, and return the exit status.

    Returns:
        0 after the outcome was sent, 1 after an error was sent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, and with it this process
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells of every step at the first image
    _raise_oom_score()
    keep_freed_memory()
    messages, cancel = _Messages(), threading.Event()
    line, rest = _first_line()
    threading.Thread(target=_listen, args=(rest, cancel), name="listen", daemon=True).start()
    try:
        request = request_from_json(line)
        if request.gives_way:
            _lower_priority()
        # Imported late: what it loads takes seconds, of which others come first too.
        from padim.worker.verbs import perform

        outcome = perform(request, messages.progress, cancel.is_set)
    except Exception as error:
        # Every error must be sent: the parent process cannot see the exceptions of this one.
        document = error_to_json(error)
        if document["kind"] == "fault":
            _LOGGER.exception("the work failed")
        messages.send(error=document)
        return 1
    messages.send(outcome=outcome.model_dump(mode="json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
