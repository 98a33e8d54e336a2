"""The queue of the worker process and the handover of images, without Streamlit and without a process."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock, Timeout

from padim.errors import StorageError
from padim.worker.images import AtPath, Files, open_images
from padim.worker.messages import Include, WorkerResult
from tests.parts import normals
from ui.files import image_input
from ui.jobs import work_queue
from ui.jobs.jobs import Job, JobRegistry

WAIT = 120


class Gates:
    """A replacement of the worker in which every request waits for its gate."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.at_work = 0
        self.most = 0
        self._gates: dict[str, threading.Event] = {}
        self._started: dict[str, threading.Event] = {}
        self._lock = threading.Lock()

    def gate(self, name: str) -> threading.Event:
        with self._lock:
            return self._gates.setdefault(name, threading.Event())

    def started(self, name: str) -> threading.Event:
        with self._lock:
            return self._started.setdefault(name, threading.Event())

    def __call__(self, request: Any, progress: Any, on_cancel: Any) -> WorkerResult:
        with self._lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
            self.order.append(request.model)
        self.started(request.model).set()
        on_cancel(self.gate(request.model).set)
        assert self.gate(request.model).wait(WAIT)
        with self._lock:
            self.at_work -= 1
        return WorkerResult()


@pytest.fixture
def gates(monkeypatch: pytest.MonkeyPatch) -> Gates:
    found = Gates()
    monkeypatch.setattr(work_queue, "perform", found)
    return found


class Noted(Job[Any]):
    """A job whose progress can be waited for."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stages: list[str] = []
        self.changed = threading.Condition()

    def progress(
        self, done: int, total: int | None = None, stage: str = "", *, in_bytes: bool = False
    ) -> None:
        super().progress(done, total, stage, in_bytes=in_bytes)
        with self.changed:
            self.stages.append(stage)
            self.changed.notify_all()

    def wait_for(self, stage: str) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: stage in self.stages, WAIT), self.stages


def queued(name: str, kind: work_queue.WorkKind = "fit") -> Noted:
    request = Include(root=Path(), model=name, index=0)
    job = Noted(name, name, lambda job: work_queue.run(kind, request, job))
    threading.Thread(target=job.run, daemon=True).start()
    return job


def test_one_at_a_time_in_order_of_arrival_and_each_reads_its_place(gates: Gates) -> None:
    first = queued("a")
    assert gates.started("a").wait(WAIT)
    second = queued("b", "change")
    second.wait_for("Waiting: 1 other fit goes first")
    third = queued("c")
    third.wait_for("Waiting: 2 other jobs go first")
    assert gates.order == ["a"]
    gates.gate("a").set()
    assert gates.started("b").wait(WAIT)
    third.wait_for("Waiting: 1 change of a model goes first")
    gates.gate("b").set()
    gates.gate("c").set()
    for job in (first, second, third):
        assert job.wait(WAIT)
        assert job.state == "done"
    assert gates.order == ["a", "b", "c"]
    assert gates.most == 1


def test_checks_wait_for_each_other_and_no_fit_waits_for_them(gates: Gates) -> None:
    jobs = [queued("a", "check")]
    assert gates.started("a").wait(WAIT)
    jobs.append(queued("b", "check"))
    jobs[1].wait_for("Waiting: 1 check of another model goes first")
    jobs.append(queued("c"))
    assert gates.started("c").wait(WAIT)
    assert gates.order == ["a", "c"]
    for name in "abc":
        gates.gate(name).set()
    assert all(job.wait(WAIT) for job in jobs)


def test_cancel_works_in_the_queue_and_lets_the_next_one_up(gates: Gates) -> None:
    first = queued("a")
    assert gates.started("a").wait(WAIT)
    second, third = queued("b"), None
    second.wait_for("Waiting: 1 other fit goes first")
    third = queued("c")
    third.wait_for("Waiting: 2 other fits go first")
    second.cancel()
    assert second.wait(WAIT)
    assert second.state == "cancelled"
    third.wait_for("Waiting: 1 other fit goes first")
    first.cancel()
    assert gates.started("c").wait(WAIT)
    gates.gate("c").set()
    assert third.wait(WAIT)
    assert gates.order == ["a", "c"]


def test_a_failure_lets_the_next_one_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> WorkerResult:
        raise ValueError("a fault")

    monkeypatch.setattr(work_queue, "perform", refuse)
    for name in "ab":
        job = queued(name)
        assert job.wait(WAIT)
        assert job.state == "failed"


# -- handover --------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PADIM_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def idle() -> Job[Any]:
    return Job("a", "Work", lambda _: None)


def test_uploads_are_on_disk_as_long_as_they_are_needed(home: Path) -> None:
    uploads = [*normals(3), ("same.png", b"1"), ("same.png", b"2")]
    source = image_input.from_uploads(uploads)  # type: ignore[arg-type]  # bytes do for uploads here
    expected = list(source.source)
    with work_queue.handed_over(source, idle()) as given:
        assert isinstance(given, Files)
        assert list(open_images(given)) == expected
        (folder,) = [path for path in (home / "jobs").iterdir() if path.is_dir()]
        # A sweep of the files of killed servers recognizes by the lock that this folder is in use.
        with pytest.raises(Timeout):
            FileLock(folder.with_suffix(".lock")).acquire(timeout=0)
    assert list((home / "jobs").iterdir()) == []


def test_a_folder_is_read_where_it_is(home: Path, tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    with work_queue.handed_over(image_input.from_folder(tmp_path / "good", "good"), idle()) as given:
        assert given == AtPath(path=tmp_path / "good")
    assert not home.exists()


def test_a_full_disk_is_reported_and_nothing_is_left(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(Path, "write_bytes", full)
    source = image_input.from_uploads(normals(2))  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="no space left"), work_queue.handed_over(source, idle()):
        pass
    assert list((home / "jobs").iterdir()) == []


def test_the_registry_stops_what_waits_with_its_session(gates: Gates) -> None:
    registry = JobRegistry()
    first = queued("a")
    assert gates.started("a").wait(WAIT)
    request = Include(root=Path(), model="b", index=0)
    waiting = registry.start("b", "b", lambda job: work_queue.run("fit", request, job), owner="me")
    registry.leave("me")
    assert waiting.wait(WAIT)
    assert waiting.state == "cancelled"
    gates.gate("a").set()
    assert first.wait(WAIT)
