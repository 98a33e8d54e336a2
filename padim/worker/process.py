"""Starting the worker process and talking to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from padim.errors import Cancelled, PadimError
from padim.worker.messages import Request, WorkerResult, error_from_json, request_to_json
from padim.worker.verbs import ReportProgress

CANCEL = b"cancel\n"
# The exit status of a worker whose input has ended.
ABANDONED = 3
# Seconds that a worker has to end once it was asked to; then it is killed, which loses nothing saved.
PATIENCE = 20.0

# Takes a function to be called when the user asks to stop; at once where that has happened already.
OnCancel = Callable[[Callable[[], None]], None]


def perform(request: Request, progress: ReportProgress, on_cancel: OnCancel) -> WorkerResult:
    """Have a request done by a new process, and wait for its end.

    Args:
        request: what to do.
        progress: told how far it is.
        on_cancel: takes the function that asks the process to stop.

    Returns:
        What came of it. The process is gone by then, and all of its memory with it.

    Raises:
        PadimError: as :func:`padim.worker.verbs.perform`; or the process was killed.
        Cancelled: it was asked to stop.
        WorkerFault: a fault of the program.
    """
    process = _started()
    asked = threading.Event()

    def cancel() -> None:
        asked.set()
        with suppress(OSError, ValueError):  # it has ended meanwhile
            _send(process, CANCEL)
        late = threading.Timer(PATIENCE, process.kill)
        late.daemon = True
        late.start()

    try:
        with suppress(OSError):  # it has ended before it could read: its exit status says why
            _send(process, request_to_json(request).encode() + b"\n")
        on_cancel(cancel)
        answer = _answer(process, progress)
    except BaseException:
        process.kill()
        raise
    finally:
        _ended(process)
    if isinstance(answer, WorkerResult):
        return answer
    if answer is not None:
        raise answer
    if asked.is_set():
        raise Cancelled("stopped on request; nothing was changed")
    raise PadimError(_why(process.returncode))


def _started() -> subprocess.Popen[bytes]:
    here = str(Path(__file__).resolve().parents[2])
    search = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "padim.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # Its own session: Ctrl-C in the server's terminal is the server's alone.
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
    )


def _send(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _answer(process: subprocess.Popen[bytes], progress: ReportProgress) -> WorkerResult | Exception | None:
    """What it says at its end; None where it ends without a word."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            message = json.loads(line)
        except ValueError:  # cut short by the end of the process
            return None
        if "error" in message:
            return error_from_json(message["error"])
        if "outcome" in message:
            return WorkerResult.model_validate(message["outcome"])
        done, total, stage, in_bytes = message["progress"]
        progress(done, total, stage, in_bytes=in_bytes)
    return None


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for its end; one that has told the outcome, or cannot tell it any more, has nothing left to do."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _why(status: int) -> str:
    if status == -getattr(signal, "SIGKILL", 9):
        return (
            "the process that did the work was killed by the system, most likely because memory ran out; "
            "a smaller input size, a coarser grid or fewer images take less"
        )
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return f"the process that did the work ended before its time ({how}); the server's log may say why"
