"""Start the worker process, send it a request, and receive its progress and outcome."""

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
# Exit status of a worker whose input has ended, that is, whose parent process has ended.
ABANDONED = 3
# Seconds in which a worker must end after a stop request; then it is killed, which loses no saved data.
PATIENCE = 20.0

# Registers a function to call when the user requests a stop; it is called at once if that has happened.
OnCancel = Callable[[Callable[[], None]], None]


def perform(request: Request, progress: ReportProgress, on_cancel: OnCancel) -> WorkerResult:
    """Carry out a request in a new process, and wait for its end.

    Args:
        request: the request.
        progress: called with progress reports.
        on_cancel: called once with the function that requests the process to stop.

    Returns:
        The outcome. By then the process has ended and its memory is released.

    Raises:
        PadimError: as :func:`padim.worker.verbs.perform`; or the process was killed.
        Cancelled: the process stopped on request.
        WorkerFault: the process failed by an unexpected exception.
    """
    process = _start()
    cancelled = threading.Event()

    def cancel() -> None:
        cancelled.set()
        with suppress(OSError, ValueError):  # the process has already ended
            _send(process, CANCEL)
        kill_timer = threading.Timer(PATIENCE, process.kill)
        kill_timer.daemon = True
        kill_timer.start()

    try:
        with suppress(OSError):  # the process has ended before reading: its exit status tells the reason
            _send(process, request_to_json(request).encode() + b"\n")
        on_cancel(cancel)
        answer = _receive(process, progress)
    except BaseException:
        process.kill()
        raise
    finally:
        _close(process)
    if isinstance(answer, WorkerResult):
        return answer
    if answer is not None:
        raise answer
    if cancelled.is_set():
        raise Cancelled("stopped on request; nothing was changed")
    raise PadimError(_exit_reason(process.returncode))


def _start() -> subprocess.Popen[bytes]:
    root = str(Path(__file__).resolve().parents[2])
    search = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        [sys.executable, "-m", "padim.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A separate session, so that Ctrl-C in the server's terminal does not reach the worker.
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(search)},
    )


def _send(process: subprocess.Popen[bytes], line: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(line)
    process.stdin.flush()


def _receive(process: subprocess.Popen[bytes], progress: ReportProgress) -> WorkerResult | Exception | None:
    """Return the outcome or error that the process sends; None if it ends without sending one."""
    assert process.stdout is not None
    for line in process.stdout:
        try:
            message = json.loads(line)
        except ValueError:  # the process ended in the middle of a line
            return None
        if "error" in message:
            return error_from_json(message["error"])
        if "outcome" in message:
            return WorkerResult.model_validate(message["outcome"])
        done, total, stage, in_bytes = message["progress"]
        progress(done, total, stage, in_bytes=in_bytes)
    return None


def _close(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of a process that has sent its outcome or was killed; kill it after 5 seconds."""
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):
                pipe.close()


def _exit_reason(status: int) -> str:
    if status == -getattr(signal, "SIGKILL", 9):
        return (
            "the process that did the work was killed by the system, most likely because memory ran out; "
            "a smaller input size, a coarser grid or fewer images take less"
        )
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return f"the process that did the work ended unexpectedly ({how}); see the server's log for the reason"
