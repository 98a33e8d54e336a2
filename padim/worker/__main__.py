"""The worker process itself: ``python -m padim.worker``."""

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
# Seconds between two reports of the same stage: a person cannot read faster.
_PACE = 0.1


class _Answers:
    """Lines of JSON to whoever asked."""

    def __init__(self) -> None:
        # Nothing but these lines goes there: whatever else prints, prints to the log.
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
        if stage == self._last[0] and done != total and now - self._last[1] < _PACE:
            return
        self._last = stage, now
        self.send(progress=[done, total, stage, in_bytes])


def _listen(rest: bytearray, cancel: threading.Event) -> None:
    # Not through sys.stdin, whose lock a thread that waits there would still hold when the process ends.
    while True:
        if CANCEL in rest:
            cancel.set()
            rest.clear()
        more = os.read(0, 4096)
        if not more:
            # Whoever asked is gone, and what is saved is saved whole: there is nothing to tidy up.
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


def _first_to_be_killed() -> None:
    """Where memory runs out, let the system choose this process rather than the server."""
    with suppress(OSError), Path("/proc/self/oom_score_adj").open("w") as file:
        file.write("500")


def main() -> int:
    """Do what the first line of the input asks for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, whose end ends this process
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    _first_to_be_killed()
    keep_freed_memory()
    answers, cancel = _Answers(), threading.Event()
    line, rest = _first_line()
    threading.Thread(target=_listen, args=(rest, cancel), name="listen", daemon=True).start()
    try:
        from padim.worker.verbs import perform

        outcome = perform(request_from_json(line), answers.progress, cancel.is_set)
    except Exception as error:
        # Whatever went wrong must reach whoever asked, who cannot see this process's exceptions.
        document = error_to_json(error)
        if document["kind"] == "fault":
            _LOGGER.exception("the work failed")
        answers.send(error=document)
        return 1
    answers.send(outcome=outcome.model_dump(mode="json"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
