"""The queues of heavy work, done one at a time in a worker process, and the handover of its images.

All fitting runs here: when the process ends, its memory returns to the system, and if the process is killed,
nothing else is.
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

from padim import settings
from padim.errors import Cancelled, PadimError
from padim.storage.atomic import explain_os_error
from ui.app import workspace
from ui.app.text import count

if TYPE_CHECKING:
    from padim.storage.stopped_fits import StoppedFit
    from padim.worker.images import AtPath, Files, InLibrary
    from padim.worker.messages import Request, WorkerResult
    from padim.worker.process import OnCancel
    from padim.worker.verbs import ReportProgress
    from ui.files.image_input import ImageSet
    from ui.jobs.jobs import Job

WorkKind = Literal["fit", "change", "comparison", "check"]
_OTHERS: dict[WorkKind, str] = {
    "fit": "other fit",
    "change": "change of a model",
    "comparison": "comparison",
    "check": "check of another model",
}
_MANY: dict[WorkKind, str] = {"change": "changes of models", "check": "checks of other models"}


def perform(request: Request, progress: ReportProgress, on_cancel: OnCancel) -> WorkerResult:
    """Do the work in a worker process and return its outcome.

    The page tests replace this function by one that does the work in their own process
    (tests/pages/conftest.py).
    """
    # Imported late: the validation of messages takes a while to import, and the first page must not wait.
    from padim.worker import process

    return process.perform(request, progress, on_cancel)


class _WorkerQueue:
    """A first-come-first-served lock for the only worker process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[tuple[WorkKind, object]] = []

    @contextmanager
    def turn(self, kind: WorkKind, job: Job[Any]) -> Iterator[None]:
        """Wait for this job's turn; the end of the block lets the next job go.

        Raises:
            PadimError: as many jobs as may be run or wait already.
            Cancelled: the user stopped the job while it waited.
        """
        place = (kind, object())
        most = settings.current().max_jobs
        with self._changed:
            if len(self._waiting) >= most:
                raise PadimError(
                    f"{count(most, 'job runs or waits', 'jobs run or wait')} already, as many as may; start "
                    "it "
                    "again when one has ended, or set PADIM_MAX_JOBS to more"
                )
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


_QUEUE = _WorkerQueue()
# Checks of models change nothing and give way to other processes, so that no fit waits for them.
_CHECKS = _WorkerQueue()


def waiting(before: list[WorkKind]) -> str:
    """Describe the place in the queue: "Waiting: 1 other fit goes first"."""
    kinds = Counter(before)
    what, many = (_OTHERS[before[0]], _MANY.get(before[0])) if len(kinds) == 1 else ("other job", None)
    return f"Waiting: {count(len(before), what, many)} {'goes' if len(before) == 1 else 'go'} first"


def run(kind: WorkKind, request: Request, job: Job[Any]) -> WorkerResult:
    """Wait for the job's turn, then do the request in the worker process and return its outcome.

    Args:
        kind: the kind of work, shown to the jobs that wait behind it.
        request: the work to do.
        job: receives the progress; cancelling it stops the work, also while it waits.

    Raises:
        PadimError: the work failed, or the process was killed; saved models are unchanged.
        Cancelled: the user stopped the job.
    """
    with (_CHECKS if kind == "check" else _QUEUE).turn(kind, job):
        job.progress(0, None, "Starting")
        if hasattr(request, "by"):
            request = request.model_copy(update={"by": job.who})
        return perform(request, job.progress, job.on_cancel)


@contextmanager
def handed_over(image_set: ImageSet, job: Job[Any]) -> Iterator[AtPath | Files | InLibrary]:
    """Provide the images to the worker process until the block ends.

    A folder or zip on the server, and a model's image library, are read where they are. Uploads, which
    Streamlit keeps in memory, are written to ``<workspace>/jobs/<id>/``. The lock
    ``<workspace>/jobs/<id>.lock`` is held as long as they are needed, so that files left by a killed server
    can be recognized and removed.

    Raises:
        StorageError: the images cannot be written: the disk is full, or the workspace is read-only.
        Cancelled: the user stopped the job.
    """
    from padim.worker.images import AtPath, Files

    if image_set.in_library is not None:
        yield image_set.in_library
        return
    if image_set.path is not None:
        yield AtPath(path=image_set.path.resolve(), folder=image_set.folder)
        return
    root = workspace.root() / "jobs"
    name = secrets.token_hex(8)
    folder, lock = root / name, FileLock(root / f"{name}.lock")
    try:
        try:
            root.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            folder.mkdir()
            files = list(_written(image_set, folder, job))
        except OSError as error:
            raise explain_os_error(error, workspace.root()) from error
        # What is not an upload was written as the source yields it, from the chosen folder alone.
        chosen = image_set.folder if image_set.files or image_set.folder is None else "."
        yield Files(files=files, folder=chosen)
    finally:
        rmtree(folder, ignore_errors=True)
        lock.release()
        with suppress(OSError):
            (root / f"{name}.lock").unlink(missing_ok=True)


@contextmanager
def kept(fit: StoppedFit) -> Iterator[AtPath | Files]:
    """Provide the images of an interrupted fit until the block ends.

    Uploads kept for it are deleted once the block has succeeded.
    """
    from padim.storage.stopped_fits import kept_uploads
    from padim.worker.images import AtPath, Files

    assert fit.request is not None
    if fit.request.images is not None:
        yield AtPath(path=Path(fit.request.images), folder=fit.request.folder)
        return
    folder = kept_uploads(fit)
    assert folder is not None
    with FileLock(folder.with_name(f"{folder.name}.lock")):
        files = [(name, Path(path)) for name, path in fit.request.files]
        yield Files(files=files, folder=fit.request.folder)
    rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.with_name(f"{folder.name}.lock").unlink(missing_ok=True)


def _written(image_set: ImageSet, folder: Path, job: Job[Any]) -> Iterator[tuple[str, Path]]:
    # Uploads are written as they are, zips unopened; of any other source, the images that it yields.
    files: Any = image_set.files or image_set.source
    total = len(image_set.files or image_set.source)
    for done, (name, file) in enumerate(files):
        if job.cancelled():
            raise Cancelled("stopped before it began; nothing was changed")
        job.progress(done, total, "Handing the images over")
        path = folder / f"{done:06d}"
        path.write_bytes(file if isinstance(file, bytes) else file.getbuffer())
        yield name, path
