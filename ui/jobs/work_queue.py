"""Heavy work, one at a time, in a process of its own: the queue, and handing the images over.

Everything that fits runs here: its memory returns to the system at its end, and a kill ends nothing else.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock

from padim.errors import Cancelled
from padim.storage.atomic import explain_os_error
from ui.app import workspace
from ui.app.text import count

if TYPE_CHECKING:
    from padim.storage.stopped_fits import StoppedFit
    from padim.worker.images import AtPath, Files
    from padim.worker.messages import Request, WorkerResult
    from padim.worker.process import OnCancel
    from padim.worker.verbs import ReportProgress
    from ui.files.bring import Brought
    from ui.jobs.jobs import Job

WorkKind = Literal["fit", "change", "comparison"]
_OTHERS: dict[WorkKind, str] = {"fit": "other fit", "change": "change of a model", "comparison": "comparison"}


def perform(request: Request, progress: ReportProgress, on_cancel: OnCancel) -> WorkerResult:
    """Do the work, in a process of its own.

    The page tests put a function in the place of this one that does it in theirs (tests/pages/conftest.py).
    """
    # Late: what checks the messages takes a while to import, and the first page must not wait for it.
    from padim.worker import process

    return process.perform(request, progress, on_cancel)


class _Line:
    """Who waits for the one worker process, in order of arrival."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[WorkKind, object]] = []

    @contextmanager
    def turn(self, kind: WorkKind, job: Job[Any]) -> Iterator[None]:
        """Wait until nobody is before this one; the next may go when the block ends.

        Raises:
            Cancelled: the user stopped it while it waited.
        """
        place = (kind, object())
        with self._changed:
            self._waiting.append(place)
        try:
            with self._changed:
                job.on_cancel(self._wake)
                while before := self._waiting[: self._waiting.index(place)]:
                    if job.cancelled():
                        raise Cancelled("stopped while it waited; nothing was changed")
                    job.progress(0, None, waiting([kind for kind, _ in before]))
                    self._changed.wait()
            yield
        finally:
            with self._changed:
                self._waiting.remove(place)
                self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


_LINE = _Line()


def waiting(before: list[WorkKind]) -> str:
    """The place in the queue: "Waiting: 1 other fit goes first"."""
    kinds = Counter(before)
    what = _OTHERS[before[0]] if len(kinds) == 1 else "other job"
    many = "changes of models" if what == "change of a model" else None
    return f"Waiting: {count(len(before), what, many)} {'goes' if len(before) == 1 else 'go'} first"


def run(kind: WorkKind, request: Request, job: Job[Any]) -> WorkerResult:
    """Have a request done when its turn comes.

    Args:
        kind: what those who wait behind it read.
        request: what to do.
        job: told how far it is; its cancellation stops the work, also while it waits.

    Raises:
        PadimError: it cannot be done, or the process was killed; what was saved before is as it was.
        Cancelled: the user stopped it.
    """
    with _LINE.turn(kind, job):
        job.progress(0, None, "Starting")
        return perform(request, job.progress, job.on_cancel)


@contextmanager
def handed_over(brought: Brought, job: Job[Any]) -> Iterator[AtPath | Files]:
    """The images where another process can read them, until the block ends.

    A folder or zip on the server is read where it is. Uploads, which Streamlit keeps in memory, are written
    to ``<workspace>/jobs/<id>/``; the lock ``<workspace>/jobs/<id>.lock`` is held as long as they are needed,
    so that what a killed server has left can be told apart and swept.

    Raises:
        StorageError: they cannot be written: the disk is full, or the workspace is read-only.
        Cancelled: the user stopped it.
    """
    from padim.worker.images import AtPath, Files

    if brought.path is not None:
        yield AtPath(path=brought.path.resolve())
        return
    root = workspace.root() / "jobs"
    name = secrets.token_hex(8)
    folder, lock = root / name, FileLock(root / f"{name}.lock")
    try:
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            folder.mkdir()
            files = list(_written(brought, folder, job))
        except OSError as error:
            raise explain_os_error(error, workspace.root()) from error
        yield Files(files=files)
    finally:
        rmtree(folder, ignore_errors=True)
        lock.release()
        with suppress(OSError):
            (root / f"{name}.lock").unlink(missing_ok=True)


@contextmanager
def kept(fit: StoppedFit) -> Iterator[AtPath | Files]:
    """The images that a fit was begun with, where they still are; uploads go once it has succeeded."""
    from padim.storage.stopped_fits import kept_uploads
    from padim.worker.images import AtPath, Files

    assert fit.request is not None
    if fit.request.images is not None:
        yield AtPath(path=Path(fit.request.images))
        return
    folder = kept_uploads(fit)
    assert folder is not None
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        yield Files(files=[(name, Path(path)) for name, path in fit.request.files])
    rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _written(brought: Brought, folder: Path, job: Job[Any]) -> Iterator[tuple[str, Path]]:
    # Uploads go as they are, zips unopened; of anything else, what it yields.
    files: Any = brought.files or brought.source
    total = len(brought.files or brought.source)
    for done, (name, file) in enumerate(files):
        if job.cancelled():
            raise Cancelled("stopped before it began; nothing was changed")
        job.progress(done, total, "Handing the images over")
        path = folder / f"{done:06d}"
        path.write_bytes(file if isinstance(file, bytes) else file.getbuffer())
        yield name, path
